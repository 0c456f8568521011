package fdb

import (
	"runtime"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

func TestFramePathAllocatesNothing(t *testing.T) {
	w := newWorld(t, Config{Size: 100, Ageing: time.Hour})
	w.SetPort(2, PortLimits{MaxMACs: 1})
	w.SetPort(3, PortLimits{Sticky: true})
	w.hears(1, 1, 1, Learned)
	w.hears(1, 2, 2, Learned)
	w.hears(1, 3, 3, Learned)
	w.ok(w.AddFilter(1, station(4)))
	w.ok(w.AddStatic(1, station(5), 3))
	newcomer, side := 1000, PortID(8)
	w.hears(1, 6, side, Learned)
	for _, c := range []struct {
		name string
		fn   func()
	}{
		{"Lookup known", func() { w.knows(1, 1, 1) }},
		{"Lookup unknown", func() { w.says(1, 99, Unknown) }},
		{"Lookup filtered", func() { w.says(1, 4, Filtered) }},
		{"Renewed", func() { w.hears(1, 1, 1, Renewed) }},
		{"Renewed in another millisecond", func() { w.now++; w.hears(1, 1, 1, Renewed) }},
		{"Learned", func() { newcomer++; w.hears(1, newcomer, 9, Learned) }},
		{"Moved", func() { side ^= 1; w.hears(1, 6, side, Moved) }},
		{"Refused", func() { w.hears(1, 3, 1, Refused) }},
		{"Refused by a static entry", func() { w.hears(1, 5, 1, Refused) }},
		{"Limited", func() { w.hears(1, 99, 2, Limited) }},
		{"SourceFiltered", func() { w.hears(1, 4, 1, SourceFiltered) }},
		{"Busy", func() {
			w.mu.Lock()
			w.hears(1, 99, 1, Busy)
			w.mu.Unlock()
		}},
		{"Learned after ageing", func() {
			w.now += Time(2 * time.Hour.Milliseconds())
			w.hears(1, 1, 1, Learned)
			w.hears(1, 2, 2, Learned)
		}},
	} {
		if n := testing.AllocsPerRun(200, c.fn); n != 0 {
			t.Errorf("%s allocates %v times", c.name, n)
		}
	}
	if s := w.Stats(); s.Evicted == 0 {
		t.Errorf("stats %+v: nothing was evicted, so Learned was not tried on a full table", s)
	}
}

// TestOnePortThatInventsAddresses is the attack that makes a switch a hub.
func TestOnePortThatInventsAddresses(t *testing.T) {
	w := newWorld(t, Config{Ageing: DefaultAgeing})
	w.hears(1, 1, 1, Learned)
	w.hears(1, 2, 2, Learned)
	w.hears(1, 3, 3, Learned) // page of ports, once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range rounds(500_000) {
		if n%5000 == 0 {
			w.now++
		}
		w.hears(vlan.ID(1+n%4094), 1000+n, 3, Learned)
	}
	runtime.ReadMemStats(&after)
	w.knows(1, 1, 1)
	w.knows(1, 2, 2)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("allocated %d octets under attack, want none", grown)
	}
	s := w.Stats()
	if s.Dynamic != DefaultSize || s.Evicted != uint64(rounds(500_000))+3-DefaultSize {
		t.Errorf("stats %+v, want a full table, all others evicted", s)
	}
	if a, b, c := w.PortCount(1), w.PortCount(2), w.PortCount(3); a != 1 || b != 1 || c != DefaultSize-2 {
		t.Errorf("ports have %d, %d, %d entries, want 1, 1 and the rest", a, b, c)
	}
	checkStore(t, w.Table)
}

// TestMemoryIsAsDocumented holds the figures of the package comment.
func TestMemoryIsAsDocumented(t *testing.T) {
	var before, after runtime.MemStats
	measure := func(size int) (int, *Table) {
		runtime.GC()
		runtime.ReadMemStats(&before)
		tb := New(Config{Size: size, Events: 1})
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc - before.TotalAlloc), tb
	}
	for _, size := range []int{DefaultSize, 100_000} {
		n, tb := measure(size)
		if per := n / size; per > 98 {
			t.Errorf("a table of %d takes %d octets, %d for each entry; documented are 98", size, n, per)
		} else {
			t.Logf("a table of %d takes %d octets, %d for each entry", size, n, per)
		}
		runtime.KeepAlive(tb)
	}
}

