package vswitch

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// TestForwarding names the rows of "Learning and forwarding".
func TestForwarding(t *testing.T) {
	three := func(t *testing.T, options ...Options) *bench {
		b := newBench(t)
		for i, name := range []string{"p1", "p2", "p3"} {
			cfg := PortConfig{Name: name}
			if i < len(options) {
				cfg.Options = options[i]
			}
			b.add(cfg)
		}
		return b
	}
	// out sends a frame into p1 and says how many left by p1, p2, p3.
	out := func(b *bench, w porttest.Wire) [3]int {
		b.send("p1", w)
		return [3]int{len(b.took("p1")), len(b.took("p2")), len(b.took("p3"))}
	}
	expect := func(t *testing.T, what string, got, want [3]int) {
		t.Helper()
		if got != want {
			t.Errorf("%s left by p1, p2, p3: got %v, want %v", what, got, want)
		}
	}
	drops := func(t *testing.T, b *bench, port string, r frame.Reason, want uint64) {
		t.Helper()
		if got := b.counters(port).Drops[r]; got != want {
			t.Errorf("%s on %s: got %d, want %d", r, port, got, want)
		}
	}

	t.Run("multicast source: src-multicast", func(t *testing.T) {
		b := three(t)
		expect(t, "frame", out(b, untagged(mac(2), frame.MAC{1, 2, 3, 4, 5, 6})), [3]int{})
		expect(t, "frame", out(b, untagged(mac(2), frame.Broadcast)), [3]int{})
		drops(t, b, "p1", frame.SrcMulticast, 2)
	})
	t.Run("all-zero source: src-zero", func(t *testing.T) {
		b := three(t)
		expect(t, "frame", out(b, untagged(mac(2), frame.MAC{})), [3]int{})
		drops(t, b, "p1", frame.SrcZero, 1)
	})
	t.Run("unknown unicast goes to every member but the one it came from", func(t *testing.T) {
		b := three(t)
		expect(t, "unknown unicast", out(b, untagged(mac(2), mac(1))), [3]int{0, 1, 1})
	})
	t.Run("known unicast goes to its port, never to others", func(t *testing.T) {
		b := three(t)
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.took("p1")
		b.took("p3")
		expect(t, "known unicast", out(b, untagged(mac(2), mac(1))), [3]int{0, 1, 0})
	})
	t.Run("known unicast to the port it came from: same-port", func(t *testing.T) {
		b := three(t)
		out(b, untagged(frame.Broadcast, mac(2)))
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{})
		drops(t, b, "p1", frame.SamePort, 1)
	})
	t.Run("hairpin sends known unicast back", func(t *testing.T) {
		b := three(t, Options{Hairpin: true})
		out(b, untagged(frame.Broadcast, mac(2)))
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{1, 0, 0})
		expect(t, "broadcast", out(b, untagged(frame.Broadcast, mac(1))), [3]int{0, 1, 1})
	})
	t.Run("a frame to itself: same-port", func(t *testing.T) {
		b := three(t)
		expect(t, "frame", out(b, untagged(mac(1), mac(1))), [3]int{})
		drops(t, b, "p1", frame.SamePort, 1)
	})
	t.Run("no-flood withholds unknown unicast alone", func(t *testing.T) {
		b := three(t, Options{}, Options{NoFlood: true})
		expect(t, "unicast", out(b, untagged(mac(9), mac(1))), [3]int{0, 0, 1})
		expect(t, "multicast", out(b, untagged(frame.MAC{1, 0, 0x5e, 0, 0, 1}, mac(1))), [3]int{0, 1, 1})
		expect(t, "broadcast", out(b, untagged(frame.Broadcast, mac(1))), [3]int{0, 1, 1})
	})
	t.Run("no-mcast-flood withholds multicast alone", func(t *testing.T) {
		b := three(t, Options{}, Options{NoMcastFlood: true})
		expect(t, "unicast", out(b, untagged(mac(9), mac(1))), [3]int{0, 1, 1})
		expect(t, "multicast", out(b, untagged(frame.MAC{1, 0, 0x5e, 0, 0, 1}, mac(1))), [3]int{0, 0, 1})
		expect(t, "broadcast", out(b, untagged(frame.Broadcast, mac(1))), [3]int{0, 1, 1})
	})
	t.Run("no-bcast-flood withholds broadcast alone", func(t *testing.T) {
		b := three(t, Options{}, Options{NoBcastFlood: true})
		expect(t, "unicast", out(b, untagged(mac(9), mac(1))), [3]int{0, 1, 1})
		expect(t, "multicast", out(b, untagged(frame.MAC{1, 0, 0x5e, 0, 0, 1}, mac(1))), [3]int{0, 1, 1})
		expect(t, "broadcast", out(b, untagged(frame.Broadcast, mac(1))), [3]int{0, 0, 1})
	})
	t.Run("nobody left: no-destination", func(t *testing.T) {
		b := three(t, Options{}, Options{NoFlood: true}, Options{NoFlood: true})
		expect(t, "unicast", out(b, untagged(mac(9), mac(1))), [3]int{})
		drops(t, b, "p1", frame.NoDestination, 1)
	})
	t.Run("no-learn stops learning", func(t *testing.T) {
		b := three(t, Options{}, Options{NoLearn: true})
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.took("p1")
		b.took("p3")
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{0, 1, 1})
	})
	t.Run("a station that moves is followed at once", func(t *testing.T) {
		b := three(t)
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.send("p3", untagged(frame.Broadcast, mac(2)))
		b.took("p2")
		b.took("p3")
		b.took("p1")
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{0, 0, 1})
		if st, _ := b.FDBStats("sw0"); st.Moved != 1 {
			t.Errorf("moves: got %d, want 1", st.Moved)
		}
	})
	t.Run("a dropped frame teaches nothing", func(t *testing.T) {
		b := three(t)
		b.must(b.AddFDB(context.Background(), "sw0", 1, mac(7), ""))
		expect(t, "to a filter entry", out(b, untagged(mac(7), mac(1))), [3]int{})
		expect(t, "reserved", out(b, untagged(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, mac(1))), [3]int{})
		drops(t, b, "p1", frame.FDBFilter, 1)
		drops(t, b, "p1", frame.Reserved, 1)
		if entries, _ := b.FDB("sw0"); len(entries) != 1 {
			t.Errorf("entries: got %v, want the filter alone", entries)
		}
	})
	t.Run("filter entries drop frames from and to it, also where nothing is learned", func(t *testing.T) {
		b := three(t, Options{NoLearn: true})
		b.must(b.AddFDB(context.Background(), "sw0", 1, mac(1), ""))
		expect(t, "from", out(b, untagged(frame.Broadcast, mac(1))), [3]int{})
		expect(t, "to", out(b, untagged(mac(1), mac(5))), [3]int{})
		drops(t, b, "p1", frame.FDBFilter, 2)
	})
	t.Run("a static entry never moves: move-refused", func(t *testing.T) {
		b := three(t)
		b.must(b.AddFDB(context.Background(), "sw0", 1, mac(2), "p2"))
		expect(t, "frame", out(b, untagged(frame.Broadcast, mac(2))), [3]int{0, 1, 1})
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{0, 1, 0})
		if got := b.counters("p1").Notices[MoveRefused]; got != 1 {
			t.Errorf("move-refused: got %d, want 1", got)
		}
	})
	t.Run("sticky: what is learned there does not move away", func(t *testing.T) {
		b := three(t, Options{}, Options{Sticky: true})
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.took("p1")
		b.took("p3")
		expect(t, "frame", out(b, untagged(frame.Broadcast, mac(2))), [3]int{0, 1, 1})
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{0, 1, 0})
		if got := b.counters("p1").Notices[MoveRefused]; got != 1 {
			t.Errorf("move-refused: got %d, want 1", got)
		}
	})
	t.Run("max-macs: past it nothing is learned, the frame is forwarded", func(t *testing.T) {
		b := three(t, Options{MaxMACs: 2})
		for n := range 5 {
			expect(t, "frame", out(b, untagged(frame.Broadcast, mac(10+n))), [3]int{0, 1, 1})
		}
		if got := b.counters("p1").Notices[MACLimit]; got != 3 {
			t.Errorf("mac-limit: got %d, want 3", got)
		}
	})
	t.Run("isolated: not from one isolated port to another", func(t *testing.T) {
		b := three(t, Options{Isolated: true}, Options{Isolated: true})
		expect(t, "broadcast", out(b, untagged(frame.Broadcast, mac(1))), [3]int{0, 0, 1})
		drops(t, b, "p2", frame.Isolated, 1)
		b.send("p3", untagged(frame.Broadcast, mac(3)))
		if got := len(b.took("p2")); got != 1 {
			t.Errorf("from p3 to isolated p2: got %d frames, want 1", got)
		}
	})
	t.Run("isolated with hairpin: back to its own port", func(t *testing.T) {
		b := three(t, Options{Isolated: true, Hairpin: true})
		out(b, untagged(frame.Broadcast, mac(2)))
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{1, 0, 0})
	})
	t.Run("a lost port takes nothing in, also what waited there: port-down", func(t *testing.T) {
		b := three(t)
		p, err := b.findPort("sw0", "p1")
		b.must(err)
		b.host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)))
		b.host.setStatus(port.Status{Reason: "nobody has opened it"})
		b.reassess(p)
		b.receive("sw0", "p1")
		drops(t, b, "p1", frame.PortDown, 1)
		if entries, _ := b.FDB("sw0"); len(entries) != 0 {
			t.Errorf("entries: got %v, want none", entries)
		}
	})
	t.Run("taking a port down removes its entries, and nothing passes: port-down", func(t *testing.T) {
		b := three(t)
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.must(b.setPort("p2", func(c *PortConfig) { c.Down = true }))
		if entries, _ := b.FDB("sw0"); len(entries) != 0 {
			t.Errorf("entries: got %v, want none", entries)
		}
		b.took("p1")
		b.took("p3")
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{0, 0, 1})
		drops(t, b, "p2", frame.PortDown, 1)
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		drops(t, b, "p2", frame.PortDown, 2)
		if got := len(b.took("p1")); got != 0 {
			t.Errorf("from a port that is down: got %d frames, want 0", got)
		}
	})
	t.Run("taking a VLAN from a port removes the entries that this makes wrong", func(t *testing.T) {
		b := three(t)
		b.send("p2", untagged(frame.Broadcast, mac(2)))
		b.must(b.setPort("p2", func(c *PortConfig) { c.VLAN = vlan.Policy{Mode: vlan.Access, VLAN: 20} }))
		if entries, _ := b.FDB("sw0"); len(entries) != 0 {
			t.Errorf("entries: got %v, want none", entries)
		}
	})
	t.Run("a static entry on a port that lacks the VLAN: not-member", func(t *testing.T) {
		b := three(t)
		b.must(b.AddFDB(context.Background(), "sw0", 1, mac(2), "p2"))
		b.must(b.setPort("p2", func(c *PortConfig) { c.VLAN = vlan.Policy{Mode: vlan.Access, VLAN: 20} }))
		expect(t, "frame", out(b, untagged(mac(2), mac(1))), [3]int{})
		drops(t, b, "p2", frame.NotMember, 1)
	})
	t.Run("each VLAN learns by itself", func(t *testing.T) {
		b := three(t)
		for _, p := range []string{"p1", "p2", "p3"} {
			b.must(b.setPort(p, func(c *PortConfig) { c.VLAN = vlan.Policy{Mode: vlan.Trunk} }))
		}
		tagged := func(dst, src frame.MAC, vid uint16) porttest.Wire {
			return porttest.Wire{Bytes: ether(dst, src, 46, frame.NewTag(frame.TPIDCustomer, 0, vid))}
		}
		b.send("p2", tagged(frame.Broadcast, mac(2), 10))
		b.took("p1")
		b.took("p3")
		expect(t, "in VLAN 10", out(b, tagged(mac(2), mac(1), 10)), [3]int{0, 1, 0})
		expect(t, "in VLAN 20", out(b, tagged(mac(2), mac(1), 20)), [3]int{0, 1, 1})
	})
	t.Run("longer than the egress MTU: too-big, on that copy alone", func(t *testing.T) {
		b := newBench(t)
		b.host.mtu = 9000
		b.add(PortConfig{Name: "p1"})
		b.add(PortConfig{Name: "p3"})
		b.host.mtu = 1500
		b.add(PortConfig{Name: "p2"})
		expect(t, "1500", out(b, porttest.Wire{Bytes: ether(frame.Broadcast, mac(1), 1500)}), [3]int{0, 1, 1})
		expect(t, "1501", out(b, porttest.Wire{Bytes: ether(frame.Broadcast, mac(1), 1501)}), [3]int{0, 0, 1})
		drops(t, b, "p2", frame.TooBig, 1)
	})
	t.Run("a full receiver costs its own frames: tx-full", func(t *testing.T) {
		b := three(t)
		b.host.pair("sw0/p2").Capacity = 3
		for range 10 {
			out(b, untagged(frame.Broadcast, mac(1)))
			b.host.pair("sw0/p2").Capacity = 1
		}
		b.host.pair("sw0/p2").Capacity = 1
		b.send("p1", untagged(frame.Broadcast, mac(1)), untagged(frame.Broadcast, mac(1)), untagged(frame.Broadcast, mac(1)))
		if got := len(b.took("p3")); got != 3 {
			t.Errorf("the other port got %d frames, want 3", got)
		}
		drops(t, b, "p2", frame.TxFull, 2)
	})
	t.Run("runt", func(t *testing.T) {
		b := three(t)
		for n := range 14 {
			expect(t, "runt", out(b, porttest.Wire{Bytes: ether(frame.Broadcast, mac(1), 46)[:n]}), [3]int{})
		}
		drops(t, b, "p1", frame.Runt, 14)
		expect(t, "14 octets", out(b, porttest.Wire{Bytes: ether(frame.Broadcast, mac(1), 0)}), [3]int{0, 1, 1})
	})
}

