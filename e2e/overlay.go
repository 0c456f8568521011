package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vxlanPort is where VXLAN listens (RFC 7348).
const vxlanPort = 4789

// Tunnel joins two stacks by a VXLAN tunnel and returns its ends, which have
// addresses of their own. Outer, "udp4" or "udp6", says what carries it; a stack
// takes part in one of each.
//
// Where the kernel has no VXLAN, BPF programs put the same headers on, in front
// of super-frames too, and tell the kernel where the inner ones are: to devices
// such a frame is what the driver would have made.
func (h *Host) Tunnel(a, b *Stack, outer string) (inA, inB *Stack) {
	h.t.Helper()
	vni := nextVNI()
	ends := [2]*Stack{a.tunnelEnd(outer, vni, 1), b.tunnelEnd(outer, vni, 2)}
	for i, s := range []*Stack{a, b} {
		other := []*Stack{b, a}[i]
		local, remote := s.Addr(outer), other.Addr(outer)
		if !s.vxlan(ends[i].IfName, vni, local, remote) {
			s.encapsulate(ends[i].IfName, vni, local, remote, other.Links()[other.IfName].Address)
		}
	}
	for i, s := range ends {
		other := ends[1-i]
		s.settle(other.addr4, other.addr6, other.Links()[other.IfName].Address)
	}
	return ends[0], ends[1]
}

// TunnelTo is [Host.Tunnel] to a guest, which has the device in its kernel. The
// guest's address there is guest, and its card has the address mac.
func (s *Stack) TunnelTo(g *Guest, guest, mac, outer string) (end, far *Stack) {
	h := s.h
	h.t.Helper()
	vni := nextVNI()
	end, far = s.tunnelEnd(outer, vni, 1), s.tunnelEnd(outer, vni, 2)
	far.Namespace, far.IfName = nil, fmt.Sprintf("vx-%d", vni)
	s.encapsulate(end.IfName, vni, s.Addr(outer), guest, mac)
	r, err := g.Agent("vxlan", far.IfName, strconv.Itoa(vni), guest, s.Addr(outer), far.addr4+"/24", far.addr6+"/64",
		end.Links()[end.IfName].Address, end.addr4, end.addr6).End(Patience)
	var made struct{ MAC string }
	if err == nil {
		err = errors.Join(asError("make a tunnel in "+g.String(), r), json.Unmarshal([]byte(r.Stdout), &made))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	end.settle(far.addr4, far.addr6, made.MAC)
	return end, far
}

var lastVNI atomic.Int32

// nextVNI returns the number of a tunnel's network, which no other has.
func nextVNI() int { return int(lastVNI.Add(1)) }

// tunnelEnd names one end of a tunnel, which is not made yet.
func (s *Stack) tunnelEnd(outer string, vni, n int) *Stack {
	over, overhead := outer[3:], ethLen+vxlanLen+udpLen+ip4Len
	if over == "6" {
		overhead += ip6Len - ip4Len
	}
	return &Stack{
		Namespace: s.Namespace, Port: s.Port, Kind: s.Kind, IfName: "vx" + over, MTU: s.MTU - overhead,
		addr4: fmt.Sprintf("10.%s.%d.%d", over, vni&0xff, n), addr6: fmt.Sprintf("fd0%s:%x::%d", over, vni, n),
	}
}

// settle brings the end of a tunnel up. It knows who is at the other: our
// programs carry IP alone.
func (s *Stack) settle(peer4, peer6, peerMAC string) {
	s.h.t.Helper()
	s.Run("ip", "addr", "add", s.addr4+"/24", "dev", s.IfName)
	s.Run("ip", "addr", "add", s.addr6+"/64", "dev", s.IfName, "nodad")
	s.Run("ip", "link", "set", s.IfName, "mtu", strconv.Itoa(s.MTU), "up")
	for _, addr := range []string{peer4, peer6} {
		s.Run("ip", "neigh", "replace", addr, "lladdr", peerMAC, "dev", s.IfName, "nud", "permanent")
	}
}

// vxlan makes a device as the kernel has it; false where it has none.
func (s *Stack) vxlan(ifname string, vni int, local, remote string) bool {
	s.h.t.Helper()
	argv := []string{"ip", "link", "add", ifname, "type", "vxlan", "id", strconv.Itoa(vni), "dstport", strconv.Itoa(vxlanPort),
		"local", local, "remote", remote, "dev", s.IfName}
	r := s.Try(argv...)
	if r.Code != 0 && !strings.Contains(r.Stderr, "Unknown device type") && !strings.Contains(r.Stderr, "not supported") {
		must(s.h.t, "in "+s.Name, argv, r)
	}
	return r.Code == 0
}

// encapsulate makes a veth pair in the namespace: what leaves by ifname comes
// out of its other end, gets headers there, and leaves by the stack's own
// device; and back.
func (s *Stack) encapsulate(ifname string, vni int, local, remote, peerMAC string) {
	h := s.h
	h.t.Helper()
	far := ifname + "-out"
	s.Run("ip", "link", "add", ifname, "type", "veth", "peer", "name", far)
	s.Sysctl("net/ipv6/conf/"+far+"/disable_ipv6", "1")
	s.Run("ip", "link", "set", far, "up")
	links := s.Links()
	outer := vxlanHeader(links[s.IfName].Address, peerMAC, local, remote, vni)
	s.Do(func() error {
		return errors.Join(
			attach(far, netlink.HANDLE_MIN_INGRESS, encapsulation(outer, links[s.IfName].Ifindex)),
			attach(s.IfName, netlink.HANDLE_MIN_INGRESS, decapsulation(outer, links[far].Ifindex)),
		)
	})
}

// Lengths of headers.
const (
	ethLen   = 14
	udpLen   = 8
	vxlanLen = 8
	ip4Len   = 20
	ip6Len   = 40
)

// vxlanHeader returns what stands in front of the inner frame: Ethernet, IP,
// UDP and VXLAN, with all lengths 0 and no UDP checksum.
func vxlanHeader(src, dst, local, remote string, vni int) []byte {
	b := append(hardware(dst), hardware(src)...)
	from, to := net.ParseIP(local), net.ParseIP(remote)
	if v4 := from.To4(); v4 != nil {
		b = append(b, 0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0)
		b = append(append(b, v4...), to.To4()...)
	} else {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 17, 64)
		b = append(append(b, from...), to...)
	}
	b = binary.BigEndian.AppendUint16(b, 50000)
	b = binary.BigEndian.AppendUint16(b, vxlanPort)
	b = append(b, 0, 0, 0, 0)
	b = append(b, 0x08, 0, 0, 0) // the network's number is valid
	return binary.BigEndian.AppendUint32(b, uint32(vni)<<8)
}

