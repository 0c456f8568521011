package vswitch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vswitch/vswitch/port"
)

// asker is a Host with a container engine that says nothing until it is told
// to, or nobody waits any more.
type asker struct {
	*memory
	asked  chan context.Context // one for each question
	answer chan error
	gone   func(name string) bool // whether a port's device is
}

func (h *asker) Find(ctx context.Context, cfg port.Config) (*port.Place, error) {
	if !cfg.Asks() {
		return nil, nil
	}
	h.asked <- ctx
	select {
	case err := <-h.answer:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *asker) Open(ctx context.Context, id port.Identity, cfg port.Config, at *port.Place) (Attachment, error) {
	a, err := h.memory.Open(ctx, id, cfg, at)
	if err != nil {
		return nil, err
	}
	return asked{a, h}, nil
}

type asked struct {
	Attachment
	host *asker
}

func (a asked) Status() port.Status {
	if a.host.gone != nil && a.host.gone(a.Info().Device) {
		return port.Status{Gone: true, Reason: "it stopped"}
	}
	return a.Attachment.Status()
}

func startAsker(t *testing.T) (*Engine, *asker) {
	t.Helper()
	host := &asker{memory: newMemory(), asked: make(chan context.Context), answer: make(chan error)}
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

func inContainer(name string) PortConfig {
	return PortConfig{Switch: "sw0", Name: name, Attach: port.Config{Kind: port.Veth, Container: "web"}}
}

// add adds a port in the background.
func add(ctx context.Context, e *Engine, cfg PortConfig) chan error {
	added := make(chan error, 1)
	go func() {
		_, err := e.AddPort(ctx, cfg)
		added <- err
	}()
	return added
}

func mustBe(t *testing.T, err error, want Code) {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) || own.Code != want {
		t.Errorf("got %v, want a refusal of code %s", err, want)
	}
}

// TestNobodyWaitsForAQuestion holds that all goes on while a container engine
// is asked: changes, and what happens to ports.
func TestNobodyWaitsForAQuestion(t *testing.T) {
	e, host := startAsker(t)
	ctx := t.Context()
	events := e.Events(ctx)
	mustAdd(t, e, "p1")
	added := add(ctx, e, inContainer("c1"))
	<-host.asked

	mustAdd(t, e, "p2")
	if _, err := e.SetPort(ctx, "sw0", "p2", false, func(c *PortConfig) error { c.Down = true; return nil }); err != nil {
		t.Error(err)
	}
	host.setStatus(port.Status{Gone: true, Manual: true, Reason: "somebody deleted it"})
	host.pair("sw0/p1").Vanish()
	awaitState(t, events, "p1", Lost)
	host.setStatus(port.Status{Carrier: true})

	host.answer <- nil
	if err := <-added; err != nil {
		t.Error(err)
	}
	if p, err := e.Port("sw0", "c1"); err != nil || p.State != Up {
		t.Errorf("the port is %s, %v; want up", p.State, err)
	}
}

// TestStateIsLookedAtAgainAfterAQuestion holds that an answer is not used for
// what has changed since the question.
func TestStateIsLookedAtAgainAfterAQuestion(t *testing.T) {
	e, host := startAsker(t)
	ctx := t.Context()
	added := add(ctx, e, inContainer("c1"))
	<-host.asked
	mustAdd(t, e, "c1")
	host.answer <- nil
	mustBe(t, <-added, Exists)

	added = add(ctx, e, inContainer("c2"))
	<-host.asked
	if err := e.DeleteSwitch(ctx, "sw0"); err != nil {
		t.Fatal(err)
	}
	host.answer <- nil
	mustBe(t, <-added, NotFound)
	mustBe(t, <-add(ctx, e, inContainer("c3")), NotFound) // nobody is asked
}

// TestQuestionsEnd holds that a question ends with the client's patience, and
// with the engine.
func TestQuestionsEnd(t *testing.T) {
	e, host := startAsker(t)
	ctx, cancel := context.WithCancel(t.Context())
	added := add(ctx, e, inContainer("c1"))
	<-host.asked
	cancel()
	if err := <-added; err == nil {
		t.Error("a port was made for a client that had gone")
	}
	added = add(t.Context(), e, inContainer("c1"))
	<-host.asked
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	mustBe(t, <-added, Closing)
}

// TestLostContainerIsSoughtAside holds that all goes on while a lost port's
// container is looked for, that the port comes back when it is found, and that
// Close does not wait for the answer.
func TestLostContainerIsSoughtAside(t *testing.T) {
	e, host := startAsker(t)
	ctx := t.Context()
	events := e.Events(ctx)
	added := add(ctx, e, inContainer("c1"))
	<-host.asked
	host.answer <- nil
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	lose := func() {
		first := host.pair("sw0/c1")
		host.gone = func(name string) bool { return name == "sw0/c1" && host.pair(name) == first }
		host.events <- port.Event{All: true}
		awaitState(t, events, "c1", Lost)
		<-host.asked
	}
	lose()
	mustAdd(t, e, "p1")                  // nobody waits
	host.events <- port.Event{All: true} // it may have been started after it was asked for
	host.answer <- &port.Error{Code: port.NotFound, Message: "there is no container web"}
	<-host.asked
	host.answer <- nil
	awaitState(t, events, "c1", Up)

	lose()
	if err := e.DeletePort(ctx, "sw0", "c1"); err != nil {
		t.Fatal(err)
	}
	host.answer <- nil // for a port that is gone
	added = add(ctx, e, inContainer("c1"))
	<-host.asked
	host.answer <- nil
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	lose()
	began := time.Now()
	if err := e.Close(ctx); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("closed after %v: %v", time.Since(began), err)
	}
}

// TestPortThatCannotComeUp holds that somebody who wants a lost port up is told
// why it cannot be, and that nothing else of the request is done then.
func TestPortThatCannotComeUp(t *testing.T) {
	e, host := startEngine(t, 1)
	events := e.Events(t.Context())
	mustAdd(t, e, "p1")
	host.setStatus(port.Status{Gone: true, Manual: true, Reason: "somebody deleted it"})
	host.pair("sw0/p1").Vanish()
	awaitState(t, events, "p1", Lost)
	host.mu.Lock()
	host.refuse = &port.Error{Code: port.Exists, Message: "there is an interface eth0 already"}
	host.mu.Unlock()
	describe := func(c *PortConfig) error { c.Description = "changed"; return nil }
	_, err := e.SetPort(t.Context(), "sw0", "p1", true, describe)
	mustBe(t, err, Refused)
	if want := "port sw0/p1 cannot come up: there is an interface eth0 already"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if p, _ := e.Port("sw0", "p1"); p.Description != "" || p.State != Lost {
		t.Errorf("half was done: %+v", p)
	}
	if _, err := e.SetPort(t.Context(), "sw0", "p1", false, describe); err != nil {
		t.Errorf("what has nothing to do with the device: %v", err)
	}
	host.mu.Lock()
	host.refuse = nil
	host.mu.Unlock()
	host.setStatus(port.Status{Carrier: true})
	if p, err := e.SetPort(t.Context(), "sw0", "p1", true, describe); err != nil || p.State != Up {
		t.Errorf("the port is %s, %v; want up", p.State, err)
	}
}
