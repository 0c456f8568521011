package frame_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vswitch/vswitch/frame"
)

// piece is what differs between a super-frame and each of its segments.
type piece struct {
	index       int // what identifications have grown by
	done        int // payload octets in front
	first, last bool
	payload     []byte
}

// super is a kind of super-frame. gopacket makes it, and each of the segments
// that should come out of it, from the same layers.
type super struct {
	gso    uint8
	layers func(p piece) []gopacket.SerializableLayer
	// after mends what gopacket cannot make, in b, which starts behind the
	// addresses and tags.
	after func(b []byte)
	// inner is set where the segmented layer 4 is not the outermost one.
	inner bool
}

// make returns the frame behind its addresses and tags.
func (s super) make(t testing.TB, p piece) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	all := append(s.layers(p), gopacket.Payload(p.payload))
	if err := gopacket.SerializeLayers(buf, opts, all...); err != nil {
		t.Fatal(err)
	}
	etherType := []byte{0x08, 0x00}
	if buf.Bytes()[0]>>4 == 6 {
		etherType = []byte{0x86, 0xdd}
	}
	b := append(etherType, buf.Bytes()...)
	if s.after != nil {
		s.after(b)
	}
	return b
}

// l4 returns the length of the segmented layer 4's header, and where in it the
// checksum is.
func (s super) l4(t testing.TB) (length, checksum int) {
	if s.gso == frame.GSOUDPL4 {
		return 8, 6
	}
	buf := gopacket.NewSerializeBuffer()
	all := s.layers(piece{})
	if err := all[len(all)-1].SerializeTo(buf, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		t.Fatal(err)
	}
	return len(buf.Bytes()), 16
}

// receive makes f the super-frame of n octets of payload, cut each size, behind
// tags. Half a checksum is in it, as the kernel leaves it.
func (s super) receive(t testing.TB, f *frame.Frame, payload []byte, size int, beside frame.Tag, tags ...frame.Tag) {
	t.Helper()
	data := wire(s.make(t, piece{first: true, last: true, payload: payload}), tags...)
	length, checksum := s.l4(t)
	start := len(data) - len(payload) - length
	binary.BigEndian.PutUint16(data[start+checksum:], 0x1234)
	f.Reset(buffer(data), beside, frame.Offload{
		Flags:   frame.NeedsCsum,
		GSOType: s.gso, GSOSize: uint16(size), HdrLen: uint16(start + length),
		CsumStart: uint16(start), CsumOffset: uint16(checksum),
	})
	if r := f.Check(); r != frame.Pass {
		t.Fatalf("super-frame does not pass: %v", r)
	}
}

func ip4(proto layers.IPProtocol, p piece) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, TOS: 2, Id: uint16(0xfffe + p.index), Protocol: proto, Flags: layers.IPv4DontFragment,
		SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2},
	}
}

func ip6(proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: 5, NextHeader: proto, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}
}

func tcp(p piece, ip gopacket.NetworkLayer, options ...layers.TCPOption) *layers.TCP {
	l := &layers.TCP{
		SrcPort: 1000, DstPort: 2000, Seq: uint32(0xffffff00 + p.done), Ack: 7, Window: 500,
		ACK: true, ECE: true, CWR: p.first, PSH: p.last, FIN: p.last, Options: options,
	}
	l.SetNetworkLayerForChecksum(ip)
	return l
}

func udp(dst layers.UDPPort, ip gopacket.NetworkLayer) *layers.UDP {
	l := &layers.UDP{SrcPort: 50000, DstPort: dst}
	l.SetNetworkLayerForChecksum(ip)
	return l
}

// ethernet is an inner Ethernet header; gopacket's own would pad what is short.
func ethernet(etherType uint16) gopacket.Payload {
	return binary.BigEndian.AppendUint16([]byte{2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9}, etherType)
}

var timestamps = layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}

type stack = []gopacket.SerializableLayer

// noChecksum takes the checksum out of a UDP header behind an IP header.
func noChecksum(ipLen int) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[2+ipLen+6:], 0) }
}

