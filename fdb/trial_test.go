package fdb

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// trial drives a table and its model side by side.
type trial struct {
	testing.TB
	t   *Table
	m   *model
	now Time
}

const modelPorts, modelStations, modelVLANs = 5, 24, 2

func newTrial(tb testing.TB, size int, ageing Time) *trial {
	return &trial{
		TB: tb, now: 1,
		t: New(Config{Size: size, Ageing: ageing.duration()}),
		m: &model{
			entries: map[pair]*known{}, ports: map[PortID]PortLimits{}, reached: map[PortID]int{},
			size: size, ageing: ageing,
		},
	}
}

// op does one operation, chosen and filled in by next(n), which returns a
// number below n.
func (b *trial) op(next func(n int) int) {
	s := pair{vlan.ID(1 + next(modelVLANs)), station(next(modelStations))}
	port := PortID(next(modelPorts))
	switch op := next(40); op {
	default:
		now := b.now - Time(next(10)/9) // one worker in ten is behind
		b.learn(s, port, now)
	case 20, 21, 22:
		b.now += Time(next(3))
	case 23:
		b.now += Time(next(50))
	case 24:
		b.setPort(port, PortLimits{MaxMACs: next(6), Sticky: next(3) == 0})
	case 25:
		b.add(s, Static, port)
	case 26:
		b.add(s, Filter, 0)
	case 27, 28:
		b.remove(s)
	case 29:
		if next(4) == 0 {
			b.flush(port, next(2) == 0, vlan.ID(next(modelVLANs+1)))
		}
	case 30:
		if next(4) == 0 {
			b.removePort(port, next(2) == 0)
		}
	case 31:
		if next(4) == 0 {
			b.setSize(1 + next(modelStations))
		}
	case 32:
		if next(4) == 0 {
			b.m.ageing = Time(next(3) * 40)
			b.t.SetAgeing(b.m.ageing.duration())
		}
	case 33, 34:
		b.expire()
	}
	b.compare(s)
}

func (b *trial) learn(s pair, port PortID, now Time) {
	want := b.m.learn(s, port, now)
	if got := b.t.Learn(at(s.vlan, s.mac), port, now); got != want {
		b.Fatalf("Learn(%v, port %d) at %d = %v, want %v", s, port, now, got, want)
	}
	switch want {
	case Renewed:
		if k := b.m.entries[s]; k.Type == Dynamic && now >= k.seen {
			k.seen, k.more = now, true
		}
	case Refused:
		b.m.stats.Refused++
	case Limited:
		b.m.stats.Limited++
	}
	room := b.m.size - b.m.count(now, dynamic)
	b.events(func(e Event) bool {
		switch e.Kind {
		case EventLearned:
			return want == Learned && b.is(s, e) && e.To == port
		case EventMoved:
			return want == Moved && b.is(s, e) && e.To == port
		case EventAged:
			return b.m.expired(b.entry(e), now)
		case EventEvicted:
			return want == Learned && room <= 0 && b.eligible(e, port, true)
		}
		return false
	}, now)
}

// eligible asks whether the evicted entry was the oldest of the fullest port.
func (b *trial) eligible(e Event, own PortID, haveOwn bool) bool {
	if p := b.m.fullest(own, haveOwn); e.From != p {
		b.Errorf("evicted one of port %d, want one of port %d", e.From, p)
		return false
	}
	gone := b.entry(e)
	for s, k := range b.m.entries {
		if k.Type == Dynamic && k.port == e.From && (k.seen < gone.seen || k.seen == gone.seen && !k.more && gone.more) {
			b.Errorf("evicted %+v, which was seen at %d, before %v, which was seen at %d", e, gone.seen, s, k.seen)
			return false
		}
	}
	return true
}

func (b *trial) is(s pair, e Event) bool { return s == pair{e.VLAN, e.MAC} }

func (b *trial) entry(e Event) *known {
	k := b.m.entries[pair{e.VLAN, e.MAC}]
	if k == nil || k.Type != e.Type {
		b.Fatalf("event %+v is about %+v", e, k)
	}
	return k
}

