// Package lockfile locks files that say whose something is: a folder, the place of a
// socket. The lock is a file of its own, which nobody else may open: flock(2) wants no
// more than to read, so a folder that others may look into can be locked by them, too.
// The lock ends with the process; the file may stay, and then stops nobody. It may be
// called by many at once.
package lockfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Take locks the file at path, which it makes if it is not there, and waits for nobody:
// the error is [unix.EWOULDBLOCK] where another process has it, and [fs.ErrNotExist]
// where it was taken away just now. Closing the file ends the lock.
func Take(path string) (*os.File, error) {
	// To read is enough, also on a disk that is read-only by now. A FIFO would have us
	// wait for who writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := ours(f, path); err != nil {
		f.Close()
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !Stands(f, path) {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, fs.ErrNotExist)
	}
	return f, nil
}

// Stands reports whether the file that is open is still what stands at the path.
func Stands(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, now)
}

// ours returns an error for a file that a stranger has put there: it is to be that of
// this process's user, or of the user whose folder it is in.
func ours(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if owner := ownerOf(info); !info.Mode().IsRegular() || owner != os.Geteuid() && owner != ownerOf(folder) {
		return fmt.Errorf("%s is to be locked, and is no file of ours: remove it, or choose a folder that others cannot write to", path)
	}
	return nil
}

func ownerOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