var supers = map[string]super{
	"TCP over IPv4": {gso: frame.GSOTCPv4, layers: func(p piece) stack {
		ip := ip4(layers.IPProtocolTCP, p)
		return stack{ip, tcp(p, ip)}
	}},
	"TCP over IPv4, both with options": {gso: frame.GSOTCPv4 | frame.GSOECN, layers: func(p piece) stack {
		ip := ip4(layers.IPProtocolTCP, p)
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		return stack{ip, tcp(p, ip, timestamps)}
	}},
	"TCP over IPv6": {gso: frame.GSOTCPv6, layers: func(p piece) stack {
		ip := ip6(layers.IPProtocolTCP)
		return stack{ip, tcp(p, ip, timestamps)}
	}},
	"TCP over IPv6 with extension headers": {gso: frame.GSOTCPv6, layers: func(p piece) stack {
		ip := ip6(layers.IPProtocolIPv6HopByHop)
		return stack{ip, gopacket.Payload{60, 0, 5, 2, 0, 0, 0, 0}, gopacket.Payload{43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, gopacket.Payload{6, 0, 0, 0, 0, 0, 0, 0}, tcp(p, ip)}
	}},
	"UDP over IPv4": {gso: frame.GSOUDPL4, layers: func(p piece) stack {
		ip := ip4(layers.IPProtocolUDP, p)
		return stack{ip, udp(9000, ip)}
	}},
	"UDP over IPv6": {gso: frame.GSOUDPL4, layers: func(p piece) stack {
		ip := ip6(layers.IPProtocolUDP)
		return stack{ip, udp(9000, ip)}
	}},
	"TCP in VXLAN": {gso: frame.GSOTCPv4, inner: true, after: noChecksum(20), layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, udp(4789, outer), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, ethernet(0x0800), inner, tcp(p, inner, timestamps)}
	}},
	"TCP in VXLAN with UDP checksum, over IPv6": {gso: frame.GSOTCPv6, inner: true, layers: func(p piece) stack {
		outer, inner := ip6(layers.IPProtocolUDP), ip6(layers.IPProtocolTCP)
		return stack{outer, udp(8472, outer), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, ethernet(0x86dd), inner, tcp(p, inner)}
	}},
	"tagged TCP in VXLAN with group policy": {gso: frame.GSOTCPv6, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip6(layers.IPProtocolTCP)
		return stack{outer, udp(4789, outer), &layers.VXLAN{ValidIDFlag: true, VNI: 42, GBPExtension: true, GBPGroupPolicyID: 7}, ethernet(0x8100), &layers.Dot1Q{VLANIdentifier: 9, Type: 0x86dd}, inner, tcp(p, inner)}
	}},
	"UDP in VXLAN": {gso: frame.GSOUDPL4, inner: true, after: noChecksum(20), layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolUDP, p)
		return stack{outer, udp(4789, outer), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, ethernet(0x0800), inner, udp(9000, inner)}
	}},
	"TCP in VXLAN-GPE": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, udp(4790, outer), gopacket.Payload{0x0c, 0, 0, 1, 0, 0, 42, 0}, inner, tcp(p, inner)}
	}},
	"TCP in GENEVE with options": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolTCP, p)
		option := &layers.GeneveOption{Class: 0x102, Type: 3, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
		return stack{outer, udp(6081, outer), &layers.Geneve{Protocol: 0x6558, VNI: 42, Options: []*layers.GeneveOption{option}}, ethernet(0x0800), inner, tcp(p, inner)}
	}},
	"IPv6 in GENEVE over IPv6": {gso: frame.GSOTCPv6, inner: true, after: noChecksum(40), layers: func(p piece) stack {
		outer, inner := ip6(layers.IPProtocolUDP), ip6(layers.IPProtocolTCP)
		return stack{outer, udp(6081, outer), &layers.Geneve{Protocol: 0x86dd, VNI: 42}, inner, tcp(p, inner)}
	}},
	"TCP in UDP alone": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, udp(5555, outer), inner, tcp(p, inner)}
	}},
	"TCP in GRE": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolGRE, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, &layers.GRE{Protocol: 0x0800}, inner, tcp(p, inner)}
	}},
	"TCP in GRE with checksum and key, over IPv6": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip6(layers.IPProtocolGRE), ip4(layers.IPProtocolTCP, p)
		return stack{outer, &layers.GRE{Protocol: 0x6558, ChecksumPresent: true, KeyPresent: true, Key: 77}, ethernet(0x0800), inner, tcp(p, inner)}
	}},
	"IPv4 in IPv4": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolIPv4, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, inner, tcp(p, inner)}
	}},
	"IPv6 in IPv4": {gso: frame.GSOTCPv6, inner: true, layers: func(p piece) stack {
		outer, inner := ip4(layers.IPProtocolIPv6, p), ip6(layers.IPProtocolTCP)
		return stack{outer, inner, tcp(p, inner)}
	}},
	"TCP in VXLAN in VXLAN": {gso: frame.GSOTCPv4, inner: true, layers: func(p piece) stack {
		outer, middle, inner := ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolUDP, p), ip4(layers.IPProtocolTCP, p)
		return stack{outer, udp(4789, outer), &layers.VXLAN{ValidIDFlag: true, VNI: 1}, ethernet(0x0800),
			middle, udp(4789, middle), &layers.VXLAN{ValidIDFlag: true, VNI: 2}, ethernet(0x0800), inner, tcp(p, inner)}
	}},
}

