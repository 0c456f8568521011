package impair

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	for _, x := range []struct {
		c    Config
		want string // of the error; "": none
	}{
		{Config{}, ""},
		{Config{Delay: time.Minute, Jitter: time.Second, Loss: 1, Duplicate: 1, Reorder: 1, Corrupt: 1, Rate: MaxRate, QueueFrames: MaxQueue}, ""},
		{Config{Loss: 0.01, LossBurst: 10}, ""},
		{Config{Loss: 0.01, LossBurst: 1}, ""},
		{Config{Delay: -1}, "give 0 to 1m0s"},
		{Config{Delay: time.Hour}, "give 0 to 1m0s"},
		{Config{Jitter: time.Hour}, "jitter"},
		{Config{Distribution: 9}, "no distribution"},
		{Config{Loss: 1.5}, "loss 150% is not possible: give 0% to 100%"},
		{Config{Loss: math.NaN()}, "loss NaN% is not possible"},
		{Config{Corrupt: -0.1}, "corrupt -10%"},
		{Config{Reorder: 0.1}, "needs a delay"},
		{Config{Rate: 10}, "1kbit to 100gbit"},
		{Config{Rate: MaxRate + 1}, "1kbit to 100gbit"},
		{Config{QueueFrames: 10}, "needs a rate"},
		{Config{Rate: 1e6, QueueFrames: -1}, "queue of -1 frames"},
		{Config{Rate: 1e6, QueueBytes: MaxBytes + 1}, "octets is not possible"},
		{Config{LossBurst: 10}, "bursts need a loss"},
		{Config{Loss: 0.1, LossBurst: -1}, "bursts of -1"},
		{Config{Loss: 0.1, LossBurst: math.Inf(1)}, "bursts of +Inf"},
		{Config{Loss: 0.1, LossInBurst: 0.5}, "give loss-burst"},
		{Config{Loss: 0.1, LossBurst: 5, LossInBurst: 0.05}, "lies between the two"},
		{Config{Loss: 0.1, LossBurst: 5, LossBetween: 0.2}, "lies between the two"},
		{Config{Loss: 0.1, LossBurst: 5, LossInBurst: 0.2, LossBetween: 0.3}, "bursts are where more is lost"},
		{Config{Loss: 1, LossBurst: 5}, "lies between the two"},
		{Config{Loss: 0.9, LossBurst: 2}, "give longer bursts, of 9 frames or more"},
		{Config{Loss: 0.9, LossBurst: 9.001}, ""},
	} {
		err := x.c.Validate()
		switch {
		case err == nil && x.want != "":
			t.Errorf("%+v is valid, want an error with %q", x.c, x.want)
		case err != nil && (x.want == "" || !strings.Contains(err.Error(), x.want)):
			t.Errorf("%+v: %v, want %q", x.c, err, x.want)
		}
	}
}

func TestCuts(t *testing.T) {
	for _, x := range []struct {
		c    Config
		none bool
		cuts bool
	}{
		{Config{}, true, false},
		{Config{Seed: 1, InOrder: true}, true, false},
		{Config{Delay: 1}, false, false},
		{Config{Jitter: 1}, false, true},
		{Config{Loss: 0.1}, false, true},
		{Config{Rate: 1e6}, false, true},
	} {
		if x.c.None() != x.none || x.c.Cuts() != x.cuts {
			t.Errorf("%+v: none is %t, cuts %t; want %t, %t", x.c, x.c.None(), x.c.Cuts(), x.none, x.cuts)
		}
	}
}

func TestDistributionNames(t *testing.T) {
	for _, d := range []Distribution{Normal, Uniform, Pareto} {
		if got, err := ParseDistribution(d.String()); got != d || err != nil {
			t.Errorf("ParseDistribution(%q) = %v, %v", d, got, err)
		}
	}
	if _, err := ParseDistribution("gauss"); err == nil || !strings.Contains(err.Error(), "normal, uniform or pareto") {
		t.Errorf("gauss: %v", err)
	}
}

// FuzzLine holds what is true of every line that may be asked for: a frame
// arrives once or twice, or not at all and says why, not before it came, and
// with a rate no faster than that.
func FuzzLine(f *testing.F) {
	f.Add(int64(0), int64(0), uint8(0), 0.1, 5.0, 0.0, 0.0, 0.0, uint64(1_000_000), 10, 0, uint16(1500), true)
	f.Add(int64(time.Second), int64(time.Minute), uint8(2), 0.0, 0.0, 1.0, 1.0, 1.0, uint64(0), 0, 0, uint16(60), false)
	f.Fuzz(func(t *testing.T, delay, jitter int64, shape uint8, loss, burst, duplicate, reorder, corrupt float64, rate uint64, frames, octets int, length uint16, inOrder bool) {
		c := Config{
			Delay: time.Duration(delay), Jitter: time.Duration(jitter), Distribution: Distribution(shape), InOrder: inOrder,
			Loss: loss, LossBurst: burst, Duplicate: duplicate, Reorder: reorder, Corrupt: corrupt,
			Rate: rate, QueueFrames: frames, QueueBytes: octets, Seed: 1,
		}
		if c.Validate() != nil {
			t.Skip()
		}
		l := NewLine(c, "")
		now, arrived := Time(0), 0
		for i := range 200 {
			now += Time(i%7) * 1000
			f := l.Next(now, int(length))
			if (f.Copies == 0) != (f.Lost || f.Full) || f.Lost && f.Full || f.Copies > MaxCopies {
				t.Fatalf("%+v: frame %d: %+v", c, i, f)
			}
			for _, at := range f.At[:f.Copies] {
				if at < now || at > now+Time(longest)+200*MaxCopies*Time(float64(length)*l.perOctet+1) {
					t.Fatalf("%+v: frame %d, which comes at %d, arrives at %d", c, i, now, at)
				}
				arrived++
			}
		}
		if took := float64(l.free); took+float64(arrived) < float64(arrived)*float64(length)*l.perOctet {
			t.Fatalf("%+v: %d frames of %d octets leave in %v ns", c, arrived, length, took)
		}
	})
}
