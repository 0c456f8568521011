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
		k := keyOf(1, mac.Address())
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
	r := st.insertLocked(keyOf(1, a.Address()), newValue(Dynamic, 3, firstSeen(5)))
	s, v := st.find(keyOf(1, a.Address()))
	st.removeLocked(r, v)
	for i := range 31 { // as many as incarnations tell apart
		if s.replace(v, v.at(seenAgain(9))) {
			t.Fatalf("an entry was renewed after it was removed, and %d others", i)
		}
		if next := st.insertLocked(keyOf(1, b.Address()), newValue(Dynamic, 3, firstSeen(5))); next != r {
			t.Fatalf("the next holder is in slot %d, want %d", next, r)
		}
		if s.replace(v, v.at(seenAgain(9))) {
			t.Fatalf("the renewal of the first holder reached number %d after it", i+1)
		}
		st.removeLocked(r, s.load())
	}
}

// The windows between two steps of a reader, a renewal or a rebuild are too
// narrow for a test with goroutines; these take the steps one by one.

func TestReaderNoticesThatASlotWasEmptied(t *testing.T) {
	for name, meanwhile := range map[string]func(st *store, r ref){
		"and filled by another": func(st *store, r ref) {
			b := station(2)
			st.removeLocked(r, st.slot(r).load())
			st.insertLocked(keyOf(1, b.Address()), newValue(Dynamic, 4, firstSeen(5)))
		},
		"and filled by another and the same again": func(st *store, r ref) {
			a, b := station(1), station(2)
			st.removeLocked(r, st.slot(r).load())
			st.insertLocked(keyOf(1, b.Address()), newValue(Dynamic, 4, firstSeen(5)))
			st.removeLocked(r, st.slot(r).load())
			st.insertLocked(keyOf(1, a.Address()), newValue(Dynamic, 3, firstSeen(5)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(1)
			st.buckets = st.buckets[:1]
			a := station(1)
			r := st.insertLocked(keyOf(1, a.Address()), newValue(Dynamic, 3, firstSeen(5)))
			before := st.version(0).Load()
			if k := st.keyLocked(r); k != keyOf(1, a.Address()) {
				t.Fatalf("slot %d holds %#x", r, k)
			}
			meanwhile(st, r)
			if st.version(0).Load() == before {
				t.Error("the version is the same, so that the reader would take what it reads next for the first station's")
			}
		})
	}
}

func TestReaderTakesADeadEntryForNone(t *testing.T) {
	st := newStore(1)
	a := station(1)
	r := st.insertLocked(keyOf(1, a.Address()), newValue(Dynamic, 3, firstSeen(5)))
	v := st.slot(r).load()
	st.slot(r).replace(v, v.dead())
	if s, v := st.find(keyOf(1, a.Address())); s != nil || v != 0 {
		t.Errorf("found %v", v)
	}
	if k, v := st.holder(r); k != 0 || v != 0 {
		t.Errorf("slot %d holds %#x, %#x", r, k, v)
	}
}

func TestRemovalNoticesARenewal(t *testing.T) {
	st := newStore(1)
	a := station(1)
	r := st.insertLocked(keyOf(1, a.Address()), newValue(Dynamic, 3, firstSeen(5)))
	v := st.slot(r).load()
	st.slot(r).replace(v, v.at(seenAgain(9)))
	if st.removeLocked(r, v) {
		t.Error("removed an entry that was renewed after it was found to be the oldest")
	}
	if s, v := st.find(keyOf(1, a.Address())); s == nil || v.seen() != seenAgain(9) {
		t.Errorf("found %#x, want it as it was renewed", v)
	}
}

func TestRebuildTakesRenewalsOver(t *testing.T) {
	for name, steps := range map[string]func(w *world, old, st *store){
		"before the copy": func(w *world, old, st *store) {
			w.hears(1, 1, 3, Renewed)
			w.copyLocked(old, st)
			st.catchUpAll(old)
		},
		"between the copy and the second look": func(w *world, old, st *store) {
			w.next.Store(nil) // as if the copy were made after the renewal looked for it
			w.copyLocked(old, st)
			w.hears(1, 1, 3, Renewed)
			st.catchUpAll(old)
		},
		"after the second look": func(w *world, old, st *store) {
			w.copyLocked(old, st)
			st.catchUpAll(old)
			w.hears(1, 1, 3, Renewed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.hears(1, 1, 3, Learned)
			w.now += 100
			old, st := w.store.Load(), newStore(100)
			w.next.Store(st)
			steps(w, old, st)
			a := station(1)
			if _, v := st.find(keyOf(1, a.Address())); v.seen() != seenAgain(w.now) {
				t.Errorf("in the new store it was seen at %d, want %d", v.seen().time(), w.now)
			}
		})
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
				m := frame.Address(mac(i)).MAC()
				st.insertLocked(keyOf(1, m.Address()), newValue(Dynamic, 1, 0))
			}
			var passes, longest uint32
			for _, p := range st.passed {
				passes += p
				longest = max(longest, p)
			}
			// A random spread has 6 in 100.
			if passes > n/10 || longest > 40 {
				t.Errorf("%d entries passed %d buckets, one bucket was passed by %d; want under %d and 40", n, passes, longest, n/10)
			}
		})
	}
}
