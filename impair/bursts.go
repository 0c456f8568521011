package impair

import "math/rand/v2"

// bursts is the model of Gilbert and Elliott (Elliott, "Estimates of error rates
// for codes on burst-noise channels", 1963): a line is in a burst or between two,
// and loses another share of frames in each.
type bursts struct {
	begin, end      float64 // probability, for a frame, that a burst begins or ends; end 0: there are none
	inside, between float64 // share of frames lost
	now             bool    // in a burst
}

// bursts finds the model that has the average loss, and bursts of the average
// length, that were asked for.
func (c *Config) bursts() bursts {
	if c.LossBurst <= 1 || c.Loss == 0 {
		return bursts{}
	}
	b := bursts{end: 1 / c.LossBurst, inside: c.LossInBurst, between: c.LossBetween}
	if b.inside == 0 {
		b.inside = 1
	}
	// Of the time, the line spends that share in bursts.
	share := (c.Loss - b.between) / (b.inside - b.between)
	b.begin = b.end * share / (1 - share)
	return b
}

// lost decides about the next frame; loss is the share where there are no bursts.
func (b *bursts) lost(random *rand.Rand, loss float64) bool {
	if b.end != 0 {
		change := b.begin
		if b.now {
			change = b.end
		}
		if random.Float64() < change {
			b.now = !b.now
		}
		loss = b.between
		if b.now {
			loss = b.inside
		}
	}
	return loss > 0 && random.Float64() < loss
}
