package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// recordExtra is more than a line of the journal has beside its changes, and than the
// line takes that ends a journal.
const recordExtra = 64

// record writes changes as a line of the journal: a sum, and what they are. One
// without changes ends a journal: the next one leads on.
func record(changes []Change) ([]byte, error) {
	text, err := marshal(append([]Change{}, changes...))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// readRecord reads a line, without its end.
func readRecord(line []byte) (changes []Change, err error) {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return nil, errors.New("a line's sum is another")
	}
	if err := json.Unmarshal(text, &changes); err != nil {
		return nil, err
	}
	for _, c := range changes {
		if _, ok := c.Value.(map[string]any); len(c.Path) == 0 && !ok {
			return nil, errors.New("the whole document is no object")
		}
	}
	return changes, nil
}

// spoiltError is the error of a journal that is damaged; what is before that stands.
type spoiltError struct{ at int64 }

func (e *spoiltError) Error() string {
	return fmt.Sprintf("is damaged from octet %d on: changes behind that are lost", e.at)
}

// replay makes the changes of the generation's journal, as far as they can be read.
// ended says that the next journal leads on from there.
func (s *Store) replay() (text []byte, ended bool, err error) {
	s.end = 0
	text, err = readWhole(s.journalPath(s.generation))
	if err != nil {
		return nil, false, err
	}
	rest := text
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			break
		}
		changes, err := readRecord(line)
		if err != nil {
			break
		}
		for _, c := range changes {
			s.apply(c)
		}
		ended, rest = len(changes) == 0, after
	}
	s.end = int64(len(text) - len(rest))
	switch rest = bytes.TrimRight(rest, "\x00"); {
	case !torn(rest):
		return text, false, &spoiltError{s.end}
	case len(rest) > 0:
		ended = false
	}
	return text, ended, nil
}

// torn reports whether an end of a journal can be what a crash has left of a change
// that was never answered: a line without its end, or nothing. All else is damage.
func torn(end []byte) bool {
	if len(end) == 0 {
		return true
	}
	_, err := readRecord(end[:len(end)-1]) // whole, with another octet for its end
	return err != nil && !bytes.Contains(end, []byte("\n"))
}

func journalName(generation uint64) string {
	return journalPrefix + strconv.FormatUint(generation, 10)
}

func (s *Store) journalPath(generation uint64) string { return s.path(journalName(generation)) }

// journals returns the generations of which there are journals, in their order.
func (s *Store) journals() (all []uint64) {
	names, _ := filepath.Glob(s.path(journalPrefix + "*")) // the pattern is right
	for _, name := range names {
		n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(name), journalPrefix), 10, 64)
		if err == nil && filepath.Base(name) == journalName(n) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// ahead returns those behind the generation that have something in them. One that is
// empty was made by a crash, and does no harm.
func (s *Store) ahead() (all []uint64) {
	for _, n := range s.journals() {
		info, err := os.Lstat(s.journalPath(n))
		if n > s.generation && err == nil && info.Size() > 0 {
			all = append(all, n)
		}
	}
	return all
}

// forget removes journals from before the last document that is kept.
func (s *Store) forget() {
	for _, n := range s.journals() {
		if n < s.last {
			_ = os.Remove(s.journalPath(n)) // it is only in the way
		}
	}
}
