package lockfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOneHasIt: one at a time has the lock, what is left of it stops nobody, and only we
// may open it.
func TestOneHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		f, err := Take(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v, %v; want 0600", info.Mode(), err)
		}
		if _, err := Take(path); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("a second one: %v", err)
		}
		f.Close()
	}
}

// TestRemovedLock is no lock any more.
func TestRemovedLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !Stands(f, path) {
		t.Error("it does not stand")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if Stands(f, path) {
		t.Error("it stands, and was removed")
	}
	if _, err := Take(filepath.Join(path, "in", "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

// TestStrangersFile is not locked, nor waited for.
func TestStrangersFile(t *testing.T) {
	dir := t.TempDir()
	fifo, link, others := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "others")
	err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink(filepath.Join(dir, "target"), link), os.WriteFile(others, nil, 0o666))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{fifo, link}
	if os.Geteuid() == 0 {
		if err := os.Chown(others, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, others)
	}
	for _, path := range paths {
		if f, err := Take(path); err == nil {
			f.Close()
			t.Errorf("%s is locked", path)
		}
	}
}
