package fdb

import (
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// world is a table with a clock and a notebook, for tests that read as a story.
type world struct {
	*testing.T
	*Table
	now Time
}

func newWorld(t *testing.T, c Config) *world {
	return &world{T: t, Table: New(c), now: 1000}
}

func at(vid vlan.ID, m frame.MAC) Station { return StationOf(vid, m.Address()) }

// station returns the address of the nth station.
func station(n int) frame.MAC { return frame.Address(0x02_00_00_00_00_00 | uint64(n)).MAC() }

// hears lets a frame from a station come in and asks for the outcome.
func (w *world) hears(vid vlan.ID, n int, port PortID, want Outcome) {
	w.Helper()
	if got := w.Learn(at(vid, station(n)), port, w.now); got != want {
		w.Fatalf("Learn(VLAN %d, station %d, port %d) at %d = %v, want %v", vid, n, port, w.now, got, want)
	}
}

func (w *world) knows(vid vlan.ID, n int, port PortID) {
	w.Helper()
	if p, v := w.Lookup(at(vid, station(n)), w.now); v != Known || p != port {
		w.Fatalf("Lookup(VLAN %d, station %d) at %d = port %d, %v, want port %d, known", vid, n, w.now, p, v, port)
	}
}

func (w *world) says(vid vlan.ID, n int, want Verdict) {
	w.Helper()
	if p, v := w.Lookup(at(vid, station(n)), w.now); v != want || p != 0 {
		w.Fatalf("Lookup(VLAN %d, station %d) at %d = port %d, %v, want %v", vid, n, w.now, p, v, want)
	}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("got error %q, want none", err)
	}
}

// reports drains the events and asks for these, without their times.
func (w *world) reports(want ...Event) {
	w.Helper()
	var got []Event
	if lost := w.Drain(func(e Event) {
		e.At = 0
		got = append(got, e)
	}); lost != 0 {
		w.Fatalf("lost %d events", lost)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			w.Fatalf("events\n%+v, want\n%+v", got, want)
		}
	}
}

// event returns an event about a dynamic entry of VLAN 1.
func event(kind EventKind, n int, from, to PortID) Event {
	return Event{Kind: kind, Type: Dynamic, VLAN: 1, MAC: station(n), From: from, To: to}
}
