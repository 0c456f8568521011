package vswitch

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

// Config is what an [Engine] needs.
type Config struct {
	Host    Host
	Log     *slog.Logger // nil: nothing is logged
	Workers int          // 0: [DefaultWorkers]

	// Rings is how many ports are boosted at once: 0 is [DefaultRings], less
	// is none. RingRate is from how many small frames a second on a port is:
	// 0 is [DefaultRingRate].
	Rings, RingRate int

	// Spin bounds how long a worker looks for the next frame before it
	// sleeps: 0 is [DefaultSpin], less is never.
	Spin time.Duration

	// Uptime is how long the engine counts as up already, by the clock of the one
	// whose place it takes.
	Uptime time.Duration

	// NoURing has TAPs read and written frame by frame, without io_uring(7).
	NoURing bool
}

// Engine runs switches: it owns their workers, and follows what happens to
// their ports' devices.
type Engine struct {
	host    Host
	log     *slog.Logger
	clock   func() fdb.Time
	nano    func() impair.Time
	workers []*worker
	events  bus

	// change is held by whoever changes the configuration, also while the
	// system makes a device for it; nobody who only looks waits for that.
	// Other programs are never asked for anything while it is held: all
	// changes, lost ports and the end would wait for them.
	change sync.Mutex

	mu       sync.RWMutex // guards what follows; held for an instant only
	switches map[string]*Switch
	profiles map[string]Profile
	watched  map[port.Key]map[*Port]bool
	closed   bool

	leaving *handover // guarded by change; nil: none is under way

	rings    int // see Config
	ringRate int
	boosts   map[*Port]*boost // guarded by change
	heat     chan struct{}    // holds one when a worker has found a port worth a boost

	alarm    chan struct{} // holds one when the guard has something to look at
	news     chan struct{} // holds one when the supervisor has something to look at
	searches chan struct{} // holds one for each search under way
	closing  context.Context
	end      context.CancelFunc // of closing
	stop     context.CancelFunc // of supervisor, housekeeper and guard
	running  sync.WaitGroup     // workers, supervisor and its searches, housekeeper, guard
}

// Switch is one switch of an Engine.
type Switch struct {
	name     string
	table    *fdb.Table
	token    [8]byte                               // of its probes
	sent     atomic.Pointer[map[uint64]*sentProbe] // that may come back, by nonce
	snapshot atomic.Pointer[snapshot]

	// Guarded by Engine.mu.
	settings Settings
	ports    map[string]*Port
	ids      []*Port // by port ID; nil where free
	loops    map[[2]string]*standing
	doubts   map[string]vlan.ID // ports that bring so much for many that it may be a loop

	watch loopWatch // the housekeeper's
}

// DefaultWorkers returns how many workers an Engine has unless told otherwise:
// half of the processors, as the stations need the others, and 4 at the most. On
// two processors one worker moves frames between two stations as fast as two do,
// and it keeps its caches; docs/benchmarks.md has the figures.
func DefaultWorkers() int { return min(max(runtime.NumCPU()/2, 1), 4) }

// NewEngine starts an engine without switches.
func NewEngine(cfg Config) (*Engine, error) {
	e := &Engine{
		host:     cfg.Host,
		log:      cfg.Log,
		switches: make(map[string]*Switch),
		profiles: make(map[string]Profile),
		watched:  make(map[port.Key]map[*Port]bool),
		alarm:    make(chan struct{}, 1),
		news:     make(chan struct{}, 1),
		searches: make(chan struct{}, searchers),
		rings:    max(cmp.Or(cfg.Rings, DefaultRings), 0),
		ringRate: cmp.Or(cfg.RingRate, DefaultRingRate),
		boosts:   make(map[*Port]*boost),
		heat:     make(chan struct{}, 1),
	}
	e.clock, e.nano = clocksFrom(time.Now().Add(-cfg.Uptime))
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for i := range cmp.Or(cfg.Workers, DefaultWorkers()) {
		w, err := newWorker(i, e.workerConfig(spinOf(cfg, i)))
		if err != nil {
			e.stopWorkers()
			return nil, err
		}
		if !cfg.NoURing {
			if err := w.io.UseURing(); err != nil {
				e.log.Info("TAPs are read and written frame by frame", "worker", i, "reason", err)
			}
		}
		e.workers = append(e.workers, w)
		e.running.Go(w.run) // until stopWorkers
	}
	e.events.init()
	e.closing, e.end = context.WithCancel(context.Background())
	ctx, stop := context.WithCancel(e.closing)
	e.stop = stop
	e.running.Go(func() { e.supervise(ctx) })
	e.running.Go(func() { e.keepHouse(ctx) })
	e.running.Go(func() { e.tendBoosts(ctx) })
	e.running.Go(func() { e.guard(ctx) })
	return e, nil
}

