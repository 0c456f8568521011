package impair

import (
	"math"
	"slices"
	"testing"
	"time"
)

const ms = Time(time.Millisecond)

// carry sends n frames of so many octets at an interval over a new line.
func carry(c Config, n, octets int, every time.Duration) []Fate {
	l := NewLine(c, "test")
	fates := make([]Fate, n)
	for i := range fates {
		fates[i] = l.Next(Time(i)*Time(every), octets)
	}
	return fates
}

// delays returns how long each arriving frame took, in milliseconds.
func delays(fates []Fate, every time.Duration) (took []float64) {
	for i, f := range fates {
		for _, at := range f.At[:f.Copies] {
			took = append(took, float64(at-Time(i)*Time(every))/float64(ms))
		}
	}
	return took
}

func share(fates []Fate, of func(Fate) bool) float64 {
	n := 0
	for _, f := range fates {
		if of(f) {
			n++
		}
	}
	return float64(n) / float64(len(fates))
}

func lost(f Fate) bool    { return f.Lost }
func full(f Fate) bool    { return f.Full }
func doubled(f Fate) bool { return f.Copies == 2 }
func damaged(f Fate) bool { return f.Damage != 0 }

// about fails where a share that was measured in n frames, of which each was
// chosen by itself, is not what was asked for. Seeds are fixed: what passes once
// always does.
func about(t *testing.T, what string, got, want float64, n int) {
	t.Helper()
	if sigma := math.Sqrt(want * (1 - want) / float64(n)); math.Abs(got-want) > 3*sigma {
		t.Errorf("%s: %v of %d frames, want %v ± %.2g", what, got, n, want, 3*sigma)
	}
}

func TestNothingAskedNothingDone(t *testing.T) {
	for i, f := range carry(Config{}, 1000, 1500, time.Microsecond) {
		if want := (Fate{Copies: 1, At: [MaxCopies]Time{Time(i) * 1000}}); f != want {
			t.Fatalf("frame %d: %+v, want %+v", i, f, want)
		}
	}
}

func TestShares(t *testing.T) {
	const n = 200_000
	fates := carry(Config{Seed: 1, Loss: 0.03}, n, 100, time.Millisecond)
	about(t, "lost", share(fates, lost), 0.03, n)
	fates = carry(Config{Seed: 1, Duplicate: 0.001}, n, 100, time.Millisecond)
	about(t, "doubled", share(fates, doubled), 0.001, n)
	fates = carry(Config{Seed: 1, Corrupt: 0.2}, n, 100, time.Millisecond)
	about(t, "damaged", share(fates, damaged), 0.2, n)
	fates = carry(Config{Seed: 1, Delay: 10 * time.Millisecond, Reorder: 0.25}, n, 100, time.Millisecond)
	took := delays(fates, time.Millisecond)
	spared := float64(len(slices.DeleteFunc(took, func(d float64) bool { return d == 10 }))) / n
	about(t, "spared the delay", spared, 0.25, n)
}

func TestLossOfEverythingAndNothing(t *testing.T) {
	if got := share(carry(Config{Loss: 1}, 1000, 100, 0), lost); got != 1 {
		t.Errorf("%v are lost of all", got)
	}
	if got := share(carry(Config{Duplicate: 1}, 1000, 100, 0), doubled); got != 1 {
		t.Errorf("%v are doubled of all", got)
	}
}

