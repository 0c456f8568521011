package vswitch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// What no station would send. The kernel refuses much of it before a port sees
// it (the end-to-end tests say what); the in-memory pair refuses nothing. Each
// frame is dropped and counted, or forwarded byte for byte.

// hostileModes are a policy of each mode, in the switch's terms and in the
// plain model's.
var hostileModes = []struct {
	policy vlan.Policy
	model  modelPort
}{
	{vlan.Policy{Mode: vlan.Access, VLAN: 1}, modelPort{mode: "access", vid: 1}},
	{vlan.Policy{Mode: vlan.Trunk}, modelPort{mode: "trunk", all: true}},
	{vlan.Policy{Mode: vlan.Trunk, TPID: frame.TPIDService}, modelPort{mode: "trunk", all: true, tpid: 0x88a8}},
	{vlan.Policy{Mode: vlan.NativeUntagged, VLAN: 1}, modelPort{mode: "native-untagged", vid: 1, all: true}},
	{vlan.Policy{Mode: vlan.NativeTagged, VLAN: 1}, modelPort{mode: "native-tagged", vid: 1, all: true}},
	{vlan.Policy{Mode: vlan.Tunnel, VLAN: 1}, modelPort{mode: "tunnel", vid: 1}},
	{vlan.Policy{Mode: vlan.Tunnel, VLAN: 1, CVLANs: setOf(0, 256)}, modelPort{mode: "tunnel", vid: 1, cvids: map[int]bool{0: true, 256: true}}},
}

func setOf(vids ...uint16) *vlan.Set {
	var s vlan.Set
	for _, v := range vids {
		s.Add(v)
	}
	return &s
}

// hostileRig is a switch with a port of each mode, and the model of it.
type hostileRig struct {
	*bench
	sw    *Switch
	model *modelSwitch
	r     modelRandom
	at    []Counters
}

func newHostileRig(t testing.TB) *hostileRig {
	b := newBench(t)
	b.host.mtu = 1 << 16
	sw, err := b.find("sw0")
	b.must(err)
	h := &hostileRig{bench: b, sw: sw, model: &modelSwitch{stations: make(map[string]int)}}
	h.r = modelRandom{rand.New(rand.NewPCG(1, 2))}
	for i, m := range hostileModes {
		p := m.model
		p.name, p.mtu = fmt.Sprint("p", i), b.host.mtu
		if p.tpid == 0 {
			p.tpid = 0x8100
		}
		h.model.ports = append(h.model.ports, &p)
		b.add(PortConfig{Name: p.name, VLAN: m.policy})
	}
	h.at = allCounters(sw)
	return h
}

// try takes one frame into each port, the outermost tag beside the bytes or in
// them as the turn has it, and holds what comes of it against the model.
func (h *hostileRig) try(t *testing.T, wire []byte) {
	t.Helper()
	before := h.at
	for _, p := range h.model.ports {
		*p = modelPort{name: p.name, mode: p.mode, vid: p.vid, all: p.all, cvids: p.cvids, tpid: p.tpid, mtu: p.mtu}
	}
	h.TB = t
	for in := range h.model.ports {
		h.at = h.compare(h.sw, h.model, in, wire, h.r, h.at)
		if t.Failed() {
			t.Fatalf("into p%d: %d octets\n%x", in, len(wire), wire)
		}
	}
	h.conserved(h.model, before, h.at)
}

func TestHostileLengths(t *testing.T) {
	for _, c := range []struct {
		name string
		fill []byte // again and again, from the first octet or behind the addresses
		from int
	}{
		{"zeros", []byte{0}, 0},
		{"ones", []byte{0xff}, 0},
		{"an EtherType and zeros", []byte{0x08, 0x00, 0, 0}, 12},
		{"customer tags of VLAN 1", []byte{0x81, 0x00, 0x00, 0x01}, 12},
		{"customer tags of VLAN 256", []byte{0x81, 0x00, 0x21, 0x00}, 12},
		{"TPIDs", []byte{0x81, 0x00}, 12},
		{"service TPIDs", []byte{0x88, 0xa8}, 12},
		{"priority tags", []byte{0x81, 0x00, 0x60, 0x00}, 12},
		{"service priority tags", []byte{0x88, 0xa8, 0x00, 0x00}, 12},
		{"tags with VID 4095", []byte{0x81, 0x00, 0x0f, 0xff}, 12},
		{"a priority tag, then a service tag", []byte{0x81, 0x00, 0, 0, 0x88, 0xa8, 0, 1}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHostileRig(t)
			for n := range 65 {
				h.try(t, filled(n, c.from, c.fill))
			}
		})
	}
}

// filled returns n octets: addresses up to from, then the pattern.
func filled(n, from int, pattern []byte) []byte {
	b := ether(frame.Broadcast, mac(1), 0)[:min(n, from)]
	for len(b) < n {
		b = append(b, pattern[(len(b)-from)%len(pattern)])
	}
	return b
}

