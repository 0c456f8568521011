package vswitch

import (
	"context"

	"github.com/vswitch/vswitch/port"
)

// Host attaches ports to the world. [Machine] makes one of the machine that
// the daemon runs on; tests have one in memory.
type Host interface {
	// Find finds the place of a port where another program has to be asked
	// for it (port.Config.Asks), which may take seconds. It changes nothing.
	Find(ctx context.Context, cfg port.Config) (*port.Place, error)
	// Missing returns an error for what a port would hang on that is not there, or is
	// not fit for it, as far as can be told without asking another program.
	Missing(cfg port.Config) error
	// Open attaches a port, or changes nothing. at is what Find has found; it
	// stays the caller's.
	Open(ctx context.Context, id port.Identity, cfg port.Config, at *port.Place) (Attachment, error)
	// CloseAll closes many at once, faster than one by one.
	CloseAll(ctx context.Context, all []Attachment) error
	// LeaveAll lets go of many, and leaves what they made for who comes.
	LeaveAll(all []Attachment) error
	// Inherit finds what an earlier daemon has left, which Open takes for ports
	// that stay; Disinherit removes what nobody has opened. They return how many
	// devices they removed.
	Inherit(ctx context.Context, stays func(port.Identity) bool) (removed int, err error)
	Disinherit() (removed int, err error)
	// Expect has Open attach ports to what another process hands over, which may
	// still run.
	Expect(all map[port.Identity]port.Handed, runs bool)
	// Events tells what changed around attachments; see port.Key.
	Events() <-chan port.Event
}

// Attachment is what a port hangs on.
type Attachment interface {
	Device() port.Device
	Info() port.Info
	Status() port.Status
	// SetCarrier shows the far end that the port is up or down, where the
	// kind can.
	SetCarrier(up bool) error
	// Hand returns what another process needs to go on with it, beside its Device's
	// descriptor; Receive is how one that is expected gets that.
	Hand() (port.Handed, error)
	Receive(fd int) error
	// Keys names what concerns the attachment.
	Keys() []port.Key
	// Close gives back and removes what Open took and made; fine when the
	// device is gone.
	Close() error
}

// Machine returns the Host that makes real devices.
func Machine(h *port.Host) Host { return machine{h} }

type machine struct{ host *port.Host }

type attachment struct{ *port.Attachment }

func (a attachment) Device() port.Device { return a.Attachment.Device }
func (a attachment) Info() port.Info     { return a.Attachment.Info }

func (m machine) Find(ctx context.Context, cfg port.Config) (*port.Place, error) {
	return m.host.Find(ctx, cfg)
}

func (m machine) Missing(cfg port.Config) error { return m.host.Missing(cfg) }

func (m machine) Open(ctx context.Context, id port.Identity, cfg port.Config, at *port.Place) (Attachment, error) {
	a, err := m.host.Open(ctx, id, cfg, at)
	if err != nil {
		return nil, err
	}
	return attachment{a}, nil
}

func (m machine) CloseAll(ctx context.Context, all []Attachment) error {
	return m.host.CloseAll(ctx, own(all))
}

func (m machine) LeaveAll(all []Attachment) error { return m.host.LeaveAll(own(all)) }

func own(all []Attachment) (own []*port.Attachment) {
	for _, a := range all {
		own = append(own, a.(attachment).Attachment)
	}
	return own
}

func (m machine) Inherit(ctx context.Context, stays func(port.Identity) bool) (int, error) {
	return m.host.Inherit(ctx, stays)
}

func (m machine) Disinherit() (int, error) { return m.host.Disinherit() }

func (m machine) Expect(all map[port.Identity]port.Handed, runs bool) { m.host.Expect(all, runs) }

func (m machine) Events() <-chan port.Event { return m.host.Events() }