// Where a TC program keeps things on its stack: below the frame pointer.
const (
	innerAt = -16  // the inner Ethernet header
	outerAt = -112 // the outer headers
)

// Of linux/bpf.h.
const (
	skbLen      = 0
	skbProtocol = 16

	adjRoomMAC         = 1
	adjRoomFixedGSO    = 1 << 0
	adjRoomEncapIPv4   = 1 << 1
	adjRoomEncapIPv6   = 1 << 2
	adjRoomEncapUDP    = 1 << 4
	adjRoomEncapL2Eth  = 1 << 6
	adjRoomEncapL2Bits = 56
)

// encapsulation puts the outer headers and redirects to a device.
func encapsulation(outer []byte, ifindex int) asm.Instructions {
	ipLen, flags := len(outer)-ethLen-udpLen-vxlanLen, int64(adjRoomFixedGSO|adjRoomEncapUDP|adjRoomEncapL2Eth)
	flags |= ethLen << adjRoomEncapL2Bits
	if ipLen == ip4Len {
		flags |= adjRoomEncapIPv4
	} else {
		flags |= adjRoomEncapIPv6
	}
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R2, 0x0008, "ip"), // in network byte order
		asm.JNE.Imm(asm.R2, 0xdd86, "drop"),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("ip"),
	}
	ins = append(ins, copyBytes(asm.FnSkbLoadBytes, 0, innerAt, ethLen)...)
	ins = append(ins,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, int32(len(outer))),
		asm.Mov.Imm(asm.R3, adjRoomMAC),
		asm.LoadImm(asm.R4, flags, asm.DWord),
		asm.FnSkbAdjustRoom.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	)
	padded := append(outer[:len(outer):len(outer)], 0, 0, 0)
	for i := 0; i < len(outer); i += 4 {
		ins = append(ins, asm.StoreImm(asm.RFP, int16(outerAt+i), int64(int32(binary.NativeEndian.Uint32(padded[i:]))), asm.Word))
	}
	ins = append(ins, asm.LoadMem(asm.R7, asm.R6, skbLen, asm.Word), asm.Add.Imm(asm.R7, -ethLen))
	if ipLen == ip4Len {
		ins = append(ins, storeLength(ethLen+2)...) // of header and payload
		// The header's checksum: what is constant, and the length.
		var sum int32
		for i := ethLen; i < ethLen+ip4Len; i += 2 {
			sum += int32(binary.NativeEndian.Uint16(outer[i:]))
		}
		ins = append(ins, asm.Add.Imm(asm.R8, sum))
		for range 2 {
			ins = append(ins,
				asm.Mov.Reg(asm.R2, asm.R8),
				asm.RSh.Imm(asm.R2, 16),
				asm.And.Imm(asm.R8, 0xffff),
				asm.Add.Reg(asm.R8, asm.R2),
			)
		}
		ins = append(ins,
			asm.Xor.Imm(asm.R8, 0xffff),
			asm.StoreMem(asm.RFP, outerAt+ethLen+10, asm.R8, asm.Half),
			asm.Add.Imm(asm.R7, -ip4Len),
		)
	} else {
		ins = append(ins, asm.Add.Imm(asm.R7, -ip6Len))
		ins = append(ins, storeLength(ethLen+4)...) // of the payload
	}
	ins = append(ins, storeLength(int16(ethLen+ipLen+4))...)
	ins = append(ins, copyBytes(asm.FnSkbStoreBytes, 0, outerAt, len(outer))...)
	ins = append(ins, copyBytes(asm.FnSkbStoreBytes, len(outer), innerAt, ethLen)...)
	return append(ins, redirect(ifindex)...)
}

