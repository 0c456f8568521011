package e2e

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Frames of a flow, from one port to another, arrive in the order in which they
// were sent, however many workers there are, and while ports get their rings.
// Each of four ports sends to the three others at once.
func TestOrderWithinAFlow(t *testing.T) {
	for _, workers := range []int{1, 2, 2 * runtime.NumCPU()} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			h := NewHost(t, Fast, NoDaemon)
			h.Start("--workers", fmt.Sprint(workers), "--rx-ring-rate", "2000", "--log-level", "debug")
			l := newLedgerOn(h)
			var stations []string
			for i, kind := range kinds {
				l.add(kind, fmt.Sprintf("p%d", i))
			}
			for i := range kinds {
				stations = append(stations, l.station())
				l.told(fmt.Sprintf("p%d", i), stations[i])
			}
			flows := newFlows(l, stations)
			var running sync.WaitGroup
			for i := range stations {
				running.Go(func() { flows.send(i) })
				running.Go(func() { flows.receive(i) })
			}
			running.Wait()
			if err := errors.Join(flows.errs...); err != nil {
				t.Fatal(err)
			}
			if !h.logged("port is boosted") {
				t.Error("no port got a ring: the frames came too slowly to show anything")
			}
		})
	}
}

const (
	flowFrames = 4000
	flowWindow = 48 // frames of a flow that are under way: fewer than any queue holds
)

// flows are those between all ports of a ledger.
type flows struct {
	l        *ledger
	stations []string
	window   [][]chan struct{} // by sender and receiver; a place taken for each frame under way
	stop     chan struct{}     // closed at the first error

	mu   sync.Mutex
	errs []error
}

func newFlows(l *ledger, stations []string) *flows {
	f := &flows{l: l, stations: stations, stop: make(chan struct{})}
	for range stations {
		var row []chan struct{}
		for range stations {
			row = append(row, make(chan struct{}, flowWindow))
		}
		f.window = append(f.window, row)
	}
	return f
}

func (f *flows) end(i int) farEnd { return f.l.ends[fmt.Sprintf("p%d", i)] }

func (f *flows) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.errs = append(f.errs, err); len(f.errs) == 1 {
		close(f.stop)
	}
}

// send sends all frames of the flows from a port, a frame of each in turn.
func (f *flows) send(from int) {
	for n := range flowFrames {
		for to := range f.stations {
			if to == from {
				continue
			}
			select {
			case f.window[from][to] <- struct{}{}:
			case <-f.stop:
				return
			}
			e := Eth{Src: f.stations[from], Dst: f.stations[to], Payload: fmt.Sprintf("%d %d %d ", from, to, n)}
			if err := f.end(from).TrySend(e); err != nil {
				f.fail(fmt.Errorf("frame %d from p%d: %w", n, from, err))
				return
			}
		}
	}
}

// receive holds the frames of the flows to a port against their order.
func (f *flows) receive(to int) {
	next := make([]int, len(f.stations))
	for range (len(f.stations) - 1) * flowFrames {
		got, err := f.end(to).next(Patience)
		if err != nil {
			f.fail(fmt.Errorf("to p%d, after %v frames: %w", to, next, err))
			return
		}
		var from, at, n int
		if _, err := fmt.Sscanf(string(got.Bytes[minimumSize:]), "%d %d %d ", &from, &at, &n); err != nil || at != to {
			f.fail(fmt.Errorf("to p%d came %.40q: %v", to, got.Bytes, err))
			return
		}
		if n != next[from] {
			f.fail(fmt.Errorf("from p%d to p%d came frame %d, want %d", from, to, n, next[from]))
			return
		}
		next[from]++
		<-f.window[from][to]
	}
}