// TestReservedAddresses names the rows of "Reserved group addresses".
func TestReservedAddresses(t *testing.T) {
	group := func(x byte) frame.MAC { return frame.MAC{1, 0x80, 0xc2, 0, 0, x} }
	lldp, all := frame.ReservedSet(1<<0xe), frame.AllReserved
	for _, c := range []struct {
		name     string
		settings func(*Settings)
		options  Options
		passes   []byte
	}{
		{"by default :00 alone", func(*Settings) {}, Options{}, []byte{0}},
		{"bpdu drop", func(s *Settings) { s.DropBPDU = true }, Options{}, nil},
		{"switch passes all but :01", func(s *Settings) { s.PassReserved = all }, Options{}, []byte{0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		{"port passes lldp", func(*Settings) {}, Options{PassReserved: &lldp}, []byte{0, 14}},
		{"port's list goes before the switch's", func(s *Settings) { s.PassReserved = all }, Options{PassReserved: &lldp}, []byte{0, 14}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { c.settings(s); return nil }))
			b.add(PortConfig{Name: "p1", Options: c.options})
			b.add(PortConfig{Name: "p2"})
			b.add(PortConfig{Name: "p3", Options: Options{NoMcastFlood: true}})
			for x := byte(0); x <= 15; x++ {
				b.send("p1", untagged(group(x), mac(1)))
				want := 0
				if bytes.IndexByte(c.passes, x) >= 0 {
					want = 1
				}
				if got := len(b.took("p2")); got != want {
					t.Errorf(":%02x to p2: got %d, want %d", x, got, want)
				}
				if x == 0 {
					want = 0 // plain multicast, which p3 withholds
				}
				if got := len(b.took("p3")); got != want {
					t.Errorf(":%02x to p3, which takes no multicast floods: got %d, want %d", x, got, want)
				}
			}
			if got, want := b.counters("p1").Drops[frame.Reserved], uint64(16-len(c.passes)); got != want {
				t.Errorf("reserved: got %d, want %d", got, want)
			}
		})
	}
}

