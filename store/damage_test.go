package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asides returns what is kept aside of a file, in the order of the names.
func asides(t *testing.T, dir, name string) (texts []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, name+".aside-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// change adds a port.
func change(t *testing.T, s *Store, name string) {
	t.Helper()
	if err := s.Reserve(500); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(port(name, map[string]any{"netns": name})); err != nil {
		t.Fatal(err)
	}
}

// damage is what may happen to a file.
type damage struct {
	name string
	do   func(path string, text []byte) error
}

var damages = []damage{
	{"cut at 100", func(path string, text []byte) error { return os.WriteFile(path, text[:min(100, len(text))], 0o600) }},
	{"emptied", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }},
	{"cut behind a line", func(path string, text []byte) error {
		lines := strings.SplitAfter(strings.TrimRight(string(text), "\x00"), "\n")
		return os.WriteFile(path, []byte(strings.Join(lines[:len(lines)/2], "")), 0o600)
	}},
	{"spoilt", func(path string, text []byte) error {
		text = slices.Clone(text)
		text[len(text)/2] ^= 1
		return os.WriteFile(path, text, 0o600)
	}},
	{"removed", func(path string, _ []byte) error { return os.Remove(path) }},
	{"a folder", func(path string, _ []byte) error {
		return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "within"), 0o755))
	}},
	{"a pipe", func(path string, _ []byte) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }},
}

// TestDamageTwice damages the document's file, lets it be written anew, and damages
// it again, and once more: all that was changed is there each time.
func TestDamageTwice(t *testing.T) {
	for _, d := range damages {
		for generations := 1; generations <= 3; generations++ {
			for _, running := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in generation %d, running %t", d.name, generations, running), func(t *testing.T) {
					dir := t.TempDir()
					current := filepath.Join(dir, currentName)
					s, told := open(t, dir)
					for i := range generations {
						change(t, s, fmt.Sprint("early", i))
						if err := s.rewrite(); err != nil {
							t.Fatal(err)
						}
					}
					for i := range 3 {
						change(t, s, fmt.Sprint("late", i))
						want := shown(t, s)
						text, err := os.ReadFile(current)
						if err != nil {
							t.Fatal(err)
						}
						if err := d.do(current, text); err != nil {
							t.Fatal(err)
						}
						if !running || i == 2 {
							s.Close()
							s, told = open(t, dir)
						}
						if got := shown(t, s); got != want {
							t.Fatalf("damaged %d times: %s, told %q\nwant %s", i+1, got, told, want)
						}
						change(t, s, fmt.Sprint("later", i))
						if err := s.rewrite(); err != nil {
							t.Fatal(err)
						}
					}
					want := shown(t, s)
					s.Close()
					if got, told := reopened(t, dir); got != want || len(told) > 0 {
						t.Errorf("at the end: %s, told %q\nwant %s", got, told, want)
					}
				})
			}
		}
	}
}

// TestWrittenAnewSoonAfterDamage has a document that is left once alone be there twice
// after the next change.
func TestWrittenAnewSoonAfterDamage(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for i := range 2 {
		change(t, s, fmt.Sprint("early", i))
		if err := s.rewrite(); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	for _, name := range []string{currentName, lastName} {
		if err := os.Truncate(filepath.Join(dir, name), 10); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, dir)
		change(t, s, "after "+name)
		if err := s.Tidy(); err != nil {
			t.Fatal(err)
		}
		want := shown(t, s)
		s.Close()
		if got, _ := reopened(t, dir); got != want || !strings.Contains(got, "early0") {
			t.Errorf("after the damage of %s: %s, want %s", name, got, want)
		}
	}
}

