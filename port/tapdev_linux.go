package port

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// tapTagRoom is for a customer's and a service tag. A TAP looks at no lengths,
// and the stack behind it takes tags on top of the MTU.
const tapTagRoom = 2 * frame.TagLen

// maxTapMTU is what drivers/net/tun.c allows: 64 KiB with the header.
const maxTapMTU = maxMTU - frame.HeaderLen

// tapPort is a TAP that the switch holds open: the switch is the cable, and
// the device is an interface of the stack of its namespace.
//
// It is persistent, so that it is still there when another daemon comes. It is
// opened here and then moved to where it belongs. A TAP's descriptor
// keeps the namespace alive in which /dev/net/tun was opened (tun_chr_open in
// drivers/net/tun.c), which is thus our own: when the other one goes, the
// device goes with it, and the descriptor says EBADFD.
type tapPort struct {
	host   *Host
	id     Identity
	place  place
	device Device // for its descriptor
	ns     int    // the device's namespace, by its number here
	index  int    // the device's index there
	ifName string // the device's name, as it was last seen
}

func (h *Host) openTap(ctx context.Context, id Identity, cfg Config, at *Place) (_ *Attachment, err error) {
	if cfg.MTU > maxTapMTU {
		return nil, errorf(Invalid, "MTU %d: a TAP takes %d to %d", cfg.MTU, minMTU, maxTapMTU)
	}
	ns := at.ns
	t := &tapPort{host: h, id: id, place: at.place}
	if t.ns, err = h.numberOf(ns); err != nil {
		return nil, err
	}
	if err := t.make(ns == nil, cfg); err != nil {
		return nil, err
	}
	mtu, err := t.settle(ns, cfg)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		t.letGo()
		t.device.Close() // the TAP goes with it
		return nil, err
	}
	return t.attachment(cfg, mtu), nil
}

// adoptTap attaches a port to the TAP that an earlier daemon made for it and left.
// It has to be opened where it is: the descriptor then keeps that namespace alive
// until the port is lost or closed.
func (h *Host) adoptTap(id Identity, cfg Config, at *Place, old *leftover) (_ *Attachment, err error) {
	t := &tapPort{host: h, id: id, place: at.place, index: old.index, ifName: old.name}
	if t.ns, err = h.numberOf(at.ns); err != nil {
		return nil, err
	}
	mtu := 0
	err = h.inside(at.ns, func(c *rtnl.Conn) error {
		link, err := t.find(c)
		if err != nil {
			return fmt.Errorf("find the TAP in %s: %w", t.place.what, err)
		}
		t.index, t.ifName, mtu = link.Attrs().Index, link.Attrs().Name, link.Attrs().MTU
		fd, err := openTun(t.ifName, tapFlags)
		if err == nil {
			t.device = newTapDevice(fd)
			err = setOffloads(fd)
		}
		return err
	})
	if err == nil {
		return t.attachment(cfg, mtu), nil
	}
	if t.device != nil {
		t.device.Close()
	}
	return nil, err
}

// attachment is the port's hold, once all is made.
func (t *tapPort) attachment(cfg Config, mtu int) *Attachment {
	t.place.watch(t.host)
	info := Info{Device: t.ifName, Netns: cfg.Netns, Namespace: t.place.id, IfName: t.ifName, MTU: mtu, TagRoom: tapTagRoom}
	if t.ns == rtnl.Here {
		info.Ifindex = t.index
	}
	return &Attachment{Device: t.device, Info: info, host: t.host, id: t.id, kind: t}
}

// letGo has the TAP go when its descriptor is closed.
func (t *tapPort) letGo() {
	if fd := t.device.FD(); fd >= 0 {
		_ = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0) // it may have gone
	}
}

// tapFlags are those of a TAP with the kernel's descriptions of offloads.
const tapFlags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR

// make opens a TAP here, under its last name where it is to stay.
func (t *tapPort) make(stays bool, cfg Config) error {
	h := t.host
	names := h.kernelNames(t.id.Switch+"-"+t.id.Port, t.id)
	if stays {
		names = h.farNames(cfg, t.id, true)
	}
	for _, name := range names {
		fd, err := openTun(name, tapFlags|unix.IFF_TUN_EXCL)
		if errors.Is(err, unix.EBUSY) {
			continue // that name is taken
		}
		if err != nil {
			return err
		}
		t.device, t.ifName = newTapDevice(fd), name
		if err := setOffloads(fd); err != nil {
			t.device.Close()
			return fmt.Errorf("turn on the offloads of TAP %s: %w", name, err)
		}
		return nil
	}
	return nameExists(cfg, t.place.what, unix.EEXIST)
}

// openTun makes a TAP, or opens one that exists and is open nowhere, and returns its
// descriptor, which does not block. With IFF_TUN_EXCL it never takes over one that
// exists: EBUSY.
func openTun(name string, flags uint16) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun (the tun module makes it): %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make TAP %s: %w", name, err)
	}
	return fd, nil
}

// setOffloads says that we take partial checksums and super-frames: UDP's too
// since Linux 6.2.
func setOffloads(fd int) error {
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	const udp = unix.TUN_F_USO4 | unix.TUN_F_USO6
	err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|udp)
	if errors.Is(err, unix.EINVAL) {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp)
	}
	return err
}

