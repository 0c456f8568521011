package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// load finds the document: of the newest file that can be read, and all changes
// since, up to where something is missing. What leads on from there is another
// document's, and is kept aside, as what is damaged is.
func (s *Store) load() error {
	found := s.find()
	journals := s.journals()
	if lost := "nothing of the configuration can be read, and it begins empty: "; !found && len(journals) > 0 && journals[0] != 0 {
		for _, n := range journals {
			s.putAside(journalName(n), lost+s.journalPath(n)+" leads on from what is lost")
			lost = ""
		}
		return s.mendFirst()
	}
	whole := s.follow(found)
	if err := s.mendFirst(); err != nil {
		return err
	}
	if !whole && s.ready() == nil { // so that it is told once; where it cannot be, each change has the error
		_ = s.Tidy()
	}
	return nil
}

// find finds the newest document that can be read.
func (s *Store) find() (found bool) {
	for _, name := range []string{currentName, lastName} {
		f, document, size, err := s.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			s.putAside(name, fmt.Sprintf("%s cannot be used: %v", s.path(name), err))
			s.asides[len(s.asides)-1].foreign = errors.Is(err, errNewer) || errors.Is(err, errForeign)
			continue
		}
		s.generation, s.document, s.size = f.Generation, document, size
		if name == currentName {
			s.file = f.Generation
		} else {
			s.last = f.Generation
		}
		return true
	}
	return false
}

// follow makes the changes of all journals since the document that was found, and
// reports whether none is missing or damaged.
func (s *Store) follow(found bool) (whole bool) {
	for {
		path := s.journalPath(s.generation)
		text, ended, err := s.replay()
		ahead := s.ahead()
		var spoilt *spoiltError
		switch {
		case errors.Is(err, fs.ErrNotExist) && !found && s.generation == 0:
			return true // nothing was ever kept
		case errors.Is(err, fs.ErrNotExist):
			s.tell(path + " is missing: the changes that it had are lost")
		case errors.As(err, &spoilt):
			s.putCopyAside(text, path+" "+spoilt.Error())
		case err != nil:
			s.putAside(journalName(s.generation), fmt.Sprintf("%s cannot be read: %v: the changes that it had are lost", path, err))
		case ended && s.hasJournal(s.generation+1):
			s.generation++
			continue
		case ended:
			s.generation, s.end = s.generation+1, 0
			s.tell(s.journalPath(s.generation) + " is missing: the changes that it had are lost")
		case len(ahead) == 0 && s.last > 0 && s.generation == s.last:
			// Its journal leads to the newer one, and does not get there.
			s.cutOff(text, fmt.Sprintf("what stands is of %s and older than %s was: %s ends before that", s.path(lastName), s.path(currentName), path))
		case len(ahead) == 0:
			return true
		default:
			s.cutOff(text, path+" is cut off: changes at its end are lost")
		}
		for _, n := range ahead {
			s.putAside(journalName(n), s.journalPath(n)+" leads on from what is lost")
		}
		return false
	}
}

// cutOff tells that the journal has not all that it had; a part of a line at its end
// is kept aside.
func (s *Store) cutOff(text []byte, damage string) {
	if int64(len(text)) > s.end {
		s.putCopyAside(text, damage)
	} else {
		s.tell(damage)
	}
}

func (s *Store) hasJournal(generation uint64) bool {
	_, err := os.Lstat(s.journalPath(generation))
	return err == nil
}
