package vswitch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/storm"
	"github.com/vswitch/vswitch/vlan"
)

// maxPorts bounds the ports of one switch, by the width of fdb.PortID.
const maxPorts = 1<<16 - 1

// maxFrameLen is longer than any frame; patches carry all.
const maxFrameLen = 1 << 20

// Port is one port of a switch: what was asked for, and what it hangs on.
// Its fields are written by the holder of Engine.change, under Engine.mu.
type Port struct {
	sw   *Switch
	id   fdb.PortID
	core *core
	cfg  PortConfig

	attached  Attachment  // nil: lost, or a patch
	info      port.Info   // of the last attachment
	status    port.Status // as it was last asked for
	peer      *Port       // of a patch
	worker    *worker     // that receives from the device
	lines     [ways]*line // nil: not impaired
	state     State
	reason    string
	watching  []port.Key // under which Engine.watched has it
	retry     backoff    // while nothing is attached
	unfit     bool       // what it is attached to cannot be boosted
	sought    bool       // a search for its place is under way: see seek
	seekAgain bool       // and something has happened since it began
	bar       bar        // after a loop
	probed    time.Time  // last, because of Options.LoopProtect
	turn      vlan.ID    // the last of a trunk's VLANs that was probed
	rxFull    uint64     // frames that the kernel dropped, so far
	earlier   Counters   // of the engine whose place this one has taken
	ifName    string     // of the far end when it was first made
}

// check says what is wrong with the words of a port's configuration.
func (c *PortConfig) check() error {
	for _, err := range []error{CheckName("switch", c.Switch), CheckName("port", c.Name)} {
		if err != nil {
			return err
		}
	}
	if err := c.VLAN.Validate(); err != nil {
		return &Error{Invalid, err.Error()}
	}
	for d, name := range wayNames {
		if err := c.Impair.of(way(d)).Validate(); err != nil {
			return errorf(Invalid, "impairment at %s: %v", name, err)
		}
	}
	return c.Options.check()
}

// AddPort makes a port: whole, or not at all.
func (e *Engine) AddPort(ctx context.Context, cfg PortConfig) (PortInfo, error) {
	if cfg.VLAN == (vlan.Policy{}) {
		cfg.VLAN = *vlan.Default()
	}
	if err := cfg.check(); err != nil {
		return PortInfo{}, err
	}
	ctx, done := e.request(ctx)
	defer done()
	if _, err := e.vacancy(&cfg); err != nil {
		return PortInfo{}, err // nobody needs to be asked
	}
	at, err := e.host.Find(ctx, cfg.Attach)
	if err != nil {
		return PortInfo{}, e.unlessClosing(err)
	}
	defer at.Close()
	if err := e.begin(ctx); err != nil {
		return PortInfo{}, err
	}
	defer e.change.Unlock()
	sw, err := e.vacancy(&cfg)
	if err != nil {
		return PortInfo{}, err
	}
	if err := e.fillIn(&cfg, nil); err != nil {
		return PortInfo{}, err
	}
	if cfg.Attach.Kind == port.Patch {
		return e.addPatch(sw, cfg)
	}
	a, err := e.host.Open(ctx, port.Identity{Switch: cfg.Switch, Port: cfg.Name}, cfg.Attach, at)
	if err != nil {
		return PortInfo{}, e.unlessClosing(err)
	}
	p, err := e.newPort(sw, cfg)
	if err == nil {
		h := hold{p: p, a: a}
		e.attach(&h)
		err = h.err
	}
	if err != nil {
		return PortInfo{}, errors.Join(err, a.Close())
	}
	e.enter(p)
	return e.portInfo(p), nil
}

// Missing returns an error for what a port would hang on that is not there, or is not
// fit for it, as far as can be told without asking another program. By the time that the port is added,
// things may stand otherwise.
func (e *Engine) Missing(cfg port.Config) error { return translate(e.host.Missing(cfg)) }

