package fdb

// SetSize sets how many dynamic entries there may be; 0 is [DefaultSize], more
// than [MaxSize] is MaxSize. Where there are more already, they are evicted as
// newcomers would evict them.
func (t *Table) SetSize(n int) {
	t.control.Lock()
	defer t.control.Unlock()
	n = clampSize(n)
	t.mu.Lock()
	same := n == t.size
	t.size = min(n, t.size) // a bigger store first
	t.mu.Unlock()
	if same {
		return
	}
	for t.evictOverSize() {
	}
	t.mu.Lock()
	reserve := reserveFor(n)
	for reserve < t.standing[Static]+t.standing[Filter] {
		reserve *= 2
	}
	t.mu.Unlock()
	t.rebuild(n, reserve)
}

// evictOverSize removes one dynamic entry where there are too many.
func (t *Table) evictOverSize() (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.standing[Dynamic] <= t.size {
		return false
	}
	settle := sweepSettle
	t.makeRoomLocked(nil, t.clock, &settle)
	return true
}

// growReserve makes room for one more static or filter entry. The caller holds
// control, under which alone reserve and their number grow.
func (t *Table) growReserve() {
	t.mu.Lock()
	full := t.standing[Static]+t.standing[Filter] >= t.reserve
	t.mu.Unlock()
	if full {
		t.rebuild(t.size, 2*t.reserve)
	}
}

// rebuild moves all entries to a new store. The caller holds control. Workers
// go on looking up and renewing in the old store until the new one is complete.
func (t *Table) rebuild(size, reserve int) {
	st := newStore(size + reserve)
	lists := newCrowd(size)
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.store.Load()
	t.next.Store(st)
	t.copyLocked(old, st)
	st.catchUpAll(old)
	t.store.Store(st)
	t.next.Store(nil)
	t.size, t.reserve = size, reserve
	t.crowd = t.crowd.into(lists)
}

// copyLocked fills st with what is in old.
func (t *Table) copyLocked(old, st *store) {
	// Those on lists first, in their order.
	t.ports.each(func(p *portState) {
		r := p.entries.first
		p.entries = byAge{}
		for ; r != 0; r = old.ages[r].right {
			st.ages.arrive(&p.entries, st.copyOneLocked(old, r), old.ages[r].stamp)
		}
	})
	for r := ref(1); r <= old.refs(); r++ {
		switch v := old.slot(r).load(); {
		case old.keyLocked(r) == 0:
		case v.kind() != Dynamic:
			st.copyOneLocked(old, r)
		case old.ages[r].rank > 0:
			st.ages.sortIn(&t.ports.get(v.port()).entries, st.copyOneLocked(old, r), old.ages[r].stamp)
		}
	}
}

// copyOneLocked adds what is at r in old.
func (st *store) copyOneLocked(old *store, r ref) ref {
	return st.insertLocked(old.keyLocked(r), old.slot(r).load())
}

// catchUpAll renews what was renewed in old after it was copied from there. Who
// does so later than it is looked at here finds the copy in st, and renews it
// too; see Table.Learn.
func (st *store) catchUpAll(old *store) {
	for r := ref(1); r <= old.refs(); r++ {
		if k := old.keyLocked(r); k != 0 {
			st.catchUp(k, old.slot(r).load().seen())
		}
	}
}

// catchUp renews k, if it is there, as of at.
func (st *store) catchUp(k key, at seen) {
	for {
		s, v := st.find(k)
		if v.kind() != Dynamic || v.seen() >= at || s.replace(v, v.at(at)) {
			return
		}
	}
}