func TestSetSize(t *testing.T) {
	t.Run("larger keeps everything", func(t *testing.T) {
		w := newWorld(t, Config{Size: 100, Ageing: time.Minute})
		for n := range 100 {
			w.now++
			w.hears(1, n, PortID(n%7), Learned)
		}
		w.ok(w.AddStatic(1, station(1000), 3))
		w.ok(w.AddFilter(1, station(1001)))
		before := w.Entries(w.now)
		w.SetSize(5000)
		checkStore(t, w.Table)
		for i, e := range w.Entries(w.now) {
			if e != before[i] {
				t.Fatalf("entry %+v, was %+v", e, before[i])
			}
		}
		for n := range 4900 {
			w.hears(2, n, 9, Learned)
		}
		if s := w.Stats(); s.Size != 5000 || s.Dynamic != 5000 || s.Evicted != 0 {
			t.Errorf("stats %+v, want 5000 entries, none evicted", s)
		}
	})
	t.Run("smaller evicts fairly", func(t *testing.T) {
		w := newWorld(t, Config{Size: 100})
		for n := range 90 {
			w.now++
			w.hears(1, n, 1, Learned)
		}
		for n := 90; n < 100; n++ {
			w.now++
			w.hears(1, n, 2, Learned)
		}
		w.now++
		w.hears(1, 0, 1, Renewed)
		w.SetSize(30)
		if a, b := w.PortCount(1), w.PortCount(2); a != 20 || b != 10 {
			t.Fatalf("ports have %d and %d entries, want 20 and 10", a, b)
		}
		w.knows(1, 0, 1)
		w.says(1, 70, Unknown)
		w.knows(1, 71, 1)
		checkStore(t, w.Table)
		w.SetSize(1)
		w.knows(1, 0, 1) // at any number, port 2 was there first
		if s := w.Stats(); s.Size != 1 || s.Dynamic != 1 || s.Evicted != 99 {
			t.Errorf("stats %+v, want one entry", s)
		}
	})
	t.Run("keeps the order of age", func(t *testing.T) {
		w := newWorld(t, Config{Size: 50})
		for n := range 50 {
			w.now++
			w.hears(1, n, 1, Learned)
		}
		for n := 10; n < 20; n++ { // in another order than they came
			w.now++
			w.hears(1, 29-n, 1, Renewed)
		}
		w.now++
		w.hears(1, 100, 1, Learned) // sorts some in again
		w.SetSize(60)
		w.SetSize(49)
		w.says(1, 1, Unknown)
		var order []int
		for n := range 49 {
			w.now++
			w.hears(1, 200+n, 1, Learned)
		}
		w.Drain(func(e Event) {
			if e.Kind == EventEvicted {
				order = append(order, int(e.MAC[5]))
			}
		})
		order = order[2:] // 0 and 1 went before
		for i, n := range order {
			want := 2 + i
			switch {
			case i >= 8 && i < 38:
				want = 12 + i
			case i >= 38 && i < 48:
				want = 19 - (i - 38)
			case i == 48:
				want = 100
			}
			if n != want {
				t.Fatalf("station %d was evicted as number %d, want %d; all: %v", n, i, want, order)
			}
		}
	})
	t.Run("has bounds", func(t *testing.T) {
		w := newWorld(t, Config{Size: 10})
		w.SetSize(0)
		if s := w.Stats(); s.Size != DefaultSize {
			t.Errorf("size %d, want %d", s.Size, DefaultSize)
		}
		if n := clampSize(MaxSize + 1); n != MaxSize {
			t.Errorf("size %d, want %d", n, MaxSize)
		}
	})
	t.Run("gives memory for static entries back", func(t *testing.T) {
		w := newWorld(t, Config{Size: 10})
		for n := range 1000 {
			w.ok(w.AddStatic(1, station(n), 3))
		}
		for n := range 1000 {
			w.knows(1, n, 3)
			w.ok(w.Delete(1, station(n)))
		}
		w.SetSize(11)
		if n := w.store.Load().refs(); n > 200 {
			t.Errorf("%d slots for 11 entries", n)
		}
	})
}

// TestManyRenewedAtOnce fills a table beyond what one call may sort in again.
func TestManyRenewedAtOnce(t *testing.T) {
	const size = maxSettle + 100
	w := newWorld(t, Config{Size: size})
	for n := range size {
		w.hears(1, n, 1, Learned)
	}
	w.now++
	for n := range size {
		if n != size-1 {
			w.hears(1, n, 1, Renewed)
		}
	}
	w.now++
	w.hears(1, size, 2, Busy)
	w.hears(1, size, 2, Learned)
	w.says(1, size-1, Unknown) // the only one not seen again
	w.knows(1, 0, 1)
	if s := w.Stats(); s.Busy != 1 {
		t.Errorf("busy %d, want 1", s.Busy)
	}
}

func TestDrain(t *testing.T) {
	t.Run("tells what was lost", func(t *testing.T) {
		w := newWorld(t, Config{Events: 4})
		for n := range 10 {
			w.hears(1, n, 1, Learned)
		}
		var got []frame.MAC
		if lost := w.Drain(func(e Event) { got = append(got, e.MAC) }); lost != 6 {
			t.Errorf("lost %d, want 6", lost)
		}
		if len(got) != 4 || got[0] != station(6) || got[3] != station(9) {
			t.Errorf("got %v, want stations 6 to 9", got)
		}
		w.reports()
		w.hears(1, 11, 1, Learned)
		w.reports(event(EventLearned, 11, 0, 1))
	})
	t.Run("ends, though the listener makes more", func(t *testing.T) {
		w := newWorld(t, Config{Events: 100})
		for n := range 90 {
			w.hears(1, n, 1, Learned)
		}
		n := 90
		lost := w.Drain(func(Event) {
			w.hears(1, n, 1, Learned)
			n++
		})
		if lost != 0 || n != 180 {
			t.Errorf("lost %d, %d events, want 0 and 90", lost, n-90)
		}
	})
	t.Run("loses none to kinds that nobody asked for", func(t *testing.T) {
		w := newWorld(t, Config{Events: 4, Kinds: Kinds(EventMoved)})
		w.hears(1, 1, 1, Learned)
		w.hears(1, 1, 2, Moved)
		for n := range 10 {
			w.hears(1, 100+n, 1, Learned)
		}
		w.reports(event(EventMoved, 1, 1, 2))
	})
	t.Run("gives times", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.now = 77
		w.hears(1, 1, 1, Learned)
		w.ok(w.AddFilter(1, station(2)))
		w.Drain(func(e Event) {
			if e.At != 77 {
				t.Errorf("%v at %d, want 77", e.Kind, e.At)
			}
		})
	})
}