// events applies what the table says has happened, each if it may.
func (b *trial) events(may func(Event) bool, now Time) (n int) {
	lost := b.t.Drain(func(e Event) {
		n++
		if !may(e) {
			b.Fatalf("event %v %+v must not be", e.Kind, e)
		}
		s := pair{e.VLAN, e.MAC}
		old := b.m.entries[s]
		if e.Kind == EventMoved || e.Kind != EventLearned && e.Kind != EventAdded {
			if old == nil || old.port != e.From {
				b.Fatalf("event %v %+v is about %+v", e.Kind, e, old)
			}
			delete(b.m.entries, s)
			if old.Type == Dynamic {
				b.m.stepped(old.port)
			}
		} else if old != nil {
			b.Fatalf("event %v %+v, but there is %+v", e.Kind, e, old)
		}
		switch e.Kind {
		case EventLearned:
			b.m.stats.Learned++
		case EventMoved:
			b.m.stats.Moved++
		case EventAged:
			b.m.stats.Aged++
		case EventEvicted:
			b.m.stats.Evicted++
		case EventFlushed:
			b.m.stats.Flushed++
		case EventDeleted:
			if e.Type == Dynamic {
				b.m.stats.Flushed++
			}
		case EventAdded:
			b.m.entries[s] = &known{Type: e.Type, port: e.To}
		}
		if e.Kind == EventLearned || e.Kind == EventMoved {
			b.m.entries[s] = &known{Type: Dynamic, port: e.To, seen: now}
			b.m.stepped(e.To)
		}
	})
	if lost != 0 {
		b.Fatalf("lost %d events", lost)
	}
	return n
}

func (b *trial) setPort(p PortID, l PortLimits) {
	b.m.ports[p] = l
	b.t.SetPort(p, l)
}

func (b *trial) add(s pair, ty Type, port PortID) {
	k, conflict := b.m.entries[s], false
	if k != nil && k.Type != Dynamic {
		conflict = k.Type != ty || k.port != port
	}
	var err error
	if ty == Static {
		err = b.t.AddStatic(s.vlan, s.mac, port)
	} else {
		err = b.t.AddFilter(s.vlan, s.mac)
	}
	if c := new(ConflictError); conflict != errors.As(err, &c) {
		b.Fatalf("add(%v, %v, port %d) onto %+v: %v", s, ty, port, k, err)
	}
	b.events(func(e Event) bool {
		return b.is(s, e) && (e.Kind == EventFlushed && e.Type == Dynamic || e.Kind == EventAdded && e.Type == ty && e.To == port)
	}, 0)
	if k := b.m.entries[s]; !conflict && (k == nil || k.Type != ty) {
		b.Fatalf("add(%v, %v) left %+v", s, ty, k)
	}
}

func (b *trial) remove(s pair) {
	k := b.m.entries[s]
	there := k != nil && !b.m.expired(k, b.t.clock)
	if err := b.t.Delete(s.vlan, s.mac); there != (err == nil) {
		b.Fatalf("Delete(%v) of %+v: %v", s, k, err)
	}
	b.events(func(e Event) bool {
		return b.is(s, e) && (e.Kind == EventDeleted) == there && (e.Kind == EventAged) == !there
	}, 0)
}

// removed asks whether n entries, just those that were chosen, went.
func (b *trial) removed(n int, chosen func(pair, *known) bool) {
	want := 0
	for s, k := range b.m.entries {
		if chosen(s, k) {
			want++
		}
	}
	if n != want {
		b.Fatalf("removed %d, want %d", n, want)
	}
	if got := b.events(func(e Event) bool {
		return chosen(pair{e.VLAN, e.MAC}, b.entry(e)) && (e.Kind == EventFlushed) == (e.Type == Dynamic)
	}, 0); got != want {
		b.Fatalf("%d events, want %d", got, want)
	}
}

func (b *trial) flush(port PortID, anyPort bool, vid vlan.ID) {
	m := Match{VLAN: vid}
	if !anyPort {
		m.Port = &port
	}
	b.removed(b.t.Flush(m), func(s pair, k *known) bool {
		return k.Type == Dynamic && (anyPort || k.port == port) && (vid == 0 || vid == s.vlan)
	})
}

func (b *trial) removePort(port PortID, keepStatic bool) {
	b.removed(b.t.RemovePort(port, keepStatic), func(_ pair, k *known) bool {
		return k.port == port && (k.Type == Dynamic || k.Type == Static && !keepStatic)
	})
}

func (b *trial) setSize(n int) {
	b.t.SetSize(n)
	b.m.size = n
	b.events(func(e Event) bool {
		if e.Kind == EventAged {
			return b.m.expired(b.entry(e), b.t.clock)
		}
		return e.Kind == EventEvicted && b.eligible(e, 0, false)
	}, 0)
	if d := b.t.Stats().Dynamic; d > n {
		b.Fatalf("%d dynamic entries after SetSize(%d)", d, n)
	}
}

