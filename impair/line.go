package impair

import (
	"math"
	"math/rand/v2"
	"time"
)

// Time counts nanoseconds from any moment, monotonically.
type Time int64

// MaxCopies is how many frames one can become.
const MaxCopies = 2

// Fate is what becomes of a frame.
type Fate struct {
	Lost   bool            // nothing arrives, by chance
	Full   bool            // nothing arrives, as the queue is full
	Copies int             // that arrive, when neither is so: 1 or 2
	At     [MaxCopies]Time // when
	Damage uint32          // not 0: one bit of each copy is wrong; which one is this number's to say
}

// Line is one direction of a line. It allocates nothing after [NewLine]. It must
// not be used by two goroutines at once.
type Line struct {
	cfg     Config
	random  *rand.Rand
	gilbert bursts

	perOctet float64 // nanoseconds that an octet takes; 0: none
	free     Time    // when the last frame will have left the queue
	queue    ring    // of frames; only with a rate
	last     Time    // when what came last arrives
}

// NewLine returns an idle line with a valid configuration. What is random
// differs between lines of one seed that have different names.
func NewLine(c Config, name string) *Line {
	seed := c.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	l := &Line{cfg: c, random: rand.New(rand.NewPCG(seed, hash(name))), gilbert: c.bursts()}
	if c.Rate != 0 {
		l.perOctet = 8 * float64(time.Second) / float64(c.Rate)
		if c.QueueFrames == 0 && c.QueueBytes == 0 {
			c.QueueFrames = DefaultQueue
		}
		l.queue.init(c.QueueFrames)
	}
	return l
}

// hash is FNV-1a, of 64 bits.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// Next says what becomes of a frame of so many octets that comes now. Times do
// not go backwards from call to call.
func (l *Line) Next(now Time, octets int) (f Fate) {
	if l.gilbert.lost(l.random, l.cfg.Loss) {
		f.Lost = true
		return f
	}
	copies := 1
	if l.chance(l.cfg.Duplicate) {
		copies = 2
	}
	if l.chance(l.cfg.Corrupt) {
		f.Damage = l.random.Uint32() | 1<<31
	}
	for range copies {
		left, ok := l.enqueue(now, octets)
		if !ok {
			break
		}
		f.At[f.Copies] = l.arrival(left)
		f.Copies++
	}
	f.Full = f.Copies == 0
	return f
}

func (l *Line) chance(share float64) bool { return share > 0 && l.random.Float64() < share }

// enqueue puts a frame into the queue and returns when it has left it, whole.
func (l *Line) enqueue(now Time, octets int) (left Time, ok bool) {
	if l.perOctet == 0 {
		return now, true
	}
	l.queue.leave(now)
	begin := max(l.free, now)
	// What is being sent counts as well; alone it always may.
	waiting := float64(begin-now) / l.perOctet
	if l.queue.full() || l.cfg.QueueBytes != 0 && waiting > 0 && int(waiting)+octets > l.cfg.QueueBytes {
		return 0, false
	}
	l.free = begin + Time(math.Round(float64(octets)*l.perOctet))
	l.queue.enter(l.free)
	return l.free, true
}

// arrival returns when a frame arrives that left the queue at that time.
func (l *Line) arrival(left Time) Time {
	if l.chance(l.cfg.Reorder) {
		return left
	}
	at := left + Time(min(max(l.cfg.Delay+l.jitter(), 0), longest))
	if l.cfg.InOrder {
		at = max(at, l.last)
		l.last = at
	}
	return at
}

// Shape 3 has a variance; 2 would have none.
const paretoShape = 3

var (
	paretoMedian = math.Pow(2, 1.0/paretoShape)
	paretoSigma  = math.Sqrt(paretoShape / float64((paretoShape-1)*(paretoShape-1)*(paretoShape-2)))
)

// jitter draws how much later than the median a frame arrives.
func (l *Line) jitter() time.Duration {
	if l.cfg.Jitter == 0 {
		return 0
	}
	var x float64
	switch l.cfg.Distribution {
	case Normal:
		x = l.random.NormFloat64()
	case Uniform:
		x = 2*l.random.Float64() - 1
	case Pareto:
		x = (math.Pow(1-l.random.Float64(), -1.0/paretoShape) - paretoMedian) / paretoSigma
	}
	return time.Duration(min(x*float64(l.cfg.Jitter), float64(longest)))
}
