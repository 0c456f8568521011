package fdb

import (
	"testing"
	"time"
)

// Each test is named after the rule on learning and forwarding that it holds.

func TestEveryVLANLearnsByItself(t *testing.T) {
	w := newWorld(t, Config{})
	w.hears(1, 7, 3, Learned)
	w.says(2, 7, Unknown)
	w.hears(2, 7, 4, Learned)
	w.knows(1, 7, 3)
	w.knows(2, 7, 4)
	w.hears(4094, 7, 5, Learned)
	w.knows(4094, 7, 5)
	if s := w.Stats(); s.Learned != 3 || s.Moved != 0 {
		t.Errorf("stats %+v, want 3 learned, none moved", s)
	}
}

func TestSource(t *testing.T) {
	w := newWorld(t, Config{})
	w.says(1, 7, Unknown)
	w.hears(1, 7, 3, Learned)
	w.hears(1, 7, 3, Renewed)
	w.knows(1, 7, 3)
	w.reports(event(EventLearned, 7, 0, 3))
}

func TestAStationThatMoves(t *testing.T) {
	t.Run("is followed at once, counted and reported", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.hears(1, 7, 3, Learned)
		w.hears(1, 7, 4, Moved)
		w.knows(1, 7, 4)
		w.hears(1, 7, 3, Moved)
		w.knows(1, 7, 3)
		w.reports(event(EventLearned, 7, 0, 3), event(EventMoved, 7, 3, 4), event(EventMoved, 7, 4, 3))
		if s := w.Stats(); s.Moved != 2 || s.Dynamic != 1 || s.Learned != 1 {
			t.Errorf("stats %+v, want one entry, moved twice", s)
		}
		if w.PortCount(3) != 1 || w.PortCount(4) != 0 {
			t.Errorf("ports 3 and 4 have %d and %d entries, want 1 and 0", w.PortCount(3), w.PortCount(4))
		}
	})
	t.Run("not from a static entry", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.ok(w.AddStatic(1, station(7), 3))
		w.hears(1, 7, 4, Refused)
		w.hears(1, 7, 3, Renewed)
		w.knows(1, 7, 3)
		if s := w.Stats(); s.Refused != 1 {
			t.Errorf("refused %d, want 1", s.Refused)
		}
	})
	t.Run("not from a sticky port", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: 10 * time.Second})
		w.SetPort(3, PortLimits{Sticky: true})
		w.hears(1, 7, 3, Learned)
		w.hears(1, 7, 4, Refused)
		w.knows(1, 7, 3)
		if s := w.Stats(); s.Refused != 1 {
			t.Errorf("refused %d, want 1", s.Refused)
		}
		w.now += 10_001 // an aged entry holds nobody
		w.hears(1, 7, 4, Learned)
		w.hears(1, 7, 3, Moved) // onto a sticky port it may
		w.hears(1, 7, 4, Refused)
		w.SetPort(3, PortLimits{})
		w.hears(1, 7, 4, Moved)
	})
	t.Run("not onto a port that is full", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.SetPort(4, PortLimits{MaxMACs: 1})
		w.hears(1, 1, 4, Learned)
		w.hears(1, 7, 3, Learned)
		w.hears(1, 7, 4, Limited)
		w.knows(1, 7, 3)
	})
}

func TestAgeing(t *testing.T) {
	t.Run("is exact without a sweep", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: 5 * time.Second})
		w.hears(1, 7, 3, Learned)
		w.now += 5000
		w.knows(1, 7, 3)
		w.now++
		w.says(1, 7, Unknown)
		if e := w.Entries(w.now); len(e) != 0 {
			t.Errorf("listed %+v, want nothing", e)
		}
		w.hears(1, 7, 3, Learned) // anew
		w.knows(1, 7, 3)
		w.reports(event(EventLearned, 7, 0, 3), event(EventAged, 7, 3, 0), event(EventLearned, 7, 0, 3))
	})
	t.Run("any frame renews", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: 5 * time.Second})
		w.hears(1, 7, 3, Learned)
		for range 10 {
			w.now += 4000
			w.hears(1, 7, 3, Renewed)
			if n := w.Expire(w.now); n != 0 {
				t.Fatalf("swept out %d, want 0", n)
			}
		}
		w.now += 5000
		w.knows(1, 7, 3)
		w.now++
		if n := w.Expire(w.now); n != 1 {
			t.Fatalf("swept out %d, want 1", n)
		}
		if s := w.Stats(); s.Aged != 1 || s.Dynamic != 0 {
			t.Errorf("stats %+v, want the one aged", s)
		}
	})
	t.Run("0 turns it off", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.hears(1, 7, 3, Learned)
		w.now = 1<<40 - 1
		w.Expire(w.now)
		w.knows(1, 7, 3)
	})
	t.Run("a change applies to what is there", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: DefaultAgeing})
		w.hears(1, 7, 3, Learned)
		w.now += 299_999
		w.knows(1, 7, 3)
		w.SetAgeing(10 * time.Second)
		w.says(1, 7, Unknown)
		w.SetAgeing(0)
		w.knows(1, 7, 3)
	})
	t.Run("not of static and filter entries", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: time.Second})
		w.ok(w.AddStatic(1, station(7), 3))
		w.ok(w.AddFilter(1, station(8)))
		w.now += 1 << 30
		if n := w.Expire(w.now); n != 0 {
			t.Errorf("swept out %d, want 0", n)
		}
		w.knows(1, 7, 3)
		w.says(1, 8, Filtered)
	})
	t.Run("a worker whose clock is behind makes nothing younger or older", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: time.Second})
		w.hears(1, 7, 3, Learned)
		w.now -= 5
		w.hears(1, 7, 3, Renewed)
		w.hears(1, 8, 3, Learned)
		w.now += 5 + 1000
		w.knows(1, 7, 3)
		w.says(1, 8, Unknown)
		if e := w.Entries(0); len(e) != 2 || e[0].Age != 0 {
			t.Errorf("before their time the entries are %+v, want two with age 0", e)
		}
	})
}

