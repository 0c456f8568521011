package vswitch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
)

// awaitState waits for the event that says a port has a state.
func awaitState(t *testing.T, events <-chan Event, name string, want State) Event {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case ev := <-events:
			if ev.Kind == PortState && ev.Port == name && ev.State == want {
				return ev
			}
		case <-limit:
			t.Fatalf("port %s: not %s after 10 s", name, want)
		}
	}
}

func startEngine(t *testing.T, workers int) (*Engine, *memory) {
	t.Helper()
	host := newMemory()
	e, err := NewEngine(Config{Host: host, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := e.AddSwitch(context.Background(), "sw0", DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return e, host
}

func mustAdd(t *testing.T, e *Engine, name string) {
	t.Helper()
	if _, err := e.AddPort(context.Background(), PortConfig{Switch: "sw0", Name: name}); err != nil {
		t.Fatal(err)
	}
}

// TestLostPortComesBack holds that a device that vanishes takes only its port
// down, and that the port comes back when the device does.
func TestLostPortComesBack(t *testing.T) {
	e, host := startEngine(t, 2)
	events := e.Events(t.Context())
	for _, name := range []string{"p1", "p2", "p3"} {
		mustAdd(t, e, name)
	}
	first := host.pair("sw0/p1")
	host.mu.Lock()
	host.refuse = errors.New("the device is not back yet")
	host.mu.Unlock()
	host.setStatus(port.Status{Gone: true, Reason: "device p1 is gone"})
	first.Vanish()
	ev := awaitState(t, events, "p1", Lost)
	if ev.Reason != "device p1 is gone" {
		t.Errorf("reason: got %q", ev.Reason)
	}
	awaitClosed(t, first)

	host.setStatus(port.Status{Carrier: true})
	host.mu.Lock()
	host.refuse = nil
	host.mu.Unlock()
	awaitState(t, events, "p1", Up)

	host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)))
	awaitFrames(t, host.pair("sw0/p2").Take, 1)
	awaitFrames(t, host.pair("sw0/p3").Take, 1)
}

// awaitClosed polls until a device that vanished was closed, which the engine
// does after it has told of the loss.
func awaitClosed(t *testing.T, device interface{ Closed() bool }) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !device.Closed(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the vanished device was not closed after 10 s")
		}
	}
}

// awaitFrames polls until n frames were taken.
func awaitFrames[T any](t *testing.T, take func() []T, n int) (got []T) {
	t.Helper()
	limit := time.Now().Add(10 * time.Second)
	for len(got) < n {
		if time.Now().After(limit) {
			t.Fatalf("%d frames after 10 s, want %d", len(got), n)
		}
		got = append(got, take()...)
		time.Sleep(time.Millisecond) // between two looks at memory
	}
	return got
}

// TestManualPortStaysLost holds that a device deleted by hand is made again
// only when somebody sets the port up.
func TestManualPortStaysLost(t *testing.T) {
	e, host := startEngine(t, 1)
	events := e.Events(t.Context())
	mustAdd(t, e, "p1")
	host.setStatus(port.Status{Gone: true, Manual: true, Reason: "somebody deleted it"})
	host.pair("sw0/p1").Vanish()
	awaitState(t, events, "p1", Lost)

	host.setStatus(port.Status{Carrier: true})
	info, err := e.SetPort(context.Background(), "sw0", "p1", true, func(*PortConfig) error { return nil })
	if err != nil || info.State != Up {
		t.Errorf("after port set up: state %s, error %v; want up", info.State, err)
	}
}

// TestNoCarrier holds that a port without carrier is lost, keeps its device,
// and forgets its stations.
func TestNoCarrier(t *testing.T) {
	e, host := startEngine(t, 1)
	events := e.Events(t.Context())
	mustAdd(t, e, "p1")
	mustAdd(t, e, "p2")
	host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)))
	awaitFrames(t, host.pair("sw0/p2").Take, 1)

	host.setStatus(port.Status{Reason: "the far end is down"})
	host.events <- port.Event{All: true}
	awaitState(t, events, "p1", Lost)
	if entries, err := e.FDB("sw0"); err != nil || len(entries) != 0 {
		t.Errorf("entries: got %v, %v; want none", entries, err)
	}
	if host.pair("sw0/p1").Closed() {
		t.Error("the device was closed, though it is there")
	}
	host.setStatus(port.Status{Carrier: true})
	host.events <- port.Event{All: true}
	awaitState(t, events, "p1", Up)
}

