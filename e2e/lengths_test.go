package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// "Lengths", row by row. p1 and p3 have MTU 9000, p2 has 1500.

// long returns a frame of n octets.
func long(n int, tags ...Tag) []byte {
	e := Eth{Src: MAC(77), Tags: tags}
	e.Payload = string(bytes.Repeat([]byte("long"), (n+3)/4))
	return e.Bytes()[:n]
}

// gso kinds, from linux/virtio_net.h.
const (
	gsoTCPv4 = 1
	gsoUDP   = 3
	gsoTCPv6 = 4
	gsoUDPL4 = 5
)

// super returns a super-frame: TCP over IPv4 or IPv6, that is to be cut into
// segments of size octets of payload.
func super(kind uint8, payload int, size uint16, tags ...Tag) offloaded {
	e := Eth{Src: MAC(78), Tags: tags, Type: 0x0800}
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[2:], uint16(20+20+payload))
	if kind == gsoTCPv6 {
		e.Type, ip = 0x86dd, make([]byte, 40)
		ip[0], ip[6], ip[7], ip[23], ip[39] = 0x60, unix.IPPROTO_TCP, 64, 1, 2
		binary.BigEndian.PutUint16(ip[4:], uint16(20+payload))
	}
	tcp := make([]byte, 20)
	tcp[12], tcp[13] = 5<<4, 0x10
	e.Payload = string(ip) + string(tcp) + string(bytes.Repeat([]byte("super"), payload/5+1)[:payload])
	start := uint16(minimumSize + tagLen*len(tags) + len(ip))
	return offloaded{
		Offload{Flags: 1, GSOType: kind, HdrLen: start + 20, GSOSize: size, CsumStart: start, CsumOffset: 16},
		e.Bytes(),
	}
}

// tunnelLen is what [offloaded.inVXLAN] puts between two Ethernet headers.
const tunnelLen = 20 + 8 + 8

// inVXLAN puts a tunnel around a super-frame.
func (o offloaded) inVXLAN(tags ...Tag) offloaded {
	head := make([]byte, tunnelLen)
	ip, udp, vxlan := head[:20], head[20:28], head[28:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[2:], uint16(len(head)+len(o.frame)))
	binary.BigEndian.PutUint16(udp[2:], vxlanPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)+len(vxlan)+len(o.frame)))
	copy(vxlan, []byte{8, 0, 0, 0, 0, 0, 42, 0})
	moved := uint16(minimumSize + tagLen*len(tags) + tunnelLen)
	o.CsumStart += moved
	o.HdrLen += moved
	o.frame = Eth{Src: MAC(79), Tags: Tags(tags...), Type: 0x0800, Payload: string(head) + string(o.frame)}.Bytes()
	return o
}

func TestLengths(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add(kind, "p1", "--mtu", "9000")
			l.add(kind, "p2", "--mtu", "1500")
			l.add(kind, "p3", "--mtu", "9000")
			row := func(name string, story func()) { l.h.Case(name, func(*testing.T) { story() }) }
			// sent goes in by p1 and comes out of p3, and of p2 or not.
			sent := func(f any, fits bool) {
				e := entry{from: "p1", send: Frames(f), arrive: Arrive{"p3": Frames(f)}}
				if fits {
					e.arrive["p2"] = Frames(f)
				} else {
					e.drops = Drops{"p2/too-big": 1}
				}
				l.check(e)
			}

			row("under 14 octets: the kernel refuses them before a port can see a runt", func() {
				// TestForwarding and TestHostileLengths of the switch show
				// them counted, on the in-memory pair.
				for n := range minimumSize {
					if err := l.ends["p1"].TrySend(long(n)); !errors.Is(err, unix.EINVAL) {
						l.h.t.Errorf("%d octets: got %v, want EINVAL", n, err)
					}
				}
				l.check(entry{from: "p1"})
			})
			row("14 octets and up: forwarded, and nothing is padded", func() {
				for _, n := range []int{14, 15, 16, 17, 18, 33, 45, 46, 59, 60, 63, 64} {
					sent(long(n), true)
				}
			})
			row("MTU and header: fits", func() { sent(long(1514), true) })
			row("longer than MTU and header: too-big on that copy alone", func() {
				sent(long(1515), false)
				sent(long(9014), false)
			})
			row("a super-frame is measured by its segments, and is one frame", func() {
				sent(super(gsoTCPv4, 20_000, 1460), true)
				sent(super(gsoTCPv4, 60_000, 1460), true)
				sent(super(gsoTCPv6, 20_000, 1440), true)
			})
			row("a super-frame of segments too long: too-big on that copy alone", func() {
				sent(super(gsoTCPv4, 20_000, 1461), false)
				sent(super(gsoTCPv6, 20_000, 1441), false)
				sent(super(gsoTCPv4, 40_000, 8960), false)
			})
			// The MTU that the other kinds obey is the receiver's; what its
			// stack then drops is its own count.
			if kind == "vm" || kind == "dev" {
				row("MTU changed on the device: too-big from then on", func() { l.otherMTU(sent) })
			}

			for _, p := range l.order {
				l.set(p, "--trunk", "10,20")
			}
			row("a tag on top of MTU and header: fits", func() {
				sent(long(1518, C(10)), true)
				sent(super(gsoTCPv4, 20_000, 1460, C(10)), true)
			})
			row("longer than MTU, header and tag: too-big", func() {
				sent(long(1519, C(10)), false)
				sent(super(gsoTCPv4, 20_000, 1461, C(10)), false)
			})
			// What the kernel carries on top of the MTU is one tag; a TAP's
			// reader has no limit, and two tags are what we let through.
			row("two tags on top of MTU and header: as many as the kind can carry", func() {
				sent(long(1522, C(10), C(7)), kind == "tap")
				sent(long(1523, C(10), C(7)), false)
			})
			row("a QinQ trunk over a device needs 4 octets more MTU", func() {
				l.add(kind, "p4", "--mtu", "1504", "--trunk", "20")
				e := entry{from: "p1", send: Frames(long(1522, C(20), C(7)))}
				e.arrive = Arrive{"p3": e.send, "p4": e.send}
				if kind == "tap" {
					e.arrive["p2"] = e.send
				} else {
					e.drops = Drops{"p2/too-big": 1}
				}
				l.check(e)
			})
			row("what the kernel refuses with EMSGSIZE: too-big", func() {
				for _, p := range l.order {
					l.set(p, "--trunk", "all", "--tpid", "0x88a8")
				}
				// Of the tags that may stand out over the MTU the kernel
				// knows 0x8100 alone (packet_extra_vlan_len_allowed in
				// net/packet/af_packet.c). Our side of a veth has a larger MTU.
				f := Frames(long(1518, S(30)))
				e := entry{from: "p1", send: f, arrive: Arrive{"p3": f, "p4": f}}
				if kind == "vm" || kind == "dev" {
					e.drops = Drops{"p2/too-big": 1}
				} else {
					e.arrive["p2"] = f
				}
				l.check(e)
				for _, p := range l.order {
					l.set(p, "--trunk", "20")
				}
			})
			// Of stations, the kernel cuts such frames itself, as the devices
			// that we make ask for, or drops those made by hand.
			if kind == "vm" {
				row("TCP in a tunnel, one super-frame: cut into segments by us, and one frame", l.tunnelled)
			}
			l.close()
		})
	}
}