// noise returns n octets that repeat nowhere.
func noise(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{7})
	src.Read(b)
	return b
}

func TestSegments(t *testing.T) {
	const size = 1000
	a, b := frame.NewTag(0x8100, 3, 10), frame.NewTag(0x88a8, 0, 20)
	for name, s := range supers {
		for where, tt := range map[string]struct {
			beside frame.Tag
			tags   []frame.Tag
			pops   int
			left   []frame.Tag
		}{
			"untagged":           {},
			"tag beside":         {beside: a, left: []frame.Tag{a}},
			"tags in the bytes":  {tags: []frame.Tag{b, a}, left: []frame.Tag{b, a}},
			"beside and bytes":   {beside: b, tags: []frame.Tag{a}, left: []frame.Tag{b, a}},
			"beside came off":    {beside: b, tags: []frame.Tag{a}, pops: 1, left: []frame.Tag{a}},
			"bytes' came off":    {tags: []frame.Tag{b, a}, pops: 1, left: []frame.Tag{a}},
			"all tags came off ": {beside: a, tags: []frame.Tag{b, a}, pops: 3},
		} {
			for _, n := range []int{1, size, size + 1, 3*size - 1, 3 * size, 20*size + 501} {
				t.Run(name+"/"+where, func(t *testing.T) {
					payload := noise(n)
					var f frame.Frame
					s.receive(t, &f, payload, size, tt.beside, tt.tags...)
					for range tt.pops {
						f.Pop()
					}
					if f.Tunnelled() != s.inner {
						t.Errorf("tunnelled: %v, want %v", f.Tunnelled(), s.inner)
					}
					before := bytes.Clone(f.Data())
					checkSegments(t, s, &f, payload, size, tt.left)
					if !bytes.Equal(before, f.Data()) {
						t.Error("cutting changed the super-frame")
					}
				})
			}
		}
	}
}