// decapsulation takes outer headers off, and redirects what was in them to a
// device. All else is left to others.
func decapsulation(outer []byte, ifindex int) asm.Instructions {
	udpAt := len(outer) - vxlanLen - udpLen
	protoAt := ethLen + 9
	if udpAt == ethLen+ip6Len {
		protoAt = ethLen + 6
	}
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, skbProtocol, asm.Word),
		asm.JNE.Imm(asm.R2, int32(binary.NativeEndian.Uint16(outer[ethLen-2:])), "other"),
		asm.LoadMem(asm.R2, asm.R6, skbLen, asm.Word),
		asm.JLT.Imm(asm.R2, int32(len(outer)+ethLen), "other"),
	}
	ins = append(ins, copyBytes(asm.FnSkbLoadBytes, 0, outerAt, len(outer))...)
	ins = append(ins,
		asm.LoadMem(asm.R2, asm.RFP, int16(outerAt+protoAt), asm.Byte),
		asm.JNE.Imm(asm.R2, unix.IPPROTO_UDP, "other"),
		asm.LoadMem(asm.R2, asm.RFP, int16(outerAt+udpAt+2), asm.Half),
		asm.HostTo(asm.BE, asm.R2, asm.Half),
		asm.JNE.Imm(asm.R2, vxlanPort, "other"),
	)
	ins = append(ins, copyBytes(asm.FnSkbLoadBytes, len(outer), innerAt, ethLen)...)
	ins = append(ins,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, int32(-len(outer))),
		asm.Mov.Imm(asm.R3, adjRoomMAC),
		asm.Mov.Imm(asm.R4, adjRoomFixedGSO),
		asm.FnSkbAdjustRoom.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	)
	ins = append(ins, copyBytes(asm.FnSkbStoreBytes, 0, innerAt, ethLen)...)
	ins = append(ins, redirect(ifindex)...)
	return append(ins,
		asm.Mov.Imm(asm.R0, tcActUnspec).WithSymbol("other"),
		asm.Return(),
	)
}

// storeLength puts R7 where a length stands in the outer headers, and leaves it
// in R8 as it is stored.
func storeLength(at int16) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R8, asm.R7),
		asm.HostTo(asm.BE, asm.R8, asm.Half),
		asm.StoreMem(asm.RFP, outerAt+at, asm.R8, asm.Half),
	}
}

// copyBytes copies between the frame and the program's stack.
func copyBytes(fn asm.BuiltinFunc, offset, at, n int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, int32(offset)),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, int32(at)),
		asm.Mov.Imm(asm.R4, int32(n)),
		asm.Mov.Imm(asm.R5, 0),
		fn.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	}
}

func redirect(ifindex int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, int32(ifindex)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcActShot).WithSymbol("drop"),
		asm.Return(),
	}
}
