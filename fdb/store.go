package fdb

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// store is the hash table. Readers need no lock; changes but renewals are made
// under Table.mu.
//
// A bucket is one cache line with three entries. Where an entry's bucket is
// full, it goes to the next one that is not, and the buckets that it passed
// count it; a reader goes on as long as the count is not 0. There are twice as
// many slots as entries may be, so one bucket is enough most of the time, and a
// free slot is always near.
//
// An entry stays in its slot until it is removed: nothing is shifted to fill a
// gap, as the counts need no unbroken chain. So a reader does not miss an entry
// because others come and go.
//
// Nor does a reader take another's value for the one that it looks for. A slot
// is emptied in this order: value dead, key 0, version up; and filled in this
// one: value, key. The reader takes version, key, value, version. If the value
// is of a later holder than the key, then the version went up between the two
// readings of it, and the reader tries again; it cannot be of an earlier one,
// since the key appears after the value. Trying again means that somebody else
// got something done, so it has an end; and a writer that is suspended in the
// middle holds nobody up.
//
// Last, a renewal is never lost on an entry that is removed at the same time:
// both start with a compare-and-swap of the value, and one of them fails.
type store struct {
	seed    [2]uint64
	buckets []bucket
	ages    ages // by slot; under Table.mu
}

const bucketSlots = 3

type bucket struct {
	version atomic.Uint64 // of the keys: how often a slot was emptied
	passed  atomic.Uint64 // entries that live further on since this was full
	slots   [bucketSlots]slot
}

type slot struct {
	key   atomic.Uint64 // key
	value atomic.Uint64 // value
}

func (s *slot) load() value { return value(s.value.Load()) }

func (s *slot) replace(v, w value) bool { return s.value.CompareAndSwap(uint64(v), uint64(w)) }

// ref names a slot of a store, counted from 1; 0 is none.
type ref uint32

func newStore(entries int) *store {
	n := max(2, (2*entries+bucketSlots-1)/bucketSlots)
	return &store{
		seed:    [2]uint64{rand.Uint64(), rand.Uint64() | 1},
		buckets: make([]bucket, n),
		ages:    make(ages, n*bucketSlots+1),
	}
}

// home returns the index of the bucket in which k begins. The product is folded
// as in wyhash, by Wang Yi; its upper bits choose the bucket, as in Lemire,
// "Fast Random Integer Generation in an Interval" (2019).
func (st *store) home(k key) int {
	hi, lo := bits.Mul64(uint64(k)^st.seed[0], st.seed[1])
	hi, lo = bits.Mul64(hi^lo^st.seed[0], st.seed[1])
	at, _ := bits.Mul64(hi^lo, uint64(len(st.buckets)))
	return int(at)
}

func (st *store) after(i int) int {
	if i++; i == len(st.buckets) {
		return 0
	}
	return i
}

func (st *store) slot(r ref) *slot {
	return &st.buckets[(r-1)/bucketSlots].slots[(r-1)%bucketSlots]
}

// find returns the slot of k and its value, or nil.
func (st *store) find(k key) (*slot, value) {
	i := st.home(k)
	for range st.buckets {
		b := &st.buckets[i]
	again:
		version := b.version.Load()
		for j := range b.slots {
			s := &b.slots[j]
			if s.key.Load() != uint64(k) {
				continue
			}
			v := s.load()
			if b.version.Load() != version {
				goto again
			}
			if v.kind() == 0 {
				return nil, 0
			}
			return s, v
		}
		if b.passed.Load() == 0 {
			break
		}
		i = st.after(i)
	}
	return nil, 0
}

// findRefLocked is find for those that hold the lock and need the ref.
func (st *store) findRefLocked(k key) (ref, value) {
	i := st.home(k)
	for range st.buckets {
		b := &st.buckets[i]
		for j := range b.slots {
			if b.slots[j].key.Load() == uint64(k) {
				return ref(i*bucketSlots + j + 1), b.slots[j].load()
			}
		}
		if b.passed.Load() == 0 {
			break
		}
		i = st.after(i)
	}
	return 0, 0
}

// holder returns key and value of a slot, or 0 where it is free.
func (st *store) holder(r ref) (key, value) {
	b, s := &st.buckets[(r-1)/bucketSlots], st.slot(r)
	for {
		version := b.version.Load()
		k, v := key(s.key.Load()), s.load()
		if b.version.Load() != version {
			continue
		}
		if k == 0 || v.kind() == 0 {
			return 0, 0
		}
		return k, v
	}
}

// keyLocked returns the key at r, or 0.
func (st *store) keyLocked(r ref) key { return key(st.slot(r).key.Load()) }

// insertLocked adds k, which is not there. The caller has seen to it that there
// is room.
func (st *store) insertLocked(k key, v value) ref {
	i := st.home(k)
	for range st.buckets {
		b := &st.buckets[i]
		for j := range b.slots {
			s := &b.slots[j]
			if s.key.Load() == 0 {
				s.value.Store(uint64(v.incarnated(s.load().incarnation() + 1)))
				s.key.Store(uint64(k))
				return ref(i*bucketSlots + j + 1)
			}
		}
		b.passed.Add(1)
		i = st.after(i)
	}
	panic("fdb: no free slot in a store that is half empty at least")
}

// removeLocked empties a slot whose value is v. It reports false, and does
// nothing, where the value was renewed meanwhile.
func (st *store) removeLocked(r ref, v value) bool {
	s := st.slot(r)
	if !s.replace(v, v.dead()) {
		return false
	}
	k := key(s.key.Load())
	s.key.Store(0)
	last := int(r-1) / bucketSlots
	st.buckets[last].version.Add(1)
	for i := st.home(k); i != last; i = st.after(i) {
		st.buckets[i].passed.Add(^uint64(0))
	}
	return true
}

// refs returns the highest ref.
func (st *store) refs() ref { return ref(len(st.buckets) * bucketSlots) }
