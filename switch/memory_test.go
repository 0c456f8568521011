package vswitch

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// memory is a Host whose devices are in-memory pairs, one a port, kept by
// name.
type memory struct {
	events chan port.Event

	mu      sync.Mutex
	pairs   map[string]*porttest.Pair // by SWITCH/PORT
	dark    map[string]bool           // those whose carrier was taken, likewise
	refuse  error                     // what Open says
	status  port.Status               // of every attachment
	mtu     int
	tagRoom int
}

func newMemory() *memory {
	return &memory{
		events:  make(chan port.Event),
		pairs:   make(map[string]*porttest.Pair),
		dark:    make(map[string]bool),
		status:  port.Status{Carrier: true},
		mtu:     1500,
		tagRoom: 4,
	}
}

func (m *memory) Find(context.Context, port.Config) (*port.Place, error) { return nil, nil }

func (m *memory) Missing(port.Config) error { return nil }

func (m *memory) Open(_ context.Context, id port.Identity, _ port.Config, _ *port.Place) (Attachment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return nil, m.refuse
	}
	p, err := porttest.New()
	if err != nil {
		return nil, err
	}
	name := id.Switch + "/" + id.Port
	m.pairs[name] = p
	return &inMemory{m, name, p}, nil
}

func (m *memory) CloseAll(_ context.Context, all []Attachment) error {
	var errs []error
	for _, a := range all {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}

func (m *memory) LeaveAll(all []Attachment) error { return m.CloseAll(context.Background(), all) }

func (m *memory) Inherit(context.Context, func(port.Identity) bool) (int, error) { return 0, nil }

func (m *memory) Disinherit() (int, error) { return 0, nil }

func (m *memory) Expect(map[port.Identity]port.Handed, bool) {}

func (m *memory) Events() <-chan port.Event { return m.events }

// pair returns the pair of a port.
func (m *memory) pair(name string) *porttest.Pair {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pairs[name]
}

func (m *memory) setStatus(st port.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = st
}

type inMemory struct {
	host *memory
	name string
	pair *porttest.Pair
}

func (a *inMemory) Device() port.Device { return a.pair.Device() }

func (a *inMemory) SetCarrier(up bool) error {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	a.host.dark[a.name] = !up
	return nil
}

func (a *inMemory) Hand() (port.Handed, error) { return port.Handed{}, port.ErrGone }
func (a *inMemory) Receive(int) error          { return port.ErrGone }
func (a *inMemory) Close() error               { return a.pair.Device().Close() }
func (a *inMemory) Keys() []port.Key           { return nil }

func (a *inMemory) Info() port.Info {
	return port.Info{Device: a.name, MTU: a.host.mtu, TagRoom: a.host.tagRoom}
}

func (a *inMemory) Status() port.Status {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	return a.host.status
}

// bench is an engine whose worker a test turns by hand, so that a frame's
// whole life happens in one call, on the test's goroutine.
type bench struct {
	testing.TB
	*Engine
	host *memory
	w    *worker
}

// newBench returns an engine with the switch sw0 and no running worker. Tasks
// run where they are posted.
func newBench(t testing.TB) *bench {
	t.Helper()
	host := newMemory()
	e, err := NewEngine(Config{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	b := &bench{TB: t, Engine: e, host: host}
	e.stop() // nobody sweeps the table while the test looks
	// The engine's own worker stays for tasks; this one, with no descriptor
	// to poll, is for frames.
	b.w, err = newWorker(0, e.workerConfig(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.w.poll.close)
	b.must(e.AddSwitch(context.Background(), "sw0", DefaultSettings()))
	return b
}

func (b *bench) must(err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// add makes a port, without a worker receiving from it.
func (b *bench) add(cfg PortConfig) *porttest.Pair {
	b.Helper()
	if cfg.Switch == "" {
		cfg.Switch = "sw0"
	}
	if cfg.VLAN == (vlan.Policy{}) {
		cfg.VLAN = *vlan.Default()
	}
	_, err := b.AddPort(context.Background(), cfg)
	b.must(err)
	pair := b.host.pair(cfg.Switch + "/" + cfg.Name)
	if pair != nil {
		for _, w := range b.workers {
			w.do(func() { w.poll.remove(pair.Device().FD()) })
		}
	}
	return pair
}

// receive takes what waits at a port through the switch.
func (b *bench) receive(swName, name string) {
	p, err := b.findPort(swName, name)
	b.must(err)
	for {
		frames, err := p.attached.Device().Receive(b.w.io)
		b.must(err)
		if len(frames) == 0 {
			return
		}
		b.w.take(p.core, frames)
	}
}

// send puts frames into a port and takes them through the switch.
func (b *bench) send(name string, wires ...porttest.Wire) {
	b.host.pair("sw0/" + name).Send(wires...)
	b.receive("sw0", name)
}

// took returns what left by a port since the last call.
func (b *bench) took(name string) []porttest.Wire {
	return b.host.pair("sw0/" + name).Take()
}

func (b *bench) counters(name string) Counters {
	b.Helper()
	info, err := b.Port("sw0", name)
	b.must(err)
	return info.Counters
}

// mac returns the address of a test station.
func mac(n int) frame.MAC { return frame.MAC{0x02, 0, 0, 0, byte(n >> 8), byte(n)} }

// ether builds a frame with the tags in its bytes.
func ether(dst, src frame.MAC, payload int, tags ...frame.Tag) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	for _, t := range tags {
		b = append(b, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	}
	b = append(b, 0x88, 0xb5) // local experimental EtherType
	for i := range payload {
		b = append(b, byte(i))
	}
	return b
}

func untagged(dst, src frame.MAC) porttest.Wire {
	return porttest.Wire{Bytes: ether(dst, src, 46)}
}
