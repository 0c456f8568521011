package fdb

import "math"

// maxSettle bounds the entries that one call sorts in again while it holds the
// lock: a millisecond's work. A table of DefaultSize never has more.
const maxSettle = 16384

// oldestLocked returns the dynamic entry of p that was last seen before all
// its others. Entries that were renewed since they were sorted in are sorted in
// anew on the way, which settle bounds; it reports false when that is used up.
// It returns 0 where p has none.
//
// It is exact: the one on top has the smallest stamp, no stamp is later than
// the truth, and that of the one returned is the truth.
func (t *Table) oldestLocked(p *portState, settle *int) (r ref, v value, ok bool) {
	st := t.store.Load()
	for {
		r := st.ages.oldest(&p.entries)
		if r == 0 {
			return 0, 0, true
		}
		v, s := st.slot(r).load(), st.ages[r].stamp
		if v.seen() <= s.seen() {
			return r, v, true
		}
		if *settle == 0 {
			return 0, 0, false
		}
		*settle--
		st.ages.remove(&p.entries, r)
		st.ages.sortIn(&p.entries, r, s.updated(v.seen()))
		p.noteOldest(st.ages)
	}
}

// reapPortLocked removes the oldest entry of p if it has expired. It reports
// ok false when settle was used up before that was known.
func (t *Table) reapPortLocked(p *portState, now Time, settle *int) (reaped, ok bool) {
	for t.tooOld(p.oldestSeen(), now) {
		r, v, ok := t.oldestLocked(p, settle)
		if !ok {
			return false, false
		}
		if r == 0 || !t.expired(v, now) {
			break
		}
		if t.removeLocked(r, t.store.Load().keyLocked(r), v, EventAged) {
			return true, true
		}
	}
	return false, true
}

// reapLocked is reapPortLocked for all ports. Where nothing can have expired
// it costs nothing; where much has, the next one is found where the last was.
func (t *Table) reapLocked(now Time, settle *int) (reaped, ok bool) {
	if !t.tooOld(t.oldest, now) {
		return false, true
	}
	oldest := Time(math.MaxInt64)
	first := int(t.reaping) / portPage
	for i := range t.ports {
		page := t.ports[(first+i)%len(t.ports)].Load()
		if page == nil {
			continue
		}
		for j := range page {
			p := &page[j]
			if reaped, ok := t.reapPortLocked(p, now, settle); reaped || !ok {
				t.reaping = p.id
				return reaped, ok
			}
			oldest = min(oldest, p.oldestSeen())
		}
	}
	t.oldest = oldest
	return false, true
}

// makeRoomLocked removes one dynamic entry: one that has expired, else the
// oldest of the port that has most. own is the newcomer's port or nil.
func (t *Table) makeRoomLocked(own *portState, now Time, settle *int) (ok bool) {
	if reaped, ok := t.reapLocked(now, settle); reaped || !ok {
		return ok
	}
	for {
		p := t.crowd.fullest(own)
		r, v, ok := t.oldestLocked(p, settle)
		if !ok {
			return false
		}
		if t.removeLocked(r, t.store.Load().keyLocked(r), v, EventEvicted) {
			return true
		}
	}
}
