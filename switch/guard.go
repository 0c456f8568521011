package vswitch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/vlan"
)

// The guard makes sure whether there is a loop, by probes: from ports between which a
// station moves back and forth, and without any suspicion from those with
// Options.LoopProtect. Of these it bars one from taking part, so that the loop is cut,
// and tries it again later: with its carrier on, but nothing forwarded, until no probe
// has come back for a while. Until then what goes round is the work of one worker alone.

const (
	guardTick  = 100 * time.Millisecond // from look to look while something is awaited
	probeEvery = time.Second
	probeLife  = 3 * time.Second // how long a probe may be under way
	doubtTime  = 2 * time.Second // how long a suspicion is looked into at each tick
	probeVLANs = 8               // of a trunk, by turns, each time

	firstBar  = 5 * time.Second // doubled each time that it was of no use, up to
	lastBar   = 5 * time.Minute
	trialTime = time.Second
)

// guard is what its goroutine knows. Its methods are called by the holder of
// Engine.change.
type guard struct {
	*Engine
	sent map[uint64]sentProbe // by nonce
	due  []*probe
	mill *worker // for ports of loops; nil: there are none
}

type sentProbe struct {
	port *Port
	vlan vlan.ID
	at   time.Time
}

// bar keeps a port from taking part.
type bar struct {
	reason string  // "": none does
	vlan   vlan.ID // of the loop
	until  time.Time
	trial  time.Time     // when it was tried again; zero: not yet
	delay  time.Duration // that led to until, of the last bar there was
	ended  time.Time     // the last one
}

// on reports whether the port is barred, be it on trial.
func (b *bar) on() bool { return b.reason != "" }

// shut reports whether it is, and not on trial.
func (b *bar) shut() bool { return b.on() && b.trial.IsZero() }

// raiseAlarm has the guard look. It never waits.
func (e *Engine) raiseAlarm() {
	select {
	case e.alarm <- struct{}{}:
	default:
	}
}

// guard looks for loops, until ctx ends.
func (e *Engine) guard(ctx context.Context) {
	g := newGuard(e)
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.alarm:
		case <-again.C:
		}
		if e.begin(ctx) != nil {
			return
		}
		next := g.look(time.Now())
		e.change.Unlock()
		again.Reset(next)
	}
}

func newGuard(e *Engine) *guard { return &guard{Engine: e, sent: make(map[uint64]sentProbe)} }

// look draws the conclusions from what has come back, sends what is due, and says
// when to come again.
func (g *guard) look(now time.Time) (next time.Duration) {
	maps.DeleteFunc(g.sent, func(_ uint64, s sentProbe) bool { return now.Sub(s.at) > probeLife })
	ports := g.allPorts()
	for _, p := range ports {
		if p.core.returned.Load() != 0 {
			g.cameBack(p, p.core.returned.Swap(0), now)
		}
	}
	next = time.Hour
	for _, p := range ports {
		next = min(next, g.tend(p, now))
	}
	for _, sw := range g.all() {
		next = min(next, g.suspect(sw, now))
	}
	g.confine()
	if len(g.due) > 0 {
		g.send(now)
		next = min(next, guardTick)
	}
	return next
}

// cameBack deals with a probe that came in by a port. What others have invented is no
// probe of ours.
func (g *guard) cameBack(at *Port, nonce uint64, now time.Time) {
	s, ok := g.sent[nonce]
	if !ok || s.port.core.view() == nil {
		return
	}
	from, pair := s.port, pairOf(s.port.cfg.Name, at.cfg.Name)
	g.mu.Lock()
	l := at.sw.loops[pair]
	isNew := l == nil
	if isNew {
		l = &standing{Loop: Loop{Ports: pair, VLAN: s.vlan, Since: now}}
		at.sw.loops[pair] = l
	}
	isSure := !l.Probed
	l.Probed, l.seen = true, now
	loop := l.Loop
	g.mu.Unlock()
	if isSure {
		g.log.Warn("there is a loop: what leaves by one port comes back by the other", "switch", at.sw.name, "ports", pair, "vlan", s.vlan)
	}
	if isNew {
		g.tellLoop(LoopBegan, at.sw, loop)
	}
	if p := offender(from, at); p != nil {
		g.shut(p, s.vlan, fmt.Sprintf("loop-protect: what leaves by %s comes back by %s in VLAN %d", from.name(), at.name(), s.vlan), now)
	}
}

// offender returns which of two ports of a loop is to be barred; nil: none, because
// neither may be, or because one is, and the loop is cut.
func offender(from, at *Port) *Port {
	may := func(p *Port) bool { return p.cfg.Options.LoopProtect && !p.cfg.Down }
	switch {
	case from.bar.shut() || at.bar.shut():
		return nil
	case from.bar.on():
		return from
	case at.bar.on():
		return at
	case may(from) && may(at):
		if natural.Compare(from.cfg.Name, at.cfg.Name) > 0 {
			return from
		}
		return at
	case may(from):
		return from
	case may(at):
		return at
	}
	return nil
}

// shut bars a port, for longer than the last time where that was of no use.
func (g *guard) shut(p *Port, vid vlan.ID, reason string, now time.Time) {
	delay := firstBar
	if last := p.bar; last.on() || now.Sub(last.ended) < 2*last.delay {
		delay = min(2*last.delay, lastBar)
	}
	until := now.Add(delay)
	reason += "; it is tried again at " + until.Local().Format(time.TimeOnly)
	g.setBar(p, bar{reason: reason, vlan: vid, until: until, delay: delay})
}

