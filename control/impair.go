package control

import (
	"cmp"
	"math"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/impair"

	vswitch "github.com/vswitch/vswitch/switch"
)

// applyImpairments replaces what spec names.
func applyImpairments(i *vswitch.Impairments, spec api.ImpairmentsSpec) error {
	for _, d := range []struct {
		name string
		to   *impair.Config
		want *api.ImpairmentSpec
	}{{"egress", &i.Egress, spec.Egress}, {"ingress", &i.Ingress, spec.Ingress}} {
		if d.want == nil {
			continue
		}
		if err := applyImpairment(d.to, *d.want); err != nil {
			return api.Errorf(api.Invalid, "impairment at %s: %v", d.name, err)
		}
	}
	return nil
}

func applyImpairment(c *impair.Config, spec api.ImpairmentSpec) error {
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

func shownImpairments(i vswitch.Impairments) api.Impairments {
	return api.Impairments{Egress: shownImpairment(i.Egress), Ingress: shownImpairment(i.Ingress)}
}

// shownImpairment is nil where nothing was asked for.
func shownImpairment(c impair.Config) *api.Impairment {
	if c == (impair.Config{}) {
		return nil
	}
	i := &api.Impairment{
		Delay:   c.Delay.Seconds(),
		Jitter:  c.Jitter.Seconds(),
		InOrder: c.InOrder,

		Loss:        percent(c.Loss),
		LossBurst:   c.LossBurst,
		LossInBurst: percent(c.LossInBurst),
		LossBetween: percent(c.LossBetween),

		Duplicate: percent(c.Duplicate),
		Reorder:   percent(c.Reorder),
		Corrupt:   percent(c.Corrupt),

		Rate:        c.Rate,
		QueueFrames: c.QueueFrames,
		QueueBytes:  c.QueueBytes,
		Seed:        c.Seed,
	}
	if c.Distribution != impair.Normal {
		i.Distribution = c.Distribution.String()
	}
	return i
}

// percent gives back what was divided by 100, without what floating point adds.
func percent(share float64) float64 { return math.Round(share*1e12) / 1e10 }

// impairmentsDiff compares what stands with what was asked for.
func impairmentsDiff(have, want vswitch.Impairments) []string {
	var d differences
	d.add("impair", shownImpairments(have), shownImpairments(want))
	return d
}
