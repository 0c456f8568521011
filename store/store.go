package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"

	"golang.org/x/sys/unix"
)

// Names of files.
const (
	lockName      = "lock"
	currentName   = "config.json"
	lastName      = "last.json"
	journalPrefix = "journal."
	newSuffix     = ".new"
)

// longest is how long a journal grows at least before the document is written
// anew.
const longest = 64 << 10

// Change replaces what stands at a path of the document, or with a nil Value
// removes it. Folders on the way are made. With Like, those beneath the path are removed
// that have all of its members: so many go in one short line.
type Change struct {
	Path  []string       `json:"path"`
	Value any            `json:"value,omitempty"`
	Like  map[string]any `json:"like,omitempty"`
}

// Store is an open folder. Its methods are called one at a time.
type Store struct {
	dir        string
	folder     *os.File     // to be synchronised
	locked     *os.File     // says that the folder is this process's
	tell       func(string) // of damage
	asides     []aside      // that are to be kept aside before anything is written
	generation uint64
	file       uint64 // generation of the document in config.json; 0: there is none
	last       uint64 // that of last.json, from which on journals are kept; 0: all are
	document   map[string]any
	closed     bool // the folder may be another process's by now
	lost       bool // what is on disk was removed, and is not made again yet
	journal    *os.File
	end        int64 // of what is whole in the journal
	room       int64 // up to where the journal has room on the disk
	size       int64 // of the document when it was last written
}

// Open opens the store in a folder, which is made where it is missing. Of damage,
// tell is told, also later on; what is damaged is kept aside. Where that cannot be, as
// on a full disk, what can be read stands, and changes are refused until it can.
func Open(dir string, tell func(string)) (*Store, error) {
	s := &Store{dir: dir, tell: tell, document: make(map[string]any)}
	if err := s.enter(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		s.leave()
		return nil, err
	}
	return s, nil
}

// Document returns the document. The caller does not change it.
func (s *Store) Document() map[string]any { return s.document }