// TestNeverAMixture damages two of the files in all ways. What stands then is what
// stood at some time, and where it is not the newest, that is told; it goes on from
// there. Only the end of the last journal can be lost as if it had never been.
func TestNeverAMixture(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	var after []string
	for i := range 3 {
		for j := range 4 {
			if i == 0 && j == 0 {
				after = append(after, shown(t, s))
			}
			change(t, s, fmt.Sprintf("p%d-%d", i, j))
			after = append(after, shown(t, s))
		}
		if i == 2 {
			break
		}
		if err := s.rewrite(); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	newest := after[len(after)-1]
	cut := []string{"cut at 100", "emptied", "cut behind a line"}
	files := []string{currentName, lastName, "journal.1", "journal.2"}
	for _, first := range files {
		for _, second := range files {
			for _, d := range damages {
				for _, e := range damages {
					if first >= second && (first != second || d.name != e.name) {
						continue
					}
					damaged := copyOf(t, dir)
					how := first + " " + d.name
					do := func(name string, with func(string, []byte) error) {
						path := filepath.Join(damaged, name)
						text, err := os.ReadFile(path)
						if err == nil {
							err = with(path, text)
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					do(first, d.do)
					if second != first {
						how += ", " + second + " " + e.name
						do(second, e.do)
					}
					got, told := reopened(t, damaged)
					at := slices.Index(after, got)
					switch {
					case at < 0:
						t.Errorf("%s: a mixture, told %q:\n%s", how, told, got)
					case first == "journal.2" && slices.Contains(cut, d.name) || second == "journal.2" && slices.Contains(cut, e.name):
					case got != newest && len(told) == 0:
						t.Errorf("%s: what stands is of change %d of %d, and nobody is told", how, at, len(after)-1)
					}
					goOn(t, how, damaged)
				}
			}
		}
	}
}

// goOn makes changes and writes anew, and finds all of it again.
func goOn(t *testing.T, how, dir string) {
	t.Helper()
	s, _ := open(t, dir)
	for i := range 2 {
		change(t, s, fmt.Sprint("new", i))
		want := shown(t, s)
		s.Close()
		var told []string
		if s, told = open(t, dir); shown(t, s) != want {
			t.Errorf("%s, and one change more: %s, told %q\nwant %s", how, shown(t, s), told, want)
		}
		if err := s.rewrite(); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	want := shown(t, s)
	s.Close()
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("%s, and written anew: %s, told %q\nwant %s", how, got, told, want)
	}
}

// TestMissingJournal is told, and what leads on from it is kept aside.
func TestMissingJournal(t *testing.T) {
	for _, c := range []struct {
		remove []string
		want   string // what is the newest that stands
		told   string
		aside  string
	}{
		{[]string{"journal.2"}, "early1", "journal.2 is missing: the changes that it had are lost", ""},
		{[]string{"journal.1"}, "late", "", ""}, // not needed
		{[]string{currentName, "journal.1"}, "early0", "journal.1 is missing: the changes that it had are lost", "journal.2"},
		{[]string{currentName, "journal.2"}, "early1", "journal.2 is missing: the changes that it had are lost", ""},
		{[]string{currentName, lastName}, "", "nothing of the configuration can be read", "journal.1"},
	} {
		dir := t.TempDir()
		s, _ := open(t, dir)
		for _, name := range []string{"early0", "early1"} {
			change(t, s, name)
			if err := s.rewrite(); err != nil {
				t.Fatal(err)
			}
		}
		change(t, s, "late")
		s.Close()
		for _, name := range c.remove {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		got, told := reopened(t, dir)
		for _, name := range []string{"early0", "early1", "late"} {
			if has := strings.Contains(got, name); has != (c.want != "" && name <= c.want) {
				t.Errorf("without %v: %s, want up to %q", c.remove, got, c.want)
			}
		}
		if all := strings.Join(told, "\n"); (all == "") != (c.told == "") || !strings.Contains(all, c.told) {
			t.Errorf("without %v: told %q, want %q", c.remove, told, c.told)
		}
		if c.aside != "" && len(asides(t, dir, c.aside)) != 1 {
			t.Errorf("without %v: %s is not kept aside", c.remove, c.aside)
		}
		if again, told := reopened(t, dir); again != got || len(told) > 0 {
			t.Errorf("without %v, opened again: %s, told %q; want %s", c.remove, again, told, got)
		}
	}
}

// TestBitOfTheLastLine flips each bit of a change that was answered: it is lost, but
// not in silence, and what was before it stands.
func TestBitOfTheLastLine(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	after := fill(t, s, 3)
	end := s.end
	s.Close()
	journal, err := os.ReadFile(filepath.Join(dir, "journal.0"))
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.LastIndex(string(journal[:end-1]), "\n") + 1
	for at := begin; at < int(end); at++ {
		for bit := range 8 {
			text := slices.Clone(journal[:end])
			text[at] ^= 1 << bit
			damaged := t.TempDir()
			if err := os.WriteFile(filepath.Join(damaged, "journal.0"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			got, told := reopened(t, damaged)
			if got != after[2] || len(told) != 1 || !strings.Contains(told[0], fmt.Sprintf("is damaged from octet %d on", begin)) {
				t.Fatalf("bit %d of octet %d: %s, told %q; want %s", bit, at, got, told, after[2])
			}
			if kept := asides(t, damaged, "journal.0"); len(kept) != 1 || kept[0] != string(text) {
				t.Fatalf("bit %d of octet %d: kept aside is %q", bit, at, kept)
			}
			if again, told := reopened(t, damaged); again != got || len(told) > 0 {
				t.Fatalf("bit %d of octet %d, opened again: %s, told %q", bit, at, again, told)
			}
		}
	}
}

// TestAsideIsNotOverwritten damages files again and again, faster than the clock that
// names what is kept.
func TestAsideIsNotOverwritten(t *testing.T) {
	for _, name := range []string{currentName, "journal.1"} {
		dir := t.TempDir()
		s, _ := open(t, dir)
		change(t, s, "early")
		if err := s.rewrite(); err != nil {
			t.Fatal(err)
		}
		s.Close()
		var want []string
		for i := range 20 {
			text := fmt.Sprintf("damage %d\n", 10+i)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, told := reopened(t, dir); !strings.Contains(got, "early") || len(told) != 1 || !strings.Contains(told[0], name+".aside-") {
				t.Fatalf("%s damaged: %s, told %q", name, got, told)
			}
			want = append(want, text)
		}
		got := asides(t, dir, name)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("of %s is kept %q, want %q", name, got, want)
		}
	}
}

// TestRightSumWrongSense opens files whose sums are right, and that say nothing.
func TestRightSumWrongSense(t *testing.T) {
	sum := func(text string) uint32 { return crc32.Checksum([]byte(text), castagnoli) }
	for _, text := range []string{`null`, `5`, `[]`, `""`} {
		dir := t.TempDir()
		all := fmt.Sprintf(`{"vswitch_state":1,"generation":1,"sum":%d,"document":%s}`, sum(text), text)
		if err := os.WriteFile(filepath.Join(dir, currentName), []byte(all), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, told := reopened(t, dir); got != "{}" || len(told) != 1 || !strings.Contains(told[0], "it is damaged") {
			t.Errorf("the document %s: %s, told %q", text, got, told)
		}
		goOn(t, text, dir)
	}
	for _, text := range []string{`5`, `{}`, `[{}]`, `[{"path":[]}]`, `[{"path":[],"value":3}]`, `[{"path":["b"],"value":2},{"path":[],"value":null}]`} {
		dir := t.TempDir()
		good, err := record([]Change{{Path: []string{"a"}, Value: true}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "journal.0"), fmt.Appendf(good, "%08x %s\n", sum(text), text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, told := reopened(t, dir); got != `{"a":true}` || len(told) != 1 || len(asides(t, dir, "journal.0")) != 1 {
			t.Errorf("the line %s: %s, told %q", text, got, told)
		}
		goOn(t, text, dir)
	}
}

// TestGenerationSpoilt has the generation of a file be another, which no sum of the
// document tells.
func TestGenerationSpoilt(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for i := range 4 {
		change(t, s, fmt.Sprint("p", i))
		if err := s.rewrite(); err != nil {
			t.Fatal(err)
		}
	}
	change(t, s, "late")
	want := shown(t, s)
	s.Close()
	text, err := os.ReadFile(filepath.Join(dir, currentName))
	if err != nil {
		t.Fatal(err)
	}
	for _, generation := range []uint64{0, 1, 2, 3, 5, 6, 1 << 63} {
		damaged := copyOf(t, dir)
		spoilt := strings.Replace(string(text), `"generation":4`, fmt.Sprintf(`"generation":%d`, generation), 1)
		if err := os.WriteFile(filepath.Join(damaged, currentName), []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, told := reopened(t, damaged); got != want || len(told) != 1 {
			t.Errorf("with generation %d: %s, told %q; want %s", generation, got, told, want)
		}
	}
	// An earlier program has not written the sum that tells.
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	f.Check = 0
	if text, err = marshal(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, currentName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, told := reopened(t, dir); got != want || len(told) > 0 {
		t.Errorf("of an earlier program: %s, told %q; want %s", got, told, want)
	}
}