// Close ends the engine: it refuses further changes, closes all ports, and
// waits for the workers. What the ports made is gone then.
func (e *Engine) Close(ctx context.Context) error {
	return e.finish(func(all []Attachment) error { return e.host.CloseAll(ctx, all) })
}

// Leave ends the engine as Close does, but what the ports made stays, for an engine
// that comes: see [Engine.Inherit].
func (e *Engine) Leave() error { return e.finish(e.host.LeaveAll) }

// finish ends the engine, and has its ports' attachments let go.
func (e *Engine) finish(letGo func([]Attachment) error) error {
	// No port comes back while they are closed. Requests under way, and
	// whoever is bringing back a thousand ports, let it be, so that their
	// turn ends.
	e.end()
	e.change.Lock()
	return e.finishLocked(letGo)
}

// finishLocked is finish for who holds e.change, which it gives back.
func (e *Engine) finishLocked(letGo func([]Attachment) error) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		e.change.Unlock()
		e.running.Wait()
		return nil
	}
	e.closed = true
	var all []*Port
	for _, sw := range e.switches {
		all = append(all, slices.Collect(maps.Values(sw.ports))...)
	}
	e.mu.Unlock()

	err := translate(letGo(e.removePorts(all)))
	e.stopWorkers()
	e.change.Unlock() // the supervisor may wait for its turn; it finds all closed
	e.running.Wait()
	e.events.close()
	return err
}

func (e *Engine) workerConfig(spin time.Duration) workerConfig {
	cfg := workerConfig{clock: e.clock, nano: e.nano, lost: e.deviceGone, hot: e.portHot, spin: spin}
	if e.rings > 0 {
		cfg.heat = max(e.ringRate*heatTime/1000, 1)
	}
	return cfg
}

func (e *Engine) stopWorkers() {
	for _, w := range e.workers {
		w.do(func() { w.stopped = true })
	}
}

// quiesce waits until each worker has passed the end of its batch: none then
// uses a snapshot, or a device, that was replaced before the call.
func (e *Engine) quiesce() {
	for _, w := range e.workers {
		w.do(func() {})
	}
}

// Quiesce returns when each worker has passed the end of what it is at.
func (e *Engine) Quiesce() {
	e.change.Lock() // nobody ends them meanwhile, or has them stand
	defer e.change.Unlock()
	if !e.closed {
		e.quiesce()
	}
}

// keepHouse ages entries and tells listeners of moves, until ctx ends.
func (e *Engine) keepHouse(ctx context.Context) {
	const ageEvery, tellEvery = time.Second, 100 * time.Millisecond
	tick := time.NewTicker(ageEvery)
	defer tick.Stop()
	aged := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.events.arrived(): // the first listener
			tick.Reset(tellEvery)
		case <-tick.C:
			if !e.events.watched() {
				tick.Reset(ageEvery)
			}
			e.sendMoves()
			for _, sw := range e.all() {
				e.watchLoops(sw, time.Now())
			}
			if time.Since(aged) >= ageEvery {
				e.age()
				aged = time.Now()
			}
		}
	}
}

func (e *Engine) age() {
	for _, sw := range e.all() {
		sw.table.Expire(e.clock())
	}
}

// all returns the switches by name.
func (e *Engine) all() []*Switch {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.SortedFunc(maps.Values(e.switches), func(a, b *Switch) int { return cmp.Compare(a.name, b.name) })
}

// find returns the switch of that name.
func (e *Engine) find(name string) (*Switch, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.findLocked(name)
}

func (e *Engine) findLocked(name string) (*Switch, error) {
	if sw := e.switches[name]; sw != nil {
		return sw, nil
	}
	return nil, errorf(NotFound, "no switch %q: `vsctl switch list` shows those that stand", name)
}

// home returns the switch on which a port is to be made.
func (e *Engine) home(name string) (*Switch, error) {
	sw, err := e.find(name)
	if err != nil {
		return nil, errorf(NotFound, "%v, `vsctl switch add %s` makes it", err, name)
	}
	return sw, nil
}

// begin starts a change; the caller ends it with e.change.Unlock. It refuses
// once the engine is closing, and when the one who asked has given up while
// earlier changes were under way.
func (e *Engine) begin(ctx context.Context) error {
	e.change.Lock()
	switch {
	case e.closed || e.closing.Err() != nil:
		e.change.Unlock()
		return errClosing
	case ctx.Err() != nil:
		e.change.Unlock()
		return errorf(Failed, "nothing was changed: the request ended before its turn came: %v", ctx.Err())
	}
	return nil
}

