package vswitch

import (
	"context"
	"time"

	"github.com/vswitch/vswitch/port"
)

// deviceGone is how a worker tells that it found a device gone. It never waits.
func (e *Engine) deviceGone(c *core) {
	c.gone.Store(true)
	select {
	case e.gone <- struct{}{}:
	default:
	}
}

// supervise follows what happens to the ports' devices, until ctx ends: a port
// whose device vanishes is lost, alone, and comes back when the device does.
func (e *Engine) supervise(ctx context.Context) {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		var which func(*Port) bool
		select {
		case <-ctx.Done():
			return
		case ev := <-e.host.Events():
			concerned := e.concerned(ev)
			which = func(p *Port) bool { return concerned[p] }
		case <-e.gone:
			which = func(p *Port) bool { return p.core.gone.Swap(false) }
		case now := <-retry.C:
			which = func(p *Port) bool { return p.detached() && p.retry.due(now) }
		}
		if e.begin(ctx) != nil {
			return
		}
		next := e.follow(ctx, which)
		e.change.Unlock()
		retry.Reset(next)
	}
}

// concerned returns the ports that an event is about.
func (e *Engine) concerned(ev port.Event) map[*Port]bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	ports := make(map[*Port]bool)
	if ev.All {
		for _, sw := range e.switches {
			for _, p := range sw.ports {
				ports[p] = true
			}
		}
		return ports
	}
	for _, k := range ev.Keys {
		for p := range e.watched[k] {
			ports[p] = true
		}
	}
	return ports
}

// watchLocked replaces the keys under which events about the port arrive.
func (e *Engine) watchLocked(p *Port, keys []port.Key) {
	for _, k := range p.watching {
		delete(e.watched[k], p)
		if len(e.watched[k]) == 0 {
			delete(e.watched, k)
		}
	}
	p.watching = keys
	for _, k := range keys {
		if e.watched[k] == nil {
			e.watched[k] = make(map[*Port]bool)
		}
		e.watched[k][p] = true
	}
}

// follow looks after the ports that which picks, and says when to come again.
// The caller holds e.change.
func (e *Engine) follow(ctx context.Context, which func(*Port) bool) time.Duration {
	next := time.Hour
	for _, sw := range e.all() {
		for _, p := range sw.ports {
			switch {
			case p.peer != nil:
				continue
			case !which(p):
			case p.attached != nil:
				e.reassess(ctx, p)
			case !p.status.Manual:
				e.comeBack(ctx, p)
			}
			if p.detached() && !p.status.Manual {
				next = min(next, p.retry.in(time.Now()))
			}
		}
	}
	return next
}

// reassess asks how an attached port's device is, and acts on it.
func (e *Engine) reassess(ctx context.Context, p *Port) {
	st := p.attached.Status()
	if !st.Gone {
		e.update(p, st)
		return
	}
	e.detach(p, st)
	if !st.Manual {
		p.retry = backoff{}
		e.comeBack(ctx, p) // it may be back already, under its old name
	}
}

// update puts in force what is known of a port: its configuration, and how its
// device is.
func (e *Engine) update(p *Port, st port.Status) {
	was, reason := p.state, p.reason
	e.mu.Lock()
	p.status = st
	p.settle()
	e.mu.Unlock()
	e.publish(p)
	if was == Up && p.state != Up {
		e.quiesce()
		p.sw.table.RemovePort(p.id, true)
	}
	if was != p.state || reason != p.reason {
		e.tellPort(PortState, p)
		e.log.Info("port is "+string(p.state), "port", p.name(), "reason", p.reason)
	}
}

// detach takes a port off a device that is gone. The port stays configured.
func (e *Engine) detach(p *Port, st port.Status) {
	st.Carrier = false
	v := p.view(e, p.sw)
	v.up, v.takes, v.device = false, false, nil
	p.sw.snapshot.Store(p.sw.snapshot.Load().with(v))
	for _, a := range e.release([]*Port{p}) {
		if err := a.Close(); err != nil {
			e.log.Warn("what a lost port left behind could not be removed", "port", p.name(), "error", err)
		}
	}
	e.mu.Lock()
	e.watchLocked(p, port.WaitKeys(p.cfg.Attach))
	e.mu.Unlock()
	e.update(p, st)
}

// comeBack tries to attach a lost port again, and notes when to try next.
func (e *Engine) comeBack(ctx context.Context, p *Port) {
	if err := e.reattach(port.Again(ctx), p); err != nil {
		p.retry.failed(time.Now())
		e.log.Debug("port stays lost", "port", p.name(), "reason", err)
		return
	}
	p.retry = backoff{}
	e.update(p, p.status)
}

// reattach opens anew what the port is attached to.
func (e *Engine) reattach(ctx context.Context, p *Port) error {
	a, err := e.host.Open(ctx, port.Identity{Switch: p.sw.name, Port: p.cfg.Name}, p.cfg.Attach)
	if err != nil {
		return translate(err)
	}
	if err := e.attach(p, a); err != nil {
		a.Close()
		return err
	}
	p.core.gone.Store(false)
	return nil
}

// backoff says when to try again what failed: soon, then less and less often.
type backoff struct {
	delay time.Duration
	at    time.Time
}

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

func (b *backoff) failed(now time.Time) {
	b.delay = min(max(2*b.delay, firstRetry), lastRetry)
	b.at = now.Add(b.delay)
}

func (b *backoff) due(now time.Time) bool { return !now.Before(b.at) }

func (b *backoff) in(now time.Time) time.Duration { return max(b.at.Sub(now), 0) }