// setBar puts a bar in place of the port's last.
func (g *guard) setBar(p *Port, b bar) {
	g.mu.Lock()
	was := p.bar
	p.bar = b
	g.mu.Unlock()
	st := p.status
	if a := p.attached; a != nil {
		if was.shut() != b.shut() && !p.cfg.Down {
			if err := a.SetCarrier(!b.shut()); err != nil {
				g.log.Warn("the far end does not see that its port is barred or not", "port", p.name(), "error", err)
			}
		}
		if st = a.Status(); st.Gone {
			g.deviceGone(p.core) // the supervisor's
			st = p.status
		}
	}
	g.update(p, st)
	if p.peer != nil {
		g.update(p.peer, p.peer.status)
	}
}

// tend moves a port's bar on, has probes sent by a port that needs them, and says when
// to come again.
func (g *guard) tend(p *Port, now time.Time) time.Duration {
	b := p.bar
	protects := p.cfg.Options.LoopProtect && !p.cfg.Down
	switch {
	case !b.on():
	case !protects:
		g.setBar(p, bar{})
	case b.shut() && now.Before(b.until):
		return b.until.Sub(now)
	case b.shut():
		b.trial = now
		g.setBar(p, b)
	case now.Sub(b.trial) >= trialTime:
		g.setBar(p, bar{delay: b.delay, ended: now})
	}
	switch {
	case p.bar.on():
		g.probe(p, b.vlan)
		return guardTick
	case !protects || p.state != Up:
		return time.Hour // who changes that raises the alarm
	case now.Sub(p.probed) < probeEvery:
		return probeEvery - now.Sub(p.probed)
	}
	p.probed = now
	for _, vid := range p.nextVLANs() {
		g.probe(p, vid)
	}
	return probeEvery
}

// nextVLANs returns the VLANs in which the port is to send its next probes: that of
// frames without a tag, and the next of a trunk's.
func (p *Port) nextVLANs() (vids []vlan.ID) {
	policy := &p.cfg.VLAN
	if policy.VLAN != 0 {
		vids = append(vids, policy.VLAN)
	}
	if policy.Mode == vlan.Access || policy.Mode == vlan.Tunnel {
		return vids
	}
	vid := p.turn
	for range vlan.MaxID {
		vid = vid%vlan.MaxID + 1
		if vid == policy.VLAN || !policy.Member(vid) {
			continue
		}
		vids, p.turn = append(vids, vid), vid
		if len(vids) >= probeVLANs {
			break
		}
	}
	return vids
}

// suspect has probes sent by ports between which there is a loop, or seems to be, and
// says when to come again.
func (g *guard) suspect(sw *Switch, now time.Time) (next time.Duration) {
	next = time.Hour
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range sw.loops {
		every := probeEvery
		if !l.Probed && now.Sub(l.Since) < doubtTime {
			every = guardTick
		}
		next = min(next, every)
		if now.Sub(l.probed) < every {
			continue
		}
		l.probed = now
		for i, name := range l.Ports {
			if p := sw.ports[name]; p != nil && p.state == Up && (i == 0 || name != l.Ports[0]) {
				g.probe(p, l.VLAN)
			}
		}
	}
	return next
}

// confine has what comes by ports of loops be one worker's, whose ever it was, and
// gives back the ports of those that are gone.
func (g *guard) confine() {
	caught := make(map[*Port]bool)
	g.mu.RLock()
	for _, sw := range g.switches {
		for _, l := range sw.loops {
			for _, name := range l.Ports {
				if p := sw.ports[name]; p != nil {
					caught[p] = true
				}
			}
		}
	}
	g.mu.RUnlock()
	if len(caught) == 0 {
		g.mill = nil
	}
	for _, p := range g.allPorts() {
		if p.attached == nil || p.attached.Device().FD() < 0 {
			continue
		}
		to := g.workerOf(p.id)
		if caught[p] {
			g.mill = cmp.Or(g.mill, to)
			to = g.mill
		}
		if err := g.rehome(p, to); err != nil {
			g.log.Warn("a port of a loop cannot be given to another worker", "port", p.name(), "error", err)
		}
	}
}

// rehome has another worker receive what comes by a port. Of a flow the order is kept.
func (g *guard) rehome(p *Port, to *worker) error {
	from, d := p.worker, p.attached.Device()
	if from == to {
		return nil
	}
	var also int
	from.atRest(func() { also = from.yield(d) })
	take := func(w *worker) (err error) {
		w.do(func() {
			if err = w.receiveFrom(p.core, d); err == nil && also != 0 {
				err = w.receiveAlso(d, also)
			}
		})
		return err
	}
	if err := take(to); err != nil {
		to.atRest(func() { to.yield(d) })
		return errors.Join(err, take(from))
	}
	g.mu.Lock()
	p.worker = to
	g.mu.Unlock()
	return nil
}

// probe has a probe sent by a port, at the end of this look.
func (g *guard) probe(p *Port, vid vlan.ID) {
	g.due = append(g.due, &probe{port: p, vlan: vid})
}

// send sends what is due, and waits once for each worker.
func (g *guard) send(now time.Time) {
	tasks := make(map[*worker][]*probe)
	for _, p := range g.due {
		var b [8]byte
		rand.Read(b[:])
		nonce := cmp.Or(binary.BigEndian.Uint64(b[:]), 1)
		g.sent[nonce] = sentProbe{p.port, p.vlan, now}
		p.frame = p.port.sw.newProbe(p.vlan, nonce)
		w := cmp.Or(p.port.worker, g.workerOf(p.port.id))
		tasks[w] = append(tasks[w], p)
	}
	g.due = nil
	for w, all := range tasks {
		w.do(func() { w.sendProbes(all) })
	}
}
