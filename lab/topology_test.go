package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadFiles reads each testdata/*.yaml. A file that is right says beside it,
// in NAME.topology, what it means; one that is wrong, in NAME.problems, all that
// is. LAB_UPDATE=1 writes what is said now.
func TestReadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("testdata has %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := Read(filepath.Base(file), text)
			got, kind := "", ".topology"
			if err != nil {
				got, kind = err.Error()+"\n", ".problems"
			} else {
				got = describe(topology)
			}
			golden := strings.TrimSuffix(file, ".yaml") + kind
			if os.Getenv("LAB_UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("got:\n%s\nwant (%v):\n%s", got, err, want)
			}
		})
	}
}

// describe writes all of a topology.
func describe(t *Topology) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d nodes, %d links, %d tests\n", t.Name, len(t.Members), len(t.Cables), len(t.Tests))
	for _, m := range t.Members {
		fmt.Fprintf(&b, "%s %s\n", m.Kind, m.Name)
		for _, e := range m.Ends {
			fmt.Fprintf(&b, "\t%s to %s", e.Name, e.Far())
			for _, p := range e.Prefixes {
				fmt.Fprintf(&b, " %s", p)
			}
			if m.Kind == Switch {
				if v := e.Settings.VLAN(); v != nil {
					fmt.Fprintf(&b, ", untagged %d", untagged(&e.Settings))
				}
			}
			b.WriteByte('\n')
		}
		for _, c := range m.Exec {
			fmt.Fprintf(&b, "\texec %q\n", c.Args)
		}
		for _, s := range m.Services {
			fmt.Fprintf(&b, "\tservice %s: %q\n", s.Key, s.Value.Command.Args)
		}
	}
	for _, c := range t.Cables {
		for i, leaves := range c.Leaves {
			if leaves != nil {
				fmt.Fprintf(&b, "leaving %s: delay %v, loss %v\n", c.Ends[i], deref(leaves.Delay), deref(leaves.Loss))
			}
		}
	}
	return b.String()
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// FuzzRead holds that no file makes reading fail but with problems.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		topology, err := Read("f.yaml", []byte(text))
		if err != nil {
			if err.Error() == "" {
				t.Error("a problem without words")
			}
			return
		}
		for _, c := range topology.Cables {
			for _, e := range c.Ends {
				if topology.Member(e.Member.Name) != e.Member || e.Name == "" {
					t.Errorf("the end %s is no end of a node", e)
				}
			}
		}
	})
}

func TestExpand(t *testing.T) {
	for _, x := range []struct{ pattern, want string }{
		{"h1", "h1"},
		{"h[1-3]", "h1 h2 h3"},
		{"h[1,3,5-6]", "h1 h3 h5 h6"},
		{"h[08-11]", "h08 h09 h10 h11"},
		{"r[1-2].lab", "r1.lab r2.lab"},
		{"h[3-1]", "error"},
		{"h[1-2][1-2]", "error"},
		{"h[]", "error"},
		{"h[a]", "error"},
		{"h[1", "error"},
		{"h[0-99999999]", "error"},
	} {
		all, err := expand(x.pattern)
		var names []string
		for _, in := range all {
			names = append(names, in.name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = "error"
		}
		if got != x.want {
			t.Errorf("%s: got %s, %v, want %s", x.pattern, got, err, x.want)
		}
	}
}