// vacancy returns the switch that a new port is to be on, where its name is
// free.
func (e *Engine) vacancy(cfg *PortConfig) (*Switch, error) {
	sw, err := e.home(cfg.Switch)
	if err != nil {
		return nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if sw.ports[cfg.Name] != nil {
		return nil, errorf(Exists, "port %s/%s stands already: choose another name, or change it with `vsctl port set %s/%s`", cfg.Switch, cfg.Name, cfg.Switch, cfg.Name)
	}
	return sw, nil
}

// newPort gives a port its ID. Nothing refers to it yet.
func (e *Engine) newPort(sw *Switch, cfg PortConfig) (*Port, error) {
	id := slices.Index(sw.ids, nil)
	if id < 0 {
		id = len(sw.ids)
	}
	if id >= maxPorts {
		return nil, errorf(Refused, "switch %s has %d ports, which is the most: put the port on another switch, joined by a patch", sw.name, maxPorts)
	}
	p := &Port{sw: sw, id: fdb.PortID(id), cfg: cfg, state: Up}
	p.core = newCore(sw, p.id, cfg.Name, len(e.workers))
	p.lines = e.linesOf(p, [ways]*line{})
	return p, nil
}

// hold is what a port is to hang on, or why it does not.
type hold struct {
	p   *Port
	a   Attachment
	err error
}

// attach makes workers receive from what ports hang on, where there is no error
// yet. It waits once for each worker, however many ports there are. What
// follows from it for a port's state is for the caller to settle; what was not
// attached is the caller's to close.
func (e *Engine) attach(all ...*hold) {
	status := make(map[*hold]port.Status)
	tasks := make(map[*worker][]*hold)
	for _, h := range all {
		if h.err == nil && (h.p.cfg.Down || h.p.bar.shut()) {
			h.err = translate(h.a.SetCarrier(false))
		}
		if h.err == nil {
			w := e.workerOf(h.p.id)
			tasks[w] = append(tasks[w], h)
			status[h] = h.a.Status()
		}
	}
	for w, holds := range tasks {
		w.do(func() {
			for _, h := range holds {
				if h.a.Device().FD() >= 0 { // else it comes later: see Expect
					h.err = w.receiveFrom(h.p.core, h.a.Device())
				}
			}
		})
		e.mu.Lock()
		for _, h := range holds {
			p := h.p
			if h.err != nil {
				h.err = errorf(Failed, "port %s: %v", p.name(), h.err)
				continue
			}
			p.attached, p.worker, p.info, p.status = h.a, w, h.a.Info(), status[h]
			p.unfit = false
			p.ifName = cmp.Or(p.ifName, p.info.IfName)
			e.watchLocked(p, h.a.Keys())
		}
		e.mu.Unlock()
	}
}

// settle derives the port's state from what is known. The caller holds
// Engine.mu.
func (p *Port) settle() {
	switch {
	case p.cfg.Down:
		p.state, p.reason = Down, ""
	case p.peer != nil && p.peer.cfg.Down:
		p.state, p.reason = Lost, fmt.Sprintf("no carrier: the far end %s/%s is down", p.peer.sw.name, p.peer.cfg.Name)
	case p.peer != nil && p.peer.bar.shut(): // on trial, its probes need a way
		p.state, p.reason = Lost, fmt.Sprintf("no carrier: the far end %s/%s is barred after a loop", p.peer.sw.name, p.peer.cfg.Name)
	case p.bar.on() && !p.detached() && !p.status.Gone:
		p.state, p.reason = Lost, p.bar.reason
	case p.peer != nil:
		p.state, p.reason = Up, ""
	case p.attached == nil || p.status.Gone || !p.status.Carrier:
		p.state, p.reason = Lost, p.status.Reason
	default:
		p.state, p.reason = Up, ""
	}
	p.info.MTU = cmp.Or(p.status.MTU, p.info.MTU)
	p.info.Device = cmp.Or(p.status.Device, p.info.Device)
	p.info.IfName = cmp.Or(p.status.IfName, p.info.IfName)
}

// enter makes a complete port part of its switch.
func (e *Engine) enter(p *Port) {
	sw := p.sw
	e.reserveID(p)
	e.mu.Lock()
	p.settle()
	sw.ports[p.cfg.Name] = p
	e.mu.Unlock()
	sw.table.SetPort(p.id, limits(&p.cfg))
	e.publish(p)
	e.tellPort(PortAdded, p)
}

// reserveID marks the port's ID as taken.
func (e *Engine) reserveID(p *Port) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if int(p.id) == len(p.sw.ids) {
		p.sw.ids = append(p.sw.ids, p)
	} else {
		p.sw.ids[p.id] = p
	}
}

