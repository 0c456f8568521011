package vswitch

import (
	"cmp"
	"runtime"
	"time"
)

// DefaultSpin is how long a worker looks for the next frame before it sleeps,
// at the most. To wake a thread takes some tens of microseconds where its
// processor has gone to sleep, too, as it does in a virtual machine; when the
// next frame comes sooner than that, not to sleep is faster.
const DefaultSpin = 50 * time.Microsecond

const (
	// wanted is what two looks in a row lie apart when somebody else had the
	// processor in between: not for an interrupt, or for a program that wakes
	// and sleeps, but for one that computes.
	wanted = time.Millisecond
	// inVain is how many spins in a row find nothing until it is clear that
	// frames come at longer intervals.
	inVain = 8
	// rest is how long nobody spins then.
	rest = 100 * time.Millisecond
	// bulk is how many octets come at a time, on average, when much data is
	// under way: whoever takes it needs a processor for longer than it takes
	// to wake the worker, which then spins for a third of its time.
	bulk = 8 << 10
	// asleep is what waiting for a frame takes, in spins, when it would have
	// come within one, had the worker, and who sends it, been awake.
	asleep = 3
)

// spinOf returns how long the i-th worker may spin. Half of the processors are
// left to others: where there is but one, whoever sends the next frame needs it.
func spinOf(cfg Config, i int) time.Duration {
	if i >= runtime.NumCPU()/2 {
		return 0
	}
	return max(cmp.Or(cfg.Spin, DefaultSpin), 0)
}

// spin decides how long a worker spins.
type spin struct {
	most  time.Duration // 0: never
	worth bool          // the last frame did not keep the worker waiting for long
	vain  int           // spins in a row that found nothing
	until time.Time     // nobody spins before
	taken int           // octets that came since the worker waited last
	usual int           // the average of taken
}

// spins calls look until it finds something, if that is worth it.
func (s *spin) spins(begin time.Time, look func() int) (found int) {
	s.usual += (s.taken - s.usual) / 8
	s.taken = 0
	if !s.worth || begin.Before(s.until) {
		return 0
	}
	most := s.most
	if s.usual > bulk {
		most /= 3
	}
	for last := begin; last.Sub(begin) < most; {
		if found = look(); found > 0 {
			s.vain = 0
			return found
		}
		now := time.Now()
		if now.Sub(last) > wanted {
			s.until = now.Add(rest)
			return 0
		}
		last = now
	}
	if s.vain++; s.vain == inVain {
		s.vain, s.until = 0, begin.Add(rest)
	}
	return 0
}

// took tells how many octets came at once.
func (s *spin) took(octets int) { s.taken += octets }

// slept tells how long it took until there was something, since the beginning
// of the spin before.
func (s *spin) slept(waited time.Duration) { s.worth = waited <= asleep*s.most }
