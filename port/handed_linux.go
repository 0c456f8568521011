package port

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
)

// Handed is an attachment on its way to another process, which takes the place of
// this one while frames go on: what is known of it. Its descriptor goes beside it,
// and keeps what waits in its queue.
type Handed struct {
	Kind  Kind
	Info  Info
	Place HandedPlace

	Index  int    // of our side; of a TAP, in its namespace
	NS     int    // the far end's namespace, by its number in ours
	Far    int    // the far end's index there
	IfName string // of the far end
	Asked  string // the name that a port of kind dev follows
	Before string // what a device in use was before, as its mark has it
	Group  int    // the packet socket's fanout group; 0: none
}

// HandedPlace is where the far end lives.
type HandedPlace struct {
	Own, Once        bool
	Path, What, Lost string
	ID               netns.ID
	Container        string
	PID              int
}

func (p *place) hand() HandedPlace {
	return HandedPlace{p.own, p.once, p.path, p.what, p.lost, p.id, p.name, p.pid}
}

func (p HandedPlace) place() place {
	return place{own: p.Own, once: p.Once, path: p.Path, what: p.What, lost: p.Lost, id: p.ID, name: p.Container, pid: p.PID}
}

// Hand returns what another process needs to go on with the attachment, beside its
// Device's descriptor. The attachment is as it was.
func (a *Attachment) Hand() (Handed, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return Handed{}, ErrGone
	}
	h := a.kind.hand()
	h.Info = a.Info
	if d, ok := a.Device.(*packetDevice); ok {
		d.rings.Lock()
		defer d.rings.Unlock()
		h.Group = d.group
	}
	return h, nil
}

func (v *vethPort) hand() Handed {
	return Handed{Kind: Veth, Place: v.place.hand(), Index: v.index, NS: v.ns, Far: v.far, IfName: v.ifName}
}

func (t *tapPort) hand() Handed {
	return Handed{Kind: Tap, Place: t.place.hand(), Index: t.index, NS: t.ns, IfName: t.ifName}
}

func (v *vmPort) hand() Handed { return Handed{Kind: VM, Index: v.index} }

func (d *devPort) hand() Handed {
	mark := devMark{d.host.instance, d.before, d.id}
	return Handed{Kind: Dev, Index: d.index, Asked: d.asked, Before: mark.String()}
}

// Expect has Open attach ports to what another process hands over. The descriptors
// come later: see [Attachment.Receive]. Where that process still runs it takes the
// place of Inherit; else Open takes what still stands and fits, as it does then.
func (h *Host) Expect(all map[Identity]Handed, runs bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expected, h.predecessor = all, runs
}

// suits reports whether what was handed over is where a port is to be; at is nil
// where it has no place.
func (from *Handed) suits(at *Place) bool {
	return at == nil || from.Place.Own == at.own && from.Place.ID == at.id
}

// expects returns what is handed over for a port.
func (h *Host) expects(id Identity) (Handed, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handed, ok := h.expected[id]
	delete(h.expected, id)
	return handed, ok
}

// takeHanded attaches a port to what is handed over for it.
func (h *Host) takeHanded(id Identity, cfg Config, from Handed) (*Attachment, error) {
	if from.Kind != cfg.Kind {
		return nil, errorf(Failed, "port %s: it is handed over as a %s, and is to be a %s", id, from.Kind, cfg.Kind)
	}
	a := &Attachment{Info: from.Info, host: h, id: id, Device: &packetDevice{fd: -1, ifindex: from.Index, group: from.Group}}
	var err error
	switch from.Kind {
	case Veth:
		v := &vethPort{host: h, id: id, place: from.Place.place(), name: from.Info.Device, index: from.Index, ns: from.NS, far: from.Far, ifName: from.IfName}
		v.detach, err = h.drop.attach(v.index, true, true)
		v.place.watch(h)
		a.kind = v
	case Tap:
		device := &tapDevice{fd: -1}
		t := &tapPort{host: h, id: id, place: from.Place.place(), device: device, ns: from.NS, index: from.Index, ifName: from.IfName}
		t.place.watch(h)
		a.Device, a.kind = device, t
	case VM:
		v := &vmPort{host: h, id: id, name: from.Info.Device, index: from.Index}
		v.detach, err = h.drop.attach(v.index, true, true)
		h.beat.add(v.index)
		a.kind = v
	case Dev:
		mark, _ := parseDevMark(from.Before)
		d := &devPort{host: h, id: id, asked: from.Asked, index: from.Index, before: mark.state}
		d.detach, err = h.drop.attach(d.index, false, !d.before.clsact)
		if err == nil {
			err = h.claim(d.index, id, d.asked)
		}
		h.beat.add(d.index)
		a.kind = d
	}
	if err != nil {
		a.leave()
		return nil, fmt.Errorf("port %s: take it over: %w", id, err)
	}
	return a, nil
}

// CloseHanded closes a descriptor that nobody receives.
func CloseHanded(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// Receive gives an attachment that was expected its descriptor, which is the
// attachment's from now on. Nobody uses the Device yet.
func (a *Attachment) Receive(fd int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("port %s: its descriptor: %w", a.id, err)
	}
	switch d := a.Device.(type) {
	case *packetDevice:
		d.fd = fd
	case *tapDevice:
		d.fd = fd
	}
	return nil
}
