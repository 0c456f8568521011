package fdb

// Learn notes that a frame from a station came in by a port. The caller has
// dropped group and all-zero sources. It allocates nothing and waits for
// nobody; see [Busy].
func (t *Table) Learn(of Station, port PortID, now Time) Outcome {
	for {
		st := t.store.Load()
		s, v := st.findStation(of)
		if !v.learnedOn(port) {
			return t.learnSlow(of.key, v, port, now)
		}
		at := seenAgain(now)
		if v.seen() >= at {
			return Renewed
		}
		if t.expired(v, now) {
			return t.learnSlow(of.key, v, port, now)
		}
		if s.replace(v, v.at(at)) {
			// A rebuild takes over what it finds before it replaces the
			// store; what comes too late for that is for us to do.
			if next := t.next.Load(); next != nil {
				next.catchUp(of.key, at)
			}
			if t.store.Load() == st {
				return Renewed
			}
		}
	}
}

// learnSlow learns what is not a mere renewal. v was found, or is 0.
func (t *Table) learnSlow(k key, v value, port PortID, now Time) Outcome {
	// What refuses must not need the lock, or else one who sends what is
	// refused would hinder those who learn.
	if o, refused := t.refuse(v, port, now); refused {
		return o
	}
	if p := t.ports.peek(port); p != nil && p.atLimit() && !t.tooOld(p.oldestSeen(), now) {
		t.limited.Add(1)
		return Limited
	}
	if !t.lockForFrame() {
		return Busy
	}
	o := t.learnLocked(k, port, now)
	t.mu.Unlock()
	return o
}

// refuse decides where the entry that is there stays as it is.
func (t *Table) refuse(v value, port PortID, now Time) (o Outcome, refused bool) {
	switch v.kind() {
	case Filter:
		return SourceFiltered, true
	case Static:
		if v.port() == port {
			return Renewed, true
		}
	case Dynamic:
		if v.port() == port || t.expired(v, now) || !t.ports.peek(v.port()).sticky.Load() {
			return 0, false
		}
	default:
		return 0, false
	}
	t.refused.Add(1)
	return Refused, true
}

func (t *Table) learnLocked(k key, port PortID, now Time) Outcome {
	t.clock = max(t.clock, now)
	st := t.store.Load()
	for {
		r, v := st.findRefLocked(k)
		if r == 0 {
			return t.addLocked(k, port, now)
		}
		if o, refused := t.refuse(v, port, now); refused {
			return o
		}
		switch {
		case t.expired(v, now):
			t.removeLocked(r, k, v, EventAged)
		case v.port() == port:
			// Somebody else has learned it since we looked.
			if at := seenAgain(now); v.seen() >= at || st.slot(r).replace(v, v.at(at)) {
				return Renewed
			}
		default:
			if o, done := t.moveLocked(r, k, v, port, now); done {
				return o
			}
		}
	}
}

func (t *Table) addLocked(k key, port PortID, now Time) Outcome {
	p, settle := t.ports.get(port), maxSettle
	if o, ok := t.admitLocked(p, now, &settle); !ok {
		return o
	}
	if t.standing[Dynamic] >= t.size && !t.makeRoomLocked(p, now, &settle) {
		t.busy.Add(1)
		return Busy
	}
	r := t.store.Load().insertLocked(k, newValue(Dynamic, port, firstSeen(now)))
	t.standing[Dynamic]++
	t.joinLocked(p, r, now)
	t.counts.Learned++
	t.emitLocked(Event{Kind: EventLearned, Type: Dynamic, VLAN: k.vlan(), MAC: k.mac(), To: port})
	return Learned
}

// admitLocked asks whether p may have one more entry.
func (t *Table) admitLocked(p *portState, now Time, settle *int) (o Outcome, ok bool) {
	for p.atLimit() {
		reaped, ok := t.reapPortLocked(p, now, settle)
		switch {
		case !ok:
			t.busy.Add(1)
			return Busy, false
		case !reaped:
			t.limited.Add(1)
			return Limited, false
		}
	}
	return 0, true
}

// moveLocked reports done false where the entry was renewed meanwhile.
func (t *Table) moveLocked(r ref, k key, v value, port PortID, now Time) (o Outcome, done bool) {
	p, settle := t.ports.get(port), maxSettle
	if o, ok := t.admitLocked(p, now, &settle); !ok {
		return o, true
	}
	moved := newValue(Dynamic, port, firstSeen(now)).incarnated(v.incarnation())
	if !t.store.Load().slot(r).replace(v, moved) {
		return 0, false
	}
	t.leaveLocked(t.ports.get(v.port()), r)
	t.joinLocked(p, r, now)
	t.counts.Moved++
	t.emitLocked(Event{Kind: EventMoved, Type: Dynamic, VLAN: k.vlan(), MAC: k.mac(), From: v.port(), To: port})
	return Moved, true
}
