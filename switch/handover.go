package vswitch

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

// An engine can hand over to one in another process, which goes on with the same
// devices: what is learned, counted and attached goes along, frames wait in the
// kernel's queues for the moment between, and none is lost unless they run over.
//
// The old one begins (BeginHandover) and goes on with frames, but changes no more.
// The new one is given the configuration and the Estate, and makes itself ready. The
// old one stops (Stop); with the Rest, which has the descriptors, the new one goes on
// (TakeOver). Until then the old one may change its mind (Abort).

// Estate is what an engine hands over while it still works.
type Estate struct {
	Uptime   time.Duration // of its clock
	Ports    []EstatePort  // that hang on something
	Bars     []EstateBar
	Loops    map[string][]Loop // by switches
	Stations map[string]Stations
}

// EstatePort is a port of an Estate. Its Rest is at the same place.
type EstatePort struct {
	ID     port.Identity
	Handed port.Handed
	IfName string // that the far end is to have when it is made anew
}

// EstateBar is why a port is barred, and for how long still.
type EstateBar struct {
	ID          port.Identity
	Reason      string
	VLAN        vlan.ID
	Left, Delay time.Duration
}

// Rest is what an engine hands over once it has stopped.
type Rest struct {
	Counters []EstateCounters
	Tables   map[string]fdb.Stats
}

// EstateCounters are what a port has counted.
type EstateCounters struct {
	ID       port.Identity
	Counters Counters
}

// Stations are the dynamic entries of a switch, those that were heard last at the
// end: VLAN, address, port and when, 20 octets each.
type Stations struct {
	Ports   []string // that the entries refer to by their place here
	Entries []byte
}

const stationLen = 20

// handover is a handover under way, as the old engine sees it.
type handover struct {
	ports   []*Port       // those of the Estate
	suspend chan struct{} // closed when workers are to go on
	over    atomic.Bool   // but with no device
}

// BeginHandover begins one: until Abort or Leave, whoever wants to change something
// waits.
func (e *Engine) BeginHandover(ctx context.Context) (Estate, error) {
	if err := e.begin(ctx); err != nil {
		return Estate{}, err
	}
	h := new(handover)
	est := Estate{Uptime: time.Duration(e.clock()) * time.Millisecond, Loops: make(map[string][]Loop), Stations: make(map[string]Stations)}
	for _, p := range e.allPorts() {
		if b := &p.bar; b.on() {
			est.Bars = append(est.Bars, EstateBar{port.Identity{Switch: p.sw.name, Port: p.cfg.Name}, b.reason, b.vlan, max(time.Until(b.until), 0), b.delay})
		}
		if p.attached == nil || p.status.Gone {
			continue
		}
		handed, err := p.attached.Hand()
		if err != nil {
			e.change.Unlock()
			return Estate{}, errorf(Failed, "port %s cannot be handed over: %v", p.name(), err)
		}
		h.ports = append(h.ports, p)
		est.Ports = append(est.Ports, EstatePort{port.Identity{Switch: p.sw.name, Port: p.cfg.Name}, handed, p.ifName})
	}
	for _, sw := range e.all() {
		est.Loops[sw.name] = e.Loops(sw.name)
		est.Stations[sw.name] = e.stationsOf(sw)
	}
	e.leaving = h
	return est, nil
}

func (e *Engine) stationsOf(sw *Switch) (s Stations) {
	places := make(map[string]uint16)
	sn, now := sw.snapshot.Load(), e.clock()
	entries := sw.table.Entries(now)
	slices.SortStableFunc(entries, func(a, b fdb.Entry) int { return int(b.Age - a.Age) })
	for _, en := range entries {
		name := sn.name(en.Port)
		if en.Type != fdb.Dynamic || name == "" {
			continue
		}
		place, known := places[name]
		if !known {
			place = uint16(len(s.Ports))
			places[name] = place
			s.Ports = append(s.Ports, name)
		}
		s.Entries = binary.BigEndian.AppendUint16(s.Entries, uint16(en.VLAN))
		s.Entries = append(s.Entries, en.MAC[:]...)
		s.Entries = binary.BigEndian.AppendUint16(s.Entries, place)
		s.Entries = append(s.Entries, 0, 0)
		s.Entries = binary.BigEndian.AppendUint64(s.Entries, uint64(now)-uint64(en.Age/time.Millisecond))
	}
	return s
}

