package vswitch

import (
	"testing"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
)

// TestLoopWatch counts stations that come back to where they were, and takes others
// for what they are.
func TestLoopWatch(t *testing.T) {
	start := time.Now()
	mac := func(n byte) frame.MAC { return frame.MAC{2, 0, 0, 0, 0, n} }
	for name, c := range map[string]struct {
		moves func(note func(mac frame.MAC, from, to fdb.PortID))
		found int
	}{
		"nothing": {func(func(frame.MAC, fdb.PortID, fdb.PortID)) {}, 0},
		"a station back and forth": {func(note func(frame.MAC, fdb.PortID, fdb.PortID)) {
			for range loopFlips {
				note(mac(1), 3, 4)
				note(mac(1), 4, 3)
			}
		}, 1},
		"carried there and back": {func(note func(frame.MAC, fdb.PortID, fdb.PortID)) {
			note(mac(1), 3, 4)
			note(mac(1), 4, 3)
		}, 0},
		"many move once": {func(note func(frame.MAC, fdb.PortID, fdb.PortID)) {
			for i := range byte(200) {
				note(mac(i), 3, 4)
			}
		}, 0},
		"round and round": {func(note func(frame.MAC, fdb.PortID, fdb.PortID)) {
			for range 2 * loopFlips {
				note(mac(1), 1, 3)
				note(mac(1), 3, 4)
				note(mac(1), 4, 3)
				note(mac(1), 3, 1)
			}
		}, 2},
	} {
		w := &loopWatch{began: start}
		c.moves(func(m frame.MAC, from, to fdb.PortID) {
			w.note(fdb.Event{Kind: fdb.EventMoved, VLAN: 7, MAC: m, From: from, To: to})
		})
		if _, over := w.take(start.Add(loopTime / 2)); over {
			t.Errorf("%s: judged before the time is over", name)
		}
		found, over := w.take(start.Add(loopTime))
		if !over || len(found) != c.found {
			t.Errorf("%s: found %v, %v, want %d", name, found, over, c.found)
		}
		if again, _ := w.take(start.Add(2 * loopTime)); len(again) != 0 {
			t.Errorf("%s: found again %v", name, again)
		}
	}
}

// TestLoopIsToldAmidMoves has so many stations move that no reader can keep up with
// them: that there is a loop is told nevertheless.
func TestLoopIsToldAmidMoves(t *testing.T) {
	b := newBench(t)
	events := b.Events(t.Context())
	for range 2 * eventBacklog {
		b.events.send(Event{Kind: StationMoved})
	}
	b.events.send(Event{Kind: LoopBegan})
	for range movesBacklog {
		if ev := <-events; ev.Kind != StationMoved {
			t.Fatalf("got %v, want a move", ev.Kind)
		}
	}
	if ev := <-events; ev.Kind != LoopBegan {
		t.Errorf("got %v, want the loop", ev.Kind)
	}
}
