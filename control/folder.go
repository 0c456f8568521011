package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/lockfile"
)

// folder is where a control socket is. While it is entered no other daemon makes
// or replaces that socket, nor takes the folder away. The lock is a file beside the
// socket, for the folder may be anybody's; it goes when the folder is left.
type folder struct {
	path   string
	lock   string   // the lock's file
	made   []string // this folder and those around it that a vswitchd made, the innermost first
	locked *os.File
}

// lockSuffix is what the lock's file is called behind the socket's name.
const lockSuffix = ".lock"

// folderOf returns the folder of a socket that stands.
func folderOf(socket string) (*folder, error) {
	socket, err := filepath.Abs(socket)
	if err != nil {
		return nil, err
	}
	f := &folder{path: filepath.Dir(socket), lock: socket + lockSuffix}
	f.findMade(f.path)
	return f, nil
}

// enterFolder makes the folder of a socket if it is not there, and locks it.
func enterFolder(socket string) (*folder, error) {
	socket, err := filepath.Abs(socket)
	if err != nil {
		return nil, err
	}
	f := &folder{path: filepath.Dir(socket), lock: socket + lockSuffix}
	const patience = 2 * time.Second
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := f.make()
		if err == nil {
			f.locked, err = lockfile.Take(f.lock)
		}
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline):
			// The daemon that had made it took it away just now.
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, fmt.Errorf("make the folder of the control socket: %w", err)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("another vswitchd is about to listen there, and has locked %s: see which with lslocks", f.lock)
		}
	}
}

// mark is an extended attribute of folders that a vswitchd made (xattr(7)): the
// last to leave one is not always who made it, nor does that one always live to
// take it away. Where there are no such attributes, who made it tries.
const mark = "trusted.vswitchd"

// make makes the folder, and those around it, and notes which were made.
func (f *folder) make() error {
	f.made = nil
	var missing []string
	for dir := f.path; ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err == nil && !st.IsDir() {
			return fmt.Errorf("%s is no folder", dir)
		}
		if err == nil {
			f.findMade(dir)
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		err := os.Mkdir(missing[i], 0o755)
		switch {
		case err == nil:
			_ = unix.Setxattr(missing[i], mark, nil, 0)
			f.made = append([]string{missing[i]}, f.made...)
		case !errors.Is(err, fs.ErrExist): // made by another daemon, else
			return err
		}
	}
	return nil
}

// findMade notes dir, and those around it, that are marked.
func (f *folder) findMade(dir string) {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := unix.Getxattr(dir, mark, nil); err != nil {
			return
		}
		f.made = append(f.made, dir)
	}
}

// leave ends the lock. Its file goes first: who has opened it meanwhile sees that.
func (f *folder) leave() {
	_ = os.Remove(f.lock) // where it stays, it stops nobody
	f.locked.Close()
}

// remove takes away what was made, as far as it is empty.
func (f *folder) remove() {
	for _, dir := range f.made {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
