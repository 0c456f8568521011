package api

import "strings"

// Impairments are what the two directions of a port's line do to frames, as an
// emulator of a bad network would. nil: nothing.
type Impairments struct {
	Egress  *Impairment `json:"egress,omitempty"`  // to the station
	Ingress *Impairment `json:"ingress,omitempty"` // from it
}

// String says both in words; "" where there are none.
func (i Impairments) String() string {
	var words []string
	switch {
	case i.Egress != nil && i.Ingress != nil && *i.Egress == *i.Ingress:
		return "both ways " + i.Egress.String()
	case i.Egress != nil:
		words = append(words, "egress "+i.Egress.String())
	}
	if i.Ingress != nil {
		words = append(words, "ingress "+i.Ingress.String())
	}
	return strings.Join(words, ", ")
}

// Impairment is what one direction does. What is zero is not done.
type Impairment struct {
	Delay        float64 `json:"delay_seconds,omitempty"`  // of each frame, in the median
	Jitter       float64 `json:"jitter_seconds,omitempty"` // how far delays lie from it
	Distribution string  `json:"distribution,omitempty"`   // of jitter: one of those below; left out when it is normal
	InOrder      bool    `json:"in_order,omitempty"`       // jitter lets no frame overtake another

	Loss        float64 `json:"loss_percent,omitempty"`                // of frames, on average
	LossBurst   float64 `json:"loss_burst_frames,omitempty"`           // how long a burst is, on average; up to 1: each frame is lost by itself
	LossInBurst float64 `json:"loss_in_burst_percent,omitempty"`       // of a burst's frames; left out: all are lost
	LossBetween float64 `json:"loss_between_bursts_percent,omitempty"` // of the frames between bursts

	Duplicate float64 `json:"duplicate_percent,omitempty"` // come twice
	Reorder   float64 `json:"reorder_percent,omitempty"`   // are spared the delay, so that they overtake
	Corrupt   float64 `json:"corrupt_percent,omitempty"`   // have one bit turned over

	Rate        uint64 `json:"rate_bits,omitempty"`    // bits a second, of frames without their check sequence
	QueueFrames int    `json:"queue_frames,omitempty"` // that wait for the rate at the most; 1000 unless one of the two is said
	QueueBytes  int    `json:"queue_bytes,omitempty"`

	Seed uint64 `json:"seed,omitempty"` // makes what is random the same each time
}

// Distributions of jitter. Of normal and pareto it is the standard deviation, of
// uniform the farthest that a delay lies from the median.
const (
	Normal  = "normal"
	Uniform = "uniform"
	Pareto  = "pareto" // most lie close by, a few far behind
)

// ImpairmentsSpec is [Impairments] as asked for. A direction that is not named
// stays as it is.
type ImpairmentsSpec struct {
	Egress  *ImpairmentSpec `json:"egress,omitempty"`
	Ingress *ImpairmentSpec `json:"ingress,omitempty"`
}

// ImpairmentSpec is [Impairment] as asked for: what is named is replaced, and the
// rest stays, or with Replace ends.
type ImpairmentSpec struct {
	Replace bool `json:"replace,omitempty"`

	Delay        *float64 `json:"delay_seconds,omitempty"`
	Jitter       *float64 `json:"jitter_seconds,omitempty"`
	Distribution *string  `json:"distribution,omitempty"`
	InOrder      *bool    `json:"in_order,omitempty"`

	Loss        *float64 `json:"loss_percent,omitempty"`
	LossBurst   *float64 `json:"loss_burst_frames,omitempty"`
	LossInBurst *float64 `json:"loss_in_burst_percent,omitempty"`
	LossBetween *float64 `json:"loss_between_bursts_percent,omitempty"`

	Duplicate *float64 `json:"duplicate_percent,omitempty"`
	Reorder   *float64 `json:"reorder_percent,omitempty"`
	Corrupt   *float64 `json:"corrupt_percent,omitempty"`

	Rate        *uint64 `json:"rate_bits,omitempty"`
	QueueFrames *int    `json:"queue_frames,omitempty"`
	QueueBytes  *int    `json:"queue_bytes,omitempty"`

	Seed *uint64 `json:"seed,omitempty"`
}
