// Package controltest holds a daemon whose ports are in memory: a real engine
// behind a real control socket, for tests of clients and of the API that need
// neither root nor devices.
package controltest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/store"
	"github.com/vswitch/vswitch/vlan"

	vswitch "github.com/vswitch/vswitch/switch"
)

// Version is what the daemon says it is.
const Version = "v0.0.0-test"

// Absent names the one namespace, container or device that does not exist.
const Absent = "absent"

var errAbsent = &port.Error{Code: port.NotFound, Message: Absent + " is not there: make it first"}

// Unfit names the one namespace, container or device that is there, but nothing can
// be attached to it.
const Unfit = "unfit"

// Daemon is a running daemon with the switch sw0.
type Daemon struct {
	Engine *vswitch.Engine
	Socket string

	host   *host
	kept   *store.Store // nil: nothing is kept
	cancel context.CancelFunc
	served chan error
	close  func() error
}

// Start starts a daemon that listens at socket. log may be nil.
func Start(socket string, log *slog.Logger) (*Daemon, error) { return start(socket, log, nil) }

// StartKept starts one that keeps its configuration, and closes what it is kept in
// at its end.
func StartKept(socket string, s *store.Store) (*Daemon, error) { return start(socket, nil, s) }

func start(socket string, log *slog.Logger, kept *store.Store) (*Daemon, error) {
	h := &host{events: make(chan port.Event), open: make(map[string]*attachment), nextIndex: 1}
	engine, err := vswitch.NewEngine(vswitch.Config{Host: h, Log: log})
	if err != nil {
		return nil, err
	}
	server := control.New(engine, control.Config{Version: Version, Log: log, Store: kept})
	if err := server.Restore(context.Background(), api.DefaultSwitch); err != nil {
		return nil, errors.Join(err, engine.Close(context.Background()))
	}
	l, err := control.Listen(socket, "")
	if err != nil {
		return nil, errors.Join(err, engine.Close(context.Background()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Daemon{Engine: engine, Socket: socket, host: h, kept: kept, cancel: cancel, served: make(chan error, 1)}
	go func() { d.served <- server.Serve(ctx, l) }() // until Close
	d.close = sync.OnceValue(d.end)
	return d, nil
}

// Close ends the daemon and waits for its end. It may be called again.
func (d *Daemon) Close() error { return d.close() }

func (d *Daemon) end() error {
	d.cancel()
	err := errors.Join(<-d.served, d.Engine.Close(context.Background()))
	if d.kept != nil {
		err = errors.Join(err, d.kept.Close())
	}
	return err
}

// patience is how long something may take that takes no time.
const patience = 5 * time.Second

// Learn makes a station send a frame into a port, named SWITCH/PORT, and waits
// until the switch has counted it. The tag is 0 for an untagged one.
func (d *Daemon) Learn(name string, mac frame.MAC, vid vlan.ID) error {
	d.host.mu.Lock()
	a := d.host.open[name]
	d.host.mu.Unlock()
	if a == nil {
		return fmt.Errorf("no port %s is open", name)
	}
	before, err := d.Engine.Port(a.id.Switch, a.id.Port)
	if err != nil {
		return err
	}
	w := porttest.Wire{Bytes: append(append(frame.Broadcast[:], mac[:]...), 0x88, 0xb5, 0)}
	if vid != 0 {
		w.Tag = frame.NewTag(frame.TPIDCustomer, 0, uint16(vid))
	}
	a.pair.Send(w)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		now, err := d.Engine.Port(a.id.Switch, a.id.Port)
		if err != nil {
			return err
		}
		if now.Counters.RxFrames > before.Counters.RxFrames {
			return nil
		}
	}
	return fmt.Errorf("port %s did not take the frame in", name)
}

// Stations returns how many dynamic entries a switch has.
func (d *Daemon) Stations(sw string) int {
	n := 0
	entries, _ := d.Engine.FDB(sw) // none where there is no switch
	for _, e := range entries {
		if e.Type == fdb.Dynamic {
			n++
		}
	}
	return n
}

// host opens ports in memory.
type host struct {
	events chan port.Event

	mu        sync.Mutex
	open      map[string]*attachment
	nextIndex int
}

func (h *host) Find(context.Context, port.Config) (*port.Place, error) { return nil, nil }

func (h *host) Missing(cfg port.Config) error {
	if cfg.Netns == Absent || cfg.Device == Absent {
		return errAbsent
	}
	return nil // a container's engine would have to be asked
}

func (h *host) Inherit(context.Context, func(port.Identity) bool) (int, error) { return 0, nil }

func (h *host) Disinherit() (int, error) { return 0, nil }

func (h *host) Expect(map[port.Identity]port.Handed, bool) {}

func (h *host) Open(ctx context.Context, id port.Identity, cfg port.Config, _ *port.Place) (vswitch.Attachment, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Netns == Absent || cfg.Container == Absent || cfg.Device == Absent {
		return nil, errAbsent
	}
	if cfg.Netns == Unfit || cfg.Container == Unfit || cfg.Device == Unfit {
		return nil, &port.Error{Code: port.Refused, Message: "nothing can be attached to " + Unfit + ": take another"}
	}
	pair, err := porttest.New()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := &attachment{host: h, id: id, pair: pair, info: port.Info{
		Device: cfg.Device, Ifindex: h.nextIndex, Netns: cfg.Netns, MTU: cfg.MTU, TagRoom: 4,
	}}
	h.nextIndex++
	if a.info.Device == "" {
		a.info.Device = "vs-" + id.Port
		a.info.IfName = cfg.IfName
		switch {
		case a.info.IfName != "":
		case cfg.Netns != "" || cfg.Container != "":
			a.info.IfName = "eth0"
		default:
			a.info.IfName = id.Port
		}
	}
	if a.info.MTU == 0 {
		a.info.MTU = 1500
	}
	h.open[id.Switch+"/"+id.Port] = a
	return a, nil
}

func (h *host) CloseAll(_ context.Context, all []vswitch.Attachment) error {
	var errs []error
	for _, a := range all {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}

func (h *host) LeaveAll(all []vswitch.Attachment) error { return h.CloseAll(context.Background(), all) }

func (h *host) Events() <-chan port.Event { return h.events }

// attachment is one end of a pair in memory.
type attachment struct {
	host *host
	id   port.Identity
	info port.Info
	pair *porttest.Pair
}

func (a *attachment) Device() port.Device   { return a.pair.Device() }
func (a *attachment) Info() port.Info       { return a.info }
func (a *attachment) Status() port.Status   { return port.Status{Carrier: true} }
func (a *attachment) SetCarrier(bool) error { return nil }
func (a *attachment) Keys() []port.Key      { return nil }

func (a *attachment) Hand() (port.Handed, error) { return port.Handed{}, port.ErrGone }
func (a *attachment) Receive(int) error          { return port.ErrGone }

func (a *attachment) Close() error {
	a.host.mu.Lock()
	delete(a.host.open, a.id.Switch+"/"+a.id.Port)
	a.host.mu.Unlock()
	return a.pair.Device().Close()
}

// Attached returns the devices that are open, by SWITCH/PORT.
func (d *Daemon) Attached() map[string]int {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	all := make(map[string]int)
	for name, a := range d.host.open {
		all[name] = a.Info().Ifindex
	}
	return all
}
