package vswitch

import (
	"testing"
	"testing/synctest"
	"time"
)

// looking returns a function that takes a microsecond of time, and finds
// something at the n-th call; 0: never.
func looking(n int) (look func() int, calls *int) {
	calls = new(int)
	return func() int {
		time.Sleep(time.Microsecond)
		if *calls++; *calls == n {
			return 1
		}
		return 0
	}, calls
}

func TestSpin(t *testing.T) {
	const most = 50 * time.Microsecond
	spins := func(s *spin, n int) (found, calls int) {
		look, counted := looking(n)
		found = s.spins(time.Now(), look)
		return found, *counted
	}
	// In a bubble, whose clock goes on by what is slept, and by nothing else.
	synctest.Test(t, func(t *testing.T) {
		s := spin{most: most}
		if _, calls := spins(&s, 1); calls != 0 {
			t.Error("it spins before anything came")
		}
		s.slept(2 * most)
		if found, calls := spins(&s, 10); found != 1 || calls != 10 {
			t.Errorf("after a short wait, it found %d in %d looks, want 1 in 10", found, calls)
		}
		if _, calls := spins(&s, 0); calls != 50 {
			t.Errorf("it looks %d times, want 50 in %v", calls, most)
		}
		s.slept(time.Second)
		if _, calls := spins(&s, 1); calls != 0 {
			t.Error("it spins after a long wait")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := spin{most: most, worth: true}
		for range inVain {
			if _, calls := spins(&s, 0); calls == 0 {
				t.Fatal("it does not spin")
			}
		}
		if _, calls := spins(&s, 1); calls != 0 {
			t.Errorf("it goes on after %d spins in vain", inVain)
		}
		time.Sleep(rest)
		if found, _ := spins(&s, 1); found != 1 {
			t.Error("it never spins again")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := spin{most: time.Second, worth: true}
		calls := 0
		s.spins(time.Now(), func() int { // somebody else gets the processor
			calls++
			time.Sleep(wanted + 1)
			return 0
		})
		if _, again := spins(&s, 1); calls != 1 || again != 0 {
			t.Errorf("it looks %d times, and then %d, at a processor that is wanted", calls, again)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := spin{most: most, worth: true}
		for range 20 { // super-frames and their acknowledgements
			s.took(64 << 10)
			spins(&s, 1)
			s.took(66)
			spins(&s, 1)
		}
		if _, calls := spins(&s, 0); calls > 20 {
			t.Errorf("beside much data it looks %d times, want a third of 50", calls)
		}
		for range 40 {
			s.took(1500)
			spins(&s, 1)
		}
		if _, calls := spins(&s, 0); calls != 50 {
			t.Errorf("when it has ended, it looks %d times, want 50", calls)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := spin{} // never
		s.slept(time.Microsecond)
		if _, calls := spins(&s, 1); calls != 0 {
			t.Error("it spins though it must not")
		}
	})
}
