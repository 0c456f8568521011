package store

import (
	"errors"
	"io/fs"
	"os"

	"github.com/vswitch/vswitch/internal/lockfile"
)

// stands reports whether what is written will be found by the next who opens the folder:
// that neither the folder, nor the lock's file or the journal in it, was removed or
// replaced under us, nor the document removed, from which the journal leads on.
func (s *Store) stands() bool {
	if s.lost || !lockfile.Stands(s.locked, s.path(lockName)) {
		return false
	}
	if s.file > 0 {
		if _, err := os.Lstat(s.path(currentName)); errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	if s.journal != nil {
		return lockfile.Stands(s.journal, s.journalPath(s.generation))
	}
	if s.end == 0 {
		return true
	}
	info, err := os.Lstat(s.journalPath(s.generation))
	return err == nil && info.Size() >= s.end
}

// renew makes the folder again, which was removed under us, and writes all of the
// document. What others have put there is kept aside.
func (s *Store) renew() error {
	s.lost = true
	_ = s.leave() // it is of no use any more
	if err := s.enter(); err != nil {
		s.folder, s.locked = nil, nil
		return err
	}
	if err := s.lockLate(); err != nil {
		return err
	}
	s.asides = nil // they went with the folder
	s.clear(currentName + newSuffix)
	if err := s.mend(); err != nil {
		return err
	}
	const first = 1
	text, err := encode(first, s.document)
	if err == nil {
		err = writeWhole(s.path(currentName+newSuffix), text)
	}
	if err != nil {
		_ = os.Remove(s.path(currentName + newSuffix)) // there may be a part of it
		return err
	}
	s.putAllAside()
	if err := s.mend(); err != nil {
		return err
	}
	if err := writeWhole(s.journalPath(first), nil); err != nil {
		return err
	}
	if err := os.Rename(s.path(currentName+newSuffix), s.path(currentName)); err != nil {
		return err
	}
	s.lost = false
	s.generation, s.file, s.last, s.end, s.room, s.size = first, first, 0, 0, 0, int64(len(text))
	s.tell(s.dir + " was removed, or something in it: it is made again, with the configuration as it stands")
	return s.folder.Sync()
}

// putAllAside has all be kept aside that a vswitchd would read.
func (s *Store) putAllAside() {
	names := []string{currentName, lastName}
	for _, n := range s.journals() {
		names = append(names, journalName(n))
	}
	for _, name := range names {
		if _, err := os.Lstat(s.path(name)); err == nil {
			s.putAside(name, s.path(name)+" is not what this vswitchd goes on with")
		}
	}
}
