package port

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// devTagRoom is what packet sockets add to the MTU for one tag
// (packet_snd in net/packet/af_packet.c).
const devTagRoom = frame.TagLen

// devPort is a device that somebody else made. What the switch changes on it
// is written on the device itself, so that it can be put back by whoever finds
// it after a crash.
type devPort struct {
	host   *Host
	id     Identity
	asked  string // the name that the port follows
	index  int
	before devState
	detach func() error
}

// device returns a device that is to be a port.
func (h *Host) device(name string) (netlink.Link, error) {
	link, err := h.conn.LinkByName(name)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil, errorf(NotFound, "there is no device %s: ip link shows those that are there", name)
	}
	return link, err
}

func (h *Host) openDev(ctx context.Context, id Identity, cfg Config) (*Attachment, error) {
	if cfg.Device == "" {
		return nil, errorf(Invalid, "a port of kind dev needs the name of a device")
	}
	link, err := h.device(cfg.Device)
	if err != nil {
		return nil, err
	}
	index := link.Attrs().Index
	if err := h.claim(index, id, cfg.Device); err != nil {
		return nil, err
	}
	var u undo
	defer u.rollback()
	u.add(func() { h.unclaim(index) })
	before, marked, err := h.usable(link, cfg)
	if err != nil {
		return nil, err
	}
	d := &devPort{host: h, id: id, asked: cfg.Device, index: index, before: before}
	if !marked {
		if err := h.markDev(link, id, before); err != nil {
			return nil, err
		}
	}
	u.add(func() {
		if err := d.restore(); err != nil {
			h.log.Warn("device not put back as it was", "device", cfg.Device, "err", err)
		}
	})
	device, err := d.take(link.Attrs().Name)
	if err != nil {
		return nil, err
	}
	u.add(func() { device.Close() })
	link, err = h.conn.Link(index)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	u.keep()
	h.beat.add(index)
	return &Attachment{
		Device: device,
		Info:   Info{Device: link.Attrs().Name, Ifindex: index, MTU: link.Attrs().MTU, TagRoom: devTagRoom},
		host:   h, id: id, kind: d,
	}, nil
}

// take changes the device, which is marked, to what a port needs.
func (d *devPort) take(name string) (device Device, err error) {
	h := d.host
	if err := setIPv6(name, false); err != nil && d.before.ipv6 == '0' {
		return nil, fmt.Errorf("turn IPv6 off on %s: %w", name, err)
	}
	if d.detach, err = h.drop.attach(d.index, false, !d.before.clsact); err != nil {
		return nil, err
	}
	err = h.conn.Set(d.index, rtnl.Change{Flags: unix.IFF_UP, Mask: unix.IFF_UP, MTU: d.before.set})
	if err == nil {
		return newPacketDevice(d.index, true) // not before: on a device that is down it begins with an error
	}
	if d.before.set != 0 {
		return nil, errorf(Refused, "the kernel refuses to set %s up with MTU %d: %w", name, d.before.set, err)
	}
	return nil, errorf(Refused, "the kernel refuses to set %s up: %w", name, err)
}

// claim makes sure that no other port of this daemon uses the device.
func (h *Host) claim(index int, id Identity, device string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other, ok := h.used[index]; ok {
		return errorf(Refused, "device %s is in use by port %s: remove that port first, or take another device", device, other)
	}
	h.used[index] = id
	return nil
}

func (h *Host) unclaim(index int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.used, index)
}

// usable refuses devices that cannot be a port or that somebody else uses, and
// returns the state to put back. marked says that our own mark is on it
// already, left by an end that nobody saw coming.
func (h *Host) usable(link netlink.Link, cfg Config) (before devState, marked bool, err error) {
	name := cfg.Device
	if err := ethernet(link, name); err != nil {
		return devState{}, false, err
	}
	if err := h.unused(link, name); err != nil {
		return devState{}, false, err
	}
	for _, alt := range link.Attrs().AltNames {
		m, ok := parseDevMark(alt)
		switch {
		case !ok:
		case m.instance == h.instance:
			return m.state, true, nil
		default:
			return devState{}, false, errorf(Refused, "device %s is in use by port %s of another vswitchd: remove that port there first", name, m.id)
		}
	}
	if most, err := h.conn.MaxMTU(link.Attrs().Index); err == nil && most > 0 && cfg.MTU > most {
		return devState{}, false, errorf(Refused, "device %s cannot have an MTU of %d: the most is %d", name, cfg.MTU, most)
	}
	addresses, err := h.conn.Addresses(link.Attrs().Index)
	if err != nil {
		return devState{}, false, err
	}
	var inUse []string
	for _, a := range addresses {
		if !a.Auto {
			inUse = append(inUse, a.String())
		}
	}
	if len(inUse) > 0 {
		list := strings.Join(inUse, ", ")
		return devState{}, false, errorf(Refused, "device %s has the address %s: as a port it would not be reached there any more; remove it with: ip addr del %s dev %s", name, list, inUse[0], name)
	}
	before = devState{
		up:   link.Attrs().RawFlags&unix.IFF_UP != 0,
		ipv6: readIPv6(link.Attrs().Name),
		mtu:  link.Attrs().MTU,
	}
	if cfg.MTU != before.mtu {
		before.set = cfg.MTU
	}
	before.clsact, err = h.drop.occupied(link)
	return before, false, err
}