func checkSegments(t *testing.T, s super, f *frame.Frame, payload []byte, size int, tags []frame.Tag) {
	t.Helper()
	var seg frame.Segmenter
	if r := seg.Start(f); r != frame.Pass {
		t.Fatalf("not understood: %v", r)
	}
	longest := 0
	scratch := make([]byte, seg.Bound())
	var out frame.Frame
	i := 0
	for ; seg.Next(scratch, &out); i++ {
		if i*size >= len(payload) {
			t.Fatalf("more segments than payload: %d", i)
		}
		end := min((i+1)*size, len(payload))
		want := wire(s.make(t, piece{i, i * size, i == 0, end == len(payload), payload[i*size : end]}), tags...)
		off, got := copyOf(&out, 0)
		if !bytes.Equal(got, want) {
			t.Fatalf("segment %d:\n got %x\nwant %x", i, got[:min(len(got), 200)], want[:min(len(want), 200)])
		}
		if off != (frame.Offload{}) || out.Check() != frame.Pass || out.Len() != len(want) {
			t.Errorf("segment %d: offload %+v, check %v, length %d", i, off, out.Check(), out.Len())
		}
		longest = max(longest, len(got))
		verifyChecksums(t, got)
	}
	if want := (len(payload) + size - 1) / size; i != want {
		t.Errorf("%d segments, want %d", i, want)
	}
	if f.SegmentLen(0) != longest {
		t.Errorf("the longest segment has %d octets, SegmentLen says %d", longest, f.SegmentLen(0))
	}
	if seg.Next(scratch, &out) {
		t.Error("a segment behind the last one")
	}
}

// verifyChecksums has gopacket say what it thinks of a frame.
func verifyChecksums(t *testing.T, b []byte) {
	t.Helper()
	packet := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	var network gopacket.NetworkLayer
	for _, l := range packet.Layers() {
		switch l := l.(type) {
		case gopacket.NetworkLayer:
			network = l
		case interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}:
			if err := l.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err, bad := packet.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Errorf("checksums: %v, %v", err, bad)
	}
}

func TestSegmentLenWithoutChecksum(t *testing.T) {
	for _, name := range []string{"TCP over IPv4, both with options", "TCP over IPv6 with extension headers", "UDP over IPv6"} {
		s := supers[name]
		var f frame.Frame
		payload := noise(5000)
		s.receive(t, &f, payload, 1000, 0)
		want := f.SegmentLen(0)
		off := f.Offload()
		off.Flags = 0
		data := f.Data()
		f.Reset(buffer(data), 0, off)
		if got := f.SegmentLen(0); got != want || f.Tunnelled() {
			t.Errorf("%s without a partial checksum: segments of %d octets, tunnelled %v, want %d", name, got, f.Tunnelled(), want)
		}
		checkSegments(t, s, &f, payload, 1000, nil)
	}
}

