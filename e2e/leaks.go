package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// descriptors lists what the daemon has open, a line each.
func (d *Daemon) descriptors() (open []string) {
	d.h.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", d.Pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.h.t.Fatal(err)
	}
	for _, e := range entries {
		to, _ := os.Readlink(dir + "/" + e.Name()) // closed meanwhile: it counts
		kind, _, _ := strings.Cut(to, ":[")        // sockets have numbers
		open = append(open, kind+"\n")
	}
	slices.Sort(open)
	return open
}

// noMore returns an error when there is more now than there was before.
func noMore(now, before []string) error {
	if len(now) <= len(before) {
		return nil
	}
	return fmt.Errorf("the daemon has %d now, %d before:\n%s", len(now), len(before),
		differing(strings.Join(before, ""), strings.Join(now, "")))
}

// goroutines ends the daemon with SIGQUIT, on which the Go runtime lists its
// goroutines, and returns what each of those that wait was started by.
func (d *Daemon) goroutines() (started []string) {
	d.h.t.Helper()
	d.p.Signal(syscall.SIGQUIT)
	r := d.p.Wait(d.h.t, Patience)
	for _, g := range strings.Split(r.Stderr, "\n\ngoroutine ")[1:] {
		if strings.Contains(g, "stack unavailable") {
			continue // it runs on another thread at this moment; what leaks, waits
		}
		_, by, known := strings.Cut(g, "created by ")
		if !known {
			by = "the runtime: goroutine " + g
		}
		by, _, _ = strings.Cut(by, " in goroutine")
		by, _, _ = strings.Cut(by, "\n")
		if strings.HasPrefix(by, "runtime.") {
			continue // the runtime's own, such as those that collect garbage: they come when needed
		}
		started = append(started, by+"\n")
	}
	if len(started) < 3 {
		d.h.t.Fatalf("vswitchd tells of %d goroutines:\n%s", len(started), indent(tail(r.Stderr, 4000)))
	}
	slices.Sort(started)
	return started
}

// differing returns the lines that only one of two texts has, whatever their
// order.
func differing(before, after string) string {
	count := make(map[string]int)
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for line := range strings.Lines(before + after) {
		switch n := count[line]; {
		case n < 0:
			fmt.Fprintf(&b, "- %s", line)
		case n > 0:
			fmt.Fprintf(&b, "+ %s", line)
		}
		delete(count, line)
	}
	return b.String()
}
