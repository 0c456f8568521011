package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// "Ports", row by row.

func TestPortStates(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			for _, p := range []string{"p1", "p2"} {
				l.add(kind, p)
			}
			l.add("veth", "p3")
			row := func(name string, story func()) { l.h.Case(name, func(*testing.T) { story() }) }
			e := Eth{Payload: "hello"}

			row("down: sends nothing, port-down", func() {
				l.set("p2", "down")
				l.checkEth("p1", e, []string{"p3"}, []string{"p2/port-down"})
			})
			row("down: takes nothing in", func() {
				l.takesNothing(kind, "p2")
			})
			if kind == "veth" || kind == "tap" {
				row("down: takes the carrier from what hangs on the port", func() {
					l.wantCarrier("p2", false)
					l.set("p2", "up")
					l.wantCarrier("p2", true)
				})
			}
			row("up again: as before", func() {
				l.set("p2", "up")
				l.h.AwaitState("p2", "up")
				l.pass("p1", e, "p2", "p3")
				l.pass("p2", e.From(MAC(2)), "p1", "p3")
			})
			if kind == "dev" {
				row("lost: takes nothing in, port-down", func() {
					// No carrier, as a supplicant says that it is not let in
					// yet, and yet frames.
					l.h.Run("ip", "link", "set", "n2", "mode", "dormant", "state", "dormant")
					l.h.AwaitState("p2", "lost")
					l.takesNothing(kind, "p2")
					l.h.Run("ip", "link", "set", "n2", "mode", "default", "state", "up")
					l.h.AwaitState("p2", "up")
				})
			}
			row("lost: sends nothing, port-down, and its entries are gone", func() {
				b := l.station()
				l.told("p2", b)
				l.lose(kind, "p2")
				if p := l.h.AwaitState("p2", "lost"); p.Reason == "" {
					l.h.t.Error("the port is lost without a reason")
				}
				l.h.Eventually(0, func() error { // an instant after
					if at := l.knows(b); at != "" {
						return fmt.Errorf("%s is still believed to be at %s", b, at)
					}
					return nil
				})
				l.checkEth("p1", e.To(b), []string{"p3"}, []string{"p2/port-down"})
			})
			l.close()
		})
	}
}

// takesNothing sends frames in by a port that is down. Where the port can take
// the carrier away the kernel keeps them; else they come in and are counted.
func (l *ledger) takesNothing(kind, port string) {
	l.h.t.Helper()
	f := Eth{Src: l.station(), Payload: "from a port that is down"}
	row := entry{from: port, send: Frames(f, f, f), refusable: true}
	if kind == "veth" || kind == "tap" {
		row.lost = len(row.send)
	} else {
		row.drops = Drops{port + "/port-down": 3}
	}
	l.check(row)
	l.wantKnown(f.Src, "")
}

// wantCarrier looks at the device of a port's station.
func (l *ledger) wantCarrier(port string, want bool) {
	l.h.t.Helper()
	l.h.Eventually(0, func() error {
		for _, ns := range l.h.namespaces {
			if ns.Name != l.h.Port(port).Netns {
				continue
			}
			if flags := ns.Links()["eth0"].Flags; slices.Contains(flags, "LOWER_UP") != want {
				return fmt.Errorf("eth0 in %s has the flags %v, want a carrier: %v", ns.Name, flags, want)
			}
		}
		return nil
	})
}

// lose takes away what a port hangs on.
func (l *ledger) lose(kind, port string) {
	l.h.t.Helper()
	switch end := l.ends[port].(type) {
	case *Monitor:
		end.Close()
	case *Station:
		ns := l.namespaceOf(port)
		if kind == "tap" {
			ns.Run("ip", "link", "del", "eth0")
		} else {
			ns.Run("ip", "link", "set", "eth0", "down")
		}
	}
	delete(l.ends, port)
	l.order = slices.DeleteFunc(l.order, func(p string) bool { return p == port })
}

