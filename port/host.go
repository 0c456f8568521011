package port

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// HostConfig says how a Host works.
type HostConfig struct {
	// Instance tells this daemon from others on the machine: a hash of its
	// socket's path in hexadecimal digits, at most 32.
	Instance string
	// Log takes what nobody asked for but should know; nil: nowhere.
	Log *slog.Logger
}

// Host makes, finds and watches the devices behind ports in the namespace in
// which it was made, and in others. Its methods may be called at once; opening
// ports in parallel is as fast as the kernel allows.
type Host struct {
	marker
	log  *slog.Logger
	conn *rtnl.Conn
	self *netns.NS // no harm in holding it: the process lives there
	drop dropper
	mon  *monitor
	beat *pulse

	containers *containers

	mu   sync.Mutex
	used map[int]Identity         // devices that ports use but did not make, by index
	left map[Identity][]*leftover // by an earlier daemon

	taken int // of these

	expected    map[Identity]Handed // from another daemon
	predecessor bool                // which still runs
}

// NewHost returns a Host for the network namespace of the calling thread,
// which has to be that of the whole process.
func NewHost(cfg HostConfig) (*Host, error) {
	if cfg.Instance == "" || len(cfg.Instance) > 32 || strings.Trim(cfg.Instance, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("instance %q: use up to 32 hexadecimal digits", cfg.Instance)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	self, err := netns.Current()
	if err != nil {
		return nil, err
	}
	conn, err := rtnl.Dial()
	if err != nil {
		self.Close()
		return nil, err
	}
	var u undo
	defer u.rollback()
	u.add(func() { self.Close() })
	u.add(conn.Close)
	if _, err := conn.Handle(); err != nil {
		return nil, err
	}
	h := &Host{
		marker: newMarker(cfg.Instance, self.ID().Ino),
		log:    cfg.Log,
		conn:   conn,
		self:   self,
		used:   map[int]Identity{},
	}
	h.drop.conn = conn
	h.drop.name = h.filterName()
	if h.mon, err = newMonitor(conn, self, cfg.Log); err != nil {
		return nil, err
	}
	u.add(h.mon.close)
	if h.beat, err = newPulse(h.mon.post); err != nil {
		return nil, err
	}
	u.keep()
	h.containers = newContainers(h.mon.post, cfg.Log)
	return h, nil
}

// Close ends the Host. Attachments that are open stay so, but nothing tells of
// them any more: close them first.
func (h *Host) Close() error {
	h.containers.close()
	err := h.beat.close()
	h.mon.close()
	h.conn.Close()
	h.self.Close()
	return errors.Join(err, h.drop.Close())
}

// Open attaches the port id to what cfg names: it makes or finds the device,
// and sets it up, or takes what an earlier daemon has left for it. It happens whole or
// not at all. Its errors are [*Error], for
// people. at is what Find has found for cfg, and stays the caller's; where it
// is nil Open finds it, in whatever time that takes.
func (h *Host) Open(ctx context.Context, id Identity, cfg Config, at *Place) (*Attachment, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if h.predecessor {
		if from, ok := h.expects(id); ok {
			return h.takeHanded(id, cfg, from)
		}
	}
	var a *Attachment
	var err error
	switch cfg.Kind {
	case Veth, Tap:
		a, err = h.openAt(ctx, id, cfg, at)
	case Dev:
		if a, err = h.adopt(id, cfg, nil); a == nil && err == nil {
			a, err = h.openDev(ctx, id, cfg)
		}
	case VM:
		if a, err = h.adopt(id, cfg, nil); a == nil && err == nil {
			a, err = h.openVM(ctx, id, cfg)
		}
	default:
		err = errorf(Invalid, "a port of kind %q is not attached to a device", cfg.Kind)
	}
	if err != nil {
		var e *Error
		if errors.Is(err, unix.EMFILE) {
			return nil, &Error{Failed, fmt.Sprintf("port %s: the daemon has as many files open as it may: raise the limit (LimitNOFILE= of its unit, ulimit -n), or remove ports", id), err}
		}
		if !errors.As(err, &e) {
			err = &Error{Failed, fmt.Sprintf("port %s: %v", id, err), err}
		}
		return nil, err
	}
	return a, nil
}

// openAt attaches a port whose far end has a place.
func (h *Host) openAt(ctx context.Context, id Identity, cfg Config, at *Place) (*Attachment, error) {
	if at == nil {
		var err error
		if at, err = h.locate(ctx, cfg); err != nil {
			return nil, err
		}
		defer at.Close()
	} else if !at.stands() {
		return nil, errorf(Refused, "%s ended just now: start it again", at.what)
	}
	if a, err := h.adopt(id, cfg, at); a != nil || err != nil {
		return a, err
	}
	if cfg.Kind == Tap {
		return h.openTap(ctx, id, cfg, at)
	}
	return h.openVeth(ctx, id, cfg, at)
}

// Events tells what changed around attachments, and what may bring lost ports
// back. Changes that are not taken from it become one event.
func (h *Host) Events() <-chan Event { return h.mon.events }

// CloseAll closes many attachments in little more than the time that one
// takes: two seconds hold for a thousand. It goes to the end whatever ctx says:
// half of it would leave what nobody knows of.
func (h *Host) CloseAll(_ context.Context, all []*Attachment) error { return h.closeAll(all) }
