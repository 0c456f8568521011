package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/lockfile"
)

// lockTime is how long the folder may still be that of a process that has just been
// killed, and is being taken apart.
const lockTime = 2 * time.Second

// enter opens the folder, which is made where it is missing, and takes it for this
// process. It may be anybody's, such as one in a home: what we keep in it is nobody
// else's to read, nor to lock.
func (s *Store) enter() (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.folder, err = os.Open(s.dir); err != nil {
		return err
	}
	for deadline := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		err := s.lock()
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist):
			s.folder.Close()
			return err
		case time.Now().After(deadline):
			s.folder.Close()
			return s.othersError(err)
		}
	}
}

// lock takes the folder, and waits for nobody. On a disk where the lock's file is not
// there and cannot be made, nothing can be written: it is made before anything is.
func (s *Store) lock() (err error) {
	s.locked, err = lockfile.Take(s.path(lockName))
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil
	}
	return err
}

// lockLate takes the folder where that could not be when it was opened.
func (s *Store) lockLate() (err error) {
	if s.locked != nil || s.folder == nil {
		return nil
	}
	if s.locked, err = lockfile.Take(s.path(lockName)); errors.Is(err, unix.EWOULDBLOCK) {
		return s.othersError(err)
	}
	return err
}

func (s *Store) othersError(why error) error {
	if !errors.Is(why, unix.EWOULDBLOCK) {
		return why
	}
	return fmt.Errorf("%s is another vswitchd's: give each its own --state-dir", s.dir)
}

// leave lets go of the folder. The lock's file stays, and stops nobody.
func (s *Store) leave() (err error) {
	if s.folder == nil {
		return nil // it was removed, and could not be made again
	}
	if s.journal != nil {
		err = s.journal.Close()
		s.journal = nil
	}
	err = errors.Join(err, s.folder.Close())
	if s.locked != nil {
		err = errors.Join(err, s.locked.Close())
	}
	return err
}