// settle marks the TAP, brings it to its place and makes it a station there.
// After an error the TAP is anywhere.
func (t *tapPort) settle(ns *netns.NS, cfg Config) (mtu int, err error) {
	h := t.host
	link, err := h.conn.LinkByName(t.ifName)
	if err != nil {
		return 0, fmt.Errorf("find TAP %s, just made: %w", t.ifName, err)
	}
	t.index = link.Attrs().Index
	err = h.conn.Set(t.index, rtnl.Change{
		Alias: h.alias(t.id),
		Group: &h.group,
		MAC:   farMAC(h, t.id, cfg),
		MTU:   cfg.MTU,
	})
	if err != nil {
		return 0, errorf(Refused, "the kernel refuses MTU %d or MAC %s for TAP %s: %w", cfg.MTU, cfg.MAC, t.ifName, err)
	}
	// Not before it is marked, so that no crash leaves a TAP that nobody knows.
	if err := unix.IoctlSetInt(t.device.FD(), unix.TUNSETPERSIST, 1); err != nil {
		return 0, fmt.Errorf("make TAP %s persistent: %w", t.ifName, err)
	}
	if ns != nil {
		fd := ns.FD()
		err := h.conn.Set(t.index, rtnl.Change{Namespace: &fd, Name: h.farNames(cfg, t.id, false)[0]})
		if errors.Is(err, unix.EEXIST) {
			return 0, nameExists(cfg, t.place.what, err)
		}
		if err != nil {
			return 0, fmt.Errorf("move the TAP into %s: %w", t.place.what, err)
		}
	}
	err = h.inside(ns, func(c *rtnl.Conn) error {
		link, err := t.find(c)
		if err != nil {
			return fmt.Errorf("find the TAP in %s: %w", t.place.what, err)
		}
		t.index, t.ifName, mtu = link.Attrs().Index, link.Attrs().Name, link.Attrs().MTU
		if err := station(c, t.index, t.ifName, &t.place, cfg); err != nil {
			return err
		}
		return c.Set(t.index, rtnl.Change{Alias: h.doneAlias(t.id, cfg)})
	})
	return mtu, err
}

// find finds the TAP in the namespace that it was moved to, where it has
// another name, and another index if its own was taken.
func (t *tapPort) find(c *rtnl.Conn) (netlink.Link, error) {
	link, err := c.Link(t.index)
	if err == nil && t.host.owned(link.Attrs().Alias, t.id) {
		return link, nil
	}
	if err != nil && !errors.Is(err, rtnl.ErrNotFound) {
		return nil, err
	}
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if t.host.owned(link.Attrs().Alias, t.id) {
			return link, nil
		}
	}
	return nil, rtnl.ErrNotFound
}

func (t *tapPort) status() Status {
	if !t.place.stands() {
		return t.place.left()
	}
	if fd := t.device.FD(); fd >= 0 && !tunAlive(fd) {
		return t.place.vanished(t.host, t.ns, t.id, t.ifName)
	}
	link, err := t.host.conn.LinkIn(t.ns, t.index)
	if errors.Is(err, unix.EINVAL) && t.ns != rtnl.Here {
		// The namespace is ending: it has lost its number, and is about to
		// lose the TAP.
		return t.place.vanished(t.host, t.ns, t.id, t.ifName)
	}
	if errors.Is(err, rtnl.ErrNotFound) {
		return Status{Gone: true, Manual: true, Reason: fmt.Sprintf(
			"%s was moved to another namespace: to make it again, use vsctl port set %s up", t.place.where(t.ifName), t.id)}
	}
	if err != nil {
		return Status{Reason: fmt.Sprintf("asking for %s: %v", t.place.where(t.ifName), err)}
	}
	a := link.Attrs()
	t.ifName = a.Name
	s := Status{MTU: a.MTU, Device: a.Name, IfName: a.Name}
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		s.Reason = t.place.where(a.Name) + " is down"
	case !passes(a.RawFlags):
		s.Reason = t.place.where(a.Name) + " has no carrier"
	default:
		s.Carrier = true
	}
	return s
}

// tunAlive reports whether the descriptor still has its device.
func tunAlive(fd int) bool {
	req, err := unix.NewIfreq("")
	return err == nil && fd >= 0 && unix.IoctlIfreq(fd, unix.TUNGETIFF, req) == nil
}

func (t *tapPort) setCarrier(up bool) error {
	value := 0
	if up {
		value = 1
	}
	if t.device.FD() < 0 {
		return nil // it comes as it is: see Expect
	}
	if err := unix.IoctlSetPointerInt(t.device.FD(), unix.TUNSETCARRIER, value); err != nil {
		return fmt.Errorf("set the carrier of %s: %w", t.place.where(t.ifName), err)
	}
	awaitQueue(t.host.conn, t.ns, t.index)
	return nil
}

func (t *tapPort) keys() []Key {
	keys := append(t.place.keys(), linkKey(t.ns, t.index))
	if t.ns != rtnl.Here {
		// A namespace that ends says nothing of its devices any more.
		keys = append(keys, namespaceKey(t.ns))
	}
	return keys
}

// made names the TAP where it can be deleted along with others. One in another
// namespace goes with its descriptor.
func (t *tapPort) made() int {
	if t.ns == rtnl.Here {
		return t.index
	}
	return 0
}

func (t *tapPort) leave() { t.place.release() }

func (t *tapPort) release() error {
	t.place.release()
	return nil
}
