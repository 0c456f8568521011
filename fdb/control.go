package fdb

import (
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// AddStatic makes a station belong to a port. It takes the place of a dynamic
// entry; where just that entry stands already it does nothing, where another
// static or a filter entry stands it returns a *[ConflictError].
func (t *Table) AddStatic(vid vlan.ID, mac frame.MAC, port PortID) error {
	return t.add(keyOf(vid, mac.Address()), Static, port)
}

// AddFilter makes frames from and to a station be dropped. It replaces and
// conflicts as [Table.AddStatic] does.
func (t *Table) AddFilter(vid vlan.ID, mac frame.MAC) error {
	return t.add(keyOf(vid, mac.Address()), Filter, 0)
}

func (t *Table) add(k key, ty Type, port PortID) error {
	t.control.Lock()
	defer t.control.Unlock()
	t.growReserve()
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		r, v := t.store.Load().findRefLocked(k)
		switch {
		case r == 0:
			t.store.Load().insertLocked(k, newValue(ty, port, 0))
			t.noteAddedLocked(k, ty, port)
			return nil
		case v.kind() == Dynamic:
			if t.fixLocked(r, k, v, ty, port) {
				return nil
			}
		case v.kind() == ty && v.port() == port:
			return nil
		default:
			return &ConflictError{Standing: entryOf(k, v, 0)}
		}
	}
}

func (t *Table) noteAddedLocked(k key, ty Type, port PortID) {
	t.standing[ty]++
	if ty == Static {
		t.ports.get(port).static++
	}
	t.emitLocked(Event{Kind: EventAdded, Type: ty, VLAN: k.vlan(), MAC: k.mac(), To: port})
}

// fixLocked makes a dynamic entry, whose value is v, one that stays. It does so
// in place: not one frame is flooded for it. It reports false, and does
// nothing, where the entry was renewed meanwhile.
func (t *Table) fixLocked(r ref, k key, v value, ty Type, port PortID) bool {
	if !t.store.Load().slot(r).replace(v, newValue(ty, port, 0).incarnated(v.incarnation())) {
		return false
	}
	t.noteRemovedLocked(r, k, v, EventFlushed)
	t.noteAddedLocked(k, ty, port)
	return true
}

// Delete removes an entry of any type, or returns [ErrNotFound].
func (t *Table) Delete(vid vlan.ID, mac frame.MAC) error {
	k := keyOf(vid, mac.Address())
	t.control.Lock()
	defer t.control.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		r, v := t.store.Load().findRefLocked(k)
		switch {
		case r == 0:
			return ErrNotFound
		case t.expired(v, t.clock):
			t.removeLocked(r, k, v, EventAged)
		case t.removeLocked(r, k, v, EventDeleted):
			return nil
		}
	}
}

// Match chooses dynamic entries. The zero Match chooses all.
type Match struct {
	Port *PortID // nil: any
	VLAN vlan.ID // 0: any
}

// Flush removes the dynamic entries that m chooses and returns their number,
// counting those that have expired and were not swept yet.
func (t *Table) Flush(m Match) int {
	return t.removeIf(EventFlushed, func(k key, v value) bool {
		return v.kind() == Dynamic && (m.Port == nil || v.port() == *m.Port) && (m.VLAN == 0 || k.vlan() == m.VLAN)
	})
}

// RemovePort removes the dynamic entries of a port and, unless keepStatic, its
// static ones. It returns their number.
func (t *Table) RemovePort(id PortID, keepStatic bool) int {
	if !t.hasAny(id, keepStatic) {
		return 0
	}
	return t.removeIf(EventFlushed, func(_ key, v value) bool {
		return v.port() == id && (v.kind() == Dynamic || v.kind() == Static && !keepStatic)
	})
}

func (t *Table) hasAny(id PortID, dynamicOnly bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports.peek(id)
	return p != nil && (p.count.Load() > 0 || p.static > 0 && !dynamicOnly)
}

// RemoveIf removes the entries for which fn returns true, whatever their type,
// and returns their number. fn sees an age of 0, and sees an entry again that
// changed while it was asked about.
func (t *Table) RemoveIf(fn func(Entry) bool) int {
	return t.removeIf(EventFlushed, func(k key, v value) bool { return fn(entryOf(k, v, 0)) })
}

// removeIf removes the entries that remove chooses, which it asks without the
// lock. The lock is taken for each entry anew, so that workers get a turn.
func (t *Table) removeIf(why EventKind, remove func(key, value) bool) (n int) {
	t.control.Lock()
	defer t.control.Unlock()
	st := t.store.Load() // replaced under control only
	for r := ref(1); r <= st.refs(); r++ {
		for {
			k, v := st.holder(r)
			if k == 0 || !remove(k, v) {
				break
			}
			if t.removeHolder(r, k, v, why) {
				n++
				break
			}
		}
	}
	return n
}

// removeHolder removes what is at r if it is still k with v, renewals aside.
func (t *Table) removeHolder(r ref, k key, v value, why EventKind) bool {
	if v.kind() != Dynamic {
		why = EventDeleted
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.store.Load()
	for {
		w := st.slot(r).load()
		if st.keyLocked(r) != k || !w.sameButSeen(v) {
			return false
		}
		if t.removeLocked(r, k, w, why) {
			return true
		}
	}
}

// Expire sweeps out the dynamic entries that are too old at now, and returns
// their number. Lookup and Learn do not need it, but the memory of who was here
// is cleared, and the events come in time. Once a second is plenty.
func (t *Table) Expire(now Time) (n int) {
	t.control.Lock()
	defer t.control.Unlock()
	for {
		reaped, done := t.expireOne(now)
		if reaped {
			n++
		}
		if done {
			return n
		}
	}
}

// sweepSettle is maxSettle for a sweep, which has time between.
const sweepSettle = 16

func (t *Table) expireOne(now Time) (reaped, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock = max(t.clock, now)
	settle := sweepSettle
	reaped, ok := t.reapLocked(now, &settle)
	return reaped, ok && !reaped
}
