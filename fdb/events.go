package fdb

import (
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// EventKind says what happened to an entry.
type EventKind uint8

// The kinds of an event, and which ports it names.
const (
	EventLearned EventKind = iota + 1 // To
	EventMoved                        // From, To
	EventAged                         // From
	EventEvicted                      // From; a newcomer or a smaller size took its place
	EventFlushed                      // From; also where a static or filter entry takes its place
	EventAdded                        // To; a static or filter entry
	EventDeleted                      // From; by name or with its port
)

func (k EventKind) String() string {
	return [...]string{"none", "learned", "moved", "aged", "evicted", "flushed", "added", "deleted"}[k&7]
}

// EventKinds is a set of kinds. Who asks for few of them loses none to the
// others: somebody who invents addresses makes events by the hundred thousand.
type EventKinds uint16

// Kinds returns a set.
func Kinds(kinds ...EventKind) (s EventKinds) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Event is a change of the table. Renewals are none.
type Event struct {
	Kind     EventKind
	Type     Type // of the entry
	VLAN     vlan.ID
	MAC      frame.MAC
	From, To PortID // as the kind says, else 0
	At       Time   // for a control request, the latest time that the table was given
}

// ring keeps the last events for one who comes by to fetch them. Nobody waits
// for him: what he does not fetch in time is overwritten, and counted.
type ring struct {
	events        []Event
	written, read uint64
}

func newRing(n int) ring { return ring{events: make([]Event, n)} }

func (r *ring) put(e Event) {
	r.events[r.written%uint64(len(r.events))] = e
	r.written++
}

// take moves events written before end to out and returns their number, and
// how many were lost before them.
func (r *ring) take(out []Event, end uint64) (n int, lost uint64) {
	if behind := r.written - r.read; behind > uint64(len(r.events)) {
		lost = behind - uint64(len(r.events))
		r.read += lost
	}
	for n < len(out) && r.read < end {
		out[n] = r.events[r.read%uint64(len(r.events))]
		n++
		r.read++
	}
	return n, lost
}

func (t *Table) emitLocked(e Event) {
	if t.kinds&(1<<e.Kind) == 0 {
		return
	}
	e.At = t.clock
	t.events.put(e)
}

// Drain calls fn with each event since the last Drain, in their order, and
// returns how many were lost because nobody drained in time. Who lost some and
// keeps a copy of the table must make it anew from [Table.Range]. fn may use
// the frame path's methods and Stats, but not Drain.
func (t *Table) Drain(fn func(Event)) (lost uint64) {
	t.draining.Lock()
	defer t.draining.Unlock()
	t.mu.Lock()
	end := t.events.written
	t.mu.Unlock()
	var batch [32]Event
	for {
		t.mu.Lock()
		n, l := t.events.take(batch[:], end)
		t.mu.Unlock()
		lost += l
		for _, e := range batch[:n] {
			fn(e)
		}
		if n < len(batch) {
			return lost
		}
	}
}
