package control

import (
	"math"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/internal/terms"

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
		if err := terms.Impair(d.to, *d.want); err != nil {
			return api.Errorf(api.Invalid, "impairment at %s: %v", d.name, err)
		}
	}
	return nil
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
