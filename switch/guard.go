package vswitch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/vlan"
)

// The guard makes sure whether there is a loop, by probes: from ports between which a
// station moves back and forth, from those that bring much for many, and without any
// suspicion from those with Options.LoopProtect. Of these it bars one from taking part,
// so that the loop is cut, and tries it again later: with its carrier on, but nothing
// forwarded, until no probe has come back for a while. Until then what goes round is the
// work of one worker alone.
//
// Who guards the other end of a loop sees it at the same time, and one bar is enough. So
// the guard waits for a moment that is another for each, and bars only if there still is
// a loop then.

const (
	guardTick  = 100 * time.Millisecond // from look to look while something is awaited
	probeEvery = time.Second
	probeLife  = 2 * time.Second       // how long a probe may be under way
	probeBack  = 5 * time.Millisecond  // when it is looked whether one has come back
	probeFresh = 25 * time.Millisecond // until when it says how things are
	sureTime   = probeEvery / 2        // within which a port is barred, at some moment
	doubtTime  = 2 * time.Second       // how long a suspicion is looked into at each tick
	probeVLANs = 8                     // of a trunk, by turns, each time

	firstBar  = 5 * time.Second // doubled each time that it was of no use, up to
	lastBar   = 5 * time.Minute
	trialTime = time.Second
)

// guard is what its goroutine knows. Its methods are called by the holder of
// Engine.change.
type guard struct {
	*Engine
	sent map[uint64]*sentProbe // by nonce
	due  []*probe
	mill *worker // for ports of loops; nil: there are none
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

func newGuard(e *Engine) *guard { return &guard{Engine: e, sent: make(map[uint64]*sentProbe)} }

// look draws the conclusions from what has come back, sends what is due, and says
// when to come again.
func (g *guard) look(now time.Time) (next time.Duration) {
	maps.DeleteFunc(g.sent, func(_ uint64, s *sentProbe) bool { return now.Sub(s.at) > probeLife })
	g.collect(now)
	ports := g.allPorts()
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
		next = min(next, probeBack)
	}
	return next
}

// collect deals with the probes that came back. Once a port is barred for one of them,
// the others may have come by the same loop.
func (g *guard) collect(now time.Time) {
	for nonce, s := range g.sent {
		c := s.back.Load()
		if c == nil {
			continue
		}
		delete(g.sent, nonce)
		at, err := g.findPort(c.sw.name, c.name)
		if err == nil && at.core == c && s.port.core.view() != nil && g.cameBack(s, at, now) {
			clear(g.sent)
			return
		}
	}
}

// cameBack deals with a probe that came in by a port, and reports whether one was
// barred for it.
func (g *guard) cameBack(s *sentProbe, at *Port, now time.Time) (barred bool) {
	from, pair := s.port, pairOf(s.port.cfg.Name, at.cfg.Name)
	offender := offender(from, at)
	g.mu.Lock()
	l := at.sw.loops[pair]
	isNew := l == nil
	if isNew {
		l = &standing{Loop: Loop{Ports: pair, VLAN: s.vlan, Since: now}}
		at.sw.loops[pair] = l
	}
	first := !l.Probed
	if l.sure.IsZero() || now.Sub(l.seen) > sureTime+probeEvery {
		l.sure = now.Add(rand.N(sureTime))
	}
	l.Probed, l.seen = true, now
	// In a storm, they may all come back late.
	fresh := now.Sub(s.at) <= probeFresh || now.Sub(l.sure) > probeEvery
	barred = offender != nil && (offender.bar.on() || !s.at.Before(l.sure) && fresh)
	loop := l.Loop
	g.mu.Unlock()
	if first {
		g.log.Warn("there is a loop: what leaves by one port comes back by the other", "switch", at.sw.name, "ports", pair, "vlan", s.vlan)
	}
	if isNew {
		g.tellLoop(LoopBegan, at.sw, loop)
	}
	if barred {
		g.shut(offender, s.vlan, fmt.Sprintf("loop-protect: what leaves by %s comes back by %s in VLAN %d", from.name(), at.name(), s.vlan), now)
	}
	return barred
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
	until := now.Add(delay + rand.N(delay/10)) // those that are barred together are not tried together
	reason += "; it is tried again at " + until.Local().Format(time.TimeOnly)
	g.setBar(p, bar{reason: reason, vlan: vid, until: until, delay: delay})
}

