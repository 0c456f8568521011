package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) (*Store, []string) {
	t.Helper()
	var told []string
	s, err := Open(dir, func(what string) { told = append(told, what) })
	if err != nil {
		t.Fatal(err)
	}
	return s, told
}

func shown(t *testing.T, s *Store) string {
	t.Helper()
	b, err := json.Marshal(s.Document())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reopened returns the document that is found in a folder, and what is told of it.
func reopened(t *testing.T, dir string) (document string, told []string) {
	t.Helper()
	s, told := open(t, dir)
	defer s.Close()
	return shown(t, s), told
}

func port(name string, value any) Change {
	return Change{Path: []string{"switches", "sw0", "ports", name}, Value: value}
}

// copyOf copies the files of a folder.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// fill makes changes, and returns the document after each, the empty one first.
func fill(t *testing.T, s *Store, n int) (after []string) {
	t.Helper()
	after = []string{shown(t, s)}
	for i := range n {
		changes := []Change{port(fmt.Sprint("p", i), map[string]any{"netns": fmt.Sprint("n", i), "ip": []string{"10.0.0.1/24"}})}
		switch i % 4 {
		case 1:
			changes = append(changes, Change{Path: []string{"profiles", "office"}, Value: map[string]any{"access": i}})
		case 2:
			changes = append(changes, port(fmt.Sprint("p", i-1), nil))
		case 3:
			changes = []Change{{Value: map[string]any{"switches": map[string]any{"sw0": map[string]any{}, "n": map[string]any{"ageing": fmt.Sprint(i, "s")}}}}}
		}
		if err := s.Reserve(500); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(changes...); err != nil {
			t.Fatal(err)
		}
		after = append(after, shown(t, s))
	}
	return after
}

// TestJournalCutAnywhere holds that a crash leaves the document as it was before
// the change that was under way, or as it is after it.
func TestJournalCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	after := fill(t, s, 12)
	s.Close()
	journal, err := os.ReadFile(filepath.Join(dir, "journal.0"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimRight(string(journal), "\x00"), "\n")
	if len(lines) != 13 {
		t.Fatalf("the journal has %d lines, want 12", len(lines)-1)
	}
	whole, at := 0, 0
	for cut := range strings.Join(lines, "") {
		if cut == at+len(lines[whole]) {
			at, whole = cut, whole+1
		}
		for _, tail := range []string{"", "\x00\x00\x00", "torn"} {
			crashed := t.TempDir()
			if err := os.WriteFile(filepath.Join(crashed, "journal.0"), append(append([]byte{}, journal[:cut]...), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			got, told := reopened(t, crashed)
			if got != after[whole] || len(told) > 0 {
				t.Fatalf("cut at %d, with %q behind: %s, %v\nwant %s", cut, tail, got, told, after[whole])
			}
			// It goes on from there.
			again, _ := open(t, crashed)
			if err := again.Commit(port("new", true)); err != nil {
				t.Fatal(err)
			}
			want := shown(t, again)
			again.Close()
			if got, told := reopened(t, crashed); got != want || len(told) > 0 {
				t.Fatalf("cut at %d, and after one change more: %s, %v\nwant %s", cut, got, told, want)
			}
		}
	}
}

// TestFileCutAnywhere damages the document's file at each octet: what it had is
// found by the one before and the journals.
func TestFileCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	fill(t, s, 2)
	for range 2 {
		if err := s.rewrite(); err != nil {
			t.Fatal(err)
		}
		fill(t, s, 1)
	}
	want := shown(t, s)
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Fatalf("undamaged: %s, %v\nwant %s", got, told, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, currentName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(text) - 1 { // without its end of line it is whole
		spoilt := append([]byte{}, text...)
		spoilt[cut] ^= 0x21
		for how, with := range map[string][]byte{"cut": text[:cut], "spoilt": spoilt, "zeros": append(append([]byte{}, text[:cut]...), make([]byte, len(text)-cut)...)} {
			damaged := copyOf(t, dir)
			if err := os.WriteFile(filepath.Join(damaged, currentName), with, 0o600); err != nil {
				t.Fatal(err)
			}
			got, told := reopened(t, damaged)
			if got != want {
				t.Fatalf("%s at %d: %s, %v\nwant %s", how, cut, got, told, want)
			}
			if how == "spoilt" && len(told) == 0 {
				continue // an octet that says nothing, such as in a number that was 0
			}
			if aside, _ := filepath.Glob(filepath.Join(damaged, currentName+".aside-*")); len(told) != 1 || len(aside) != 1 {
				t.Fatalf("%s at %d: told %v, kept aside %v", how, cut, told, aside)
			}
			if again, told := reopened(t, damaged); again != want || len(told) > 0 {
				t.Fatalf("%s at %d, opened again: %s, %v\nwant %s", how, cut, again, told, want)
			}
		}
	}
}

// TestRewriteInterrupted stops writing anew after each step.
func TestRewriteInterrupted(t *testing.T) {
	for _, generations := range []int{0, 1, 2} {
		dir := t.TempDir()
		s, _ := open(t, dir)
		for range generations {
			fill(t, s, 3)
			if err := s.rewrite(); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, s, 6)
		want := shown(t, s)
		next, text := s.generation+1, []byte(nil)
		text, err := encode(next, s.document)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		in := func(name string) string { return filepath.Join(dir, name) }
		steps := []func() error{
			func() error { return os.WriteFile(in(fmt.Sprint(journalPrefix, next)), nil, 0o600) },
			func() error { return os.WriteFile(in(currentName+newSuffix), text[:len(text)/2], 0o600) },
			func() error { return os.WriteFile(in(currentName+newSuffix), text, 0o600) },
			func() error { // the journal ends
				path := in(fmt.Sprint(journalPrefix, next-1))
				journal, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				end, err := record(nil)
				return errors.Join(err, os.WriteFile(path, append(bytes.TrimRight(journal, "\x00"), end...), 0o600))
			},
			func() error {
				err := os.Link(in(currentName), in(lastName+newSuffix))
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			},
			func() error {
				err := os.Rename(in(lastName+newSuffix), in(lastName))
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			},
			func() error { return os.Rename(in(currentName+newSuffix), in(currentName)) },
		}
		for i, step := range steps {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			crashed := copyOf(t, dir)
			if got, told := reopened(t, crashed); got != want || len(told) > 0 {
				t.Fatalf("generation %d, after step %d: %s, %v\nwant %s", next, i, got, told, want)
			}
			again, _ := open(t, crashed)
			after := fill(t, again, 3)
			if err := again.rewrite(); err != nil {
				t.Fatal(err)
			}
			again.Close()
			if got, told := reopened(t, crashed); got != after[len(after)-1] || len(told) > 0 {
				t.Fatalf("generation %d, after step %d and more: %s, %v\nwant %s", next, i, got, told, after[len(after)-1])
			}
			// What is left of the interruption does not stand in the way of the one before.
			if err := os.Truncate(filepath.Join(crashed, currentName), 10); err != nil {
				t.Fatal(err)
			}
			if got, told := reopened(t, crashed); got != after[len(after)-1] {
				t.Fatalf("generation %d, after step %d, more, and damage: %s, %v\nwant %s", next, i, got, told, after[len(after)-1])
			}
		}
	}
}

// TestForeignFiles are kept aside, and nothing of them is overwritten.
func TestForeignFiles(t *testing.T) {
	for want, text := range map[string]string{
		"it is of a newer vswitchd":        `{"vswitch_state":2,"generation":1,"sum":0,"document":{}}`,
		"it is no configuration":           `{"version":1}`,
		"it is damaged":                    "version: 1\n",
		"it is damaged: unexpected end of": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, currentName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, told := reopened(t, dir)
		if got != "{}" || len(told) != 1 || !strings.Contains(told[0], want) {
			t.Errorf("%q: %s, told %q; want %q", text, got, told, want)
		}
		aside, _ := filepath.Glob(filepath.Join(dir, "*.aside-*"))
		if len(aside) != 1 {
			t.Errorf("%q: kept aside are %v", text, aside)
			continue
		}
		if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != text {
			t.Errorf("%q is kept as %q, %v", text, kept, err)
		}
	}
	// A journal that leads on from what is lost.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal.7"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, told := reopened(t, dir); got != "{}" || len(told) != 1 {
		t.Errorf("a journal alone: %s, %v", got, told)
	}
}

// TestDamageInTheMiddle of a journal loses what is behind it, and says so.
func TestDamageInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	after := fill(t, s, 4)
	s.Close()
	path := filepath.Join(dir, "journal.0")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.Index(string(text), "\n") + 20
	text[second] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, told := reopened(t, dir); got != after[1] || len(told) != 1 || !strings.Contains(told[0], "changes behind that are lost") {
		t.Errorf("%s, told %q; want %s", got, told, after[1])
	}
	if kept := asides(t, dir, "journal.0"); len(kept) != 1 || kept[0] != string(text) {
		t.Errorf("the journal was not kept aside, but %q", kept)
	}
}

// TestTidyKeepsAllAndStaysSmall makes many changes.
func TestTidyKeepsAllAndStaysSmall(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for i := range 3000 {
		if err := s.Commit(port(fmt.Sprint("p", i%50), map[string]any{"description": strings.Repeat("x", 50), "n": i})); err != nil {
			t.Fatal(err)
		}
		if err := s.Tidy(); err != nil {
			t.Fatal(err)
		}
	}
	want := shown(t, s)
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("after 3000 changes: %d octets, %v; want %d", len(got), told, len(want))
	}
	total := int64(0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	if len(entries) > 5 || total > 4*longest {
		t.Errorf("%d files with %d octets are left", len(entries), total)
	}
}

// smallDisk returns a folder with a file system of its own, of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no tmpfs can be mounted here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestFullDisk holds that a change for which there is no room is refused before
// anything is done, and that what stands stays.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "128k")
	s, _ := open(t, dir)
	fill(t, s, 4)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := s.Reserve(200 << 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v, want no space left", err)
	}
	if err := s.rewrite(); err == nil {
		t.Error("it was written anew on a full disk")
	}
	// What was reserved before has its room.
	if err := s.Commit(port("q", true)); err != nil {
		t.Errorf("in reserved room: %v", err)
	}
	if err := s.Commit(port("q", nil)); err != nil {
		t.Error(err)
	}
	want := shown(t, s)
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("after a full disk: %s, %v; want %s", got, told, want)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir)
	if err := s.Reserve(100); err != nil {
		t.Errorf("with room again: %v", err)
	}
	s.Close()

	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=128k"); err != nil {
		t.Fatal(err)
	}
	if got, _ := reopened(t, dir); got != want {
		t.Errorf("read-only: %s, want %s", got, want)
	}
	s, _ = open(t, dir)
	defer s.Close()
	if err := s.Reserve(100); !errors.Is(err, syscall.EROFS) {
		t.Errorf("on a read-only disk: %v", err)
	}
}

