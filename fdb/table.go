package fdb

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Table is a forwarding database. See the package comment for who may call what
// at once. Make one with [New].
type Table struct {
	// Read for every frame and hardly ever written.
	store  atomic.Pointer[store]
	next   atomic.Pointer[store] // the one that takes its place, while it is filled; else nil
	ageing atomic.Int64          // milliseconds; noAgeing is off
	ports  ports

	_ [64]byte // the fields above share no cache line with those below

	// Counted without the lock.
	refused, limited, busy atomic.Uint64

	control  sync.Mutex // one control request at a time; taken before mu
	draining sync.Mutex // one Drain at a time; taken before mu

	mu       sync.Mutex // held for one entry at a time, but for a rebuild
	size     int        // dynamic entries at most
	reserve  int        // static and filter entries that the store has room for
	crowd    crowd
	standing [Filter + 1]int // entries by type
	oldest   Time            // no dynamic entry was last seen before
	reaping  PortID          // where reapLocked found the last one
	clock    Time            // the latest time that a caller has given
	arrived  Time            // of the last newcomer
	order    uint32          // of the last newcomer among those of its millisecond
	counts   Stats           // of what is counted under mu
	events   ring
	kinds    EventKinds // that events takes; fixed
}

const noAgeing = math.MaxInt64

// New makes a table.
func New(c Config) *Table {
	t := &Table{size: clampSize(c.Size), oldest: math.MaxInt64}
	t.reserve = reserveFor(t.size)
	t.crowd = newCrowd(t.size)
	t.store.Store(newStore(t.size + t.reserve))
	if c.Events <= 0 {
		c.Events = DefaultEvents
	}
	t.events = newRing(c.Events)
	if t.kinds = c.Kinds; t.kinds == 0 {
		t.kinds = ^t.kinds
	}
	t.SetAgeing(c.Ageing)
	return t
}

func clampSize(n int) int {
	if n <= 0 {
		return DefaultSize
	}
	return min(n, MaxSize)
}

func reserveFor(size int) int { return max(64, size/16) }

func (t Time) duration() time.Duration { return time.Duration(t) * time.Millisecond }

// SetAgeing sets the age past which a dynamic entry is forgotten. It applies at
// once, to the entries that are there too; 0 turns ageing off.
func (t *Table) SetAgeing(d time.Duration) {
	ms := int64(noAgeing)
	if d > 0 {
		ms = int64(max(1, d/time.Millisecond))
	}
	t.ageing.Store(ms)
}

// expired reports whether v is too old to be known. An entry that is exactly as
// old as the ageing time is not.
func (t *Table) expired(v value, now Time) bool {
	return v.kind() == Dynamic && t.tooOld(v.seen().time(), now)
}

func (t *Table) tooOld(seen, now Time) bool { return int64(now-seen) > t.ageing.Load() }

// Prefetch begins to fetch what the table has of two stations, so that it is at
// hand by the time of the lookup. It pays where there are more to come: their
// memory is waited for together.
func (t *Table) Prefetch(a, b Station) {
	st := t.store.Load()
	prefetch(st.bucket(a.hash), st.bucket(b.hash))
}

// Lookup returns the port behind which a station is Known. It takes no lock.
func (t *Table) Lookup(s Station, now Time) (PortID, Verdict) {
	_, v := t.store.Load().findStation(s)
	switch {
	case v.kind() == Filter:
		return 0, Filtered
	case v.kind() == 0 || t.expired(v, now):
		return 0, Unknown
	}
	return v.port(), Known
}

// removeLocked removes an entry whose value is v, and counts why. It reports
// false, and does nothing, where the entry was renewed meanwhile.
func (t *Table) removeLocked(r ref, k key, v value, why EventKind) bool {
	if !t.store.Load().removeLocked(r, v) {
		return false
	}
	t.noteRemovedLocked(r, k, v, why)
	return true
}

// noteRemovedLocked accounts for an entry that is no more.
func (t *Table) noteRemovedLocked(r ref, k key, v value, why EventKind) {
	t.standing[v.kind()]--
	switch v.kind() {
	case Dynamic:
		t.leaveLocked(t.ports.get(v.port()), r)
		t.countRemovedLocked(why)
	case Static:
		t.ports.get(v.port()).static--
	}
	t.emitLocked(Event{Kind: why, Type: v.kind(), VLAN: k.vlan(), MAC: k.mac(), From: v.port()})
}

func (t *Table) countRemovedLocked(why EventKind) {
	switch why {
	case EventAged:
		t.counts.Aged++
	case EventEvicted:
		t.counts.Evicted++
	default:
		t.counts.Flushed++
	}
}

// joinLocked makes the entry at r one of p's, seen first at now.
func (t *Table) joinLocked(p *portState, r ref, now Time) {
	if now > t.arrived {
		t.arrived, t.order = now, 0
	} else {
		t.order++
	}
	t.oldest = min(t.oldest, now)
	a := t.store.Load().ages
	a.arrive(&p.entries, r, newStamp(firstSeen(now), t.order))
	p.noteOldest(a)
	t.crowd.move(p, +1)
}

// leaveLocked makes the entry at r no longer one of p's.
func (t *Table) leaveLocked(p *portState, r ref) {
	a := t.store.Load().ages
	a.remove(&p.entries, r)
	p.noteOldest(a)
	t.crowd.move(p, -1)
}

// lockForFrame tries for the lock as long as one or two others may rightly
// hold it.
func (t *Table) lockForFrame() bool {
	for range lockTries {
		if t.mu.TryLock() {
			return true
		}
	}
	t.busy.Add(1)
	return false
}

// lockTries makes a few microseconds; holding the lock takes well below one,
// but for the exceptions in the package comment.
const lockTries = 2048