// TestPatchLoop holds that a frame in a ring of patches ends after 32 crossings.
func TestPatchLoop(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	b.must(b.AddSwitch(ctx, "sw1", DefaultSettings()))
	b.must(b.AddSwitch(ctx, "sw2", DefaultSettings()))
	b.add(PortConfig{Name: "p1"})
	patch := func(sw, name, peerSwitch, peer string) {
		b.add(PortConfig{Switch: sw, Name: name, Attach: patchTo(peerSwitch, peer)})
	}
	patch("sw0", "to1", "sw1", "to0")
	patch("sw1", "to2", "sw2", "to1")
	patch("sw2", "to0", "sw0", "to2")
	b.send("p1", untagged(frame.Broadcast, mac(1)))

	var loops, crossings, back uint64
	infos, err := b.Ports("")
	b.must(err)
	for _, info := range infos {
		loops += info.Counters.Drops[frame.PatchLoop]
		if info.Attach.Kind == "patch" {
			crossings += info.Counters.TxFrames
		}
	}
	back = uint64(len(b.took("p1")))
	// Two copies run, one each way round; each crosses 33 times, and ends
	// when it comes in for the 33rd time. Every third crossing ends on sw0,
	// which floods the copy to p1.
	if loops != 2 || crossings != 66 || back != 20 {
		t.Errorf("loops %d, crossings %d, back at p1 %d; want 2, 66, 20", loops, crossings, back)
	}
}

