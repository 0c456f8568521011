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

// switchMTU is the MTU of our side of a pair: frames to the far end are
// limited by the far end's MTU alone (is_skb_forwardable in net/core/dev.c).
const switchMTU = maxMTU

// defaultMTU is what a far end gets that was asked for none.
const defaultMTU = 1500

// vethTagRoom is what a pair carries on top of MTU and header: VLAN_HLEN in
// is_skb_forwardable.
const vethTagRoom = frame.TagLen

// What a virtio-net header cannot describe (virtio_net_hdr_from_skb in
// include/linux/virtio_net.h) must not leave the far end as it is: encapsulated
// super-frames, lists of segments, SCTP's checksum (CRC32c, which would pass
// for the Internet checksum), the CWR flags of accurate ECN.
var undescribed = []string{
	"tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation",
	"tx-gre-segmentation", "tx-gre-csum-segmentation",
	"tx-ipxip4-segmentation", "tx-ipxip6-segmentation",
	"tx-esp-segmentation", "tx-tunnel-remcsum-segmentation", "tx-gso-partial",
	"tx-sctp-segmentation", "tx-checksum-sctp",
	"tx-gso-list", "tx-tcp-accecn-segmentation",
}

// undescribedHere is undescribed for the kernel that runs: before Linux 6.2 the
// header did not know UDP super-frames either.
func undescribedHere() []string {
	if rtnl.KernelBefore(6, 2) {
		return append([]string{"tx-udp-segmentation"}, undescribed...)
	}
	return undescribed
}

// vethPort is a pair: our side in the daemon's namespace, behind a packet
// socket, and the far end in a place of its own.
type vethPort struct {
	host   *Host
	id     Identity
	place  place
	name   string // of our side
	index  int    // of our side
	ns     int    // the far end's namespace, by its number here
	far    int    // the far end's index there
	ifName string // the far end's name, as it was last seen
	detach func() error
}

func (h *Host) openVeth(ctx context.Context, id Identity, cfg Config, at *Place) (_ *Attachment, err error) {
	p, ns := at.place, at.ns
	var u undo
	defer u.rollback()
	v := &vethPort{host: h, id: id, place: p}
	if err := v.make(ns, cfg, &u); err != nil {
		return nil, err
	}
	device, err := v.take(&u)
	if err != nil {
		return nil, err
	}
	mtu := 0
	err = h.inside(ns, func(c *rtnl.Conn) error {
		link, err := c.Link(v.far)
		if err != nil {
			return fmt.Errorf("find the far end in %s: %w", p.what, err)
		}
		v.ifName, mtu = link.Attrs().Name, link.Attrs().MTU
		if err := rtnl.FeaturesOff(v.ifName, undescribedHere()); err != nil {
			return err
		}
		return station(c, v.far, v.ifName, &p, cfg)
	})
	if err == nil {
		err = h.conn.Set(v.index, rtnl.Change{Alias: h.doneAlias(id, cfg)})
	}
	if err != nil {
		return nil, err
	}
	v.awaitQueues()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.keep()
	return v.attachment(device, cfg, mtu), nil
}

// adoptVeth attaches a port to the pair that an earlier daemon made for it. The far
// end stays as it is.
func (h *Host) adoptVeth(id Identity, cfg Config, at *Place, old *leftover) (_ *Attachment, err error) {
	v := &vethPort{host: h, id: id, place: at.place, name: old.name, index: old.index}
	here, err := h.conn.Link(v.index)
	if err != nil {
		return nil, err
	}
	v.far, v.ns = here.Attrs().ParentIndex, here.Attrs().NetNsID
	number, err := h.numberOf(at.ns)
	if err != nil {
		return nil, err
	}
	if here.Type() != "veth" || v.ns != number {
		return nil, errorf(Refused, "the far end of %s is not in %s", v.name, v.place.what)
	}
	far, err := h.conn.LinkIn(v.ns, v.far)
	if err != nil {
		return nil, err
	}
	v.ifName = far.Attrs().Name
	var u undo
	defer u.rollback()
	device, err := v.take(&u)
	if err != nil {
		return nil, err
	}
	u.keep()
	return v.attachment(device, cfg, far.Attrs().MTU), nil
}

// take makes our side the switch's.
func (v *vethPort) take(u *undo) (device Device, err error) {
	h := v.host
	if err := setIPv6(v.name, false); err != nil {
		return nil, fmt.Errorf("turn IPv6 off on %s: %w", v.name, err)
	}
	if v.detach, err = h.drop.attach(v.index, true, true); err != nil {
		return nil, err
	}
	flags := uint32(unix.IFF_UP | unix.IFF_NOARP)
	if err := h.conn.Set(v.index, rtnl.Change{Flags: flags, Mask: flags}); err != nil {
		return nil, fmt.Errorf("set %s up: %w", v.name, err)
	}
	// Not before: on a device that is down it begins with an error. Nothing is
	// missed of a new one, whose far end is down yet.
	device, err = newPacketDevice(v.index, false)
	if err != nil {
		return nil, err
	}
	u.add(func() { device.Close() })
	return device, nil
}

// attachment is the port's hold, once all is made.
func (v *vethPort) attachment(device Device, cfg Config, mtu int) *Attachment {
	v.place.watch(v.host)
	return &Attachment{
		Device: device,
		Info: Info{
			Device: v.name, Ifindex: v.index,
			Netns: cfg.Netns, Namespace: v.place.id, IfName: v.ifName,
			MTU: mtu, TagRoom: vethTagRoom,
		},
		host: v.host, id: v.id, kind: v,
	}
}

// numberOf returns the number by which a namespace is known here; nil is our own.
func (h *Host) numberOf(ns *netns.NS) (int, error) {
	if ns == nil || ns.ID() == h.self.ID() {
		return rtnl.Here, nil
	}
	return h.conn.NamespaceNumber(ns.FD())
}