// Who wants a lost port up is told what is in the way, and gets it up once that
// is gone.
func TestPortThatCannotComeUp(t *testing.T) {
	h := NewHost(t)
	box := h.Namespace("box")
	inside, process := h.NamespaceOfProcess()
	h.VS("port", "add", "q", "--netns", "box", "--ifname", "ethq")
	h.VS("port", "add", "p", "--netns", inside.Name)
	h.VS("port", "add", "s", "--netns", "box")

	box.Run("ip", "link", "del", "ethq")
	h.AwaitState("q", "lost")
	box.Run("ip", "link", "add", "ethq", "type", "veth", "peer", "name", "other")
	h.Refused(1, []string{"sw0/q cannot come up", "ethq", "already"}, "port", "set", "q", "up", "--access", "5")
	h.VS("port", "set", "q", "--access", "6") // has nothing to do with it
	box.Run("ip", "link", "del", "ethq")
	h.VS("port", "set", "q", "up")
	h.AwaitState("q", "up")

	inside.Run("ip", "link", "del", "eth0")
	h.AwaitState("p", "lost")
	h.VS("port", "set", "p", "up")
	h.AwaitState("p", "up")

	box.Delete()
	h.AwaitState("s", "lost")
	h.Refused(1, []string{"sw0/s cannot come up", "box", "ip netns add box"}, "port", "set", "s", "up")
	h.VS("port", "set", "s", "down")
	h.VS("port", "set", "s", "up") // as soon as it can
	box.Again()
	h.AwaitState("s", "up")
	inside.deleted = true
	process.Kill()
	h.AwaitState("p", "lost")
	h.Refused(1, []string{"sw0/p cannot come up", inside.Name, "delete the port"}, "port", "set", "p", "up")
}

// namespaceOf returns the namespace that a port's station is in.
func (l *ledger) namespaceOf(port string) *Namespace {
	l.h.t.Helper()
	for _, ns := range l.h.namespaces {
		if st, ok := l.ends[port].(*Station); ok && st.name == ns.Name+"/eth0" {
			return ns
		}
	}
	l.h.t.Fatalf("port %s has no namespace", port)
	return nil
}

// A --vm tap that nobody reads fills up: tx-full there, and nowhere else.
func TestTxFull(t *testing.T) {
	t.Parallel()
	const frames = 2000 // the TAP's queue holds 1000
	l := newLedger(t)
	l.add("veth", "p1")
	l.add("veth", "p2")
	l.h.VS("port", "add", "vm", "--vm", "vm0")
	l.h.Do(func() error {
		fd, err := openTap("vm0", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		if err == nil {
			f := os.NewFile(uintptr(fd), "tap")
			t.Cleanup(func() { f.Close() })
		}
		return err
	})
	l.h.AwaitState("vm", "up")
	l.last = l.read()
	f := Eth{Payload: "hello"}
	// In parts: a burst that p1's socket cannot hold would be its rx-full.
	var full uint64
	for range frames / 100 {
		row := entry{from: "p1", number: map[string]int{"p2": 100}}
		for range 100 {
			row.send = append(row.send, f)
		}
		before := l.last["vm"].Counters
		l.ends["p1"].Send(row.send...)
		var now map[string]tally
		l.h.Eventually(0, func() error {
			now = l.read()
			vm := now["vm"].Counters
			taken, dropped := vm.TxFrames-before.TxFrames, vm.Drops["tx-full"]-before.Drops["tx-full"]
			if taken+dropped != 100 {
				return fmt.Errorf("of 100 frames the tap took %d, and %d were counted as tx-full: %+v", taken, dropped, vm)
			}
			row.drops = Drops{"vm/tx-full": dropped}
			row.number["vm"] = int(taken)
			return l.compare(row, now)
		})
		l.arrived("p2", row)
		l.last = now
		full = now["vm"].Counters.Drops["tx-full"]
	}
	if full != frames/2 {
		t.Errorf("%d of %d frames are counted as tx-full, want those behind the first 1000", full, frames)
	}
	l.close()
}

// What the kernel drops because the daemon does not read in time is counted as
// rx-full, outside rx_frames.
func TestRxFull(t *testing.T) {
	for _, kind := range []string{"veth", "vm", "dev"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add(kind, "p1")
			l.add("tap", "p2", "--no-flood", "--no-bcast-flood")
			frame := Eth{Payload: string(bytes.Repeat([]byte("x"), 1400))}.Bytes()
			const frames = 10_000
			l.h.Process().Signal(syscall.SIGSTOP)
			for range frames {
				if err := l.ends["p1"].TrySend(frame); err != nil {
					t.Fatal(err)
				}
			}
			l.h.Process().Signal(syscall.SIGCONT)
			l.h.Eventually(0, func() error {
				c := l.read()["p1"].Counters
				full := c.Drops["rx-full"]
				if full == 0 || c.RxFrames == 0 || full+c.RxFrames != frames || c.Drops["no-destination"] != c.RxFrames {
					return fmt.Errorf("of %d frames %d were received and %d counted as rx-full: %+v", frames, c.RxFrames, full, c)
				}
				return nil
			})
			l.last = l.read()
			l.close()
		})
	}
}

