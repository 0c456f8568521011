package terms

import (
	"cmp"
	"math"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/impair"
)

// Impair replaces in c what spec names.
func Impair(c *impair.Config, spec api.ImpairmentSpec) error {
	if spec.Replace {
		*c = impair.Config{}
	}
	for _, f := range []struct {
		to   *time.Duration
		want *float64
	}{{&c.Delay, spec.Delay}, {&c.Jitter, spec.Jitter}} {
		if f.want != nil {
			*f.to = duration(*f.want)
		}
	}
	for _, f := range []struct {
		to   *float64
		want *float64 // in percent
	}{
		{&c.Loss, spec.Loss}, {&c.LossInBurst, spec.LossInBurst}, {&c.LossBetween, spec.LossBetween},
		{&c.Duplicate, spec.Duplicate}, {&c.Reorder, spec.Reorder}, {&c.Corrupt, spec.Corrupt},
	} {
		if f.want != nil {
			*f.to = *f.want / 100
		}
	}
	if spec.Distribution != nil {
		shape, err := impair.ParseDistribution(cmp.Or(*spec.Distribution, api.Normal))
		if err != nil {
			return err
		}
		c.Distribution = shape
	}
	set(&c.InOrder, spec.InOrder)
	set(&c.LossBurst, spec.LossBurst)
	set(&c.Rate, spec.Rate)
	set(&c.QueueFrames, spec.QueueFrames)
	set(&c.QueueBytes, spec.QueueBytes)
	set(&c.Seed, spec.Seed)
	return c.Validate()
}

// set replaces what is wanted.
func set[T any](to, want *T) {
	if want != nil {
		*to = *want
	}
}

// duration is a time in seconds, or the longest there is.
func duration(seconds float64) time.Duration {
	ns := math.Round(seconds * float64(time.Second))
	if !(math.Abs(ns) < math.MaxInt64) {
		return math.MaxInt64
	}
	return time.Duration(ns)
}