// TestBursts measures the average loss and the average length of bursts.
func TestBursts(t *testing.T) {
	const n = 1_000_000
	for _, c := range []Config{
		{Loss: 0.01, LossBurst: 5},
		{Loss: 0.2, LossBurst: 2},
		{Loss: 0.05, LossBurst: 20, LossInBurst: 0.5},
		{Loss: 0.02, LossBurst: 50, LossInBurst: 0.8, LossBetween: 0.001},
	} {
		c.Seed = 7
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		fates := carry(c, n, 100, 0)
		// Bursts are chosen by themselves, and of lengths that vary.
		slack := 3 * math.Sqrt(2/(n*c.Loss/c.LossBurst))
		if got := share(fates, lost); math.Abs(got-c.Loss) > slack*c.Loss {
			t.Errorf("%+v: lost %v", c, got)
		}
		if c.LossInBurst != 0 {
			continue // a burst does not show as a run
		}
		runs := 0
		for i := range fates {
			if fates[i].Lost && (i == 0 || !fates[i-1].Lost) {
				runs++
			}
		}
		if got := share(fates, lost) * n / float64(runs); math.Abs(got-c.LossBurst) > slack*c.LossBurst {
			t.Errorf("%+v: bursts of %v frames", c, got)
		}
	}
}

func TestDelayWithoutJitterIsExact(t *testing.T) {
	for i, d := range delays(carry(Config{Delay: 20 * time.Millisecond}, 100, 1500, 100*time.Microsecond), 100*time.Microsecond) {
		if d != 20 {
			t.Fatalf("frame %d took %v ms, want 20", i, d)
		}
	}
}

// TestJitter holds the median to the delay, and the spread to the jitter.
func TestJitter(t *testing.T) {
	const n = 200_000
	sigma := func(took []float64) float64 {
		sum, squares := 0.0, 0.0
		for _, d := range took {
			sum += d
			squares += d * d
		}
		mean := sum / n
		return math.Sqrt(squares/n - mean*mean)
	}
	for _, x := range []struct {
		shape Distribution
		sigma float64
		low   float64 // nothing comes earlier
		slack float64 // of sigma: that of heavy tails settles slowly
	}{
		{Normal, 2, 0, 0.02},
		{Uniform, 4 / math.Sqrt(12), 18, 0.02},
		{Pareto, 2, 19.3, 0.15},
	} {
		took := delays(carry(Config{Seed: 3, Delay: 20 * time.Millisecond, Jitter: 2 * time.Millisecond, Distribution: x.shape}, n, 100, time.Millisecond), time.Millisecond)
		slices.Sort(took)
		if median := took[n/2]; math.Abs(median-20) > 0.05 {
			t.Errorf("%v: the median is %v ms, want 20", x.shape, median)
		}
		if got := sigma(took); math.Abs(got-x.sigma) > x.slack*x.sigma {
			t.Errorf("%v: the standard deviation is %v ms, want %v", x.shape, got, x.sigma)
		}
		if took[0] < x.low {
			t.Errorf("%v: a frame came after %v ms, want %v or more", x.shape, took[0], x.low)
		}
	}
}

// TestNoFrameArrivesBeforeItCame has more jitter than delay.
func TestNoFrameArrivesBeforeItCame(t *testing.T) {
	for i, d := range delays(carry(Config{Seed: 1, Delay: time.Millisecond, Jitter: time.Second}, 10_000, 100, 0), 0) {
		if d < 0 {
			t.Fatalf("frame %d took %v ms", i, d)
		}
	}
}

func TestOrder(t *testing.T) {
	overtakes := func(c Config) (n int) {
		last := Time(0)
		for _, f := range carry(c, 10_000, 100, 100*time.Microsecond) {
			if f.At[0] < last {
				n++
			}
			last = max(last, f.At[0])
		}
		return n
	}
	c := Config{Seed: 1, Delay: 20 * time.Millisecond, Jitter: 2 * time.Millisecond}
	if overtakes(c) == 0 {
		t.Error("jitter of many gaps between frames has none overtake another")
	}
	c.InOrder = true
	if n := overtakes(c); n != 0 {
		t.Errorf("in order, %d frames overtake", n)
	}
}