// The host's stack never sees a port's frames: it answers no ARP, no neighbour
// solicitation and no ping for an address of the host, and routes nothing.
func TestHostStackSeesNothing(t *testing.T) {
	host4, host6 := netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("fd00::200")
	for _, kind := range []string{"veth", "dev", "vm"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			h := l.h
			l.add(kind, "p1")
			l.add(kind, "p2")
			h.Run("ip", "link", "add", "mgmt", "type", "veth", "peer", "name", "mgmt1")
			h.Sysctl("net/ipv6/conf/mgmt/disable_ipv6", "0")
			h.Sysctl("net/ipv6/conf/mgmt1/disable_ipv6", "1")
			h.Run("ip", "addr", "add", host4.String()+"/24", "dev", "mgmt")
			h.Run("ip", "addr", "add", host6.String()+"/64", "dev", "mgmt", "nodad")
			h.Run("ip", "link", "set", "mgmt", "up")
			h.Run("ip", "link", "set", "mgmt1", "up")
			h.Sysctl("net/ipv4/ip_forward", "1")
			h.Sysctl("net/ipv6/conf/all/forwarding", "1")
			h.Sysctl("net/ipv4/conf/all/rp_filter", "0")
			ours := h.Links()[h.Port("p1").Device].Address // of the switch's side

			// By its own device the host does answer, so silence means something.
			outside, mgmt := h.Station("mgmt1"), h.Links()["mgmt"].Address
			for _, e := range []Eth{arp(broadcast, host4), solicitation("33:33:ff:00:02:00", host6), ping(mgmt, host4)} {
				outside.Send(e)
				for {
					d := Describe(outside.Next().Bytes)
					if strings.HasPrefix(d, mgmt+" > "+MAC(7)) && strings.Contains(d, fmt.Sprintf("type %04x", e.Type)) {
						break
					}
				}
			}

			before := h.packetsSeen()
			for _, c := range []struct {
				what string
				e    Eth
			}{
				{"ARP to all", arp(broadcast, host4)},
				{"ARP to the device", arp(ours, host4)},
				{"a neighbour solicitation to its group", solicitation("33:33:ff:00:02:00", host6)},
				{"a neighbour solicitation to the device", solicitation(ours, host6)},
				{"a ping to the device", ping(ours, host4)},
				{"a ping to all", ping(broadcast, host4)},
				{"a packet to be routed", ping(ours, netip.MustParseAddr("10.0.0.201"))},
			} {
				h.Case(c.what, func(*testing.T) {
					// It floods, as ours is no station's; and what might come
					// back comes before the next row's frames.
					f := Frames(c.e)
					l.check(entry{from: "p1", send: f, arrive: Arrive{"p2": f}})
					mark := Frames(Eth{Src: MAC(55), Payload: "nothing before this"})
					l.check(entry{from: "p2", send: mark, arrive: Arrive{"p1": mark}})
				})
			}
			// An answer might have gone another way.
			if after := h.packetsSeen(); after != before {
				t.Errorf("the host's stack has seen %s packets, then %s", before, after)
			}
			l.close()
		})
	}
}