// TestPatchKeepsTags holds that tags pass patches whole, through tunnels too.
func TestPatchKeepsTags(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	b.must(b.AddSwitch(ctx, "sw1", DefaultSettings()))
	b.add(PortConfig{Name: "customer", VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 100}})
	b.add(PortConfig{Name: "up", Attach: patchTo("sw1", "down"), VLAN: vlan.Policy{Mode: vlan.Trunk, TPID: frame.TPIDService}})
	b.add(PortConfig{Switch: "sw1", Name: "wire", VLAN: vlan.Policy{Mode: vlan.Trunk, TPID: frame.TPIDService}})
	b.add(PortConfig{Switch: "sw1", Name: "far", VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 100}})

	ctag := frame.NewTag(frame.TPIDCustomer, 5, 7)
	sent := porttest.Wire{Bytes: ether(frame.Broadcast, mac(1), 46), Tag: ctag}
	b.send("customer", sent)
	wire := b.host.pair("sw1/wire").Take()
	want := ether(frame.Broadcast, mac(1), 46, frame.NewTag(frame.TPIDService, 0, 100), ctag)
	if len(wire) != 1 || !bytes.Equal(wire[0].Bytes, want) {
		t.Errorf("on the wire: got %x, want one of %x", wire, want)
	}
	far := b.host.pair("sw1/far").Take()
	want = ether(frame.Broadcast, mac(1), 46, ctag)
	if len(far) != 1 || !bytes.Equal(far[0].Bytes, want) {
		t.Errorf("at the far tunnel: got %x, want one of %x", far, want)
	}
}

// TestAgeing holds that a station unheard for the ageing time is unknown again.
func TestAgeing(t *testing.T) {
	b := newBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2"})
	b.add(PortConfig{Name: "p3"})
	start := b.w.clock()
	now := start
	b.w.clock = func() fdb.Time { return now }
	b.send("p2", untagged(frame.Broadcast, mac(2)))
	flooded := func() bool {
		b.took("p3")
		b.send("p1", untagged(mac(2), mac(1)))
		return len(b.took("p3")) == 1
	}
	now = start + fdb.Time((299 * time.Second).Milliseconds())
	if flooded() {
		t.Error("flooded after 299 s, want known")
	}
	now = start + fdb.Time((301 * time.Second).Milliseconds())
	if !flooded() {
		t.Error("known after 301 s, want flooded")
	}
}

func patchTo(sw, name string) port.Config {
	return port.Config{Kind: port.Patch, Peer: port.PeerName{Switch: sw, Port: name}}
}

func (b *bench) setPort(name string, change func(*PortConfig)) error {
	_, err := b.SetPort(context.Background(), "sw0", name, false, func(c *PortConfig) error { change(c); return nil })
	return err
}
