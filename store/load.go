package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// format is that of config.json.
const format = 1

// file is what config.json has.
type file struct {
	Format     int             `json:"vswitch_state"`
	Generation uint64          `json:"generation"`
	Sum        uint32          `json:"sum"` // CRC-32C of Document
	Document   json.RawMessage `json:"document"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(generation uint64, document map[string]any) ([]byte, error) {
	text, err := marshal(document)
	if err != nil {
		return nil, err
	}
	out, err := marshal(file{format, generation, crc32.Checksum(text, castagnoli), text})
	return append(out, '\n'), err
}

// errNewer is the error of a file that a later program has written.
var errNewer = errors.New("it is of a newer vswitchd")

func decode(text []byte) (f file, document map[string]any, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, nil, fmt.Errorf("it is damaged: %w", err)
	}
	switch {
	case f.Format == 0:
		return f, nil, errors.New("it is no configuration of vswitchd")
	case f.Format > format:
		return f, nil, errNewer
	case crc32.Checksum(f.Document, castagnoli) != f.Sum:
		return f, nil, errors.New("it is damaged: its sum is another")
	}
	return f, document, json.Unmarshal(f.Document, &document)
}

// load finds the document: of the newest file that can be read, and all changes
// since.
func (s *Store) load(tell func(string)) error {
	found := false
	for _, name := range []string{currentName, lastName} {
		text, err := os.ReadFile(s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f, document, err := decode(text)
		if err == nil {
			s.generation, s.document, s.size, found = f.Generation, document, int64(len(text)), true
			break
		}
		aside, asideErr := s.setAside(name)
		if asideErr != nil {
			return fmt.Errorf("%s cannot be used (%w), nor kept aside: %w", s.path(name), err, asideErr)
		}
		tell(fmt.Sprintf("%s cannot be used: %v. It is kept as %s", s.path(name), err, s.path(aside)))
	}
	if !found && s.begun() {
		tell("nothing of the configuration can be read: it begins empty")
		return s.begin()
	}
	for {
		whole, err := s.replay(tell)
		if err != nil {
			return err
		}
		if _, err := os.Stat(s.journalPath(s.generation + 1)); err != nil || !whole {
			return nil
		}
		// The file of the next generation is gone, and this is what it had.
		s.generation, s.end = s.generation+1, 0
	}
}

// begun reports whether there are journals without a document that they begin
// with. Those of generation 0 begin with nothing.
func (s *Store) begun() bool {
	names, _ := filepath.Glob(s.path(journalPrefix + "*")) // the pattern is right
	for _, name := range names {
		if filepath.Base(name) == journalPrefix+"0" {
			return false
		}
	}
	return len(names) > 0
}

// begin puts journals aside that lead on from what is lost.
func (s *Store) begin() error {
	names, _ := filepath.Glob(s.path(journalPrefix + "*"))
	for _, name := range names {
		if _, err := s.setAside(filepath.Base(name)); err != nil {
			return err
		}
	}
	return nil
}

// recordExtra is more than a line of the journal has beside its changes.
const recordExtra = 32

// record writes changes as a line of the journal: a sum, and what they are.
func record(changes []Change) ([]byte, error) {
	text, err := marshal(changes)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// readRecord reads a line.
func readRecord(line []byte) (changes []Change, err error) {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return nil, errors.New("a line's sum is another")
	}
	return changes, json.Unmarshal(text, &changes)
}

// replay makes the changes of the generation's journal. What a crash has cut off at
// its end was never answered, and goes. whole says whether all of it could be read.
func (s *Store) replay(tell func(string)) (whole bool, err error) {
	path := s.journalPath(s.generation)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
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
			if err := s.apply(c); err != nil {
				return false, fmt.Errorf("%s: %w", path, err)
			}
		}
		rest = after
	}
	end := int64(len(text) - len(rest))
	more := strings.TrimRight(string(rest), "\x00")
	if _, behind, _ := strings.Cut(more, "\n"); behind != "" {
		// A crash spoils the last line alone.
		aside := path + ".aside"
		if err := writeWhole(aside, text); err != nil {
			return false, fmt.Errorf("%s is damaged, and cannot be kept aside: %w", path, err)
		}
		tell(fmt.Sprintf("%s is damaged from octet %d on: changes behind that are lost. It is kept as %s", path, end, aside))
	}
	s.end = end
	return more == "", nil
}