// ethernet refuses what carries no Ethernet frames, or those of others.
func ethernet(link netlink.Link, name string) error {
	a := link.Attrs()
	tun, isTun := link.(*netlink.Tuntap)
	switch {
	case isTun && tun.Mode == netlink.TUNTAP_MODE_TUN:
		return errorf(Refused, "device %s is a TUN: it carries IP without Ethernet headers; a TAP would work (ip tuntap add %s mode tap)", name, name)
	case a.RawFlags&unix.IFF_LOOPBACK != 0:
		return errorf(Refused, "device %s is the loopback: no cable hangs on it; to give the host an interface on the switch, use --tap", name)
	case a.EncapType != "ether":
		return errorf(Refused, "device %s is of type %s, not Ethernet: use an Ethernet device, a TAP or one end of a veth pair", name, a.EncapType)
	case link.Type() == "bridge" || link.Type() == "openvswitch":
		return errorf(Refused, "device %s is a bridge: to join it with the switch, make a veth pair, put one end into the bridge and give the other to --dev", name)
	}
	return nil
}

// unused refuses what belongs to another device or is the switch's own.
func (h *Host) unused(link netlink.Link, name string) error {
	a := link.Attrs()
	if a.MasterIndex != 0 {
		master, kind := fmt.Sprintf("device %d", a.MasterIndex), "another device"
		if m, err := h.conn.Link(a.MasterIndex); err == nil {
			master, kind = m.Attrs().Name, m.Type()
		}
		return errorf(Refused, "device %s is a port of %s (%s): take it out first with: ip link set %s nomaster", name, master, kind, name)
	}
	if instance, port, ok := aliasOwner(a.Alias); ok && instance != h.instance {
		return errorf(Refused, "device %s was made for port %s by another vswitchd: take another device, or make one end of a veth pair a port of each", name, port)
	} else if ok {
		return errorf(Refused, "device %s is the switch's own side of port %s: take another device", name, port)
	}
	if link.Type() == "veth" && a.NetNsID == rtnl.Here {
		peer, err := h.conn.Link(a.ParentIndex)
		if err == nil && h.made(peer.Attrs().Group, peer.Attrs().Alias) {
			_, port, _ := aliasOwner(peer.Attrs().Alias)
			return errorf(Refused, "device %s is the far end of port %s: it is on the switch already", name, port)
		}
	}
	return nil
}

// restore puts back what was changed. The mark goes last: until then somebody
// else could go on.
func (d *devPort) restore() error {
	if d.detach != nil {
		if err := d.detach(); err != nil {
			return err
		}
	}
	link, err := d.host.conn.Link(d.index)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.host.putBack(link, d.before)
}

// putBack gives a marked device its former state.
func (h *Host) putBack(link netlink.Link, before devState) error {
	a := link.Attrs()
	var ch rtnl.Change
	if !before.up {
		ch.Mask = unix.IFF_UP
	}
	if before.set != 0 && a.MTU == before.set {
		ch.MTU = before.mtu // else somebody set another one meanwhile
	}
	if ch.Mask != 0 || ch.MTU != 0 {
		if err := h.conn.Set(a.Index, ch); err != nil && !errors.Is(err, rtnl.ErrNotFound) {
			return fmt.Errorf("put back flags and MTU of %s: %w", a.Name, err)
		}
	}
	if before.ipv6 == '0' {
		if err := setIPv6(a.Name, true); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("turn IPv6 on again on %s: %w", a.Name, err)
		}
	}
	handle, err := h.conn.Handle()
	if err != nil {
		return err
	}
	for _, alt := range a.AltNames {
		if m, ok := parseDevMark(alt); ok && m.instance == h.instance {
			if err := handle.LinkDelAltName(link, alt); err != nil && !vanished(err) {
				return fmt.Errorf("unmark %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

func (d *devPort) status() Status {
	link, err := d.host.conn.Link(d.index)
	if errors.Is(err, rtnl.ErrNotFound) {
		return Status{Gone: true, Reason: fmt.Sprintf("device %s is gone", d.asked)}
	}
	if err != nil {
		return Status{Reason: fmt.Sprintf("asking for device %s: %v", d.asked, err)}
	}
	a := link.Attrs()
	if a.Name != d.asked && !hasName(a, d.asked) {
		return Status{Gone: true, Reason: fmt.Sprintf("device %s was renamed to %s", d.asked, a.Name)}
	}
	s := Status{MTU: a.MTU, Device: a.Name}
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		s.Reason = fmt.Sprintf("device %s is down", d.asked)
	case passes(a.RawFlags):
		s.Carrier = true
	case link.Type() == "tun":
		s.Reason = fmt.Sprintf("nobody has opened the TAP %s", d.asked)
	case link.Type() == "veth":
		s.Reason = fmt.Sprintf("the other end of %s is down", d.asked)
	default:
		s.Reason = fmt.Sprintf("device %s has no carrier: no cable, or nobody at its other end", d.asked)
	}
	return s
}

func hasName(a *netlink.LinkAttrs, name string) bool {
	for _, alt := range a.AltNames {
		if alt == name {
			return true
		}
	}
	return false
}

func (d *devPort) setCarrier(bool) error { return nil }

func (d *devPort) keys() []Key { return []Key{linkKey(rtnl.Here, d.index), deviceKey(d.asked)} }

func (d *devPort) made() int { return 0 }

func (d *devPort) leave() {
	d.host.beat.remove(d.index)
	d.host.unclaim(d.index)
}

func (d *devPort) release() error {
	d.host.beat.remove(d.index)
	err := d.restore()
	d.host.unclaim(d.index)
	return err
}
