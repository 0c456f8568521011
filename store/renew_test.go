package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/lockfile"
)

// TestFolderRemoved removes the folder, what is in it, the journal, or the document, while
// the store is open, or replaces it: the next change brings all of the document.
func TestFolderRemoved(t *testing.T) {
	within := func(dir, pattern string) error {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			err = errors.Join(err, os.Remove(name))
		}
		return err
	}
	for name, remove := range map[string]func(dir string) error{
		"the folder":     os.RemoveAll,
		"all in it":      func(dir string) error { return within(dir, "*") },
		"the journals":   func(dir string) error { return within(dir, "journal.*") },
		"the document":   func(dir string) error { return os.Remove(filepath.Join(dir, currentName)) },
		"moved away":     func(dir string) error { return os.Rename(dir, dir+".moved") },
		"an older one":   func(dir string) error { return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(dir+".older"))) },
		"none, all well": func(string) error { return nil },
	} {
		for _, changed := range []bool{true, false} { // since it was opened
			dir := filepath.Join(t.TempDir(), "state")
			s, _ := open(t, dir)
			fill(t, s, 2)
			if err := errors.Join(s.rewrite(), s.rewrite(), os.CopyFS(dir+".older", os.DirFS(dir))); err != nil {
				t.Fatal(err)
			}
			fill(t, s, 4)
			s.Close()
			s, _ = open(t, dir)
			if changed {
				change(t, s, "before")
			}
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			if err := s.Reserve(100); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			change(t, s, "after")
			want := shown(t, s)
			if _, err := lockfile.Take(s.path(lockName)); !errors.Is(err, unix.EWOULDBLOCK) {
				t.Errorf("%s: another one has the folder, too: %v", name, err)
			}
			s.Close()
			if got, told := reopened(t, dir); got != want || len(told) > 0 {
				t.Errorf("%s: reopened there is %s, told %q; want %s", name, got, told, want)
			}
		}
	}
}

// TestFolderThatCannotBeMadeAgain has changes be refused until it can.
func TestFolderThatCannotBeMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, _ := open(t, dir)
	defer s.Close()
	fill(t, s, 2)
	want := shown(t, s)
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Reserve": s.Reserve(100), "Commit": s.Commit(port("no", true))} {
		if err == nil || !strings.Contains(err.Error(), "was removed under this vswitchd") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := shown(t, s); got != want {
		t.Errorf("what was refused has made %s of it", got)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	change(t, s, "again")
}