func TestHostileTagStacksToTheEnd(t *testing.T) {
	h := newHostileRig(t)
	for _, first := range []uint32{0x8100_0001, 0x8100_0000, 0x88a8_0001, 0x88a8_0000, 0x8100_0fff} {
		for _, n := range []int{1, 2, 3, 4, 7, 8, 9, 10, 16, 17, 64, 373, 2000, 16_000} {
			for _, more := range []int{0, 1, 2, 3} { // octets of the next tag
				wire := binary.BigEndian.AppendUint32(ether(frame.Broadcast, mac(1), 0)[:12], first)
				for len(wire) < 12+4*n {
					wire = append(wire, 0x81, 0x00, 0x01, 0x00)
				}
				h.try(t, append(wire, []byte{0x81, 0x00, 0x01}[:more]...))
			}
		}
	}
}

// lies are offload headers that contradict a frame of 114 octets whose
// EtherType ends at 14, or whatever frame.
var lies = []struct {
	name string
	frame.Offload
}{
	{"unknown flags", frame.Offload{Flags: 0x80}},
	{"flags of receive segment coalescing", frame.Offload{Flags: 4}},
	{"unknown type", frame.Offload{GSOType: 2, GSOSize: 1000}},
	{"all types at once", frame.Offload{GSOType: 0xff, GSOSize: 1000}},
	{"UFO, which no stack has any more", frame.Offload{Flags: 1, GSOType: 3, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}},
	{"a tunnel's type", frame.Offload{Flags: 1, GSOType: 0x21, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}},
	{"ECN alone", frame.Offload{GSOType: frame.GSOECN, GSOSize: 1000}},
	{"ECN of UDP", frame.Offload{Flags: 1, GSOType: frame.GSOECN | frame.GSOUDPL4, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}},
	{"checksum in the destination", frame.Offload{Flags: 1, CsumStart: 0, CsumOffset: 0}},
	{"checksum in the EtherType", frame.Offload{Flags: 1, CsumStart: 12, CsumOffset: 0}},
	{"checksum at the last octet", frame.Offload{Flags: 1, CsumStart: 34, CsumOffset: 79}},
	{"checksum past the end", frame.Offload{Flags: 1, CsumStart: 34, CsumOffset: 80}},
	{"checksum far past the end", frame.Offload{Flags: 1, CsumStart: 34, CsumOffset: 0xffff}},
	{"sum from the end", frame.Offload{Flags: 1, CsumStart: 114, CsumOffset: 0}},
	{"sum from beyond the end", frame.Offload{Flags: 1, CsumStart: 0xffff, CsumOffset: 0xffff}},
	{"segments of nothing", frame.Offload{Flags: 1, GSOType: frame.GSOTCPv4, GSOSize: 0, HdrLen: 54, CsumStart: 34, CsumOffset: 16}},
	{"segments of one octet", frame.Offload{Flags: 1, GSOType: frame.GSOTCPv4, GSOSize: 1, HdrLen: 54, CsumStart: 34, CsumOffset: 16}},
	{"segments of 63 octets", frame.Offload{Flags: 1, GSOType: frame.GSOTCPv6, GSOSize: 63, HdrLen: 54, CsumStart: 34, CsumOffset: 16}},
	{"headers longer than the frame", frame.Offload{Flags: 1, GSOType: frame.GSOTCPv4, GSOSize: 1000, HdrLen: 115, CsumStart: 34, CsumOffset: 16}},
	{"UDP's checksum in TCP's place", frame.Offload{Flags: 1, GSOType: frame.GSOUDPL4, GSOSize: 1000, HdrLen: 42, CsumStart: 34, CsumOffset: 16}},
	{"TCP's checksum in UDP's place", frame.Offload{Flags: 1, GSOType: frame.GSOTCPv4, GSOSize: 1000, HdrLen: 54, CsumStart: 34, CsumOffset: 6}},
}

func TestHostileOffloadHeaders(t *testing.T) {
	b := newBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2"})
	for _, c := range lies {
		t.Run(c.name, func(t *testing.T) {
			before := b.counters("p1")
			honest := untagged(frame.Broadcast, mac(1))
			b.send("p1", honest, porttest.Wire{Bytes: ether(frame.Broadcast, mac(2), 100), Offload: c.Offload}, honest)
			got := b.took("p2")
			if len(got) != 2 || !bytes.Equal(got[0].Bytes, honest.Bytes) || !bytes.Equal(got[1].Bytes, honest.Bytes) {
				t.Errorf("out came %x, want the two honest frames around the lie", got)
			}
			after := b.counters("p1")
			if n := after.Drops[frame.BadOffload] - before.Drops[frame.BadOffload]; n != 1 || after.RxFrames-before.RxFrames != 3 {
				t.Errorf("of %d frames received, %d counted as %s, want 1 of 3", after.RxFrames-before.RxFrames, n, frame.BadOffload)
			}
		})
	}
	if entries, _ := b.FDB("sw0"); slices.ContainsFunc(entries, func(e FDBEntry) bool { return e.MAC == mac(2) }) {
		t.Error("a lie has taught the switch a station")
	}
}

