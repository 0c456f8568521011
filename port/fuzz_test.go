package port

import (
	"slices"
	"strings"
	"testing"
)

// FuzzKernelNames holds that a port of any name gets names that the kernel
// takes, and that two ports get different ones.
func FuzzKernelNames(f *testing.F) {
	for _, s := range []string{"p1", "sw0-p1", "", "all", "default", ".", "..", "p%d", "p:1", "p 1", "fifteen-letters", "sixteen-letters.", "\xff", "p/q", "-p"} {
		f.Add(s, "sw0", "p1")
	}
	m := newMarker("c0ffee", 1)
	f.Fuzz(func(t *testing.T, name, sw, port string) {
		names := m.kernelNames(name, Identity{sw, port})
		if len(names) < 2 {
			t.Fatalf("%q, %s/%s: %q is no choice", name, sw, port, names)
		}
		for i, n := range names {
			// dev_valid_name in net/core/dev.c, and what sysctl and people
			// could not tell apart.
			if n == "" || len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/:% \t\n\v\f\r\x00") || slices.Contains(names[:i], n) {
				t.Errorf("%q, %s/%s: %q is not possible as name %d of %q", name, sw, port, n, i, names)
			}
		}
		if checkIfName(name) == nil && names[0] != name {
			t.Errorf("%q is possible, but the first of %q is another", name, names)
		}
		if port == "p1" {
			return
		}
		for _, n := range m.kernelNames("", Identity{sw, "p1"}) {
			if slices.Contains(names[1:], n) && n != name {
				t.Errorf("%s/%s and %s/p1 are both called %s", sw, port, sw, n)
			}
		}
	})
}