// TestRefusedPortLeavesNothing holds that a request happens whole or not at
// all.
func TestRefusedPortLeavesNothing(t *testing.T) {
	e, host := startEngine(t, 1)
	ctx := context.Background()
	host.refuse = errors.New("no such namespace")
	if _, err := e.AddPort(ctx, PortConfig{Switch: "sw0", Name: "p1"}); err == nil {
		t.Fatal("a port was made on nothing")
	}
	mustFail := func(what string, cfg PortConfig, want Code) {
		t.Helper()
		_, err := e.AddPort(ctx, cfg)
		var own *Error
		if !errors.As(err, &own) || own.Code != want {
			t.Errorf("%s: got %v, want a refusal of code %s", what, err, want)
		}
	}
	host.refuse = nil
	mustFail("bad name", PortConfig{Switch: "sw0", Name: "-x"}, Invalid)
	mustFail("no switch", PortConfig{Switch: "sw9", Name: "p1"}, NotFound)
	mustFail("patch to itself", PortConfig{Switch: "sw0", Name: "p1", Attach: patchTo("sw0", "p1")}, Invalid)
	mustFail("patch to no switch", PortConfig{Switch: "sw0", Name: "p1", Attach: patchTo("sw9", "p1")}, NotFound)
	if infos, _ := e.Ports(""); len(infos) != 0 {
		t.Errorf("ports: got %d, want none", len(infos))
	}
	mustAdd(t, e, "p1")
	mustFail("a second of that name", PortConfig{Switch: "sw0", Name: "p1"}, Exists)
	mustFail("patch to a port that stands", PortConfig{Switch: "sw0", Name: "p2", Attach: patchTo("sw0", "p1")}, Exists)
	if infos, _ := e.Ports(""); len(infos) != 1 {
		t.Errorf("ports: got %d, want 1", len(infos))
	}
}

// TestCloseEndsEverything holds that Close gives back all devices, and that
// nothing can be asked for afterwards.
func TestCloseEndsEverything(t *testing.T) {
	e, host := startEngine(t, 2)
	for _, name := range []string{"p1", "p2", "p3"} {
		mustAdd(t, e, name)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p1", "p2", "p3"} {
		if !host.pair("sw0/" + name).Closed() {
			t.Errorf("%s is open", name)
		}
	}
	_, err := e.AddPort(context.Background(), PortConfig{Switch: "sw0", Name: "p4"})
	var own *Error
	if !errors.As(err, &own) || own.Code != Closing {
		t.Errorf("after Close: got %v, want a refusal", err)
	}
}

// TestDeletedPortsWhileFramesFlow deletes and adds ports under traffic, with
// more workers than one.
func TestDeletedPortsWhileFramesFlow(t *testing.T) {
	e, host := startEngine(t, 2)
	for _, name := range []string{"p1", "p2"} {
		mustAdd(t, e, name)
	}
	done := make(chan struct{})
	go func() { // until the ports have come and gone
		defer close(done)
		for range 200 {
			host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)), untagged(mac(3), mac(1)))
			host.pair("sw0/p2").Send(untagged(frame.Broadcast, mac(2)))
			time.Sleep(100 * time.Microsecond) // lets the workers in between
		}
	}()
	for range 50 {
		mustAdd(t, e, "p3")
		host.pair("sw0/p3").Send(untagged(frame.Broadcast, mac(3)))
		if err := e.DeletePort(context.Background(), "sw0", "p3"); err != nil {
			t.Fatal(err)
		}
		if entries, _ := e.FDB("sw0"); len(entries) > 2 {
			t.Fatalf("entries: got %v, want none of p3", entries)
		}
	}
	<-done
}
