package vswitch

import (
	"context"
	"errors"

	"github.com/vswitch/vswitch/port"
)

// searchers is how many searches run at once: each is another program.
const searchers = 8

// seek looks for the place of a lost port, which another program has to be
// asked for, and attaches the port when it has been found. It waits for
// nothing: only what follows from the answer takes e.change, which the caller
// holds. The search ends with ctx.
func (e *Engine) seek(ctx context.Context, p *Port) {
	if p.sought {
		p.seekAgain = true // the answer may be older than what happened now
		return
	}
	p.sought, p.seekAgain = true, false
	cfg := p.cfg.Attach
	e.running.Go(func() {
		select {
		case e.searches <- struct{}{}:
			defer func() { <-e.searches }()
		case <-ctx.Done():
			return
		}
		at, err := e.host.Find(port.Again(ctx), cfg)
		if err != nil {
			e.sought(ctx, p, nil, translate(err))
			return
		}
		defer at.Close()
		e.sought(ctx, p, at, nil)
	})
}

// sought attaches a port whose place was found, if it is still lost.
func (e *Engine) sought(ctx context.Context, p *Port, at *port.Place, err error) {
	if e.begin(ctx) != nil {
		return
	}
	defer e.change.Unlock()
	p.sought = false
	if now, _ := e.findPort(p.sw.name, p.cfg.Name); now != p || !p.detached() || p.status.Manual {
		return // deleted, or somebody brought it back
	}
	if err == nil {
		err = e.reattach(port.Again(ctx), p, at)
	}
	e.cameBack(p, err)
	if err != nil && p.seekAgain {
		p.retry = backoff{}
	}
	e.wake() // the supervisor sees when to try again
}

// placeOfLost finds the place of a port that is to come up again, where it has
// lost its own and another program has to be asked. The caller does not hold
// e.change.
func (e *Engine) placeOfLost(ctx context.Context, sw, name string) (*port.Place, error) {
	p, err := e.findPort(sw, name)
	if err != nil {
		return nil, err
	}
	e.mu.RLock()
	lost, cfg := p.toRaise(), p.cfg.Attach
	e.mu.RUnlock()
	if !lost {
		return nil, nil
	}
	at, err := e.host.Find(ctx, cfg)
	if err != nil {
		return nil, e.cannotComeUp(p, err)
	}
	return at, nil
}

// toRaise reports whether a port needs to be attached again for it to come up
// as somebody wants. One that was down and has lost its device comes up as soon
// as that is back: to take it up is to say no more than that.
func (p *Port) toRaise() bool {
	return p.detached() && (!p.cfg.Down || p.status.Manual)
}

// raise attaches a lost port again, because somebody wants it up.
func (e *Engine) raise(ctx context.Context, p *Port, at *port.Place) error {
	if at == nil && p.cfg.Attach.Asks() {
		return errorf(Refused, "port %s was lost this moment, for this reason: %s; ask again", p.name(), p.status.Reason)
	}
	if err := e.reattach(ctx, p, at); err != nil {
		return e.cannotComeUp(p, err)
	}
	e.cameBack(p, nil)
	return nil
}

// cannotComeUp says why a lost port stays so. What is missing is not what was
// asked for: the code is Refused, unless the system failed.
func (e *Engine) cannotComeUp(p *Port, err error) error {
	var own *Error
	if err = e.unlessClosing(err); !errors.As(err, &own) || own.Code == Closing {
		return err
	}
	code := own.Code
	if code != Failed {
		code = Refused
	}
	return errorf(code, "port %s cannot come up: %s", p.name(), own.Message)
}