// Stop ends all work on frames: from now on they wait. It returns what was counted,
// and the descriptors of the Estate's ports, which stay the engine's.
func (e *Engine) Stop() (rest Rest, fds []int) {
	h := e.leaving
	e.calmAll()
	h.suspend = make(chan struct{})
	for _, w := range e.workers {
		w.suspend(h)
	}
	rest.Tables = make(map[string]fdb.Stats)
	for _, sw := range e.all() {
		rest.Tables[sw.name] = sw.table.Stats()
	}
	for _, p := range e.allPorts() {
		id := port.Identity{Switch: p.sw.name, Port: p.cfg.Name}
		rest.Counters = append(rest.Counters, EstateCounters{id, e.portInfo(p).Counters})
	}
	for _, p := range h.ports {
		fds = append(fds, p.attached.Device().FD())
	}
	return rest, fds
}

// calmTime is how long the rings of busy ports are emptied before a handover.
const calmTime = 200 * time.Millisecond

// calmAll ends all boosts. Frames that wait in a ring that does not become empty are
// lost with it.
func (e *Engine) calmAll() {
	for _, b := range e.boosts {
		b.quiet = calmAfter
	}
	for deadline := time.Now().Add(calmTime); len(e.boosts) > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, b := range e.boosts {
			b.quiet = calmAfter // whatever came meanwhile
		}
		e.calm()
	}
}

// Resume has frames move again where Stop has ended that; changes still wait.
func (e *Engine) Resume() { e.resumeWorkers() }

// Abort has the engine go on as if nothing had been.
func (e *Engine) Abort() {
	e.resumeWorkers()
	e.leaving = nil
	e.change.Unlock()
	e.wake() // ports may have been lost meanwhile
}

func (e *Engine) resumeWorkers() {
	if h := e.leaving; h != nil && h.suspend != nil {
		close(h.suspend)
		h.suspend = nil
	}
}

// HandedOver ends the engine: another one goes on with its ports. Whoever wants to
// close it meanwhile finds it closed, and takes nothing away.
func (e *Engine) HandedOver() error {
	e.leaving.over.Store(true)
	e.resumeWorkers()
	e.end()
	e.events.close() // no port is removed
	return e.finishLocked(e.host.LeaveAll)
}

// Expect prepares the engine, which has no ports yet, for an Estate. Ports are made
// then as they are configured, and those of the Estate receive nothing before
// TakeOver. Where the other engine no longer runs, some may not be there any more.
func (e *Engine) Expect(est Estate, runs bool) {
	all := make(map[port.Identity]port.Handed)
	for _, p := range est.Ports {
		all[p.ID] = p.Handed
	}
	e.host.Expect(all, runs)
}

// Complete returns an error where a port of the Estate hangs on nothing.
func (e *Engine) Complete(est Estate) error {
	for _, p := range est.Ports {
		stands, err := e.findPort(p.ID.Switch, p.ID.Port)
		if err != nil {
			return err
		}
		if stands.attached == nil {
			return errorf(Failed, "port %s cannot be taken over: %s", p.ID, stands.status.Reason)
		}
	}
	return nil
}

// Remember gives the engine, whose ports stand, what another one has learned of those
// that hang on something.
func (e *Engine) Remember(est Estate) {
	e.change.Lock()
	defer e.change.Unlock()
	for _, p := range est.Ports {
		if stands, err := e.findPort(p.ID.Switch, p.ID.Port); err == nil {
			e.mu.Lock()
			stands.ifName = p.IfName
			e.mu.Unlock()
		}
	}
	for _, b := range est.Bars {
		if stands, err := e.findPort(b.ID.Switch, b.ID.Port); err == nil {
			e.setBar(stands, bar{reason: b.Reason, vlan: b.VLAN, until: time.Now().Add(b.Left), delay: b.Delay})
		}
	}
	for name, s := range est.Stations {
		if sw, err := e.find(name); err == nil {
			e.learnAll(sw, s)
		}
	}
	for name, loops := range est.Loops {
		if sw, err := e.find(name); err == nil {
			e.recall(sw, loops)
		}
	}
}

// recall notes loops as if they had just been seen: those that are cut stand, and the
// others unless they are gone.
func (e *Engine) recall(sw *Switch, loops []Loop) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range loops {
		sw.loops[l.Ports] = &standing{Loop: l, seen: time.Now()}
	}
}