func (b *trial) expire() {
	n := b.t.Expire(b.now)
	if got := b.events(func(e Event) bool { return e.Kind == EventAged && b.m.expired(b.entry(e), b.now) }, 0); got != n {
		b.Fatalf("Expire = %d, with %d events", n, got)
	}
	for s, k := range b.m.entries {
		if b.m.expired(k, b.now) {
			b.Fatalf("Expire at %d left %v, %+v", b.now, s, k)
		}
	}
}

// compare holds what is seen from outside against the model, s in particular.
func (b *trial) compare(s pair) {
	wantPort, want := PortID(0), Unknown
	if k := b.m.entries[s]; k != nil && !b.m.expired(k, b.now) {
		wantPort, want = k.port, Known
		if k.Type == Filter {
			wantPort, want = 0, Filtered
		}
	}
	if p, v := b.t.Lookup(at(s.vlan, s.mac), b.now); p != wantPort || v != want {
		b.Fatalf("Lookup(%v) at %d = %d, %v, want %d, %v", s, b.now, p, v, wantPort, want)
	}
	st := b.m.stats
	st.Size = b.m.size
	for _, k := range b.m.entries {
		switch k.Type {
		case Dynamic:
			st.Dynamic++
		case Static:
			st.Static++
		case Filter:
			st.Filter++
		}
	}
	if got := b.t.Stats(); got != st {
		b.Fatalf("stats %+v, want %+v", got, st)
	}
	if st.Learned != uint64(st.Dynamic)+st.Aged+st.Evicted+st.Flushed {
		b.Fatalf("stats %+v do not add up", st)
	}
}

// compareAll holds every entry against the model.
func (b *trial) compareAll() {
	all := b.t.Entries(b.now)
	if want := b.m.count(b.now, func(*known) bool { return true }); len(all) != want {
		b.Fatalf("%d entries, want %d", len(all), want)
	}
	for i, e := range all {
		k := b.m.entries[pair{e.VLAN, e.MAC}]
		want := Entry{VLAN: e.VLAN, MAC: e.MAC}
		if k != nil {
			want.Type, want.Port = k.Type, k.port
			if k.Type == Dynamic {
				want.Age = max(0, b.now-k.seen).duration()
			}
		}
		if e != want {
			b.Fatalf("entry %+v, want %+v", e, want)
		}
		if one, ok := b.t.Entry(e.VLAN, e.MAC, b.now); !ok || one != want {
			b.Fatalf("asked for alone, entry %+v, %v, want %+v", one, ok, want)
		}
		if i > 0 && keyOf(all[i-1].VLAN, all[i-1].MAC.Address()) >= keyOf(e.VLAN, e.MAC.Address()) {
			b.Fatalf("%+v is listed before %+v", all[i-1], e)
		}
	}
	if e, ok := b.t.Entry(1, frame.MAC{2, 0xff, 0xff, 0xff, 0xff, 0xff}, b.now); ok {
		b.Fatalf("of a station that nobody has heard there is %+v", e)
	}
	for p := range PortID(modelPorts) {
		want := 0
		for _, k := range b.m.entries {
			if k.Type == Dynamic && k.port == p {
				want++
			}
		}
		if got := b.t.PortCount(p); got != want {
			b.Fatalf("port %d has %d entries, want %d", p, got, want)
		}
	}
	checkStore(b, b.t)
}

func TestTableAgainstModel(t *testing.T) {
	const ops = 400
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range rounds(200) {
		b := newTrial(t, 1+rng.IntN(modelStations), Time(rng.IntN(3)*40))
		for i := range ops {
			b.op(rng.IntN)
			if i%10 == 0 {
				b.compareAll()
			}
		}
		b.compareAll()
	}
}

func FuzzTableAgainstModel(f *testing.F) {
	f.Add([]byte("\x04\x00the quick brown fox jumps over the lazy dog, again and again"))
	f.Add([]byte{2, 1, 0, 1, 1, 0, 0, 1, 2, 1, 1, 0, 0, 2, 2, 1, 0, 0, 3, 3, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		next := func(n int) int {
			if len(program) == 0 {
				return 0
			}
			x := int(program[0]) % n
			program = program[1:]
			return x
		}
		b := newTrial(t, 1+next(modelStations), Time(next(3)*40))
		for len(program) > 0 {
			b.op(next)
		}
		b.compareAll()
	})
}