// make makes the pair, the far end right in its place, and finds out the
// numbers of both.
func (v *vethPort) make(ns *netns.NS, cfg Config, u *undo) error {
	h := v.host
	attrs := netlink.NewLinkAttrs()
	attrs.MTU = switchMTU
	attrs.Group = h.group
	pair := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerTxQLen:       -1, // the kernel's default
		PeerMTU:          defaultMTU,
		PeerHardwareAddr: farMAC(h, v.id, cfg),
	}
	if cfg.MTU != 0 {
		pair.PeerMTU = uint32(cfg.MTU)
	}
	if ns != nil {
		pair.PeerNamespace = netlink.NsFd(ns.FD())
	}
	handle, err := h.conn.Handle()
	if err != nil {
		return err
	}
	var exists error
	for _, name := range h.kernelNames(v.id.Switch+"-"+v.id.Port, v.id) {
		if taken, err := h.nameTaken(name); err != nil {
			return err
		} else if taken {
			continue
		}
		for _, far := range h.farNames(cfg, v.id, ns == nil) {
			pair.Name, pair.PeerName = name, far
			err := handle.LinkAdd(pair)
			switch {
			case errors.Is(err, unix.EEXIST):
				exists = err
				continue
			case err != nil:
				return errorf(Refused, "the kernel refuses a veth pair into %s (%s, MTU %d, MAC %s): %w", v.place.what, far, pair.PeerMTU, pair.PeerHardwareAddr, err)
			}
			return v.found(name, u)
		}
		break
	}
	return nameExists(cfg, v.place.what, exists)
}

// found finds the numbers of a pair just made, whose side here has that name.
func (v *vethPort) found(name string, u *undo) error {
	link, err := v.host.conn.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s, just made: %w", name, err)
	}
	a := link.Attrs()
	v.name, v.index = name, a.Index
	v.far, v.ns = a.ParentIndex, a.NetNsID
	u.add(func() { v.host.deleteMade([]int{v.index}) })
	if err := v.host.conn.Set(v.index, rtnl.Change{Alias: v.host.alias(v.id)}); err != nil {
		return fmt.Errorf("mark %s: %w", name, err)
	}
	return nil
}

// farMAC returns the address that the far end gets.
func farMAC(h *Host, id Identity, cfg Config) []byte {
	mac := cfg.MAC
	if mac.IsZero() {
		mac = h.stationMAC(id)
	}
	return mac[:]
}

// farNames returns names for the far end, the best first. eth%d is the
// kernel's way to say the first that is free.
func (h *Host) farNames(cfg Config, id Identity, own bool) []string {
	switch {
	case cfg.IfName != "":
		return []string{cfg.IfName}
	case own:
		return h.kernelNames(id.Port, id)
	}
	return []string{"eth%d"}
}

// nameTaken reports whether a device here has that name.
func (h *Host) nameTaken(name string) (bool, error) {
	_, err := h.conn.LinkByName(name)
	if errors.Is(err, rtnl.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func nameExists(cfg Config, where string, err error) error {
	return &Error{Exists, fmt.Sprintf("there is an interface %s in %s already: rename that one or take it away, or give the port another name with --ifname", cfg.IfName, where), err}
}

func (v *vethPort) status() Status {
	if !v.place.stands() {
		return v.place.left()
	}
	here, err := v.host.conn.Link(v.index)
	if errors.Is(err, rtnl.ErrNotFound) {
		return v.place.vanished(v.host, v.ns, v.id, v.ifName)
	}
	if err != nil {
		return Status{Reason: fmt.Sprintf("asking for device %s: %v", v.name, err)}
	}
	far, err := v.host.conn.LinkIn(here.Attrs().NetNsID, here.Attrs().ParentIndex)
	if err != nil {
		// Between two questions it may have gone; the next event tells.
		return Status{Reason: fmt.Sprintf("asking for %s: %v", v.place.where(v.ifName), err)}
	}
	v.ns, v.far, v.ifName = here.Attrs().NetNsID, here.Attrs().ParentIndex, far.Attrs().Name
	v.name = here.Attrs().Name
	s := Status{MTU: far.Attrs().MTU, Device: v.name, IfName: v.ifName}
	switch {
	case far.Attrs().RawFlags&unix.IFF_UP == 0:
		s.Reason = v.place.where(v.ifName) + " is down"
	case here.Attrs().RawFlags&unix.IFF_UP == 0:
		s.Reason = v.name + " is down"
	case !passes(here.Attrs().RawFlags):
		s.Reason = v.place.where(v.ifName) + " has no carrier"
	default:
		s.Carrier = true
	}
	return s
}

// awaitQueues waits until both ends can send.
func (v *vethPort) awaitQueues() {
	awaitQueue(v.host.conn, rtnl.Here, v.index)
	awaitQueue(v.host.conn, v.ns, v.far)
}

// setCarrier sets our side up or down: the far end's carrier follows.
func (v *vethPort) setCarrier(up bool) error {
	ch := rtnl.Change{Mask: unix.IFF_UP}
	if up {
		ch.Flags = unix.IFF_UP
	}
	if err := v.host.conn.Set(v.index, ch); err != nil {
		return fmt.Errorf("set the carrier of %s: %w", v.name, err)
	}
	v.awaitQueues()
	return nil
}

func (v *vethPort) keys() []Key {
	return append(v.place.keys(), linkKey(rtnl.Here, v.index), linkKey(v.ns, v.far))
}

func (v *vethPort) made() int { return v.index }

func (v *vethPort) leave() { v.place.release() }

func (v *vethPort) release() error {
	v.place.release()
	return v.detach()
}
