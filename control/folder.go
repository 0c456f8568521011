package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// folder is where a control socket is. While it is locked no other daemon makes
// or replaces a socket there, nor takes the folder away. The lock is on the
// folder itself, so that no file stays behind, and it ends with the process.
type folder struct {
	path   string
	made   []string // this folder and those around it that a vswitchd made, the innermost first
	locked *os.File
}

// enterFolder makes the folder at path if it is not there, and locks it.
func enterFolder(path string) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	const patience = 2 * time.Second
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := f.make()
		if err == nil {
			err = f.lock()
		}
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline):
			// The daemon that had made it took it away just now.
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, fmt.Errorf("make the folder of the control socket: %w", err)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("another process has locked %s: see who with lslocks", path)
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

// lock locks the folder that stands at the path, or says why it cannot: it
// waits for nobody.
func (f *folder) lock() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	var opened, stands os.FileInfo
	if err == nil {
		opened, err = file.Stat()
	}
	if err == nil {
		stands, err = os.Stat(f.path)
	}
	if err == nil && !os.SameFile(opened, stands) {
		err = fs.ErrNotExist // it was taken away before it was locked
	}
	if err != nil {
		file.Close()
		return err
	}
	f.locked = file
	return nil
}

func (f *folder) unlock() { f.locked.Close() }

// remove takes away what was made, as far as it is empty.
func (f *folder) remove() {
	for _, dir := range f.made {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