// packetsSeen returns how many packets of IPv4 the host's stack has received;
// it has some of IPv6 from itself.
func (h *Host) packetsSeen() (seen string) {
	h.t.Helper()
	h.Do(func() error {
		snmp, err := os.ReadFile("/proc/thread-self/net/snmp")
		for line := range strings.Lines(string(snmp)) {
			// A line of names, then one of values; the third is InReceives.
			if f := strings.Fields(line); f[0] == "Ip:" {
				seen = f[3]
			}
		}
		return err
	})
	return seen
}

var asker4, asker6 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")

func arp(dst string, whom netip.Addr) Eth {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	p = append(append(p, hardware(MAC(7))...), asker4.AsSlice()...)
	p = append(append(p, make([]byte, 6)...), whom.AsSlice()...)
	return Eth{Dst: dst, Src: MAC(7), Type: 0x0806, Payload: string(p)}
}

func ping(dst string, whom netip.Addr) Eth {
	icmp := []byte{8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'}
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	ip := append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_ICMP, 0, 0}, asker4.AsSlice()...)
	ip = append(ip, whom.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(icmp)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return Eth{Dst: dst, Src: MAC(7), Type: 0x0800, Payload: string(ip) + string(icmp)}
}

func solicitation(dst string, whom netip.Addr) Eth {
	icmp := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, whom.AsSlice()...)
	icmp = append(append(icmp, 1, 1), hardware(MAC(7))...)
	ip := append([]byte{0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255}, asker6.AsSlice()...)
	ip = append(ip, whom.AsSlice()...)
	pseudo := append(slices.Clone(ip[8:]), 0, 0, 0, byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(icmp[2:], checksum(append(pseudo, icmp...)))
	return Eth{Dst: dst, Src: MAC(7), Type: 0x86dd, Payload: string(ip) + string(icmp)}
}

// checksum is that of IP (RFC 1071), of an even number of octets.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// A frame in a loop of patches is dropped after 32 crossings: patch-loop.
func TestPatchLoop(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			for _, sw := range []string{"sw1", "sw2"} {
				l.h.VS("switch", "add", sw)
			}
			l.add(kind, "p1")
			l.add(kind, "sw1/p2")
			for _, patch := range [][2]string{{"to1", "sw1/to0"}, {"sw1/to2", "sw2/to1"}, {"sw2/to0", "sw0/to2"}} {
				l.h.VS("port", "add", patch[0], "--patch", patch[1])
			}
			l.last = l.read()
			l.ends["p1"].Send(Eth{Payload: "round and round"})
			// Two copies run, one each way round, and each crosses 33 times:
			// the frame is dropped when it comes in for the 33rd. Every third
			// crossing ends on sw0, which floods it to p1, and another third
			// on sw1.
			var now map[string]tally
			l.h.Eventually(0, func() error {
				now = l.read()
				var loops, crossings uint64
				for name, p := range now {
					loops += p.Counters.Drops["patch-loop"]
					if name != "p1" && name != "sw1/p2" {
						crossings += p.Counters.TxFrames
					}
				}
				if back := now["p1"].Counters.TxFrames; loops != 2 || crossings != 66 || back != 20 {
					return fmt.Errorf("%d dropped in the loop, %d crossings, %d back at p1; want 2, 66 and 20", loops, crossings, back)
				}
				return nil
			})
			for port, want := range map[string]uint64{"p1": 20, "sw1/p2": now["sw1/p2"].Counters.TxFrames} {
				if want < 20 {
					t.Errorf("%s: %d copies, want 20 or more", port, want)
				}
				l.arrived(port, entry{number: map[string]int{port: int(want)}})
			}
			l.last = now
			l.close()
		})
	}
}
