package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// format is that of config.json.
const format = 1

// file is what config.json has.
type file struct {
	Format     int             `json:"vswitch_state"`
	Generation uint64          `json:"generation"`
	Sum        uint32          `json:"sum"`             // CRC-32C of Document
	Check      uint32          `json:"check,omitempty"` // CRC-32C of Generation and Sum; 0: none was made
	Document   json.RawMessage `json:"document"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// check returns what Check is.
func (f file) check() uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%d %d", f.Generation, f.Sum), castagnoli)
}

func encode(generation uint64, document map[string]any) ([]byte, error) {
	text, err := marshal(document)
	if err != nil {
		return nil, err
	}
	f := file{Format: format, Generation: generation, Sum: crc32.Checksum(text, castagnoli), Document: text}
	f.Check = f.check()
	out, err := marshal(f)
	return append(out, '\n'), err
}

// Errors of a file that another program has written.
var (
	errNewer   = errors.New("it is of a newer vswitchd")
	errForeign = errors.New("it is no configuration of vswitchd")
)

func decode(text []byte) (f file, document map[string]any, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, nil, fmt.Errorf("it is damaged: %w", err)
	}
	right := f.Document != nil && crc32.Checksum(f.Document, castagnoli) == f.Sum
	switch {
	case f.Format > format:
		return f, nil, errNewer
	case f.Format == 0 && !right:
		return f, nil, errForeign
	case f.Format <= 0:
		return f, nil, errors.New("it is damaged: it does not say its format")
	case !right:
		return f, nil, errors.New("it is damaged: its sum is another")
	case f.Check != 0 && f.Check != f.check():
		return f, nil, errors.New("it is damaged: its generation is another")
	}
	if err := json.Unmarshal(f.Document, &document); err != nil {
		return f, nil, fmt.Errorf("it is damaged: %w", err)
	}
	if document == nil {
		return f, nil, errors.New("it is damaged: it has no document")
	}
	return f, document, nil
}

// read reads a document's file.
func (s *Store) read(name string) (f file, document map[string]any, size int64, err error) {
	text, err := readWhole(s.path(name))
	if err != nil {
		return f, nil, 0, err
	}
	f, document, err = decode(text)
	return f, document, int64(len(text)), err
}

// readWhole reads a file, and waits for nobody where it is none.
func readWhole(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	}
	return io.ReadAll(f)
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