// TestNotSegmented holds what is refused: bytes that are not what the offload
// header says, and what segments could not be made of.
func TestNotSegmented(t *testing.T) {
	const tcp4 = "TCP over IPv4"
	for name, tt := range map[string]struct {
		super  string
		n      int
		change func(data []byte, off *frame.Offload)
	}{
		"ARP":                           {tcp4, 5000, func(d []byte, o *frame.Offload) { d[13] = 6 }},
		"IPv6 behind IPv4's type":       {tcp4, 5000, func(d []byte, o *frame.Offload) { d[14] = 0x65 }},
		"IPv4 header too short":         {tcp4, 5000, func(d []byte, o *frame.Offload) { d[14] = 0x44 }},
		"a fragment":                    {tcp4, 5000, func(d []byte, o *frame.Offload) { d[20] |= 0x20 }},
		"UDP as TCP":                    {tcp4, 5000, func(d []byte, o *frame.Offload) { d[23] = 17 }},
		"IPv4 as TCPv6":                 {tcp4, 5000, func(d []byte, o *frame.Offload) { o.GSOType = frame.GSOTCPv6 }},
		"IPv6 as TCPv4":                 {"TCP over IPv6", 5000, func(d []byte, o *frame.Offload) { o.GSOType = frame.GSOTCPv4 }},
		"TCP header too short":          {tcp4, 5000, func(d []byte, o *frame.Offload) { d[46] = 0x40 }},
		"TCP header past the end":       {tcp4, 10, func(d []byte, o *frame.Offload) { d[46] = 0xf0 }},
		"checksum elsewhere":            {tcp4, 5000, func(d []byte, o *frame.Offload) { o.CsumStart++ }},
		"checksum in the IP header":     {tcp4, 5000, func(d []byte, o *frame.Offload) { o.CsumStart = 20 }},
		"IPv6 on its way elsewhere":     {"TCP over IPv6 with extension headers", 5000, func(d []byte, o *frame.Offload) { d[14+40+8+16+3] = 1 }},
		"segments over 64 KB":           {tcp4, 65000, func(d []byte, o *frame.Offload) { o.GSOSize = 65535 }},
		"GRE with a sequence number":    {"TCP in GRE", 5000, func(d []byte, o *frame.Offload) { d[34] |= 0x10 }},
		"GRE with routing":              {"TCP in GRE", 5000, func(d []byte, o *frame.Offload) { d[34] |= 0x40 }},
		"GRE version 1":                 {"TCP in GRE", 5000, func(d []byte, o *frame.Offload) { d[35] |= 1 }},
		"a tunnel without checksum":     {"TCP in GRE", 5000, func(d []byte, o *frame.Offload) { o.Flags, o.CsumStart, o.CsumOffset = 0, 0, 0 }},
		"VXLAN without a valid VNI":     {"TCP in VXLAN", 5000, func(d []byte, o *frame.Offload) { d[42] = 0 }},
		"VXLAN-GPE of another protocol": {"TCP in VXLAN-GPE", 5000, func(d []byte, o *frame.Offload) { d[45] = 9 }},
		"GENEVE version 1":              {"TCP in GENEVE with options", 5000, func(d []byte, o *frame.Offload) { d[42] |= 0x40 }},
		"GENEVE of another protocol":    {"TCP in GENEVE with options", 5000, func(d []byte, o *frame.Offload) { d[44] = 0x12 }},
		"GENEVE options past the end":   {"TCP in GENEVE with options", 10, func(d []byte, o *frame.Offload) { d[42] = 0x3f }},
		"another tunnel":                {"IPv4 in IPv4", 5000, func(d []byte, o *frame.Offload) { d[23] = 132 }},
	} {
		var f frame.Frame
		supers[tt.super].receive(t, &f, make([]byte, tt.n), 1000, 0)
		data, off := bytes.Clone(f.Data()), f.Offload()
		tt.change(data, &off)
		if name == "segments over 64 KB" {
			data = append(data, make([]byte, 2000)...)
		}
		f.Reset(buffer(data), 0, off)
		if r := f.Check(); r != frame.Pass {
			t.Errorf("%s: does not pass: %v", name, r)
			continue
		}
		var seg frame.Segmenter
		var out frame.Frame
		if r := seg.Start(&f); r != frame.TxError {
			t.Errorf("%s: got %q, want tx-error", name, r)
		}
		if seg.Bound() != 0 || seg.Next(nil, &out) {
			t.Errorf("%s: a segment of what was refused", name)
		}
		f.SegmentLen(0)
	}
	// What never was there, or was used up, gives nothing.
	var seg frame.Segmenter
	if seg.Next(nil, nil) || seg.Bound() != 0 {
		t.Error("a segment of nothing")
	}
}

// TestChecksumCompleted holds what becomes of a frame that is no super-frame.
func TestChecksumCompleted(t *testing.T) {
	tag := frame.NewTag(0x8100, 3, 10)
	for _, name := range []string{"TCP over IPv4", "TCP over IPv6", "UDP over IPv4", "UDP over IPv6", "UDP in VXLAN", "TCP in GRE"} {
		s := supers[name]
		for n := range 70 {
			want := wire(s.make(t, piece{first: true, last: true, payload: noise(n)}), tag)
			data := bytes.Clone(want)
			length, checksum := s.l4(t)
			start := len(data) - n - length
			// The kernel leaves the sum of the pseudo header, not yet
			// inverted: what has to be added to layer 4 for the sum.
			field := data[start+checksum:]
			binary.BigEndian.PutUint16(field, 0)
			binary.BigEndian.PutUint16(field, ^add(^binary.BigEndian.Uint16(want[start+checksum:]), ^naive(data[start:])))
			binary.BigEndian.PutUint16(field, ^binary.BigEndian.Uint16(field))

			for _, pop := range []bool{false, true} {
				var f, out frame.Frame
				f.Reset(buffer(data), 0, frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(start), CsumOffset: uint16(checksum)})
				left := want
				if pop {
					f.Pop()
					left = append(bytes.Clone(want[:12]), want[16:]...)
				}
				var seg frame.Segmenter
				if r := seg.Start(&f); r != frame.Pass {
					t.Fatal(r)
				}
				if !seg.Next(make([]byte, seg.Bound()), &out) {
					t.Fatalf("%s, %d octets: nothing", name, n)
				}
				if off, got := copyOf(&out, 0); off != (frame.Offload{}) || !bytes.Equal(got, left) {
					t.Fatalf("%s, %d octets: offload %+v\n got %x\nwant %x", name, n, off, got, left)
				}
				if seg.Next(nil, &out) {
					t.Errorf("%s: a second frame", name)
				}
			}
		}
	}
}