func TestSize(t *testing.T) {
	t.Run("is 16384 by default", func(t *testing.T) {
		if s := New(Config{}).Stats(); s.Size != 16384 {
			t.Errorf("size %d, want 16384", s.Size)
		}
	})
	t.Run("the oldest of the fullest port gives way", func(t *testing.T) {
		w := newWorld(t, Config{Size: 5})
		for i, port := range []PortID{1, 2, 2, 2, 1} {
			w.hears(1, i, port, Learned)
			w.now++
		}
		w.hears(1, 1, 2, Renewed)
		w.hears(1, 100, 1, Learned) // evicts 2, the oldest of port 2 since 1 was heard again
		w.says(1, 2, Unknown)
		for i, port := range map[int]PortID{0: 1, 1: 2, 3: 2, 4: 1, 100: 1} {
			w.knows(1, i, port)
		}
		if s := w.Stats(); s.Evicted != 1 || s.Dynamic != 5 {
			t.Errorf("stats %+v, want 5 entries, one evicted", s)
		}
	})
	t.Run("of ports alike the newcomer's own", func(t *testing.T) {
		w := newWorld(t, Config{Size: 4})
		for i, port := range []PortID{1, 1, 2, 2} {
			w.hears(1, i, port, Learned)
		}
		w.hears(1, 100, 2, Learned)
		w.says(1, 2, Unknown)
		w.knows(1, 0, 1)
	})
	t.Run("of ports alike the one that was so first", func(t *testing.T) {
		w := newWorld(t, Config{Size: 4})
		for i, port := range []PortID{2, 1, 1, 2} {
			w.hears(1, i, port, Learned)
		}
		w.hears(1, 100, 3, Learned) // port 1 had two before port 2
		w.says(1, 1, Unknown)
		w.knows(1, 0, 2)
	})
	t.Run("arrivals in one millisecond keep their order", func(t *testing.T) {
		w := newWorld(t, Config{Size: 3})
		for i := range 3 {
			w.hears(1, i, 1, Learned)
		}
		w.hears(1, 0, 1, Renewed) // in that same millisecond
		w.hears(1, 100, 1, Learned)
		w.says(1, 1, Unknown)
		w.hears(1, 101, 1, Learned)
		w.says(1, 2, Unknown)
		w.knows(1, 0, 1)
	})
	t.Run("what has expired gives way first", func(t *testing.T) {
		w := newWorld(t, Config{Size: 4, Ageing: time.Second})
		w.hears(1, 0, 9, Learned)
		w.now += 1000
		for i := 1; i < 4; i++ {
			w.hears(1, i, 1, Learned)
		}
		w.now++
		w.hears(1, 100, 1, Learned)
		for i := 1; i < 4; i++ {
			w.knows(1, i, 1)
		}
		if s := w.Stats(); s.Evicted != 0 || s.Aged != 1 {
			t.Errorf("stats %+v, want one aged, none evicted", s)
		}
	})
	t.Run("does not count static and filter entries", func(t *testing.T) {
		w := newWorld(t, Config{Size: 2})
		for i := range 300 { // more than there is room for beside so small a table
			w.ok(w.AddStatic(1, station(1000+i), 3))
			w.ok(w.AddFilter(1, station(2000+i)))
		}
		w.hears(1, 0, 1, Learned)
		w.hears(1, 1, 1, Learned)
		w.hears(1, 2, 1, Learned)
		for i := range 300 {
			w.knows(1, 1000+i, 3)
			w.says(1, 2000+i, Filtered)
		}
		if s := w.Stats(); s.Dynamic != 2 || s.Static != 300 || s.Filter != 300 || s.Evicted != 1 {
			t.Errorf("stats %+v, want 2 dynamic, 300 static, 300 filter, 1 evicted", s)
		}
	})
	t.Run("a port's own limit", func(t *testing.T) {
		w := newWorld(t, Config{Ageing: time.Second})
		w.SetPort(1, PortLimits{MaxMACs: 2})
		w.ok(w.AddStatic(1, station(50), 1)) // does not count
		w.hears(1, 0, 1, Learned)
		w.hears(1, 1, 1, Learned)
		w.hears(1, 2, 1, Limited)
		w.says(1, 2, Unknown)
		w.hears(1, 0, 1, Renewed)
		w.hears(1, 2, 2, Learned) // another port's is another matter
		if s := w.Stats(); s.Limited != 1 {
			t.Errorf("limited %d, want 1", s.Limited)
		}
		w.now += 600
		w.hears(1, 1, 1, Renewed)
		w.now += 600
		w.hears(1, 3, 1, Learned) // 0 has expired, though no sweep came by
		w.hears(1, 4, 1, Limited)
		w.knows(1, 1, 1)
		w.SetPort(1, PortLimits{MaxMACs: 1}) // nothing is thrown out
		w.knows(1, 1, 1)
		w.knows(1, 3, 1)
		w.hears(1, 4, 1, Limited)
		w.ForgetPort(1)
		w.hears(1, 4, 1, Learned)
	})
}
