package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names of files.
const (
	currentName   = "config.json"
	lastName      = "last.json"
	journalPrefix = "journal."
	newSuffix     = ".new"
)

// longest is how long a journal grows at least before the document is written
// anew.
const longest = 64 << 10

// Change replaces what stands at a path of the document, or with a nil Value
// removes it. Folders on the way are made.
type Change struct {
	Path  []string `json:"path"`
	Value any      `json:"value,omitempty"`
}

// Store is an open folder. Its methods are called one at a time.
type Store struct {
	dir        string
	folder     *os.File // to be synchronised
	generation uint64
	document   map[string]any
	journal    *os.File
	end        int64 // of what is whole in the journal
	room       int64 // up to where the journal has room on the disk
	size       int64 // of the document when it was last written
}

// Open opens the store in a folder, which is made where it is missing. Of damage,
// tell is told; what is damaged is kept aside.
func Open(dir string, tell func(string)) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, folder: folder, document: make(map[string]any)}
	if err := s.lock(); err != nil {
		folder.Close()
		return nil, err
	}
	if err := s.load(tell); err != nil {
		folder.Close()
		return nil, err
	}
	return s, nil
}

// lockTime is how long the folder may still be that of a process that has just been
// killed, and is being taken apart.
const lockTime = 2 * time.Second

// lock takes the folder for this process.
func (s *Store) lock() error {
	for deadline := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(s.folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", s.dir, err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s is another vswitchd's: give each its own --state-dir", s.dir)
		}
	}
}

// Document returns the document. The caller does not change it.
func (s *Store) Document() map[string]any { return s.document }

// Close ends the use of the folder.
func (s *Store) Close() error {
	var err error
	if s.journal != nil {
		err = s.journal.Close()
	}
	return errors.Join(err, s.folder.Close())
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Store) journalPath(generation uint64) string {
	return s.path(journalPrefix + strconv.FormatUint(generation, 10))
}

// Reserve makes sure that changes of so many octets can be noted: it fails where
// the disk is full, or may not be written. What cannot be noted need not be done.
func (s *Store) Reserve(octets int) error {
	if err := s.ready(); err != nil {
		return err
	}
	if need := s.end + int64(octets) + recordExtra; need > s.room {
		room := need + longest
		err := unix.Fallocate(int(s.journal.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.end, room-s.end)
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("no room for changes in %s: %w", s.dir, err)
		}
		s.room = room
	}
	// A disk that turned read-only lets one know only when it is written to.
	if _, err := s.journal.WriteAt([]byte{0}, s.end); err != nil {
		return fmt.Errorf("changes cannot be noted in %s: %w", s.dir, err)
	}
	return nil
}

// ready opens the journal at the first change. Until then nothing is written: a
// disk may be read-only. What a crash has left at its end goes.
func (s *Store) ready() error {
	if s.journal != nil {
		return nil
	}
	f, err := os.OpenFile(s.journalPath(s.generation), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(s.end), s.folder.Sync())
	}
	if err != nil {
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
	if _, err := s.journal.WriteAt(line, s.end); err != nil {
		return s.takeBack(err)
	}
	if err := unix.Fdatasync(int(s.journal.Fd())); err != nil {
		return s.takeBack(err)
	}
	s.end += int64(len(line))
	if changes, err = readRecord(line[:len(line)-1]); err != nil { // as they are found again
		return err
	}
	for _, c := range changes {
		if err := s.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// takeBack makes the journal end where it did before a change that failed.
func (s *Store) takeBack(why error) error {
	err := fmt.Errorf("note a change in %s: %w", s.dir, why)
	if e := s.journal.Truncate(s.end); e != nil {
		return errors.Join(err, e)
	}
	s.room = 0
	return err
}

// apply makes a change in the document.
func (s *Store) apply(c Change) error {
	if len(c.Path) == 0 {
		whole, ok := c.Value.(map[string]any)
		if !ok {
			return errors.New("the whole document is no object")
		}
		s.document = whole
		return nil
	}
	at := s.document
	for _, key := range c.Path[:len(c.Path)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			if c.Value == nil {
				return nil
			}
			next = make(map[string]any)
			at[key] = next
		}
		at = next
	}
	last := c.Path[len(c.Path)-1]
	if c.Value == nil {
		delete(at, last)
	} else {
		at[last] = c.Value
	}
	return nil
}

// Tidy writes the document anew where the journal has grown long. Without it,
// nothing is lost; the journal only goes on growing.
func (s *Store) Tidy() error {
	if s.end < max(longest, 2*s.size) {
		return nil
	}
	return s.rewrite()
}

// rewrite writes the document of the next generation. The order counts: whatever
// comes last, a crash leaves either generation whole.
func (s *Store) rewrite() error {
	next := s.generation + 1
	text, err := encode(next, s.document)
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(s.journalPath(next), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = writeWhole(s.path(currentName+newSuffix), text)
	if err == nil {
		err = s.keepLast()
	}
	if err == nil {
		err = os.Rename(s.path(currentName+newSuffix), s.path(currentName))
	}
	if err == nil {
		err = s.folder.Sync()
	}
	if err != nil {
		journal.Close()
		_ = os.Remove(s.journalPath(next)) // empty as it is, it does no harm
		return fmt.Errorf("write %s anew: %w", s.path(currentName), err)
	}
	if s.journal != nil {
		s.journal.Close()
	}
	s.generation, s.journal, s.end, s.room, s.size = next, journal, 0, 0, int64(len(text))
	s.forget()
	return nil
}

// keepLast keeps the document that is about to be replaced. Its name comes back
// with the new one; until then, the journal leads there from the one before.
func (s *Store) keepLast() error {
	current, last := s.path(currentName), s.path(lastName)
	if err := os.Remove(last + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(current, last+newSuffix); errors.Is(err, fs.ErrNotExist) {
		return nil // the first
	} else if err != nil {
		return err
	}
	return os.Rename(last+newSuffix, last)
}

// forget removes journals that lead nowhere any more.
func (s *Store) forget() {
	names, _ := filepath.Glob(s.path(journalPrefix + "*")) // the pattern is right
	for _, name := range names {
		n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(name), journalPrefix), 10, 64)
		if err == nil && (n+1 < s.generation || n > s.generation) {
			_ = os.Remove(name) // it is only in the way
		}
	}
}

// writeWhole writes a file that is on disk when it returns.
func writeWhole(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// setAside keeps a file that cannot be used, under another name.
func (s *Store) setAside(name string) (aside string, err error) {
	aside = fmt.Sprintf("%s.aside-%s", name, time.Now().UTC().Format("20060102T150405.000"))
	return aside, os.Rename(s.path(name), s.path(aside))
}

// marshal writes a value in JSON without what is for web pages.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