// setBar puts a bar in place of the port's last.
func (e *Engine) setBar(p *Port, b bar) {
	e.mu.Lock()
	was := p.bar
	p.bar = b
	e.mu.Unlock()
	st := p.status
	if a := p.attached; a != nil {
		if was.shut() != b.shut() && !p.cfg.Down {
			if err := a.SetCarrier(!b.shut()); err != nil {
				e.log.Warn("the far end does not see that its port is barred or not", "port", p.name(), "error", err)
			}
		}
		if st = a.Status(); st.Gone {
			e.deviceGone(p.core) // the supervisor's
			st = p.status
		}
	}
	e.update(p, st)
	if p.peer != nil {
		e.update(p.peer, p.peer.status)
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
		if now.Sub(p.probed) >= guardTick {
			p.probed = now
			g.probe(p, b.vlan)
		}
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

// nextCustomer returns the VID of a customer's tag without which a tunnel would not carry
// the port's probe; 0: it needs none.
func (p *Port) nextCustomer() vlan.ID {
	carried := p.cfg.VLAN.CVLANs
	if carried == nil || carried.Contains(0) {
		return 0
	}
	vid := p.turn
	for range vlan.MaxID {
		if vid = vid%vlan.MaxID + 1; carried.Contains(uint16(vid)) {
			p.turn = vid
			return vid
		}
	}
	return 0
}

// suspect has probes sent by ports between which there is a loop, or seems to be, and
// says when to come again.
func (g *guard) suspect(sw *Switch, now time.Time) (next time.Duration) {
	next = time.Hour
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, vid := range sw.doubts {
		if p := sw.ports[name]; p != nil && p.state == Up {
			g.probe(p, vid)
		}
	}
	sw.doubts = nil // until there are others
	for pair, l := range sw.loops {
		if sw.cutLocked(pair) || !l.Probed && !l.fast {
			continue // the trial looks after it; or there is no doubt
		}
		every := probeEvery
		unsure := !l.Probed && now.Sub(l.Since) < doubtTime
		if unsure || l.Probed && now.Sub(l.sure) < 2*probeEvery && g.canCutLocked(sw, pair) {
			every = guardTick
		}
		next = min(next, max(every-now.Sub(l.probed), time.Millisecond))
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

// canCutLocked reports whether one of a loop's ports may be barred.
func (g *guard) canCutLocked(sw *Switch, pair [2]string) bool {
	for _, name := range pair {
		if p := sw.ports[name]; p != nil && p.cfg.Options.LoopProtect {
			return true
		}
	}
	return false
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

// probe has probes sent by a port, at the end of this look: one to their group, and
// one to all, as some bridges forward no multicast, and others no broadcast.
func (g *guard) probe(p *Port, vid vlan.ID) {
	cvid := p.nextCustomer()
	for _, toAll := range []bool{false, true} {
		g.due = append(g.due, &probe{port: p, vlan: vid, cvid: cvid, toAll: toAll})
	}
}

// send sends what is due, and waits once for each worker.
func (g *guard) send(now time.Time) {
	tasks := make(map[*worker][]*probe)
	switches := make(map[*Switch]map[uint64]*sentProbe)
	for _, p := range g.due {
		nonce := newNonce()
		g.sent[nonce] = &sentProbe{port: p.port, vlan: p.vlan, at: now}
		switches[p.port.sw] = make(map[uint64]*sentProbe)
		p.frame = p.port.sw.newProbe(p.cvid, nonce, p.toAll)
		w := cmp.Or(p.port.worker, g.workerOf(p.port.id))
		tasks[w] = append(tasks[w], p)
	}
	g.due = nil
	for nonce, s := range g.sent {
		if all := switches[s.port.sw]; all != nil {
			all[nonce] = s
		}
	}
	for sw, all := range switches {
		sw.sent.Store(&all)
	}
	for w, all := range tasks {
		w.do(func() { w.sendProbes(all) })
	}
}
