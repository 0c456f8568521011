package vswitch

import (
	"context"
	"errors"
	"time"

	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

// RestorePort makes a port that stood before, as AddPort does; but where what it
// hangs on is not there, or not yet, the port stands all the same, and is lost
// until that comes. why says that it is, and nothing else does.
func (e *Engine) RestorePort(ctx context.Context, cfg PortConfig) (why error, err error) {
	_, err = e.AddPort(ctx, cfg)
	var own *Error
	if err == nil || cfg.Attach.Kind == port.Patch || errors.As(err, &own) && (own.Code == Invalid || own.Code == Exists || own.Code == Closing) {
		return nil, err
	}
	return err, e.addLost(ctx, cfg, err.Error())
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
	p.status = port.Status{Gone: true, Reason: reason}
	p.retry.failed(time.Now())
	e.enter(p)
	e.mu.Lock()
	e.watchLocked(p, port.WaitKeys(cfg.Attach))
	e.mu.Unlock()
	e.wake()
	return nil
}
