package storm

import (
	"math"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"none":                               "",
		"1000pps":                            "1000pps",
		"1kpps":                              "1000pps",
		"10mbit":                             "10mbit",
		"bcast=100pps":                       "bcast=100pps",
		"BCAST=1pps":                         "error",
		"bcast=100pps,bcast=1Mbit":           "bcast=100pps,bcast=1mbit",
		"mcast=1500bit,unicast=2kpps":        "mcast=1500bit,unicast=2000pps",
		"5pps,mcast=7pps":                    "bcast=5pps,mcast=7pps,unicast=5pps",
		"bcast=1pps,mcast=1pps,unicast=1pps": "1pps",
		"1000":                               "error",
		"0pps":                               "error",
		"-1pps":                              "error",
		"1e30bit":                            "error",
		"nanpps":                             "error",
		"all=5pps":                           "error",
		"5pps,":                              "error",
	} {
		l, err := Parse(in)
		got := l.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", in, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bcast=100pps,10mbit")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(l.String()); err != nil || again != l {
			t.Errorf("%q means %v, and written as %q %v, %v", s, l, l.String(), again, err)
		}
	})
}

// TestMeter offers frames at several times their limit, and at less than it.
func TestMeter(t *testing.T) {
	const second = 1_000_000_000
	for _, x := range []struct {
		limit  Limit
		every  int64 // nanoseconds between frames
		octets int
		want   float64 // frames in 10 seconds
	}{
		{Limit{Frames: 1000}, 100_000, 60, 10_000 + 100},
		{Limit{Frames: 1000}, 2_000_000, 60, 5000},
		{Limit{Frames: 1}, 1_000_000, 60, 11},
		{Limit{Bits: 1_000_000}, 100_000, 1250, 1000 + 11},
		{Limit{Frames: 50, Bits: 1_000_000}, 100_000, 1250, 500 + 6},
		{Limit{}, 1_000_000, 1500, 10_000},
	} {
		var m Meter
		got := 0.0
		for now := int64(5 * second); now < 15*second; now += x.every {
			if m.Take(x.limit, now, 1, x.octets) {
				got++
			}
		}
		if math.Abs(got-x.want) > x.want/50+1 {
			t.Errorf("%+v, a frame each %d µs: %v in 10 s, want %v", x.limit, x.every/1000, got, x.want)
		}
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	var m Meter
	if n := testing.AllocsPerRun(100, func() { m.Take(Limit{Frames: 5, Bits: 7}, 1, 1, 60) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
