package port

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// dropper keeps the host's stack from seeing the frames of a device. A packet
// socket gets its copy before TC ingress (__netif_receive_skb_core in
// net/core/dev.c); a BPF program that drops all there leaves nothing for
// bridges, ARP, IP and the firewall behind it.
//
// It hangs the program into a clsact qdisc. TCX is the newer place, and its
// links vanish with the process, but the kernel waits for a grace period for
// each device, with the lock of all networking held: 9 ms to attach and 14 to
// delete a device, against 0.15 and none (Linux 6.18, 2 cores), which is 15 s
// for a thousand ports. It is the second choice, where somebody else's filter
// is in the way or the kernel has no cls_bpf.
type dropper struct {
	conn *rtnl.Conn
	name string // of the filter: a mark, and what people see in tc filter show
	tcx  bool   // use only TCX; for tests

	mu   sync.Mutex
	prog *ebpf.Program
}

// dropPriority puts the filter before those of others.
const dropPriority = 1

func (d *dropper) program() (*ebpf.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prog != nil {
		return d.prog, nil
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:    "vswitch_drop",
		Type:    ebpf.SchedCLS,
		License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 2), // TC_ACT_SHOT, TCX_DROP
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load the program that keeps frames from the host's stack (needs CAP_BPF and CAP_NET_ADMIN): %w", err)
	}
	d.prog = prog
	return prog, nil
}

// Close gives the program back; devices that have it keep it.
func (d *dropper) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prog == nil {
		return nil
	}
	err := d.prog.Close()
	d.prog = nil
	return err
}

// attach drops what the device receives, behind packet sockets. detach ends
// that; where the device was made for the port, it is to be called once the
// device is deleted, and else it takes the qdisc along where that is ours. What an
// earlier daemon has attached stays.
func (d *dropper) attach(index int, made, ours bool) (detach func() error, err error) {
	prog, err := d.program()
	if err != nil {
		return nil, err
	}
	if !d.tcx {
		detach, classicErr := d.attachClassic(index, prog, made, ours)
		if classicErr == nil {
			return detach, nil
		}
		err = classicErr
	}
	l, tcxErr := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if tcxErr != nil {
		return nil, fmt.Errorf("keep frames from the host's stack: %w", errors.Join(err, fmt.Errorf("TCX: %w", tcxErr)))
	}
	return l.Close, nil
}

func (d *dropper) attachClassic(index int, prog *ebpf.Program, made, ours bool) (detach func() error, err error) {
	h, err := d.conn.Handle()
	if err != nil {
		return nil, err
	}
	qdisc := clsact(index)
	err = h.QdiscAdd(qdisc)
	mine := err == nil
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("qdisc clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    1,
			Priority:  dropPriority,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         d.name,
		DirectAction: true,
	}
	err = h.FilterAdd(filter)
	if errors.Is(err, unix.EEXIST) && d.attached(h, index) {
		err = nil
	}
	if err != nil {
		if mine {
			h.QdiscDel(qdisc)
		}
		return nil, fmt.Errorf("filter on clsact: %w", err)
	}
	if made {
		return func() error { return nil }, nil // it went with the device
	}
	return func() error { return d.remove(index, ours) }, nil
}

// attached reports whether a device has our filter.
func (d *dropper) attached(h *netlink.Handle, index int) bool {
	filters, err := h.FilterList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}, netlink.HANDLE_MIN_INGRESS)
	return err == nil && slices.ContainsFunc(filters, func(f netlink.Filter) bool {
		b, ok := f.(*netlink.BpfFilter)
		return ok && b.Name == d.name
	})
}

func clsact(index int) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
}

// occupied reports whether the device has a place for filters already.
func (d *dropper) occupied(dev netlink.Link) (bool, error) {
	h, err := d.conn.Handle()
	if err != nil {
		return false, err
	}
	list, err := h.QdiscList(dev)
	if err != nil {
		return false, fmt.Errorf("list the qdiscs of %s: %w", dev.Attrs().Name, err)
	}
	for _, q := range list {
		// An ingress qdisc has the same number.
		if q.Attrs().Parent == netlink.HANDLE_CLSACT {
			return true, nil
		}
	}
	return false, nil
}

// remove takes our filter from a device, and the qdisc with it where that is
// ours and nobody else came to use it.
func (d *dropper) remove(index int, qdisc bool) error {
	h, err := d.conn.Handle()
	if err != nil {
		return err
	}
	dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	others := false
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := h.FilterList(dev, parent)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			return nil // the device is gone, or the qdisc is
		}
		if err != nil {
			return fmt.Errorf("list the filters of device %d: %w", index, err)
		}
		for _, f := range filters {
			b, ok := f.(*netlink.BpfFilter)
			if !ok || b.Name != d.name {
				others = true
				continue
			}
			if err := h.FilterDel(f); err != nil && !vanished(err) {
				return fmt.Errorf("remove the filter from device %d: %w", index, err)
			}
		}
	}
	if qdisc && !others {
		if err := h.QdiscDel(clsact(index)); err != nil && !vanished(err) {
			return fmt.Errorf("remove qdisc clsact from device %d: %w", index, err)
		}
	}
	return nil
}
