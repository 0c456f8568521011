package fdb

import (
	"errors"
	"testing"
	"time"

	"github.com/vswitch/vswitch/vlan"
)

func TestStaticEntries(t *testing.T) {
	t.Run("take the place of a dynamic one", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.hears(1, 7, 3, Learned)
		w.ok(w.AddStatic(1, station(7), 4))
		w.knows(1, 7, 4)
		w.reports(event(EventLearned, 7, 0, 3), event(EventFlushed, 7, 3, 0),
			Event{Kind: EventAdded, Type: Static, VLAN: 1, MAC: station(7), To: 4})
		if s := w.Stats(); s.Dynamic != 0 || s.Static != 1 || w.PortCount(3) != 0 {
			t.Errorf("stats %+v, port 3 has %d; want one static entry alone", s, w.PortCount(3))
		}
	})
	t.Run("the same again is fine", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.ok(w.AddStatic(1, station(7), 4))
		w.ok(w.AddStatic(1, station(7), 4))
		w.ok(w.AddFilter(1, station(8)))
		w.ok(w.AddFilter(1, station(8)))
		if s := w.Stats(); s.Static != 1 || s.Filter != 1 {
			t.Errorf("stats %+v, want one of each", s)
		}
	})
	t.Run("a different one there is an error", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.ok(w.AddStatic(1, station(7), 4))
		w.ok(w.AddFilter(1, station(8)))
		for name, err := range map[string]error{
			"02:00:00:00:00:07 in VLAN 1 is a static entry of port 4 already: delete that first": w.AddStatic(1, station(7), 5),
			"02:00:00:00:00:08 in VLAN 1 is a filter entry already: delete that first":           w.AddStatic(1, station(8), 4),
		} {
			var c *ConflictError
			if !errors.As(err, &c) || err.Error() != name {
				t.Errorf("got error %v, want %s", err, name)
			}
		}
		var c *ConflictError
		if err := w.AddFilter(1, station(7)); !errors.As(err, &c) || c.Standing != (Entry{VLAN: 1, MAC: station(7), Port: 4, Type: Static}) {
			t.Errorf("got error %v, want a conflict with the static entry", err)
		}
		w.knows(1, 7, 4)
		w.says(1, 8, Filtered)
	})
	t.Run("are deleted by name", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: time.Second})
		w.ok(w.AddStatic(1, station(7), 4))
		w.hears(1, 8, 4, Learned)
		w.ok(w.AddFilter(1, station(9)))
		for n := 7; n <= 9; n++ {
			w.ok(w.Delete(1, station(n)))
			w.says(1, n, Unknown)
			if err := w.Delete(1, station(n)); !errors.Is(err, ErrNotFound) {
				t.Errorf("got error %v, want %v", err, ErrNotFound)
			}
		}
		w.hears(1, 10, 4, Learned)
		w.now += 1001
		w.Expire(w.now)
		if err := w.Delete(1, station(10)); !errors.Is(err, ErrNotFound) {
			t.Errorf("deleting an expired entry: got error %v, want %v", err, ErrNotFound)
		}
	})
}

func TestFilterEntries(t *testing.T) {
	w := newWorld(t, Config{})
	w.hears(1, 7, 3, Learned)
	w.ok(w.AddFilter(1, station(7)))
	w.says(1, 7, Filtered)
	w.hears(1, 7, 3, SourceFiltered)
	w.hears(2, 7, 3, Learned) // the other VLAN's is another
	if e := w.Entries(w.now); len(e) != 2 || e[0].Type != Filter || e[0].Port != 0 {
		t.Errorf("listed %+v, want the filter first", e)
	}
}

func TestRemovingAPort(t *testing.T) {
	stock := func(t *testing.T) *world {
		w := newWorld(t, Config{})
		w.hears(1, 1, 3, Learned)
		w.hears(2, 1, 3, Learned)
		w.hears(1, 2, 4, Learned)
		w.ok(w.AddStatic(1, station(3), 3))
		w.ok(w.AddFilter(1, station(4)))
		return w
	}
	t.Run("removes what is its", func(t *testing.T) {
		w := stock(t)
		if n := w.RemovePort(3, false); n != 3 {
			t.Errorf("removed %d, want 3", n)
		}
		w.says(1, 1, Unknown)
		w.says(2, 1, Unknown)
		w.says(1, 3, Unknown)
		w.knows(1, 2, 4)
		w.says(1, 4, Filtered)
		if n := w.RemovePort(3, false) + w.RemovePort(77, false) + w.RemovePort(0, false); n != 0 {
			t.Errorf("removed %d from ports without entries, want 0", n)
		}
	})
	t.Run("that merely goes down keeps its static entries", func(t *testing.T) {
		w := stock(t)
		if n := w.RemovePort(3, true); n != 2 {
			t.Errorf("removed %d, want 2", n)
		}
		w.knows(1, 3, 3)
	})
	t.Run("from a VLAN", func(t *testing.T) {
		w := stock(t)
		if n := w.RemoveIf(func(e Entry) bool { return e.Port == 3 && e.VLAN == 2 }); n != 1 {
			t.Errorf("removed %d, want 1", n)
		}
		w.says(2, 1, Unknown)
		w.knows(1, 1, 3)
	})
}

func TestFlush(t *testing.T) {
	port := func(id PortID) *PortID { return &id }
	for name, c := range map[string]struct {
		match Match
		gone  int
	}{
		"all":                    {Match{}, 4},
		"a port":                 {Match{Port: port(3)}, 2},
		"port 0":                 {Match{Port: port(0)}, 0},
		"a VLAN":                 {Match{VLAN: 1}, 2},
		"a VLAN of a port":       {Match{Port: port(3), VLAN: 2}, 1},
		"a VLAN that is nowhere": {Match{VLAN: 9}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{})
			for _, vid := range []vlan.ID{1, 2} {
				w.hears(vid, 3, 3, Learned)
				w.hears(vid, 4, 4, Learned)
			}
			w.ok(w.AddStatic(1, station(5), 3))
			w.ok(w.AddFilter(2, station(6)))
			if n := w.Flush(c.match); n != c.gone {
				t.Errorf("flushed %d, want %d", n, c.gone)
			}
			for _, e := range w.Entries(w.now) {
				if e.Type == Dynamic && (c.match.Port == nil || *c.match.Port == e.Port) && (c.match.VLAN == 0 || c.match.VLAN == e.VLAN) {
					t.Errorf("%+v is still there", e)
				}
			}
			if s := w.Stats(); s.Static != 1 || s.Filter != 1 || s.Dynamic != 4-c.gone || s.Flushed != uint64(c.gone) {
				t.Errorf("stats %+v, want static and filter untouched, %d flushed", s, c.gone)
			}
		})
	}
}
