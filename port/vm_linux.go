package port

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// maxQueues is MAX_TAP_QUEUES of drivers/net/tun.c.
const maxQueues = 256

// vmPort is a persistent TAP that a VM monitor opens. The switch works on its
// network side, with a packet socket, so that the monitor may come and go.
type vmPort struct {
	host   *Host
	id     Identity
	name   string
	index  int
	detach func() error
}

func (h *Host) openVM(ctx context.Context, id Identity, cfg Config) (*Attachment, error) {
	owner, err := checkVM(cfg)
	if err != nil {
		return nil, err
	}
	flags := uint16(tapFlags | unix.IFF_TUN_EXCL)
	if cfg.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	fd, err := openTun(cfg.Device, flags)
	if errors.Is(err, unix.EBUSY) {
		return nil, deviceExists(cfg.Device)
	}
	if err != nil {
		return nil, err
	}
	var u undo
	defer u.rollback()
	open := true
	release := func() {
		if open {
			open = false
			unix.Close(fd)
		}
	}
	u.add(release)
	link, err := h.conn.LinkByName(cfg.Device)
	if err != nil {
		return nil, fmt.Errorf("find TAP %s, just made: %w", cfg.Device, err)
	}
	v := &vmPort{host: h, id: id, name: cfg.Device, index: link.Attrs().Index}
	// It is marked before it is made to stay, so that no crash leaves a TAP
	// that nobody knows.
	err = h.conn.Set(v.index, rtnl.Change{Alias: h.alias(id), Group: &h.group, MTU: cfg.MTU, Flags: unix.IFF_NOARP, Mask: unix.IFF_NOARP})
	if err != nil {
		return nil, errorf(Refused, "the kernel refuses MTU %d for TAP %s: %w", cfg.MTU, cfg.Device, err)
	}
	if err := v.persist(fd, owner); err != nil {
		return nil, err
	}
	u.add(func() { h.deleteMade([]int{v.index}) })
	a, err := v.attachment()
	if err != nil {
		return nil, err
	}
	u.add(func() { a.Device.Close() })
	err = h.conn.Set(v.index, rtnl.Change{Alias: h.doneAlias(id, cfg)})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	u.keep()
	release()
	h.beat.add(v.index)
	return a, nil
}

// checkVM finds what is wrong with a Config on this machine, and returns the number of
// the TAP's owner.
func checkVM(cfg Config) (owner int, err error) {
	if err := checkIfName(cfg.Device); err != nil {
		return 0, err
	}
	if cfg.Queues < 0 || cfg.Queues > maxQueues {
		return 0, errorf(Invalid, "%d queues: a TAP has 1 to %d", cfg.Queues, maxQueues)
	}
	if cfg.MTU > maxTapMTU {
		return 0, errorf(Invalid, "MTU %d: a TAP takes %d to %d", cfg.MTU, minMTU, maxTapMTU)
	}
	return userID(cfg.Owner)
}

func deviceExists(name string) error {
	return errorf(Exists, "there is a device %s already: if it is a TAP that a VM monitor opens, attach it with --dev %s; else choose another name", name, name)
}

// adoptVM attaches a port to the TAP that an earlier daemon made for it. A VM
// monitor may have it open.
func (h *Host) adoptVM(id Identity, old *leftover) (*Attachment, error) {
	v := &vmPort{host: h, id: id, name: old.name, index: old.index}
	a, err := v.attachment()
	if err == nil {
		h.beat.add(v.index)
	}
	return a, err
}

// attachment makes the network side the switch's.
func (v *vmPort) attachment() (*Attachment, error) {
	device, err := v.setup()
	if err != nil {
		return nil, err
	}
	link, err := v.host.conn.Link(v.index)
	if err != nil {
		device.Close()
		return nil, err
	}
	return &Attachment{
		Device: device,
		Info:   Info{Device: v.name, Ifindex: v.index, MTU: link.Attrs().MTU, TagRoom: devTagRoom},
		host:   v.host, id: v.id, kind: v,
	}, nil
}

// userID returns the number of a user; -1 for nobody in particular.
func userID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, errorf(Invalid, "there is no user %s to own the TAP: give the name or number of a user", name)
	}
	return strconv.Atoi(u.Uid)
}

func (v *vmPort) persist(fd, owner int) error {
	if owner >= 0 {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, owner); err != nil {
			return fmt.Errorf("give TAP %s to user %d: %w", v.name, owner, err)
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make TAP %s persistent: %w", v.name, err)
	}
	return nil
}

// setup makes the network side the switch's.
func (v *vmPort) setup() (device Device, err error) {
	h := v.host
	if err := setIPv6(v.name, false); err != nil {
		return nil, fmt.Errorf("turn IPv6 off on %s: %w", v.name, err)
	}
	if v.detach, err = h.drop.attach(v.index, true, true); err != nil {
		return nil, err
	}
	// Without a qdisc in between, the TAP's own queue being full comes back
	// to the packet socket (ENOBUFS) and is counted on the port.
	handle, err := h.conn.Handle()
	if err != nil {
		return nil, err
	}
	err = handle.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: v.index, Parent: netlink.HANDLE_ROOT},
		QdiscType:  "noqueue",
	})
	if err != nil {
		return nil, fmt.Errorf("take the qdisc from %s: %w", v.name, err)
	}
	if err := h.conn.Set(v.index, rtnl.Change{Flags: unix.IFF_UP, Mask: unix.IFF_UP}); err != nil {
		return nil, fmt.Errorf("set %s up: %w", v.name, err)
	}
	return newPacketDevice(v.index, false) // not before: on a device that is down it begins with an error
}

func (v *vmPort) status() Status {
	link, err := v.host.conn.Link(v.index)
	if errors.Is(err, rtnl.ErrNotFound) {
		return byHand(v.id, v.name)
	}
	if err != nil {
		return Status{Reason: fmt.Sprintf("asking for %s: %v", v.name, err)}
	}
	a := link.Attrs()
	v.name = a.Name
	s := Status{MTU: a.MTU, Device: a.Name}
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		s.Reason = a.Name + " is down"
	case !passes(a.RawFlags):
		s.Reason = fmt.Sprintf("nobody has opened the TAP %s: a VM monitor would", a.Name)
	default:
		s.Carrier = true
	}
	return s
}

func (v *vmPort) setCarrier(bool) error { return nil }

func (v *vmPort) keys() []Key { return []Key{linkKey(rtnl.Here, v.index)} }

func (v *vmPort) made() int { return v.index }

func (v *vmPort) leave() { v.host.beat.remove(v.index) }

func (v *vmPort) release() error {
	v.host.beat.remove(v.index)
	return v.detach()
}