// otherMTU lowers p3's MTU behind the switch's back, and puts it back.
func (l *ledger) otherMTU(sent func(f any, fits bool)) {
	l.h.t.Helper()
	port := l.h.Port("p3")
	for _, mtu := range []int{1400, 9000} {
		l.h.Run("ip", "link", "set", port.Device, "mtu", fmt.Sprint(mtu))
		l.h.Eventually(0, func() error {
			if got := l.h.Port("p3").MTU; got != mtu {
				return fmt.Errorf("the port still has MTU %d, want %d", got, mtu)
			}
			return nil
		})
		if mtu == 1400 {
			f := Frames(long(1415))
			l.check(entry{from: "p1", send: f, arrive: Arrive{"p2": f}, drops: Drops{"p3/too-big": 1}})
			f = Frames(long(1414))
			l.check(entry{from: "p1", send: f, arrive: Arrive{"p2": f, "p3": f}})
		}
	}
	sent(long(9014), false)
}

// tunnelled sends a super-frame of TCP in VXLAN. Its offload header can name
// the inner TCP only; a kernel that got it would cut that and leave all headers
// outside it as they are.
func (l *ledger) tunnelled() {
	t := l.h.t
	t.Helper()
	l.add("veth", "v", "--trunk", "10")
	l.add("tap", "t", "--trunk", "10")
	for _, p := range []string{"p1", "p2", "p3"} {
		l.set(p, "--trunk", "10")
	}
	const payload, size = 9000, 1000
	inner := super(gsoTCPv4, payload, size)
	outer := inner.inVXLAN(C(10))

	before := l.last
	if err := l.ends["p1"].SendOffload(outer.Offload, outer.frame); err != nil {
		t.Fatal(err)
	}
	ports := []string{"p2", "p3", "v", "t"}
	for _, port := range ports {
		var got []byte
		for n := 0; len(got) < payload; n++ {
			r, err := l.ends[port].next(countTime)
			if err != nil {
				t.Fatalf("%v; %d segments came, with %d octets of %d", err, n, len(got), payload)
			}
			b := r.Bytes
			if ipLen := int(binary.BigEndian.Uint16(b[minimumSize+tagLen+2:])); r.Offload.GSOType != 0 || ipLen != len(b)-minimumSize-tagLen {
				t.Fatalf("%s: segment %d has %d octets, offload %+v, and an outer IP header that says %d", port, n, len(b), r.Offload, ipLen)
			}
			in := b[minimumSize+tagLen+tunnelLen+minimumSize:]
			if seq := int(binary.BigEndian.Uint32(in[20+4:])); seq != len(got) {
				t.Fatalf("%s: segment %d has sequence number %d, want %d", port, n, seq, len(got))
			}
			got = append(got, in[40:]...)
		}
		if want := inner.frame[minimumSize+40:]; !bytes.Equal(got, want) {
			t.Errorf("%s: the payload is spoilt", port)
		}
	}
	l.h.Eventually(0, func() error {
		now := l.read()
		for _, port := range ports {
			is, was := now[port].Counters, before[port].Counters
			if n := is.TxFrames - was.TxFrames; n != 1 || is.TxBytes-was.TxBytes != uint64(len(outer.frame)) {
				return fmt.Errorf("%s: sent %d frames of %d octets, want the one of %d", port, n, is.TxBytes-was.TxBytes, len(outer.frame))
			}
		}
		l.last = now
		return nil
	})
}
