package impair

import (
	"fmt"
	"time"
)

// Config says what one direction of a line does. The zero Config does nothing.
type Config struct {
	Delay        time.Duration // of each frame, in the median
	Jitter       time.Duration // how much that varies: see Distribution
	Distribution Distribution
	InOrder      bool // no frame overtakes another by jitter; it waits for the one before

	Loss        float64 // share of frames, on average
	LossBurst   float64 // frames of a burst of losses, on average; up to 1: each is lost by itself
	LossInBurst float64 // share of a burst's frames that is lost; 0: all
	LossBetween float64 // share of the frames between bursts that is lost

	Duplicate float64 // share of frames that come twice
	Reorder   float64 // share of frames that the delay spares, so that they overtake
	Corrupt   float64 // share of frames in which one bit is wrong

	Rate        uint64 // bits a second, of frames as counters count them; 0: as many as come
	QueueFrames int    // that wait for the rate at the most; 0: DefaultQueue, if QueueBytes is 0, too
	QueueBytes  int    // octets of them; 0: no limit of its own

	Seed uint64 // makes what is random the same each time; 0: it is another each time
}

// DefaultQueue is how many frames wait for the rate unless it is said otherwise,
// as many as a network device of Linux has.
const DefaultQueue = 1000

// What is possible.
const (
	MaxDelay = time.Minute
	MinRate  = 1000                  // bits a second: a long frame takes twelve seconds
	MaxRate  = 100_000_000_000       // more than goes through a switch in software
	MaxQueue = 1 << 17               // frames
	MaxBytes = 1 << 30               // octets of a queue
	maxBurst = float64(1_000_000)    // frames
	longest  = 10 * 60 * time.Second // that a frame takes on the way, whatever its jitter
)

// Distribution is how delays lie about their median.
type Distribution uint8

// The distributions. Of normal and pareto the jitter is the standard deviation.
const (
	Normal  Distribution = iota
	Uniform              // evenly, up to Jitter to either side
	Pareto               // of shape 3: most lie close by, a few far behind
)

var distributionNames = []string{Normal: "normal", Uniform: "uniform", Pareto: "pareto"}

// String returns the name that [ParseDistribution] reads.
func (d Distribution) String() string { return distributionNames[d] }

// ParseDistribution reads a name.
func ParseDistribution(s string) (Distribution, error) {
	for d, name := range distributionNames {
		if s == name {
			return Distribution(d), nil
		}
	}
	return 0, fmt.Errorf("%q is no distribution of jitter: say normal, uniform or pareto", s)
}

// None reports whether the line does nothing to any frame.
func (c *Config) None() bool {
	return c.Delay == 0 && c.Jitter == 0 && c.Loss == 0 && c.Duplicate == 0 && c.Corrupt == 0 && c.Rate == 0
}

// Cuts reports whether frames have to be told apart as a wire would carry them:
// a super-frame, which stands for many, is cut first, so that each of them is
// lost, delayed or damaged by itself, and takes its time on the line. Only
// where all are held equally long, it makes no difference.
func (c *Config) Cuts() bool {
	return c.Jitter != 0 || c.Loss != 0 || c.Duplicate != 0 || c.Reorder != 0 || c.Corrupt != 0 || c.Rate != 0
}

// Validate says what is wrong with c, and what would work.
func (c *Config) Validate() error {
	for _, s := range []struct {
		name  string
		share float64
	}{
		{"loss", c.Loss}, {"loss in bursts", c.LossInBurst}, {"loss between bursts", c.LossBetween},
		{"duplicate", c.Duplicate}, {"reorder", c.Reorder}, {"corrupt", c.Corrupt},
	} {
		if !(s.share >= 0 && s.share <= 1) { // nor NaN
			return fmt.Errorf("%s %s is not possible: give 0%% to 100%%", s.name, percent(s.share))
		}
	}
	switch {
	case c.Delay < 0 || c.Delay > MaxDelay:
		return fmt.Errorf("a delay of %v is not possible: give 0 to %v", c.Delay, MaxDelay)
	case c.Jitter < 0 || c.Jitter > MaxDelay:
		return fmt.Errorf("a jitter of %v is not possible: give 0 to %v", c.Jitter, MaxDelay)
	case int(c.Distribution) >= len(distributionNames):
		return fmt.Errorf("there is no distribution %d", c.Distribution)
	case c.Reorder > 0 && c.Delay == 0:
		return fmt.Errorf("reorder needs a delay: what overtakes is what the delay spares")
	case c.Rate != 0 && (c.Rate < MinRate || c.Rate > MaxRate):
		return fmt.Errorf("a rate of %d bit/s is not possible: give 1kbit to 100gbit, or 0 for no limit", c.Rate)
	case c.QueueFrames < 0 || c.QueueFrames > MaxQueue || c.QueueBytes < 0 || c.QueueBytes > MaxBytes:
		return fmt.Errorf("a queue of %d frames, %d octets is not possible: give up to %d frames or %d octets", c.QueueFrames, c.QueueBytes, MaxQueue, MaxBytes)
	case c.Rate == 0 && (c.QueueFrames != 0 || c.QueueBytes != 0):
		return fmt.Errorf("a queue needs a rate: without one nothing waits")
	}
	return c.validateLoss()
}

func (c *Config) validateLoss() error {
	switch {
	case !(c.LossBurst >= 0 && c.LossBurst <= maxBurst):
		return fmt.Errorf("bursts of %v lost frames are not possible: give 1 to %v", c.LossBurst, maxBurst)
	case c.LossBurst <= 1 && (c.LossInBurst != 0 || c.LossBetween != 0):
		return fmt.Errorf("loss in and between bursts needs the length of bursts: give loss-burst")
	case c.LossBurst <= 1:
		return nil
	case c.Loss == 0:
		return fmt.Errorf("bursts need a loss: give loss")
	}
	b := c.bursts()
	switch {
	case b.inside <= b.between:
		return fmt.Errorf("in bursts %s are lost, and between them %s: bursts are where more is lost", percent(b.inside), percent(b.between))
	case c.Loss <= b.between || c.Loss >= b.inside:
		return fmt.Errorf("a loss of %s is not possible where between bursts %s are lost and in them %s: it lies between the two", percent(c.Loss), percent(b.between), percent(b.inside))
	case b.begin > 1:
		return fmt.Errorf("a loss of %s in bursts of %v frames leaves less than a frame between two bursts: give longer bursts, of %.3g frames or more", percent(c.Loss), c.LossBurst, c.LossBurst*b.begin)
	}
	return nil
}

func percent(share float64) string { return fmt.Sprintf("%.6g%%", share*100) }
