package e2e

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tag has the namespace's whole stack speak in one VLAN on a device: a BPF
// program puts the tag on what leaves, beside the bytes as a VLAN device would,
// and takes it off what arrives; other VLANs' frames do not reach the stack.
// It is for kernels without 8021q (a guest has it).
func (ns *Namespace) Tag(ifname string, vid uint16) {
	ns.h.t.Helper()
	ns.Do(func() error {
		return errors.Join(
			attach(ifname, netlink.HANDLE_MIN_EGRESS, pushTag(vid)),
			attach(ifname, netlink.HANDLE_MIN_INGRESS, popTag(vid)),
		)
	})
}

// Offsets into struct __sk_buff (linux/bpf.h).
const (
	skbVLANPresent = 20
	skbVLANTCI     = 24
)

// What a TC program returns (linux/pkt_cls.h).
const (
	tcActUnspec = -1 // the next program decides
	tcActOK     = 0
	tcActShot   = 2
)

func pushTag(vid uint16) asm.Instructions {
	return asm.Instructions{
		// The protocol is in network byte order: 0x8100.
		asm.Mov.Imm(asm.R2, 0x0081),
		asm.Mov.Imm(asm.R3, int32(vid)),
		asm.FnSkbVlanPush.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R0, tcActOK),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcActShot).WithSymbol("drop"),
		asm.Return(),
	}
}

func popTag(vid uint16) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, skbVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "drop"),
		asm.LoadMem(asm.R2, asm.R1, skbVLANTCI, asm.Word),
		asm.And.Imm(asm.R2, 0xfff),
		asm.JNE.Imm(asm.R2, int32(vid), "drop"),
		asm.FnSkbVlanPop.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R0, tcActOK),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcActShot).WithSymbol("drop"),
		asm.Return(),
	}
}

// attach puts a program on a device of the calling thread's namespace, which
// keeps it; clsact, because TCX needs a newer kernel than Debian 12's.
func attach(ifname string, hook uint32, program asm.Instructions) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: program, License: "GPL"})
	if err != nil {
		return fmt.Errorf("load the program that tags: %w", err)
	}
	defer prog.Close()
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to %s: %w", ifname, err)
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link.Attrs().Index, Parent: hook, Protocol: unix.ETH_P_ALL, // the kernel finds a place
		},
		Fd: prog.FD(), Name: "tag", DirectAction: true,
	})
}
