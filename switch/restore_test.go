package vswitch

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/port"
)

// TestRestoredPortWhoseInterfaceIsTaken holds that it stands, lost, with its static
// entries, and comes up when the name is free; only who asks for the port itself a
// second time is refused.
func TestRestoredPortWhoseInterfaceIsTaken(t *testing.T) {
	e, host := startEngine(t, 1)
	ctx := context.Background()
	events := e.Events(t.Context())
	refuse := func(err error) {
		host.mu.Lock()
		defer host.mu.Unlock()
		host.refuse = err
	}
	code := func(err error) Code {
		var own *Error
		errors.As(err, &own)
		if own == nil {
			return ""
		}
		return own.Code
	}
	cfg := PortConfig{Switch: "sw0", Name: "p1"}
	refuse(&port.Error{Code: port.Exists, Message: "there is an interface mon0 already"})
	why, err := e.RestorePort(ctx, cfg)
	if err != nil || why == nil || !strings.Contains(why.Error(), "mon0") {
		t.Fatalf("got %v, %v; want that mon0 is there, and no error", why, err)
	}
	if info, err := e.Port("sw0", "p1"); err != nil || info.State != Lost || !strings.Contains(info.Reason, "mon0") {
		t.Errorf("the port is %s, %q, %v", info.State, info.Reason, err)
	}
	if err := e.AddFDB(ctx, "sw0", 1, mac(1), "p1"); err != nil {
		t.Error(err)
	}
	if why, err := e.RestorePort(ctx, cfg); why != nil || code(err) != Exists {
		t.Errorf("a second of that name: got %v, %v; want code %s", why, err, Exists)
	}
	refuse(&port.Error{Code: port.Invalid, Message: "never"})
	if why, err := e.RestorePort(ctx, PortConfig{Switch: "sw0", Name: "p2"}); why != nil || code(err) != Invalid {
		t.Errorf("what can never be: got %v, %v; want code %s", why, err, Invalid)
	}

	refuse(nil)
	awaitState(t, events, "p1", Up)
	if entries, err := e.FDB("sw0"); err != nil || len(entries) != 1 {
		t.Errorf("entries: got %v, %v", entries, err)
	}
	if ports, err := e.Ports("sw0"); err != nil || len(ports) != 1 {
		t.Errorf("ports: got %v, %v", ports, err)
	}
}