var errClosing = errorf(Closing, "the switch is shutting down")

// request bounds what somebody asked for by the engine's life: Close ends it.
// The caller calls done.
func (e *Engine) request(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(e.closing, cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}

// AddSwitch makes a switch.
func (e *Engine) AddSwitch(ctx context.Context, name string, s Settings) error {
	if err := cmp.Or(CheckName("switch", name), s.Check()); err != nil {
		return err
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	if _, err := e.find(name); err == nil {
		return errorf(Exists, "switch %q stands already: choose another name, or change it with `vsctl switch set %s`", name, name)
	}
	sw := &Switch{
		name:     name,
		settings: s,
		table:    fdb.New(fdb.Config{Size: s.FDBSize, Ageing: s.Ageing, Kinds: fdb.Kinds(fdb.EventMoved)}),
		ports:    make(map[string]*Port),
		loops:    make(map[[2]string]*standing),
	}
	rand.Read(sw.token[:])
	sw.snapshot.Store(&snapshot{table: sw.table, dropBPDU: s.DropBPDU})
	e.mu.Lock()
	e.switches[name] = sw
	e.mu.Unlock()
	e.events.send(Event{Kind: SwitchAdded, Switch: name})
	return nil
}

// Check returns what no switch can have of it.
func (s Settings) Check() error {
	switch {
	case s.Ageing < 0:
		return errorf(Invalid, "ageing %v is negative: give a time such as 300s, or 0 to keep entries for good", s.Ageing)
	case s.Ageing != 0 && s.Ageing < time.Second:
		return errorf(Invalid, "ageing %v is under a second: give 1s or more, or 0 to keep entries for good", s.Ageing)
	case s.Ageing > math.MaxInt32*time.Second:
		return errorf(Invalid, "ageing %v is too long: 0 keeps entries for good", s.Ageing)
	case s.FDBSize < 1 || s.FDBSize > fdb.MaxSize:
		return errorf(Invalid, "fdb_size %d: a forwarding database of so many entries is not possible: give 1 to %d", s.FDBSize, fdb.MaxSize)
	}
	return nil
}

// SetSwitch changes a switch's settings: change is called with a copy of them,
// which is put in force if it returns nil.
func (e *Engine) SetSwitch(ctx context.Context, name string, change func(*Settings) error) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	sw, err := e.find(name)
	if err != nil {
		return err
	}
	next := sw.settings
	if err := change(&next); err != nil {
		return err
	}
	if err := next.Check(); err != nil {
		return err
	}
	old := sw.settings
	e.mu.Lock()
	sw.settings = next
	e.mu.Unlock()
	if next.Ageing != old.Ageing {
		sw.table.SetAgeing(next.Ageing)
	}
	if next.FDBSize != old.FDBSize {
		sw.table.SetSize(next.FDBSize)
	}
	if next.DropBPDU != old.DropBPDU || next.PassReserved != old.PassReserved {
		e.republish(sw)
	}
	e.events.send(Event{Kind: SwitchChanged, Switch: name})
	return nil
}

// republish builds the snapshot anew after a change of the switch's settings.
func (e *Engine) republish(sw *Switch) {
	next := *sw.snapshot.Load()
	next.dropBPDU = sw.settings.DropBPDU
	next.views = slices.Clone(next.views)
	for id, v := range next.views {
		if v != nil {
			next.views[id] = sw.ids[id].view(e, sw)
		}
	}
	sw.snapshot.Store(&next)
}

// DeleteSwitch removes a switch and its ports.
func (e *Engine) DeleteSwitch(ctx context.Context, name string) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	sw, err := e.find(name)
	if err != nil {
		return err
	}
	if err := e.closePorts(ctx, slices.Collect(maps.Values(sw.ports))); err != nil {
		return err
	}
	e.mu.Lock()
	delete(e.switches, name)
	e.mu.Unlock()
	e.events.send(Event{Kind: SwitchRemoved, Switch: name})
	return nil
}

// Switches returns all switches, by name.
func (e *Engine) Switches() []SwitchInfo {
	var infos []SwitchInfo
	for _, sw := range e.all() {
		infos = append(infos, e.info(sw))
	}
	return infos
}

// Switch returns one switch.
func (e *Engine) Switch(name string) (SwitchInfo, error) {
	sw, err := e.find(name)
	if err != nil {
		return SwitchInfo{}, err
	}
	return e.info(sw), nil
}

func (e *Engine) info(sw *Switch) SwitchInfo {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return SwitchInfo{Name: sw.name, Settings: sw.settings, Ports: len(sw.ports)}
}