func limits(c *PortConfig) fdb.PortLimits {
	return fdb.PortLimits{MaxMACs: c.Options.MaxMACs, Sticky: c.Options.Sticky}
}

func (p *Port) name() string { return p.sw.name + "/" + p.cfg.Name }

// detached reports whether the port hangs on nothing, though it should.
func (p *Port) detached() bool { return p.attached == nil && p.peer == nil }

// publish puts the port's present configuration into the snapshot.
func (e *Engine) publish(p *Port) {
	p.sw.snapshot.Store(p.sw.snapshot.Load().with(p.view(e, p.sw)))
	if p.cfg.Options.LoopProtect || p.bar.on() {
		e.raiseAlarm()
	}
}

// view makes what the workers see of the port.
func (p *Port) view(e *Engine, sw *Switch) *view {
	o := p.cfg.Options // its own: a view never changes
	v := &view{
		core:     p.core,
		up:       p.state == Up,
		listens:  p.state == Lost,
		policy:   p.cfg.VLAN,
		limit:    p.info.MTU + frame.HeaderLen,
		tagRoom:  p.info.TagRoom,
		noLearn:  o.NoLearn,
		hairpin:  o.Hairpin,
		isolated: o.Isolated,
		pass:     sw.settings.PassReserved,
		lines:    p.lines,
	}
	if o.Storm != (storm.Limits{}) {
		v.storm = &o.Storm
	}
	if o.PassReserved != nil {
		v.pass = *o.PassReserved
	}
	for kind, withhold := range map[floods]bool{floodUnicast: o.NoFlood, floodMulticast: o.NoMcastFlood, floodBroadcast: o.NoBcastFlood} {
		if withhold {
			v.withheld |= kind
		}
	}
	switch {
	case p.attached != nil:
		v.device = p.attached.Device()
	case p.peer != nil:
		v.peer = p.peer.core
		v.limit = maxFrameLen
	}
	v.settle()
	return v
}

// SetPort changes a port: change is called with a copy of its configuration,
// which is put in force if it returns nil. What the port is attached to cannot
// be changed. With raise, a port that has lost its device gets it again, or
// nothing is changed.
func (e *Engine) SetPort(ctx context.Context, swName, name string, raise bool, change func(*PortConfig) error) (PortInfo, error) {
	ctx, done := e.request(ctx)
	defer done()
	var at *port.Place
	if raise {
		var err error
		if at, err = e.placeOfLost(ctx, swName, name); err != nil {
			return PortInfo{}, err
		}
		defer at.Close()
	}
	if err := e.begin(ctx); err != nil {
		return PortInfo{}, err
	}
	defer e.change.Unlock()
	p, err := e.findPort(swName, name)
	if err != nil {
		return PortInfo{}, err
	}
	next, err := e.changed(p, change)
	if err != nil {
		return PortInfo{}, err
	}
	if raise && p.toRaise() {
		if err := e.raise(ctx, p, at); err != nil {
			return PortInfo{}, err
		}
	}
	status := p.status
	lift := p.bar.on() && (raise || next.Down)
	if (next.Down != p.cfg.Down || lift) && p.attached != nil {
		if err := p.attached.SetCarrier(!next.Down); err != nil {
			return PortInfo{}, translate(err)
		}
		status = p.attached.Status()
	}
	old := p.cfg
	e.mu.Lock()
	p.cfg = next
	if lift {
		p.bar = bar{}
	}
	p.lines = e.linesOf(p, p.lines)
	e.mu.Unlock()
	if was := limits(&old); was != limits(&next) {
		p.sw.table.SetPort(p.id, limits(&next))
	}
	e.update(p, status)
	if p.peer != nil {
		e.update(p.peer, p.peer.status)
	}
	e.forgetVLANs(p, &old.VLAN)
	e.tellPort(PortChanged, p)
	return e.portInfo(p), nil
}

// changed returns what change makes of the port's configuration.
func (e *Engine) changed(p *Port, change func(*PortConfig) error) (PortConfig, error) {
	next := p.cfg
	if err := change(&next); err != nil {
		return next, err
	}
	if err := e.fillIn(&next, &p.cfg); err != nil {
		return next, err
	}
	next.Switch, next.Name, next.Attach = p.cfg.Switch, p.cfg.Name, p.cfg.Attach
	return next, next.check()
}