// Close ends the use of the folder: from then on changes are refused.
func (s *Store) Close() error {
	s.closed = true
	return s.leave()
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Reserve makes sure that changes of so many octets can be noted: it fails where
// the disk is full, or may not be written. What cannot be noted need not be done.
func (s *Store) Reserve(octets int) error {
	if err := s.ready(); err != nil {
		return err
	}
	if need := s.end + int64(octets) + recordExtra; need > s.room {
		if err := s.makeRoom(need + longest); err != nil {
			return fmt.Errorf("no room for changes in %s: %w", s.dir, err)
		}
	}
	// A disk that turned read-only lets one know only when it is written to.
	if _, err := s.journal.WriteAt([]byte{0}, s.end); err != nil {
		return fmt.Errorf("changes cannot be noted in %s: %w", s.dir, err)
	}
	return nil
}

// fallocate is what tests replace.
var fallocate = unix.Fallocate

// makeRoom has the journal have room on the disk up to an offset. Where the file system
// does not know how, as ext2, zeros are written: those at a journal's end say nothing.
func (s *Store) makeRoom(upTo int64) error {
	err := fallocate(int(s.journal.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.end, upTo-s.end)
	if errors.Is(err, unix.EOPNOTSUPP) {
		has := max(s.room, s.end) // which changes under way rely on
		if _, err = s.journal.WriteAt(make([]byte, upTo-has), has); err == nil {
			err = unix.Fdatasync(int(s.journal.Fd())) // some tell only now that there is none
		}
		if err != nil {
			err = errors.Join(err, s.journal.Truncate(has))
		}
	}
	if err == nil {
		s.room = upTo
	}
	return err
}

// ready opens the journal at the first change. Until then nothing is written: a
// disk may be read-only. What is damaged is kept aside by then, and what a crash has
// left at the journal's end goes.
func (s *Store) ready() error {
	if s.closed {
		return fmt.Errorf("%s is not this vswitchd's at the moment, but may be that of another, which was to take over: ask again, and see with lslocks which has it", s.dir)
	}
	if err := s.lockLate(); err != nil {
		return err
	}
	if !s.stands() {
		if err := s.renew(); err != nil {
			return fmt.Errorf("%s was removed under this vswitchd, and cannot be made again: %w", s.dir, err)
		}
	}
	if err := s.mend(); err != nil {
		return err
	}
	if s.journal != nil {
		return nil
	}
	f, err := os.OpenFile(s.journalPath(s.generation), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("changes cannot be noted: %w", err)
	}
	if err := errors.Join(f.Truncate(s.end), s.folder.Sync()); err != nil {
		f.Close()
		return fmt.Errorf("changes cannot be noted: %w", err)
	}
	s.journal = f
	return nil
}

// Commit notes changes, all or none, and returns when they are on disk.
func (s *Store) Commit(changes ...Change) error {
	if err := s.ready(); err != nil {
		return err
	}
	line, err := record(changes)
	if err != nil {
		return err
	}
	if changes, err = readRecord(line[:len(line)-1]); err != nil { // as they are found again
		return err
	}
	if err := s.note(line); err != nil {
		return err
	}
	for _, c := range changes {
		s.apply(c)
	}
	return nil
}

// note has a line be on disk.
func (s *Store) note(line []byte) error {
	if _, err := s.journal.WriteAt(line, s.end); err != nil {
		return s.takeBack(err)
	}
	if err := unix.Fdatasync(int(s.journal.Fd())); err != nil {
		return s.takeBack(err)
	}
	s.end += int64(len(line))
	return nil
}

// takeBack makes the journal end where it did before a change that failed.
func (s *Store) takeBack(why error) error {
	err := fmt.Errorf("note a change in %s: %w", s.dir, why)
	s.room = 0
	if e := s.journal.Truncate(s.end); e != nil {
		s.journal.Close()
		s.journal = nil // to be opened, and cut, before anything else is noted
		return errors.Join(err, e)
	}
	return err
}

// apply makes a change, as it was read, in the document.
func (s *Store) apply(c Change) {
	if len(c.Path) == 0 {
		s.document, _ = c.Value.(map[string]any) // readRecord takes no other
		return
	}
	at := s.document
	for _, key := range c.Path[:len(c.Path)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			if c.Value == nil {
				return
			}
			next = make(map[string]any)
			at[key] = next
		}
		at = next
	}
	last := c.Path[len(c.Path)-1]
	switch {
	case c.Like != nil:
		if beneath, ok := at[last].(map[string]any); ok {
			maps.DeleteFunc(beneath, func(_ string, v any) bool { return like(v, c.Like) })
		}
	case c.Value == nil:
		delete(at, last)
	default:
		at[last] = c.Value
	}
}

// like reports whether a value has all the members of another.
func like(v any, of map[string]any) bool {
	m, ok := v.(map[string]any)
	for key, want := range of {
		ok = ok && reflect.DeepEqual(m[key], want)
	}
	return ok
}

// Tidy writes the document anew where the journal has grown long, or where only the
// one before was left of it. Without it, nothing is lost; the journal only goes on
// growing.
func (s *Store) Tidy() error {
	alone := s.file == 0 && s.generation > 0
	if s.end < max(longest, 2*s.size) && !alone {
		return nil
	}
	return s.rewrite()
}

// rewrite writes the document of the next generation. The order counts: whatever
// comes last, a crash leaves either generation whole.
func (s *Store) rewrite() error {
	next := s.generation + 1
	s.clear(currentName+newSuffix, lastName+newSuffix, lastName, journalName(next))
	if err := s.ready(); err != nil {
		return err
	}
	text, err := encode(next, s.document)
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(s.journalPath(next), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := s.replace(text); err != nil {
		journal.Close() // empty as it is, it does no harm
		_ = os.Remove(s.path(currentName + newSuffix))
		return fmt.Errorf("write %s anew: %w", s.path(currentName), err)
	}
	s.journal.Close()
	s.generation, s.file, s.journal, s.end, s.room, s.size = next, next, journal, 0, 0, int64(len(text))
	if err := s.folder.Sync(); err != nil {
		return err // nothing is forgotten that may be needed yet
	}
	s.forget()
	return nil
}

// replace has another document in config.json, when the journal says that the next
// one leads on.
func (s *Store) replace(text []byte) error {
	if err := writeWhole(s.path(currentName+newSuffix), text); err != nil {
		return err
	}
	if err := s.folder.Sync(); err != nil {
		return err
	}
	end, err := record(nil)
	if err == nil {
		err = s.note(end)
	}
	if err == nil {
		err = s.keepLast()
	}
	if err == nil {
		err = s.folder.Sync()
	}
	if err != nil {
		return err
	}
	return os.Rename(s.path(currentName+newSuffix), s.path(currentName))
}

// keepLast keeps the document that is about to be replaced. Its name comes back
// with the new one; until then, the journal leads there from the one before. Where it
// is damaged, or not there, the one before is still the last, and its journals stay.
func (s *Store) keepLast() error {
	f, _, _, err := s.read(currentName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && f.Generation != s.file {
		err = errors.New("it is another than was written")
	}
	if err != nil {
		s.putAside(currentName, fmt.Sprintf("%s cannot be used: %v", s.path(currentName), err))
		return s.mend()
	}
	current, last := s.path(currentName), s.path(lastName)
	if err := os.Remove(last + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(current, last+newSuffix); err != nil {
		return err
	}
	if err := os.Rename(last+newSuffix, last); err != nil {
		return err
	}
	s.last = s.file
	return nil
}
