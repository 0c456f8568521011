package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// aside is a file that is damaged, or leads on from what is. It is kept under another
// name before anything is written.
type aside struct {
	name    string
	damage  string // what is told of it
	text    []byte // of the copy that is kept; nil: it goes itself
	foreign bool   // it is another program's
}

// putAside has a file be kept aside when next something can be written.
func (s *Store) putAside(name, damage string) {
	s.asides = append(s.asides, aside{name: name, damage: damage})
}

// putCopyAside does so with a copy of the journal: what is whole of it stays.
func (s *Store) putCopyAside(text []byte, damage string) {
	s.asides = append(s.asides, aside{name: journalName(s.generation), damage: damage, text: text})
}

// mend keeps aside what is to be. Until that is done, nothing is written.
func (s *Store) mend() error {
	for len(s.asides) > 0 {
		a := s.asides[0]
		kept, err := s.keepAside(a)
		if err != nil {
			return fmt.Errorf("%s. It cannot be kept aside: %w", a.damage, err)
		}
		s.asides = s.asides[1:]
		if kept != "" {
			s.tell(fmt.Sprintf("%s. It is kept as %s", a.damage, s.path(kept)))
		}
	}
	return nil
}

// mendFirst does so when the folder is opened. Where it cannot, as on a full disk,
// what could be read stands, and nothing is changed until it can.
func (s *Store) mendFirst() error {
	err := s.mend()
	if err == nil {
		return nil
	}
	for _, a := range s.asides {
		if a.foreign { // somebody wants to know, rather than begin with less
			return err
		}
	}
	s.tell(fmt.Sprintf("%v. It stays as it is, and changes are refused until it can", err))
	for _, a := range s.asides[1:] {
		s.tell(a.damage + ". It is not kept aside yet, either")
	}
	return nil
}

// keepAside keeps a file under another name, and overwrites none by that. "": it is
// gone meanwhile.
func (s *Store) keepAside(a aside) (name string, err error) {
	name = s.freeName(a.name)
	if a.text == nil {
		err = os.Rename(s.path(a.name), s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
	} else if err = writeWhole(s.path(name), a.text); err != nil {
		_ = os.Remove(s.path(name)) // there may be a part of it
	}
	if err == nil {
		err = s.folder.Sync()
	}
	return name, err
}

// freeName returns a name for what is kept aside, which nothing has.
func (s *Store) freeName(name string) string {
	first := fmt.Sprintf("%s.aside-%s", name, time.Now().UTC().Format("20060102T150405.000"))
	free := first
	for n := 2; ; n++ {
		if _, err := os.Lstat(s.path(free)); err != nil {
			return free
		}
		free = fmt.Sprintf("%s-%d", first, n)
	}
}

// clear keeps aside what stands where a file is to be written and is none.
func (s *Store) clear(names ...string) {
	for _, name := range names {
		if info, err := os.Lstat(s.path(name)); err == nil && !info.Mode().IsRegular() {
			s.putAside(name, s.path(name)+" is no file")
		}
	}
}