func (e *Engine) learnAll(sw *Switch, s Stations) {
	ids := make(map[int]fdb.PortID)
	for place, name := range s.Ports {
		if p, err := e.findPort(sw.name, name); err == nil && (p.attached != nil || p.peer != nil) {
			ids[place] = p.id
		}
	}
	for b := s.Entries; len(b) >= stationLen; b = b[stationLen:] {
		id, known := ids[int(binary.BigEndian.Uint16(b[8:]))]
		if !known {
			continue
		}
		of := fdb.StationOf(vlan.ID(binary.BigEndian.Uint16(b)), frame.MAC(b[2:8]).Address())
		sw.table.Learn(of, id, fdb.Time(binary.BigEndian.Uint64(b[12:])))
	}
}

// TakeOver goes on where another engine has stopped: the descriptors, in the order of
// the Estate's ports, are this engine's from now on. Those of ports that do not expect
// any are closed. The other one is told by say when all is ready, before a frame moves:
// until it knows, none is in hands that may yet let it fall. Where that fails, none
// moves here. With nil there is no other one any more, and what can go on does.
func (e *Engine) TakeOver(est Estate, rest Rest, fds []int, say func() error) error {
	if len(fds) != len(est.Ports) {
		return errorf(Failed, "%d descriptors for %d ports", len(fds), len(est.Ports))
	}
	e.change.Lock()
	defer e.change.Unlock()
	still := &handover{suspend: make(chan struct{})}
	for _, w := range e.workers {
		w.suspend(still)
	}
	defer close(still.suspend)
	ports, err := e.receive(est, fds)
	e.inheritCounts(rest)
	if say != nil {
		if err == nil {
			err = say()
		}
		if err != nil {
			for _, p := range ports {
				p.worker.yield(p.attached.Device())
			}
			return err
		}
	}
	// What happened to devices in between nobody has told.
	for _, p := range e.allPorts() {
		p.core.gone.Store(true)
	}
	e.wake()
	return err
}

// receive gives ports their descriptors, to receive from once the workers, which stand,
// go on. It returns these ports.
func (e *Engine) receive(est Estate, fds []int) (ports []*Port, err error) {
	for i, ep := range est.Ports {
		p, missing := e.findPort(ep.ID.Switch, ep.ID.Port)
		if missing != nil || p.attached == nil || p.attached.Device().FD() >= 0 {
			port.CloseHanded(fds[i])
			continue
		}
		failed := p.attached.Receive(fds[i])
		if failed == nil {
			failed = p.worker.receiveFrom(p.core, p.attached.Device())
		}
		if failed != nil {
			err = errors.Join(err, errorf(Failed, "port %s cannot be taken over: %v", ep.ID, failed))
			continue
		}
		ports = append(ports, p)
	}
	return ports, err
}

func (e *Engine) inheritCounts(rest Rest) {
	for _, c := range rest.Counters {
		if p, err := e.findPort(c.ID.Switch, c.ID.Port); err == nil {
			e.mu.Lock()
			p.earlier = c.Counters
			e.mu.Unlock()
		}
	}
	for name, s := range rest.Tables {
		if sw, err := e.find(name); err == nil {
			sw.table.Continue(s)
		}
	}
}

// Add adds the counts of another.
func (c *Counters) Add(o *Counters) {
	c.RxFrames += o.RxFrames
	c.RxBytes += o.RxBytes
	c.TxFrames += o.TxFrames
	c.TxBytes += o.TxBytes
	for i := range c.Drops {
		c.Drops[i] += o.Drops[i]
	}
	for i := range c.Notices {
		c.Notices[i] += o.Notices[i]
	}
}

// suspend has the worker do nothing from the end of its round on, with no frame in
// its hands.
func (w *worker) suspend(h *handover) {
	stopped := make(chan struct{})
	w.do(func() { w.pause = func() { w.stand(h, stopped) } })
	<-stopped
}

// stand waits until the worker may go on.
func (w *worker) stand(h *handover, stopped chan<- struct{}) {
	w.pause = nil
	resume := h.suspend
	close(stopped)
	<-resume
	if h.over.Load() {
		for slot := range w.sources {
			if w.sources[slot].core != nil {
				w.unpoll(&w.sources[slot])
			}
		}
	}
}
