package vswitch

import (
	"context"
	"errors"
	"time"

	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

// Inherit has the ports that stay take what an earlier daemon has left for them, when
// they are made, and removes the rest of what it left; Disinherit ends that, and
// removes what no port has taken.
func (e *Engine) Inherit(ctx context.Context, stays func(sw, name string) bool) error {
	removed, err := e.host.Inherit(ctx, func(id port.Identity) bool { return stays(id.Switch, id.Port) })
	return e.removed(removed, err)
}

// Disinherit ends what Inherit has begun.
func (e *Engine) Disinherit() error { return e.removed(e.host.Disinherit()) }

func (e *Engine) removed(n int, err error) error {
	if n > 0 {
		e.log.Info("removed what an earlier vswitchd left", "devices", n)
	}
	if err != nil {
		return errorf(Failed, "remove what an earlier vswitchd left: %v", err)
	}
	return nil
}

// RestorePort makes a port that stood before, as AddPort does; but where what it
// hangs on is not there, or not yet, or others have the name of an interface that it
// would make, the port stands all the same, and is lost until that changes. why says
// that it is, and nothing else does.
func (e *Engine) RestorePort(ctx context.Context, cfg PortConfig) (why error, err error) {
	_, err = e.AddPort(port.Restored(ctx), cfg)
	var own *Error
	if err == nil || cfg.Attach.Kind == port.Patch || errors.As(err, &own) && (own.Code == Invalid || own.Code == Closing) {
		return nil, err
	}
	if lost := e.addLost(ctx, cfg, err.Error()); lost != nil { // as its own name is taken
		return nil, lost
	}
	return err, nil
}

// AwaitPort makes a port as AddPort does; but where its namespace, container or device
// is absent, the port stands all the same, and is lost until that comes. why says that
// it is, and nothing else does.
func (e *Engine) AwaitPort(ctx context.Context, cfg PortConfig) (why error, err error) {
	_, err = e.AddPort(ctx, cfg)
	var own *Error
	if cfg.Attach.Kind == port.Patch || !errors.As(err, &own) || own.Code != NotFound {
		return nil, err
	}
	return err, e.addLost(ctx, cfg, err.Error()) // which knows what else was not found
}

// addLost makes a port that hangs on nothing yet.
func (e *Engine) addLost(ctx context.Context, cfg PortConfig, reason string) error {
	if cfg.VLAN == (vlan.Policy{}) {
		cfg.VLAN = *vlan.Default()
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	sw, err := e.vacancy(&cfg)
	if err != nil {
		return err
	}
	if err := e.fillIn(&cfg, nil); err != nil {
		return err
	}
	p, err := e.newPort(sw, cfg)
	if err != nil {
		return err
	}
	p.status = port.Status{Gone: true, Manual: cfg.Attach.Once(), Reason: reason}
	p.retry.failed(time.Now())
	e.enter(p)
	e.mu.Lock()
	e.watchLocked(p, port.WaitKeys(cfg.Attach))
	e.mu.Unlock()
	e.wake()
	return nil
}
