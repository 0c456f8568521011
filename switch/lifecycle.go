package vswitch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vswitch/vswitch/port"
)

// deviceGone is how a worker tells that it found a device gone. It never waits.
func (e *Engine) deviceGone(c *core) {
	c.gone.Store(true)
	e.wake()
}

// wake has the supervisor look at what workers and searches have found.
func (e *Engine) wake() {
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// supervise follows what happens to the ports' devices, until ctx ends: a port
// whose device vanishes is lost, alone, and comes back when the device does.
func (e *Engine) supervise(ctx context.Context) {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		var which func() func(*Port) bool
		select {
		case <-ctx.Done():
			return
		case ev := <-e.host.Events():
			which = func() func(*Port) bool { return e.concerned(ev) }
		case <-e.news:
			which = func() func(*Port) bool { return func(p *Port) bool { return p.core.gone.Swap(false) } }
		case now := <-retry.C:
			which = func() func(*Port) bool {
				return func(p *Port) bool { return p.detached() && !p.sought && p.retry.due(now) }
			}
		}
		if e.begin(ctx) != nil {
			return
		}
		// An event may be about a port that was being added: whom it
		// concerns is to be asked now.
		next := e.follow(ctx, which())
		e.change.Unlock()
		retry.Reset(next)
	}
}

