package vswitch

import (
	"context"
	"sync"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	SwitchAdded   EventKind = "switch-added"
	SwitchChanged EventKind = "switch-changed"
	SwitchRemoved EventKind = "switch-removed"
	PortAdded     EventKind = "port-added"
	PortChanged   EventKind = "port-changed" // by a request
	PortState     EventKind = "port-state"   // up, down or lost
	PortRemoved   EventKind = "port-removed"
	StationMoved  EventKind = "fdb-moved"
	LoopBegan     EventKind = "loop"
	LoopEnded     EventKind = "loop-gone"
)

// Event is something that happened to a switch. Fields that do not belong to
// the kind are zero.
type Event struct {
	Time   time.Time
	Kind   EventKind
	Switch string
	Port   string
	State  State
	Reason string

	// Of StationMoved: Port is where the station is now. Of a loop: between which
	// ports.
	VLAN vlan.ID
	MAC  frame.MAC
	From string
}

// eventBacklog is how many events wait for a reader before it misses some, and
// movesBacklog when it misses moves, of which a loop makes thousands: what happens
// because of them is still told.
const (
	eventBacklog = 1024
	movesBacklog = eventBacklog / 2
)

// bus hands events to those who listen. A reader that is slow misses events;
// it never holds anybody up.
type bus struct {
	mu      sync.Mutex
	readers map[chan Event]bool
	closed  bool
	first   chan struct{} // holds one when the first reader has come
}

func (b *bus) init() {
	b.readers = make(map[chan Event]bool)
	b.first = make(chan struct{}, 1)
}

// arrived receives when somebody listens after nobody did.
func (b *bus) arrived() <-chan struct{} { return b.first }

func (b *bus) send(ev Event) {
	ev.Time = time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.readers {
		if ev.Kind == StationMoved && len(ch) >= movesBacklog {
			continue
		}
		select {
		case ch <- ev:
		default:
		}
	}
}

func (b *bus) add() chan Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := make(chan Event, eventBacklog)
	if b.closed {
		close(ch)
		return ch
	}
	b.readers[ch] = true
	select {
	case b.first <- struct{}{}:
	default:
	}
	return ch
}

func (b *bus) remove(ch chan Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers[ch] {
		delete(b.readers, ch)
		close(ch)
	}
}

func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for ch := range b.readers {
		close(ch)
	}
	b.readers = nil
}

func (b *bus) watched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.readers) > 0
}

// Events returns what happens from now on. The channel is closed when ctx ends
// or the engine closes; a reader that falls far behind misses events.
func (e *Engine) Events(ctx context.Context) <-chan Event {
	ch := e.events.add()
	context.AfterFunc(ctx, func() { e.events.remove(ch) })
	return ch
}

// sendMoves tells of the stations that moved since the last call.
func (e *Engine) sendMoves() {
	for _, sw := range e.all() {
		untold := sw.table.Drain(func(ev fdb.Event) {
			sw.watch.note(ev)
			if !e.events.watched() {
				return
			}
			sn := sw.snapshot.Load()
			e.events.send(Event{
				Kind: StationMoved, Switch: sw.name, VLAN: ev.VLAN, MAC: ev.MAC,
				From: sn.name(ev.From), Port: sn.name(ev.To),
			})
		})
		if untold > 0 && e.events.watched() {
			e.log.Warn("stations move faster than can be told: somebody sends from others' addresses, or there is a loop", "switch", sw.name, "untold", untold)
		}
	}
}

// name returns the name of a port, "" where it has been deleted.
func (s *snapshot) name(id fdb.PortID) string {
	if v := s.view(id); v != nil {
		return v.core.name
	}
	return ""
}
