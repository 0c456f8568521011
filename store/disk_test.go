package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// files returns the names and texts of a folder's files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "filler" {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = strings.TrimRight(string(text), "\x00")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDamageThatCannotBeKeptAside is on a full or read-only disk: what can be read
// stands, nothing is written, and changes are refused until it can be kept.
func TestDamageThatCannotBeKeptAside(t *testing.T) {
	both := []string{"full", "read-only"}
	for _, c := range []struct {
		file, damage string
		disks        []string // on which it cannot be kept aside
		want         string
	}{
		{currentName, "cut at 100", both[1:], "early0 early1 late0 late1"},
		{currentName, "a folder", both[1:], "early0 early1 late0 late1"},
		{"journal.2", "spoilt", both, "early0 early1 late0"},
		{"journal.2", "a folder", both[1:], "early0 early1"},
	} {
		for _, disk := range c.disks {
			t.Run(fmt.Sprintf("%s %s, disk %s", c.file, c.damage, disk), func(t *testing.T) {
				dir := smallDisk(t, "512k")
				s, _ := open(t, dir)
				for i := range 2 {
					change(t, s, fmt.Sprint("early", i))
					if err := s.rewrite(); err != nil {
						t.Fatal(err)
					}
				}
				change(t, s, "late0")
				change(t, s, "late1")
				s.Close()
				path := filepath.Join(dir, c.file)
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				text = []byte(strings.TrimRight(string(text), "\x00"))
				if c.damage == "spoilt" { // the last line
					text[len(text)-5] ^= 1
					err = os.WriteFile(path, text, 0o600)
				} else {
					i := slices.IndexFunc(damages, func(d damage) bool { return d.name == c.damage })
					err = damages[i].do(path, text)
				}
				if err != nil {
					t.Fatal(err)
				}
				filler, why := filepath.Join(dir, "filler"), syscall.ENOSPC
				if disk == "full" {
					if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
						t.Fatal("the disk is not full")
					}
				} else {
					why = syscall.EROFS
					if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=512k"); err != nil {
						t.Fatal(err)
					}
				}
				before := files(t, dir)

				var told []string
				s, err = Open(dir, func(what string) { told = append(told, what) })
				if err != nil {
					t.Fatalf("it does not open: %v", err)
				}
				names := func() string {
					switches, _ := s.Document()["switches"].(map[string]any)
					sw, _ := switches["sw0"].(map[string]any)
					ports, _ := sw["ports"].(map[string]any)
					var all []string
					for name := range ports {
						all = append(all, name)
					}
					slices.Sort(all)
					return strings.Join(all, " ")
				}
				if got := names(); got != c.want || len(told) != 1 || !strings.Contains(told[0], "cannot be kept aside") {
					t.Fatalf("there are %q, told %q; want %q", got, told, c.want)
				}
				for what, err := range map[string]error{"Reserve": s.Reserve(100), "Commit": s.Commit(port("no", true)), "rewrite": s.rewrite()} {
					if !errors.Is(err, why) || !strings.Contains(err.Error(), path) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if got := names(); got != c.want {
					t.Errorf("what was refused has made %q of it", got)
				}
				if now := files(t, dir); fmt.Sprint(now) != fmt.Sprint(before) {
					t.Errorf("files are now %q, and were %q", now, before)
				}

				// As soon as it can be kept, it is, and changes are taken.
				if disk == "full" {
					err = os.Remove(filler)
				} else {
					err = unix.Mount("", dir, "", unix.MS_REMOUNT, "size=512k")
				}
				if err != nil {
					t.Fatal(err)
				}
				change(t, s, "new")
				if len(told) != 2 || !strings.Contains(told[1], "It is kept as "+path+".aside-") {
					t.Errorf("told %q", told)
				}
				s.Close()
				s, told = open(t, dir)
				defer s.Close()
				if got := names(); got != c.want+" new" || len(told) > 0 {
					t.Errorf("afterwards there are %q, told %q", got, told)
				}
			})
		}
	}
}

// TestForeignFileOnAReadOnlyDisk is not passed over: somebody wants to know.
func TestForeignFileOnAReadOnlyDisk(t *testing.T) {
	for _, text := range []string{`{"vswitch_state":2,"generation":1,"sum":0,"document":{}}`, `{"version":1}`} {
		dir := smallDisk(t, "128k")
		if err := os.WriteFile(filepath.Join(dir, currentName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=128k"); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(dir, func(string) {}); err == nil {
			s.Close()
			t.Errorf("%s is passed over", text)
		} else if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestFullDiskWithoutFallocate: where the file system reserves nothing, what is reserved
// has its room all the same, and what has none is refused before it is done.
func TestFullDiskWithoutFallocate(t *testing.T) {
	fallocate = func(int, uint32, int64, int64) error { return unix.EOPNOTSUPP }
	t.Cleanup(func() { fallocate = unix.Fallocate })
	dir := smallDisk(t, "256k")
	s, _ := open(t, dir)
	fill(t, s, 4)
	if err := s.Reserve(20 << 10); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := s.Reserve(200 << 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v, want no space left", err)
	}
	if err := s.Commit(port("q", strings.Repeat("q", 19<<10))); err != nil {
		t.Errorf("in reserved room: %v", err)
	}
	want := shown(t, s)
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("reopened there are %d octets, %q; want %d", len(got), told, len(want))
	}
}
