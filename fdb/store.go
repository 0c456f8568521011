package fdb

import (
	"math/bits"
	"sync/atomic"
)

// store is the hash table. Readers need no lock; changes but renewals are made
// under Table.mu.
//
// A bucket is one cache line with four entries. Where an entry's bucket is
// full, it goes to the next one that is not, and the buckets that it passed
// count it; a reader goes on where the count is not 0. There are half as many
// slots again as entries may be, so that one bucket is enough nine times in
// ten, and a free slot is always near.
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
//
// Memory is what costs most here (BenchmarkLookupAndLearn): hence one line an
// entry, filled well, the versions shared by many buckets, and a search without
// branches that depend on what was read, so that the processor is at the next
// lookup while it waits for this one.
type store struct {
	buckets  []bucket
	versions [numVersions]atomic.Uint64 // how often a slot was emptied in the buckets that share it
	passed   []uint32                   // by bucket: entries that live further on since it was full; under Table.mu
	ages     ages                       // by slot; under Table.mu
}

const (
	bucketSlots = 4
	numVersions = 1024
)

type bucket [bucketSlots]slot

type slot struct {
	key   atomic.Uint64 // key; in the first of a bucket with keyPassed where passed is not 0
	value atomic.Uint64 // value
}

func (s *slot) loadKey() key { return key(s.key.Load()) &^ keyPassed }

// storeKey is for those that hold the lock.
func (s *slot) storeKey(k key) { s.key.Store(s.key.Load()&uint64(keyPassed) | uint64(k)) }

func (s *slot) load() value { return value(s.value.Load()) }

func (s *slot) replace(v, w value) bool { return s.value.CompareAndSwap(uint64(v), uint64(w)) }

// ref names a slot of a store, counted from 1; 0 is none.
type ref uint32

func newStore(entries int) *store {
	n := max(2, (2*entries+bucketSlots-1)/bucketSlots)
	return &store{
		buckets: make([]bucket, n),
		passed:  make([]uint32, n),
		ages:    make(ages, n*bucketSlots+1),
	}
}

// home returns the index of the bucket in which k begins.
func (st *store) home(k key) uint { return st.index(k.hash()) }

// index returns that of a hash: its upper bits choose the bucket, as in Lemire,
// "Fast Random Integer Generation in an Interval" (2019).
func (st *store) index(hash uint64) uint {
	at, _ := bits.Mul64(hash, uint64(len(st.buckets)))
	return uint(at)
}

// bucket returns the one in which a hash begins.
func (st *store) bucket(hash uint64) *bucket { return &st.buckets[st.index(hash)] }

func (st *store) after(i uint) uint {
	if i++; i == uint(len(st.buckets)) {
		return 0
	}
	return i
}

func (st *store) slot(r ref) *slot {
	return &st.buckets[(r-1)/bucketSlots][(r-1)%bucketSlots]
}

func (st *store) version(bucket uint) *atomic.Uint64 { return &st.versions[bucket%numVersions] }

func (st *store) find(k key) (*slot, value) { return st.findStation(k.station()) }

// findStation returns the slot of a station and its value, or nil.
func (st *store) findStation(s Station) (*slot, value) {
	k, i := s.key, st.index(s.hash)
	b, version := &st.buckets[i], st.version(i)
	before := version.Load()
	first := key(b[0].key.Load())
	is0 := one(first&^keyPassed == k)
	is1 := one(key(b[1].key.Load()) == k)
	is2 := one(key(b[2].key.Load()) == k)
	is3 := one(key(b[3].key.Load()) == k)
	if is0|is1|is2|is3 != 0 {
		s := &b[(is1|is2<<1|is3|is3<<1)%bucketSlots]
		v := s.load()
		if version.Load() == before && v.kind() != 0 {
			return s, v
		}
	} else if first&keyPassed == 0 {
		return nil, 0
	}
	return st.findOn(k, i)
}

// findOn is find for what the first look did not settle.
func (st *store) findOn(k key, i uint) (*slot, value) {
	for range st.buckets {
		b := &st.buckets[i]
	again:
		version := st.version(i).Load()
		j, found, passed := b.index(k)
		if found {
			v := b[j].load()
			if st.version(i).Load() != version {
				goto again
			}
			if v.kind() == 0 {
				break
			}
			return &b[j], v
		}
		if !passed {
			break
		}
		i = st.after(i)
	}
	return nil, 0
}

// index returns the slot that holds k, if any, and whether entries passed the
// bucket.
func (b *bucket) index(k key) (j int, found, passed bool) {
	passed = key(b[0].key.Load())&keyPassed != 0
	for j := range b {
		if b[j].loadKey() == k {
			return j, true, passed
		}
	}
	return 0, false, passed
}

// one compiles to SETcc.
func one(b bool) uint {
	if b {
		return 1
	}
	return 0
}

// findRefLocked is find for those that hold the lock and need the ref.
func (st *store) findRefLocked(k key) (ref, value) {
	s, v := st.find(k)
	if s == nil {
		return 0, 0
	}
	i := st.home(k)
	for range st.buckets {
		if j, found, _ := st.buckets[i].index(k); found {
			return ref(int(i)*bucketSlots + j + 1), v
		}
		i = st.after(i)
	}
	panic("fdb: a slot that was found is gone, with the lock held")
}

// keyLocked returns the key at r, or 0.
func (st *store) keyLocked(r ref) key { return st.slot(r).loadKey() }

// holder returns key and value of a slot, or 0 where it is free.
func (st *store) holder(r ref) (key, value) {
	versions, s := st.version(uint(r-1)/bucketSlots), st.slot(r)
	for {
		version := versions.Load()
		k, v := s.loadKey(), s.load()
		if versions.Load() != version {
			continue
		}
		if k == 0 || v.kind() == 0 {
			return 0, 0
		}
		return k, v
	}
}

// insertLocked adds k, which is not there. The caller has seen to it that there
// is room.
func (st *store) insertLocked(k key, v value) ref {
	i := st.home(k)
	for range st.buckets {
		b := &st.buckets[i]
		for j := range b {
			s := &b[j]
			if s.loadKey() == 0 {
				s.value.Store(uint64(v.incarnated(s.load().incarnation() + 1)))
				s.storeKey(k)
				return ref(int(i)*bucketSlots + j + 1)
			}
		}
		st.pass(i, +1)
		i = st.after(i)
	}
	panic("fdb: no free slot in a store that has more slots than entries")
}

// pass notes that by entries more have passed a bucket; by is 1 or -1. Readers
// need not know how many.
func (st *store) pass(i uint, by int) {
	st.passed[i] += uint32(by)
	first := &st.buckets[i][0]
	flag := uint64(0)
	if st.passed[i] > 0 {
		flag = uint64(keyPassed)
	}
	if k := first.key.Load(); k&uint64(keyPassed) != flag {
		first.key.Store(k ^ uint64(keyPassed))
	}
}

// removeLocked empties a slot whose value is v. It reports false, and does
// nothing, where the value was renewed meanwhile.
func (st *store) removeLocked(r ref, v value) bool {
	s := st.slot(r)
	if !s.replace(v, v.dead()) {
		return false
	}
	k := s.loadKey()
	s.storeKey(0)
	last := uint(r-1) / bucketSlots
	st.version(last).Add(1)
	for i := st.home(k); i != last; i = st.after(i) {
		st.pass(i, -1)
	}
	return true
}

// refs returns the highest ref.
func (st *store) refs() ref { return ref(len(st.buckets) * bucketSlots) }