// TestRate sends frames of which each takes 1.2 ms, for a second.
func TestRate(t *testing.T) {
	const n = 10_000
	fates := carry(Config{Rate: 10_000_000}, n, 1500, 100*time.Microsecond)
	arrived := 0
	var last Time
	for _, f := range fates {
		if f.Copies == 0 {
			continue
		}
		if arrived++; arrived > 1 && f.At[0]-last != 1200*1000 {
			t.Fatalf("frame %d of those that arrive comes %v behind the one before, want 1.2ms", arrived, time.Duration(f.At[0]-last))
		}
		last = f.At[0]
	}
	// One that is being sent, and 1000 in the queue at the end of the second.
	if want := 1_000_000/1200 + DefaultQueue; arrived < want-2 || arrived > want+2 {
		t.Errorf("%d frames arrive, want %d", arrived, want)
	}
	if got := share(fates, full); got == 0 {
		t.Error("the queue is never full")
	}
}

func TestQueues(t *testing.T) {
	burst := func(c Config, octets int) (arrived int) {
		for _, f := range carry(c, 1000, octets, 0) {
			arrived += f.Copies
		}
		return arrived
	}
	for _, x := range []struct {
		c      Config
		octets int
		want   int
	}{
		{Config{Rate: 1_000_000, QueueFrames: 1}, 1500, 1},
		{Config{Rate: 1_000_000, QueueFrames: 10}, 1500, 10},
		{Config{Rate: 1_000_000, QueueBytes: 15_000}, 1500, 10},
		{Config{Rate: 1_000_000, QueueBytes: 15_000}, 100, 150},
		{Config{Rate: 1_000_000, QueueBytes: 100}, 1500, 1}, // alone, a frame always may
		{Config{Rate: 1_000_000, QueueBytes: 15_000, QueueFrames: 5}, 1500, 5},
	} {
		if got := burst(x.c, x.octets); got != x.want {
			t.Errorf("of 1000 frames of %d octets at once, %+v lets %d through, want %d", x.octets, x.c, got, x.want)
		}
	}
}

// TestQueueEmpties finds room again as frames leave.
func TestQueueEmpties(t *testing.T) {
	l := NewLine(Config{Rate: 8_000_000, QueueFrames: 2}, "") // 1000 octets a millisecond
	for i, x := range []struct {
		now  Time
		full bool
	}{{0, false}, {0, false}, {0, true}, {ms - 1, true}, {ms, false}, {ms, true}, {10 * ms, false}} {
		if f := l.Next(x.now, 1000); f.Full != x.full {
			t.Errorf("frame %d, at %v: full is %t, want %t", i, time.Duration(x.now), f.Full, x.full)
		}
	}
}

// TestSeed has what is random repeat itself, and differ between lines.
func TestSeed(t *testing.T) {
	c := Config{Seed: 42, Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1}
	run := func(c Config, name string) []Fate {
		l := NewLine(c, name)
		fates := make([]Fate, 1000)
		for i := range fates {
			fates[i] = l.Next(Time(i)*ms, 100)
		}
		return fates
	}
	if !slices.Equal(run(c, "a"), run(c, "a")) {
		t.Error("the same seed and name give different fates")
	}
	if slices.Equal(run(c, "a"), run(c, "b")) {
		t.Error("lines of different names have the same fates")
	}
	c.Seed = 0
	if slices.Equal(run(c, "a"), run(c, "a")) {
		t.Error("without a seed fates repeat themselves")
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	l := NewLine(Config{Delay: time.Millisecond, Jitter: time.Millisecond, Distribution: Pareto, Loss: 0.1, LossBurst: 5, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1, Rate: 1_000_000_000}, "")
	now := Time(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		l.Next(now, 1500)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, x := range []struct {
		name string
		c    Config
	}{
		{"delay", Config{Delay: time.Millisecond}},
		{"wan", Config{Delay: 20 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.001, Rate: 1_000_000_000}},
	} {
		b.Run(x.name, func(b *testing.B) {
			l := NewLine(x.c, "")
			b.ReportAllocs()
			now := Time(0)
			for b.Loop() {
				now += 12_000
				l.Next(now, 1500)
			}
		})
	}
}
