package fdb

import (
	"cmp"
	"slices"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// Stats is a table's size and what happened in it. Learned is Dynamic + Aged +
// Evicted + Flushed.
type Stats struct {
	Size                    int // dynamic entries at most
	Dynamic, Static, Filter int // entries; expired ones count until they are swept

	Learned uint64
	Moved   uint64
	Aged    uint64
	Evicted uint64 // to make room for newcomers, or by SetSize
	Flushed uint64 // removed on demand, also one by one and with their port
	Refused uint64 // frames whose station has an entry elsewhere that does not move
	Limited uint64 // frames whose station was one too many for its port
	Busy    uint64 // frames that taught nothing because the table was being changed
}

// Stats returns the counts as of one moment.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.counts
	s.Size = t.size
	s.Dynamic, s.Static, s.Filter = t.standing[Dynamic], t.standing[Static], t.standing[Filter]
	s.Refused, s.Limited, s.Busy = t.refused.Load(), t.limited.Load(), t.busy.Load()
	return s
}

// Continue goes on counting where another table has stopped, whose entries this one
// has taken over.
func (t *Table) Continue(s Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Moved, t.counts.Aged, t.counts.Evicted, t.counts.Flushed = s.Moved, s.Aged, s.Evicted, s.Flushed
	t.counts.Learned = uint64(t.standing[Dynamic]) + s.Aged + s.Evicted + s.Flushed
	t.refused.Store(s.Refused)
	t.limited.Store(s.Limited)
	t.busy.Store(s.Busy)
}

// Range calls fn with each entry that has not expired, in no order, until fn
// returns false. It takes no lock: entries that are there throughout are shown
// once, those that come and go meanwhile once, not at all, or, if they come
// back, again.
func (t *Table) Range(now Time, fn func(Entry) bool) {
	st := t.store.Load()
	for r := ref(1); r <= st.refs(); r++ {
		k, v := st.holder(r)
		if k != 0 && !t.expired(v, now) && !fn(entryOf(k, v, now)) {
			return
		}
	}
}

// Entry returns what [Table.Range] would show of one station; ok: there is any.
func (t *Table) Entry(vid vlan.ID, mac frame.MAC, now Time) (e Entry, ok bool) {
	_, v := t.store.Load().findStation(StationOf(vid, mac.Address()))
	if v.kind() == 0 || t.expired(v, now) {
		return Entry{}, false
	}
	return entryOf(keyOf(vid, mac.Address()), v, now), true
}

// Entries returns what [Table.Range] shows, sorted by VLAN and address, each
// once.
func (t *Table) Entries(now Time) []Entry {
	var all []Entry
	t.Range(now, func(e Entry) bool {
		all = append(all, e)
		return true
	})
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Compare(keyOf(a.VLAN, a.MAC.Address()), keyOf(b.VLAN, b.MAC.Address()))
	})
	return slices.CompactFunc(all, func(a, b Entry) bool { return a.VLAN == b.VLAN && a.MAC == b.MAC })
}