// forgetVLANs removes the entries of VLANs that the port had under its old
// policy and has no more.
func (e *Engine) forgetVLANs(p *Port, old *vlan.Policy) {
	if old.Equal(&p.cfg.VLAN) {
		return
	}
	e.quiesce()
	if p.sw.table.PortCount(p.id) == 0 {
		return // the whole table need not be looked through
	}
	p.sw.table.RemoveIf(func(en fdb.Entry) bool {
		return en.Port == p.id && en.Type == fdb.Dynamic && !p.cfg.VLAN.Member(en.VLAN)
	})
}

// DeletePort removes a port, and what was made for it.
func (e *Engine) DeletePort(ctx context.Context, sw, name string) error {
	return e.DeletePorts(ctx, []port.PeerName{{Switch: sw, Port: name}})
}

// DeletePorts removes ports, and what was made for them, at once. Where one does not
// stand, none is removed.
func (e *Engine) DeletePorts(ctx context.Context, names []port.PeerName) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	ports := make([]*Port, len(names))
	for i, name := range names {
		p, err := e.findPort(name.Switch, name.Port)
		if err != nil {
			return err
		}
		ports[i] = p
	}
	return e.closePorts(ctx, ports)
}

// closePorts removes ports, with the far ends of patches.
func (e *Engine) closePorts(ctx context.Context, ports []*Port) error {
	return translate(e.host.CloseAll(ctx, e.removePorts(ports)))
}

// removePorts removes ports, with the far ends of patches, and returns what they hung
// on, for the caller to let go.
func (e *Engine) removePorts(ports []*Port) []Attachment {
	set := make(map[*Port]bool)
	for _, p := range ports {
		set[p] = true
		if p.peer != nil {
			set[p.peer] = true
		}
	}
	e.mu.Lock()
	for p := range set {
		delete(p.sw.ports, p.cfg.Name)
		p.sw.forgetLoopsLocked(p.cfg.Name)
		e.watchLocked(p, nil)
	}
	e.mu.Unlock()
	e.withdraw(set)
	open := e.release(slices.Collect(maps.Keys(set)))
	for p := range set {
		p.sw.table.RemovePort(p.id, false)
		p.sw.table.ForgetPort(p.id)
		e.mu.Lock()
		p.sw.ids[p.id] = nil
		e.mu.Unlock()
		e.tellPort(PortRemoved, p)
	}
	return open
}

// withdraw takes ports out of their switches' snapshots.
func (e *Engine) withdraw(ports map[*Port]bool) {
	next := make(map[*Switch]*snapshot)
	for p := range ports {
		if next[p.sw] == nil {
			next[p.sw] = p.sw.snapshot.Load()
		}
		next[p.sw] = next[p.sw].without(p.id)
	}
	for sw, sn := range next {
		sw.snapshot.Store(sn)
	}
}

// release takes their attachments off ports whose devices no snapshot has any
// more, and returns them: no worker uses them then.
func (e *Engine) release(ports []*Port) []Attachment {
	for _, w := range e.workers {
		w.do(func() {
			for _, p := range ports {
				if p.worker == w && p.attached != nil {
					w.release(p.attached.Device())
				}
			}
		})
	}
	var free []Attachment
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range ports {
		if p.attached != nil {
			p.countRxFull(p.attached.Device())
			free = append(free, p.attached)
			e.unboosted(p)
			p.attached, p.worker = nil, nil
		}
	}
	return free
}

func (e *Engine) tellPort(kind EventKind, p *Port) {
	e.events.send(Event{Kind: kind, Switch: p.sw.name, Port: p.cfg.Name, State: p.state, Reason: p.reason})
}

// unlessClosing is translate for requests, which Close ends.
func (e *Engine) unlessClosing(err error) error {
	if e.closing.Err() != nil && errors.Is(err, context.Canceled) {
		return errClosing
	}
	return translate(err)
}

// translate gives errors of package port the codes of this one.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	var pe *port.Error
	if errors.As(err, &pe) {
		return &Error{Code(pe.Code), err.Error()}
	}
	return &Error{Failed, err.Error()}
}