// TestOneAtATime holds that a folder is one daemon's.
func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	defer s.Close()
	if _, err := Open(dir, func(string) {}); err == nil || !strings.Contains(err.Error(), "is another vswitchd's") {
		t.Errorf("a second one: %v", err)
	}
}

// TestStrangerLocksTheFolder has somebody who may only look into it lock it, which stops
// nobody; what we make there others may not even open.
func TestStrangerLocksTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s, _ := open(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder that was made has %v, %v; want 0700", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(dir, lockName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock's file has %v, %v; want 0600", info.Mode(), err)
	}
	s.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := unix.Flock(int(stranger.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s, told := open(t, dir)
	defer s.Close()
	if err := s.Commit(port("p", true)); err != nil || len(told) > 0 {
		t.Errorf("a stranger has locked the folder: %v, told %q", err, told)
	}
}

// TestClosedRefuses: who has let go of the folder says so.
func TestClosedRefuses(t *testing.T) {
	s, _ := open(t, t.TempDir())
	fill(t, s, 2)
	s.Close()
	for what, err := range map[string]error{"Reserve": s.Reserve(100), "Commit": s.Commit(port("p", true))} {
		if err == nil || !strings.Contains(err.Error(), "is not this vswitchd's at the moment") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestLockedOnceTheDiskCanBeWritten: where the lock's file could not be made when the
// folder was opened, it is before the first change, and one at a time makes any.
func TestLockedOnceTheDiskCanBeWritten(t *testing.T) {
	dir := smallDisk(t, "128k")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=128k"); err != nil {
		t.Fatal(err)
	}
	first, _ := open(t, dir)
	defer first.Close()
	second, _ := open(t, dir)
	defer second.Close()
	if err := first.Commit(port("p", true)); !errors.Is(err, syscall.EROFS) {
		t.Errorf("on a read-only disk: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=128k"); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(port("p", true)); err != nil {
		t.Error(err)
	}
	if err := second.Commit(port("q", true)); err == nil || !strings.Contains(err.Error(), "is another vswitchd's") {
		t.Errorf("a second one: %v", err)
	}
}

// TestRemoveTheLike removes what is alike beneath a path, in one line, and nothing else.
func TestRemoveTheLike(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	entry := func(key string, value any) Change {
		return Change{Path: []string{"switches", "sw0", "fdb", key}, Value: value}
	}
	err := s.Commit(entry("1 a", map[string]any{"port": "p"}), entry("1 b", map[string]any{"port": "q"}),
		entry("1 c", map[string]any{"drop": true}), entry("2 a", map[string]any{"port": "p"}), entry("2 b", "p"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sw := range []string{"sw0", "none"} {
		if err := s.Commit(Change{Path: []string{"switches", sw, "fdb"}, Like: map[string]any{"port": "p"}}); err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"switches":{"sw0":{"fdb":{"1 b":{"port":"q"},"1 c":{"drop":true},"2 b":"p"}}}}`
	if got := shown(t, s); got != want {
		t.Errorf("there is %s, want %s", got, want)
	}
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("reopened there is %s, %q; want %s", got, told, want)
	}
}
