package fdb

import (
	"math/rand/v2"
	"testing"

	"github.com/vswitch/vswitch/frame"
)

// checkStore holds the store's books against its slots.
func checkStore(tb testing.TB, t *Table) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.store.Load()
	passed := make([]uint32, len(st.buckets))
	for r := ref(1); r <= st.refs(); r++ {
		k := st.keyLocked(r)
		if k == 0 {
			continue
		}
		if s, _ := st.find(k); s != st.slot(r) {
			tb.Fatalf("%#x in slot %d is not found there", k, r)
		}
		for i := st.home(k); i != uint(r-1)/bucketSlots; i = st.after(i) {
			passed[i]++
		}
	}
	for i := range passed {
		flag := key(st.buckets[i][0].key.Load())&keyPassed != 0
		if passed[i] != st.passed[i] || flag != (passed[i] > 0) {
			tb.Fatalf("bucket %d was passed by %d, the store says %d, %v", i, passed[i], st.passed[i], flag)
		}
	}
	t.ports.each(func(p *portState) { checkAges(tb, st, p) })
	if most := t.crowd.most; t.standing[Dynamic] > 0 && (most == 0 || t.crowd.lists[most] == nil) {
		tb.Fatalf("no port is said to have %d entries, the most", most)
	}
}

func TestStoreFindsEachOfTooMany(t *testing.T) {
	// Half as many slots as usual, so that nearly all is full and entries lie
	// far from home.
	st := newStore(1000)
	st.buckets, st.passed = st.buckets[:len(st.buckets)*11/20], st.passed[:len(st.passed)*11/20]
	at := map[key]ref{}
	for n := range 1000 {
		mac := station(n)
		k := keyOf(1, &mac)
		at[k] = st.insertLocked(k, newValue(Dynamic, PortID(n), 0))
	}
	for k, r := range at {
		if s, v := st.find(k); s != st.slot(r) || v.port() != PortID(k) {
			t.Fatalf("find(%#x) = %p, port %d, want %p, %d", k, s, v.port(), st.slot(r), PortID(k))
		}
		if rand.IntN(2) == 0 {
			st.removeLocked(r, st.slot(r).load())
			delete(at, k)
			if s, _ := st.find(k); s != nil {
				t.Fatalf("%#x is found after it was removed", k)
			}
		}
	}
	for k, r := range at {
		if s, _ := st.find(k); s != st.slot(r) {
			t.Fatalf("find(%#x) = %p, want %p, after others were removed", k, s, st.slot(r))
		}
	}
}

func TestRenewalDoesNotReachTheNextHolderOfASlot(t *testing.T) {
	st := newStore(1)
	st.buckets = st.buckets[:1]
	a, b := station(1), station(2)
	r := st.insertLocked(keyOf(1, &a), newValue(Dynamic, 3, firstSeen(5)))
	s, v := st.find(keyOf(1, &a))
	st.removeLocked(r, v)
	for i := range 31 { // as many as incarnations tell apart
		if s.replace(v, v.at(seenAgain(9))) {
			t.Fatalf("an entry was renewed after it was removed, and %d others", i)
		}
		if next := st.insertLocked(keyOf(1, &b), newValue(Dynamic, 3, firstSeen(5))); next != r {
			t.Fatalf("the next holder is in slot %d, want %d", next, r)
		}
		if s.replace(v, v.at(seenAgain(9))) {
			t.Fatalf("the renewal of the first holder reached number %d after it", i+1)
		}
		st.removeLocked(r, s.load())
	}
}

func TestStoreSpreadsAddressesOfAnyPattern(t *testing.T) {
	const n = 10_000
	for name, mac := range map[string]func(i uint64) uint64{
		"counting up":         func(i uint64) uint64 { return i },
		"counting up on top":  func(i uint64) uint64 { return i << 32 },
		"one octet in two":    func(i uint64) uint64 { return i&0xff | i>>8&0xff<<16 },
		"multiples of 4096":   func(i uint64) uint64 { return i << 12 },
		"bit patterns, grown": func(i uint64) uint64 { return i * i * i },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(n)
			for i := range uint64(n) {
				m := frame.MACFromUint64(mac(i))
				st.insertLocked(keyOf(1, &m), newValue(Dynamic, 1, 0))
			}
			var passes, longest uint32
			for _, p := range st.passed {
				passes += p
				longest = max(longest, p)
			}
			// A random spread has 3 in 100 elsewhere than at home.
			if passes > n/10 || longest > 40 {
				t.Errorf("%d entries passed %d buckets, one bucket was passed by %d; want under %d and 40", n, passes, longest, n/10)
			}
		})
	}
}
