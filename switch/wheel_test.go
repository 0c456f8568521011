package vswitch

import (
	"math/rand/v2"
	"testing"

	"github.com/vswitch/vswitch/impair"
)

// TestWheel puts frames in for times near and far, while time goes on in steps
// short and long, and holds what comes out against a list: nothing early, nothing
// late, and what is due in one tick in the order in which it came.
func TestWheel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		far := func() uint64 { return r.Uint64N(1 << (1 + r.IntN(30))) }
		w := &wheel{now: far()}
		now := w.now
		type entry struct {
			*held
			at uint64
		}
		var list []entry
		for range 300 {
			for range r.IntN(20) {
				h, at := new(held), now+far()
				w.put(h, impair.Time(at<<tickShift))
				list = append(list, entry{h, max(at, w.now+1)})
			}
			now += far()
			for {
				first := -1
				for i, e := range list {
					if e.at <= now && (first < 0 || e.at < list[first].at) {
						first = i
					}
				}
				h := w.take(now)
				if first < 0 {
					if h != nil {
						t.Fatalf("seed %d: at %d a frame comes that is due at %d", seed, now, h.due)
					}
					break
				}
				if h != list[first].held {
					t.Fatalf("seed %d: at %d not the frame comes that is due at %d", seed, now, list[first].at)
				}
				list = append(list[:first], list[first+1:]...)
			}
			if w.n != len(list) {
				t.Fatalf("seed %d: the wheel counts %d frames, want %d", seed, w.n, len(list))
			}
			if w.n > 0 {
				earliest := list[0].at
				for _, e := range list {
					earliest = min(earliest, e.at)
				}
				if next := w.next(); next <= now || next > earliest {
					t.Fatalf("seed %d: at %d, with a frame due at %d, there is something to do at %d", seed, now, earliest, next)
				}
			}
		}
	}
}

// TestWheelNextWhileFramesAreDue holds that who stops halfway comes back at once.
func TestWheelNextWhileFramesAreDue(t *testing.T) {
	w := new(wheel)
	w.put(new(held), 5<<tickShift)
	w.put(new(held), 5<<tickShift)
	if w.take(7); w.next() != 5 {
		t.Errorf("the next tick is %d, want 5, of which a frame is left", w.next())
	}
}

func TestTicksRoundUp(t *testing.T) {
	for at, want := range map[impair.Time]uint64{0: 0, 1: 1, 1 << tickShift: 1, 1<<tickShift + 1: 2} {
		if got := ticks(at); got != want {
			t.Errorf("ticks(%d) = %d, want %d", at, got, want)
		}
	}
}

func BenchmarkWheel(b *testing.B) {
	w := new(wheel)
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		w.put(new(held), impair.Time(r.Uint64N(50_000_000)))
	}
	b.ReportAllocs()
	now := impair.Time(0)
	for b.Loop() {
		now += 5_000
		for h := w.take(uint64(now) >> tickShift); h != nil; h = w.take(uint64(now) >> tickShift) {
			w.put(h, now+impair.Time(r.Uint64N(50_000_000)))
		}
	}
}
