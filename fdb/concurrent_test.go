package fdb

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
)

// The stations of these tests: those that stay have each a port of its own,
// those that come and go share eight, so that they are the ones to be evicted.
const (
	stayers     = 24
	comers      = 1000
	comersPorts = 8
)

func stayer(n int) (frame.MAC, PortID) { return station(n), PortID(n) }

func comer(n int) (frame.MAC, PortID) {
	return station(100_000 + n), PortID(1000 + n%comersPorts)
}

// during runs each of others again and again, each on a goroutine of its own,
// until all of work, which run likewise, once, have returned.
func during(work []func(), others ...func()) {
	var done atomic.Bool
	var working, waiting sync.WaitGroup
	for _, fn := range others {
		waiting.Go(func() {
			for !done.Load() {
				fn()
				runtime.Gosched() // two processors are shared by many here
			}
		})
	}
	for _, fn := range work {
		working.Go(fn)
	}
	working.Wait()
	done.Store(true)
	waiting.Wait()
}

var raceDetector bool

// rounds returns how often to do what is done n times in a full test.
func rounds(n int) int {
	if testing.Short() || raceDetector {
		return n / 10
	}
	return n
}

// TestReadersAreNeverWrong has slots change hands as fast as can be, below
// readers: a reader must not see a station behind another's port, nor miss one
// that is there all the time.
func TestReadersAreNeverWrong(t *testing.T) {
	tb := New(Config{Size: 64})
	for n := range stayers {
		mac, port := stayer(n)
		tb.Learn(at(1, mac), port, 1)
	}
	churn := func(from int) func() {
		return func() {
			for i := range rounds(150_000) {
				mac, port := comer((from + i) % comers)
				tb.Learn(at(1, mac), port, Time(1+i/100))
			}
		}
	}
	var found atomic.Int64
	read := func() {
		for n := range stayers {
			mac, port := stayer(n)
			if p, v := tb.Lookup(at(1, mac), 1); v != Known || p != port {
				t.Errorf("station %d, which stays: port %d, %v, want %d", n, p, v, port)
			}
		}
		for n := range comers {
			mac, port := comer(n)
			p, v := tb.Lookup(at(1, mac), 1)
			if v == Known {
				found.Add(1)
				if p != port {
					t.Errorf("station %d, which comes and goes: port %d, want %d", n, p, port)
				}
			}
		}
	}
	list := func() {
		seen := 0
		tb.Range(1, func(e Entry) bool {
			if e.Port < stayers {
				seen++
			}
			return true
		})
		if seen != stayers {
			t.Errorf("%d of %d stations that stay are listed", seen, stayers)
		}
	}
	control := func() {
		mac, _ := comer(0)
		if err := tb.AddStatic(2, mac, 5000); err != nil {
			t.Error(err)
		}
		if err := tb.Delete(2, mac); err != nil {
			t.Error(err)
		}
		port := PortID(1000)
		tb.Flush(Match{Port: &port})
		tb.Drain(func(Event) {})
		tb.Stats()
	}
	during([]func(){churn(0), churn(comers / 2)}, read, list, control)
	checkStore(t, tb)
	if found.Load() == 0 {
		t.Error("no reader found any station that comes and goes: nothing was tested")
	}
	t.Logf("%d found; %+v", found.Load(), tb.Stats())
}

// TestRenewalsAreNeverLost has stations that are heard at time T looked up at
// the last moment before they expire, while the table is rebuilt, swept and
// full below them: a renewal that went nowhere makes them unknown.
func TestRenewalsAreNeverLost(t *testing.T) {
	const ageing = 10
	tb := New(Config{Size: 64, Ageing: ageing * time.Millisecond})
	// No clock runs ahead of another by more than the ageing time, or else
	// who was just heard has rightly expired for another.
	var clocks [2]atomic.Int64
	slowest := func() Time { return Time(min(clocks[0].Load(), clocks[1].Load())) }
	worker := func(self int) func() {
		return func() {
			for i := range rounds(50_000) {
				now := Time(i)
				clocks[self].Store(int64(now))
				for now > slowest()+ageing {
					runtime.Gosched()
				}
				for n := self; n < stayers; n += 2 {
					mac, port := stayer(n)
					switch o := tb.Learn(at(1, mac), port, now); o {
					case Renewed, Learned:
						if p, v := tb.Lookup(at(1, mac), now+ageing); v != Known || p != port {
							t.Errorf("station %d was %v at %d, but is %v behind port %d at %d", n, o, now, v, p, now+ageing)
						}
					case Busy:
					default:
						t.Errorf("station %d was %v", n, o)
					}
				}
			}
			clocks[self].Store(1 << 40)
		}
	}
	sizes := func() {
		tb.SetSize(200)
		tb.SetSize(64)
	}
	churn := func() {
		for i := range 100 {
			mac, port := comer(i)
			tb.Learn(at(1, mac), port, min(slowest(), 50_000))
		}
		tb.Expire(min(slowest(), 50_000))
	}
	during([]func(){worker(0), worker(1)}, sizes, churn)
	checkStore(t, tb)
	t.Logf("%+v", tb.Stats())
}

// TestBusyIsForTheMoment holds the lock as a rebuild would.
func TestBusyIsForTheMoment(t *testing.T) {
	w := newWorld(t, Config{})
	w.SetPort(4, PortLimits{Sticky: true})
	w.SetPort(5, PortLimits{MaxMACs: 1})
	w.hears(1, 1, 3, Learned)
	w.hears(1, 2, 4, Learned)
	w.hears(1, 3, 5, Learned)
	w.ok(w.AddFilter(1, station(4)))

	w.mu.Lock()
	w.now++
	// What needs no lock goes on.
	w.hears(1, 1, 3, Renewed)
	w.hears(1, 2, 3, Refused)
	w.hears(1, 4, 3, SourceFiltered)
	w.hears(1, 9, 5, Limited)
	w.knows(1, 1, 3)
	if n := len(w.Entries(w.now)); n != 4 {
		t.Errorf("%d entries listed, want 4", n)
	}
	// What does, waits for the next frame.
	w.hears(1, 9, 3, Busy)
	w.hears(1, 1, 4, Busy)
	w.mu.Unlock()

	w.hears(1, 9, 3, Learned)
	w.hears(1, 1, 4, Moved)
	if s := w.Stats(); s.Busy != 2 {
		t.Errorf("busy %d, want 2", s.Busy)
	}
}

// TestWorkersLearnAtOnce has two workers fill a table together. Each comes back
// with the next frame of a station when it finds the table busy.
func TestWorkersLearnAtOnce(t *testing.T) {
	each := rounds(100_000)
	tb := New(Config{Size: 2 * each})
	learn := func(port PortID) func() {
		return func() {
			for i := range each {
				for tb.Learn(at(1, station(int(port)*each+i)), port, 1) == Busy {
					runtime.Gosched()
				}
			}
		}
	}
	during([]func(){learn(0), learn(1)})
	s := tb.Stats()
	if s.Learned != uint64(2*each) || s.Dynamic != 2*each || s.Evicted != 0 {
		t.Errorf("stats %+v, want %d learned", s, 2*each)
	}
	for i := range 2 * each {
		if p, v := tb.Lookup(at(1, station(i)), 1); v != Known || int(p) != i/each {
			t.Fatalf("station %d: port %d, %v, want %d", i, p, v, i/each)
		}
	}
	t.Logf("busy %d times", s.Busy)
	checkStore(t, tb)
}