// TestHostileOffloadHeadersOfAllKinds crosses the values at which a reader
// might stumble, over frames of many shapes: what is let through comes out as
// it went in, and no header that leaves speaks of octets that are not there.
func TestHostileOffloadHeadersOfAllKinds(t *testing.T) {
	b := newBench(t)
	b.host.mtu = 1 << 16
	b.add(PortConfig{Name: "p1", VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 1}})
	b.add(PortConfig{Name: "p2", VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 1}})
	b.add(PortConfig{Name: "p3", VLAN: vlan.Policy{Mode: vlan.Trunk}})
	tag := frame.NewTag(frame.TPIDCustomer, 0, 7)
	frames := [][]byte{
		ether(frame.Broadcast, mac(1), 0),
		ether(frame.Broadcast, mac(1), 100),
		ether(frame.Broadcast, mac(1), 100, tag, tag),
		ether(frame.Broadcast, mac(1), 0, tag, tag, tag),
		packetOf(0x0800, 17, 2000), packetOf(0x0800, 6, 2000),
		packetOf(0x86dd, 17, 2000), packetOf(0x86dd, 6, 2000),
		packetOf(0x0800, 6, 65_000),
	}
	for _, data := range frames {
		n := uint16(len(data))
		offsets := []uint16{0, 6, 13, 14, 16, 34, 54, n - 2, n - 1, n, 0x8000, 0xffff}
		var wires []porttest.Wire
		for _, flags := range []uint8{0, frame.NeedsCsum, 3, 4} {
			for _, kind := range []uint8{frame.GSONone, frame.GSOTCPv4, frame.GSOTCPv6, frame.GSOUDPL4, frame.GSOTCPv4 | frame.GSOECN, 3, 0xff} {
				for _, size := range []uint16{63, 64, 1448, 0xffff} {
					for _, start := range offsets {
						for _, field := range offsets {
							o := frame.Offload{Flags: flags, GSOType: kind, HdrLen: offsets[len(wires)%len(offsets)], GSOSize: size, CsumStart: start, CsumOffset: field}
							w := porttest.Wire{Bytes: data, Offload: o}
							if len(wires)%2 == 1 {
								w.Tag = tag
							}
							wires = append(wires, w)
						}
					}
				}
			}
		}
		for some := range slices.Chunk(wires, 1000) {
			b.tryOffloads(t, some)
		}
	}
}

// tryOffloads sends frames into p1, and looks at what comes out of the others.
func (b *bench) tryOffloads(t *testing.T, wires []porttest.Wire) {
	t.Helper()
	before, failedBefore, sent := b.counters("p1"), b.counters("p2").Drops[frame.TxError], uint64(0)
	for _, w := range wires {
		b.send("p1", w)
		whole := w.Bytes
		if w.Tag != 0 {
			whole = slices.Insert(bytes.Clone(whole), 12, binary.BigEndian.AppendUint32(nil, uint32(w.Tag))...)
		}
		out := b.took("p2")
		if trunk := b.took("p3"); len(trunk) != len(out) {
			t.Fatalf("%+v: %d frames out of p2, %d out of p3", w.Offload, len(out), len(trunk))
		}
		for _, o := range out {
			if !o.Offload.IsGSO() && w.Offload.IsGSO() {
				continue // cut by the switch: a tunnel
			}
			if !bytes.Equal(o.Bytes, whole) {
				t.Fatalf("%+v: went in as\n%x, came out as\n%x", w.Offload, whole, o.Bytes)
			}
			if c := o.Offload; c.Flags&frame.NeedsCsum != 0 && int(c.CsumStart)+int(c.CsumOffset)+2 > len(o.Bytes) || int(c.HdrLen) > len(o.Bytes) {
				t.Fatalf("%+v: came out as %+v of %d octets", w.Offload, c, len(o.Bytes))
			}
		}
		if len(out) > 0 {
			sent++
		}
	}
	after := b.counters("p1")
	decided := after.RxFrames - before.RxFrames - (after.Drops[frame.BadOffload] - before.Drops[frame.BadOffload])
	failed := b.counters("p2").Drops[frame.TxError] - failedBefore
	if decided != sent+failed {
		t.Errorf("of %d frames %d were decided; %d were sent, %d failed", len(wires), decided, sent, failed)
	}
}

// packetOf returns an IP packet in a frame, of n octets behind the type.
func packetOf(etherType uint16, proto byte, n int) []byte {
	b := ether(frame.Broadcast, mac(1), n)
	binary.BigEndian.PutUint16(b[12:], etherType)
	ip := b[14:]
	if etherType == 0x0800 {
		ip[0], ip[9] = 0x45, proto
		ip[6], ip[7] = 0, 0 // no fragment
		binary.BigEndian.PutUint16(ip[2:], uint16(n))
		ip[20+12] = 5 << 4
		return b
	}
	ip[0], ip[6] = 0x60, proto
	binary.BigEndian.PutUint16(ip[4:], uint16(n-40))
	ip[40+12] = 5 << 4
	return b
}