// concerned picks the ports that an event is about.
func (e *Engine) concerned(ev port.Event) func(*Port) bool {
	if ev.All {
		return func(*Port) bool { return true }
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	ports := make(map[*Port]bool)
	for _, k := range ev.Keys {
		for p := range e.watched[k] {
			ports[p] = true
		}
	}
	return func(p *Port) bool { return ports[p] }
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
// The caller holds e.change. What happens to many at once, as when a namespace
// goes that has a thousand, is done to all at once: what the system does for
// each takes its time, and goes on for many in parallel.
func (e *Engine) follow(ctx context.Context, which func(*Port) bool) time.Duration {
	var gone []loss
	var back []*Port
	for _, p := range e.allPorts() {
		switch {
		case p.peer != nil || !which(p):
		case p.attached == nil:
			if !p.status.Manual {
				back = append(back, p)
			}
		default:
			if st := e.reassess(p); st.Gone {
				gone = append(gone, loss{p, st})
			}
		}
	}
	e.detach(ctx, gone)
	for _, l := range gone {
		if !l.st.Manual {
			l.p.retry = backoff{}
			back = append(back, l.p) // it may be back already, under its old name
		}
	}
	back = slices.DeleteFunc(back, func(p *Port) bool {
		asks := p.cfg.Attach.Asks()
		if asks {
			e.seek(ctx, p)
		}
		return asks
	})
	e.comeBack(ctx, back)

	next, now := time.Hour, time.Now()
	for _, p := range e.allPorts() {
		if p.detached() && !p.status.Manual && !p.sought {
			next = min(next, p.retry.in(now))
		}
	}
	return next
}

// loss is a port whose device is gone, and what is known of it.
type loss struct {
	p  *Port
	st port.Status
}

// allPorts returns the ports of all switches.
func (e *Engine) allPorts() (ports []*Port) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, sw := range e.switches {
		ports = slices.AppendSeq(ports, maps.Values(sw.ports))
	}
	return ports
}

// reassess asks how an attached port's device is, and acts on it unless the
// device is gone.
func (e *Engine) reassess(p *Port) port.Status {
	st := p.attached.Status()
	if !st.Gone {
		e.mu.Lock()
		e.watchLocked(p, p.attached.Keys()) // the far end may have moved
		e.mu.Unlock()
		e.update(p, st)
	}
	return st
}

// update puts in force what is known of a port: its configuration, and how its
// device is.
func (e *Engine) update(p *Port, st port.Status) {
	was := p.known()
	e.mu.Lock()
	p.status = st
	p.settle()
	e.mu.Unlock()
	e.publish(p)
	if was.state == Up && p.state != Up {
		e.quiesce()
		p.sw.table.RemovePort(p.id, true)
	}
	e.tellState(p, was)
}

// known is what was told of a port's state.
type known struct {
	state  State
	reason string
}

func (p *Port) known() known { return known{p.state, p.reason} }

// tellState tells of a state that differs from what was known.
func (e *Engine) tellState(p *Port, was known) {
	if p.known() != was {
		e.tellPort(PortState, p)
		e.log.Info("port is "+string(p.state), "port", p.name(), "reason", p.reason)
	}
}

// detach takes ports off devices that are gone. They stay configured. It tells
// so before it removes what is left of the devices.
func (e *Engine) detach(ctx context.Context, gone []loss) {
	if len(gone) == 0 {
		return
	}
	var ports []*Port
	was := make(map[*Port]known)
	for _, l := range gone {
		p := l.p
		ports = append(ports, p)
		was[p] = p.known()
		l.st.Carrier = false
		e.mu.Lock()
		p.status = l.st
		p.settle()
		e.watchLocked(p, port.WaitKeys(p.cfg.Attach))
		e.mu.Unlock()
		v := p.view(e, p.sw)
		v.up, v.device = false, nil
		p.sw.snapshot.Store(p.sw.snapshot.Load().with(v))
	}
	left := e.release(ports)
	for _, p := range ports {
		p.sw.table.RemovePort(p.id, true)
		e.tellState(p, was[p])
	}
	if err := e.host.CloseAll(ctx, left); err != nil {
		e.log.Warn("what lost ports left behind could not be removed", "error", err)
	}
}

// openers is how many devices are opened at once. What the kernel does for
// each goes one by one; the rest is asking and waiting.
const openers = 8

// comeBack tries to attach lost ports again, and notes when to try next.
func (e *Engine) comeBack(ctx context.Context, lost []*Port) {
	slices.SortFunc(lost, func(a, b *Port) int { return cmp.Compare(a.name(), b.name()) })
	next, opened := make(chan *Port, len(lost)), make(chan *hold, len(lost))
	for _, p := range lost {
		next <- p
	}
	close(next)
	var working sync.WaitGroup
	for range min(openers, len(lost)) {
		working.Go(func() { // until next is empty
			for p := range next {
				a, err := e.reopen(port.Again(ctx), p, nil)
				opened <- &hold{p, a, err}
			}
		})
	}
	for n := 0; n < len(lost); {
		ready := []*hold{<-opened}
		for len(opened) > 0 {
			ready = append(ready, <-opened)
		}
		n += len(ready)
		e.resume(ready...)
		for _, h := range ready {
			e.cameBack(h.p, h.err)
		}
	}
	working.Wait()
}

// cameBack draws the conclusions from the try to attach a lost port again.
func (e *Engine) cameBack(p *Port, err error) {
	if err != nil {
		p.retry.failed(time.Now())
		e.log.Debug("port stays lost", "port", p.name(), "reason", err)
		return
	}
	p.retry = backoff{}
	e.update(p, p.status)
}

// reattach opens anew what a lost port is attached to, at the place that was
// found for it, if one was.
func (e *Engine) reattach(ctx context.Context, p *Port, at *port.Place) error {
	a, err := e.reopen(ctx, p, at)
	h := hold{p, a, err}
	e.resume(&h)
	return h.err
}

// resume makes lost ports hang on what was opened for them.
func (e *Engine) resume(holds ...*hold) {
	e.attach(holds...)
	for _, h := range holds {
		switch {
		case h.err == nil:
			h.p.core.gone.Store(false)
		case h.a != nil:
			h.a.Close()
		}
	}
}

// reopen opens what the port was attached to. The far end gets the name that it
// had, also where nobody asked for one, unless that is taken.
func (e *Engine) reopen(ctx context.Context, p *Port, at *port.Place) (Attachment, error) {
	id, cfg := port.Identity{Switch: p.sw.name, Port: p.cfg.Name}, p.cfg.Attach
	cfg.Namespace = p.info.Namespace
	if cfg.IfName == "" && p.ifName != "" {
		same := cfg
		same.IfName = p.ifName
		a, err := e.host.Open(ctx, id, same, at)
		var taken *port.Error
		if !errors.As(err, &taken) || taken.Code != port.Exists {
			return a, translate(err)
		}
	}
	a, err := e.host.Open(ctx, id, cfg, at)
	return a, translate(err)
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