// TestChecksumOfZero holds that a sum of zero is not written as "none".
func TestChecksumOfZero(t *testing.T) {
	data := wire(append([]byte{0x12, 0x34}, make([]byte, 8)...))
	data[16], data[17] = 0xff, 0xff
	var f, out frame.Frame
	f.Reset(buffer(data), 0, frame.Offload{Flags: frame.NeedsCsum, CsumStart: 14, CsumOffset: 6})
	var seg frame.Segmenter
	seg.Start(&f)
	if !seg.Next(make([]byte, seg.Bound()), &out) || binary.BigEndian.Uint16(out.Data()[20:]) != 0xffff {
		t.Errorf("got %x", out.Data())
	}
}

func TestCopyOfPlainFrame(t *testing.T) {
	tag, service := frame.NewTag(0x8100, 3, 10), frame.NewTag(0x88a8, 3, 10)
	var f, out frame.Frame
	f.Reset(buffer(wire(payload, tag, tag)), service, frame.Offload{})
	f.Pop()
	f.Pop()
	f.Push(service)
	var seg frame.Segmenter
	seg.Start(&f)
	if !seg.Next(make([]byte, seg.Bound()), &out) {
		t.Fatal("nothing")
	}
	if _, got := copyOf(&out, 0); !bytes.Equal(got, wire(payload, service, tag)) {
		t.Errorf("got %x", got)
	}
	if out.Pop(); out.Whole(0) == nil {
		t.Error("the copy does not lie in one piece")
	}
}

func TestSegmentsAllocateNothing(t *testing.T) {
	for name, s := range supers {
		var f, out frame.Frame
		s.receive(t, &f, noise(20000), 1000, 0)
		scratch := make([]byte, len(f.Data())+frame.OffloadLen)
		if n := testing.AllocsPerRun(10, func() {
			var seg frame.Segmenter
			if f.SegmentLen(0) == 0 || seg.Start(&f) != frame.Pass {
				t.Fatal("not understood")
			}
			for seg.Next(scratch, &out) {
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkSegment(b *testing.B) {
	for _, name := range []string{"TCP over IPv4", "TCP in VXLAN"} {
		b.Run(name, func(b *testing.B) {
			var f, out frame.Frame
			supers[name].receive(b, &f, noise(64000), 1448, 0)
			scratch := make([]byte, len(f.Data())+frame.OffloadLen)
			b.SetBytes(64000)
			for b.Loop() {
				var seg frame.Segmenter
				seg.Start(&f)
				for seg.Next(scratch, &out) {
				}
			}
		})
	}
}

func BenchmarkSegmentLen(b *testing.B) {
	for _, name := range []string{"TCP over IPv4", "TCP over IPv6"} {
		b.Run(name, func(b *testing.B) {
			var f frame.Frame
			supers[name].receive(b, &f, noise(64000), 1448, 0)
			for b.Loop() {
				f.SegmentLen(0)
			}
		})
	}
}

// naive is the checksum as RFC 1071 puts it, before it is inverted.
func naive(b []byte) uint16 {
	var acc uint16
	for i := 0; i < len(b); i += 2 {
		v := uint16(b[i]) << 8
		if i+1 < len(b) {
			v |= uint16(b[i+1])
		}
		acc = add(acc, v)
	}
	return acc
}

// add adds in one's complement.
func add(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s) + uint16(s>>16)
}
