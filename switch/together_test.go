package vswitch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/port"
)

// namer is a Host that names far ends as the kernel does: what was asked for,
// else the first ethN that is free. It also notes what is closed together.
type namer struct {
	*memory
	mu     sync.Mutex
	taken  map[string]bool
	closed []int // how many, each time
	status func(a Attachment) port.Status
	slow   func(ctx context.Context) // what Open waits for
}

type named struct {
	Attachment
	host *namer
	name string
}

func (n *namer) Open(ctx context.Context, id port.Identity, cfg port.Config, at *port.Place) (Attachment, error) {
	if n.slow != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n.slow(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := cfg.IfName
	if n.taken[name] {
		return nil, &port.Error{Code: port.Exists, Message: name + " is taken"}
	}
	for i := 0; name == "" || cfg.IfName == "" && n.taken[name]; i++ {
		name = fmt.Sprintf("eth%d", i)
	}
	a, err := n.memory.Open(ctx, id, cfg, at)
	if err != nil {
		return nil, err
	}
	n.taken[name] = true
	return named{a, n, name}, nil
}

func (n *namer) CloseAll(_ context.Context, all []Attachment) error {
	n.mu.Lock()
	n.closed = append(n.closed, len(all))
	n.mu.Unlock()
	for _, a := range all {
		a.Close()
	}
	return nil
}

func (a named) Info() port.Info {
	info := a.Attachment.Info()
	info.IfName = a.name
	return info
}

func (a named) Status() port.Status {
	if a.host.status != nil {
		return a.host.status(a.Attachment)
	}
	return a.Attachment.Status()
}

func (a named) Close() error {
	a.host.mu.Lock()
	delete(a.host.taken, a.name)
	a.host.mu.Unlock()
	return a.Attachment.Close()
}

func startNamer(t *testing.T) (*Engine, *namer) {
	t.Helper()
	host := &namer{memory: newMemory(), taken: make(map[string]bool)}
	e, err := NewEngine(Config{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	if err := e.AddSwitch(context.Background(), "sw0", DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return e, host
}

func farNames(t *testing.T, e *Engine) (names []string) {
	t.Helper()
	ports, err := e.Ports("sw0")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		names = append(names, p.Name+" "+p.Info.IfName)
	}
	return names
}

// TestPortsOfOneNamespaceGoAndComeTogether holds that what happens to many
// ports at once is done for all together, and that each gets the name again
// that it had.
func TestPortsOfOneNamespaceGoAndComeTogether(t *testing.T) {
	e, host := startNamer(t)
	events := e.Events(t.Context())
	const ports = 20
	for i := range ports {
		mustAdd(t, e, fmt.Sprintf("p%d", i))
	}
	before := farNames(t, e)
	host.setStatus(port.Status{Gone: true, Reason: "the namespace was deleted"})
	host.memory.mu.Lock()
	host.refuse = &port.Error{Code: port.NotFound, Message: "there is no namespace"}
	host.memory.mu.Unlock()
	host.events <- port.Event{All: true}
	for range ports {
		awaitAny(t, events, Lost)
	}
	host.setStatus(port.Status{Carrier: true})
	host.memory.mu.Lock()
	host.refuse = nil
	host.memory.mu.Unlock()
	host.events <- port.Event{All: true}
	for range ports {
		awaitAny(t, events, Up)
	}
	if after := farNames(t, e); !slices.Equal(after, before) {
		t.Errorf("the ports came back as\n    %q\nwant\n    %q", after, before)
	}
	host.mu.Lock()
	defer host.mu.Unlock()
	if !slices.Equal(host.closed, []int{ports}) {
		t.Errorf("devices were closed %d at a time, want all %d together", host.closed, ports)
	}
}

// TestNameThatIsTakenMeanwhile holds that a port comes back under another name
// where its own is somebody else's now.
func TestNameThatIsTakenMeanwhile(t *testing.T) {
	e, host := startNamer(t)
	events := e.Events(t.Context())
	mustAdd(t, e, "p0")
	host.status = func(a Attachment) port.Status {
		host.mu.Lock()
		defer host.mu.Unlock()
		first := len(host.closed) == 0
		if first {
			host.taken["eth0"] = false
		}
		return port.Status{Gone: first, Carrier: !first, Reason: "gone"}
	}
	host.memory.mu.Lock()
	host.refuse = &port.Error{Code: port.NotFound, Message: "there is no namespace"}
	host.memory.mu.Unlock()
	host.events <- port.Event{All: true}
	awaitState(t, events, "p0", Lost)
	host.mu.Lock()
	host.taken["eth0"] = true
	host.mu.Unlock()
	host.memory.mu.Lock()
	host.refuse = nil
	host.memory.mu.Unlock()
	awaitState(t, events, "p0", Up)
	if got := farNames(t, e); !slices.Equal(got, []string{"p0 eth1"}) {
		t.Errorf("the port came back as %q, want eth1", got)
	}
}

// TestNewsWhileAPortIsAdded holds that an event that comes between the look at
// a new port's device and the port's being there is not lost.
func TestNewsWhileAPortIsAdded(t *testing.T) {
	e, host := startNamer(t)
	looks := 0
	host.status = func(Attachment) port.Status {
		if looks++; looks == 1 {
			host.events <- port.Event{All: true} // taken by the supervisor
			return port.Status{Carrier: true}
		}
		return port.Status{Reason: "the far end went down right away"}
	}
	events := e.Events(t.Context())
	mustAdd(t, e, "p0")
	awaitState(t, events, "p0", Lost)
}

// awaitAny waits for the event that says some port has a state.
func awaitAny(t *testing.T, events <-chan Event, want State) {
	t.Helper()
	for ev := range events {
		if ev.Kind == PortState && ev.State == want {
			return
		}
	}
	t.Fatalf("no port came to be %s", want)
}

// TestCloseDoesNotWaitForPortsToComeBack holds that an engine that brings many
// ports back, each of which takes its time, ends all the same.
func TestCloseDoesNotWaitForPortsToComeBack(t *testing.T) {
	e, host := startNamer(t)
	for i := range 4 * openers {
		mustAdd(t, e, fmt.Sprintf("p%d", i))
	}
	opening := make(chan struct{}, 4*openers)
	host.slow = func(ctx context.Context) {
		opening <- struct{}{}
		<-ctx.Done()
	}
	host.setStatus(port.Status{Gone: true, Reason: "gone"})
	host.events <- port.Event{All: true}
	<-opening // the supervisor is at it
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := len(opening); n > openers {
		t.Errorf("%d ports were still tried after Close", n)
	}
}
