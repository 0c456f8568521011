package frame

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"", "02:00:00:00:00:01", "02-00-00-00-00-01", "0200.0000.0001", "ff:ff:ff:ff:ff:ff", "2:0:0:0:0:1", "02:00:00:00:00:00:00:01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			if m != (MAC{}) {
				t.Errorf("ParseMAC(%q) = %v with error %v", s, m, err)
			}
			return
		}
		if again, err := ParseMAC(m.String()); err != nil || again != m || Address(m.Address()).MAC() != m {
			t.Errorf("ParseMAC(%q) = %v, which reads as %v, %v", s, m, again, err)
		}
		if st, err := ParseStation(s); (err == nil) == (m.IsMulticast() || m.IsZero()) || err == nil && st != m {
			t.Errorf("ParseStation(%q) = %v, %v", s, st, err)
		}
	})
}

// FuzzFrame does to a frame what ops say, and the same to its bytes as they
// are on the wire.
func FuzzFrame(f *testing.F) {
	tagged := append(bytes.Repeat([]byte{2}, 12), 0x81, 0, 0, 10, 0x88, 0xa8, 0, 7, 8, 0, 1, 2, 3)
	plain, partial := make([]byte, OffloadLen), make([]byte, OffloadLen)
	Offload{Flags: NeedsCsum | DataValid, CsumStart: 22, CsumOffset: 1}.Put(partial)
	f.Add(tagged, uint32(0), plain, []byte{0, 0, 0})
	f.Add(tagged, uint32(0x8100_e00a), partial, []byte{0, 1, 2, 0, 0, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(tagged[:17], uint32(0x88a8_0000), plain, []byte{0, 0, 1})
	f.Add(tagged[:18], uint32(0), plain, []byte{0, 0, 2})
	f.Add(tagged[:13], uint32(0), plain, []byte{})
	for _, s := range fuzzSupers() {
		f.Add(s.data, uint32(0x8100_e00a), s.vnet, []byte{0, 3, 2, 0})
	}
	f.Fuzz(func(t *testing.T, data []byte, beside uint32, vnet, ops []byte) {
		fr, ok := fuzzFrame(data, beside, vnet)
		if !ok {
			return
		}
		if (fr.Check() == Runt) != (len(data) < HeaderLen) {
			t.Fatalf("%d octets: %v", len(data), fr.Check())
		}
		if fr.Check() != Pass {
			return
		}
		off, end := fr.Offload(), len(data)
		wire := bytes.Clone(data)
		if fr.nbeside > 0 {
			wire = insert(wire, Tag(beside))
		}
		checkCopies(t, &fr, wire, off, end)
		for _, op := range ops {
			tag := NewTag(TPIDCustomer, Priority(op>>4), uint16(op)<<3)
			switch op & 3 {
			case 0:
				outer, whole := fr.Outer()
				if want := binary.BigEndian.Uint16(wire[12:]); fr.OuterType() != want || (outer != 0) != IsTPID(want) {
					t.Fatalf("%x: outer tag %v, type %#x", wire, outer, fr.OuterType())
				}
				if outer == 0 || !whole {
					continue
				}
				if uint32(outer) != binary.BigEndian.Uint32(wire[12:]) {
					t.Fatalf("%x: outer tag %v", wire, outer)
				}
				fr.Pop()
				wire = slices.Delete(wire, 12, 16)
			case 1:
				if fr.Push(tag) != (len(wire)-len(data) < MaxBeside*TagLen) && fr.nbeside < MaxBeside {
					t.Fatalf("%d tags beside, no room", fr.nbeside)
				} else if fr.Len() > len(wire) {
					wire = insert(wire, tag)
				}
			case 2:
				src := fr
				if fr.Cross(&src, tag) {
					wire = insert(wire, tag)
				} else {
					fr = src
				}
			case 3:
				src := fr
				if !fr.Cross(&src, 0) {
					t.Fatal("a frame needs room to cross as it is")
				}
			}
			checkCopies(t, &fr, wire, off, end)
		}
	})
}

// fuzzFrame makes a frame of what the fuzzer gives.
func fuzzFrame(data []byte, beside uint32, vnet []byte) (fr Frame, ok bool) {
	if len(vnet) != OffloadLen || len(data) > 1<<17 {
		return fr, false
	}
	tag := Tag(beside)
	if !IsTPID(tag.TPID()) {
		tag = 0
	}
	fr.Reset(append(bytes.Clone(vnet), data...), tag, GetOffload(vnet))
	return fr, true
}

func insert(wire []byte, tag Tag) []byte {
	return slices.Insert(wire, 12, binary.BigEndian.AppendUint32(nil, uint32(tag))...)
}

// checkCopies holds the copies of fr against wire. off is the offload header
// for the data as received, which had end octets.
func checkCopies(t *testing.T, fr *Frame, wire []byte, off Offload, end int) {
	t.Helper()
	if fr.Len() != len(wire) {
		t.Fatalf("length %d, want %d", fr.Len(), len(wire))
	}
	if dst, src := fr.Addresses(); dst.MAC() != MAC(wire[:6]) || src.MAC() != MAC(wire[6:12]) {
		t.Fatalf("addresses %x, %x of %x", dst, src, wire)
	}
	for _, outer := range []Tag{0, NewTag(TPIDService, 9, 77)} {
		want := wire
		if outer != 0 {
			want = insert(bytes.Clone(wire), outer)
		}
		var head [HeadLen]byte
		n := fr.Head(&head, outer)
		got := append(bytes.Clone(head[OffloadLen:n]), fr.Rest()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("copy with %v:\n got %x\nwant %x", outer, got, want)
		}
		o := GetOffload(head[:])
		if off.Flags&NeedsCsum != 0 && len(want)-int(o.CsumStart) != end-int(off.CsumStart) {
			t.Fatalf("csum_start %d of %d octets became %d of %d", off.CsumStart, end, o.CsumStart, len(want))
		}
		if o.IsGSO() && int(o.HdrLen) > len(want) {
			t.Fatalf("hdr_len %d of %d octets", o.HdrLen, len(want))
		}
		o.HdrLen, o.CsumStart = off.HdrLen, off.CsumStart
		if o != off {
			t.Fatalf("offload %+v became %+v", off, o)
		}
		if whole := fr.Whole(outer); whole != nil && (!bytes.Equal(whole[:OffloadLen], head[:OffloadLen]) || !bytes.Equal(whole[OffloadLen:], want)) {
			t.Fatalf("whole %x, want %x", whole, want)
		}
		tags, l := fr.TagsLen(outer), fr.SegmentLen(outer)
		if l > len(want) || l < HeaderLen || !off.IsGSO() && l != len(want) || tags%TagLen != 0 || tags > len(want)-HeaderLen {
			t.Fatalf("%d octets, %d of them tags, become segments of %d", len(want), tags, l)
		}
	}
}

// FuzzSegment cuts whatever it gets, and holds every header of the segments
// against arithmetic of its own.
func FuzzSegment(f *testing.F) {
	for _, s := range fuzzSupers() {
		f.Add(s.data, uint32(0), s.vnet, uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, beside uint32, vnet []byte, pops uint8) {
		fr, ok := fuzzFrame(data, beside, vnet)
		if !ok || fr.Check() != Pass {
			return
		}
		for range pops {
			if outer, whole := fr.Outer(); outer != 0 && whole {
				fr.Pop()
			}
		}
		longest := fr.SegmentLen(0)
		header, tunnel := fr.segmentHeader()
		if header < fr.rest || header > len(data) {
			t.Fatalf("payload starts at %d of %d", header, len(data))
		}
		var s Segmenter
		if s.Start(&fr) != Pass {
			return
		}
		gso := fr.off.IsGSO()
		if gso && (tunnel != (s.path.n > 2) || header != s.header) {
			t.Fatalf("path %v, header %d, but tunnel %v, header %d", s.path, s.header, tunnel, header)
		}
		if s.Bound() > OffloadLen+len(data) {
			t.Fatalf("%d octets need %d", len(data), s.Bound())
		}
		scratch := make([]byte, s.Bound())
		payload := data[s.header:]
		var out Frame
		for i := 0; s.Next(scratch, &out); i++ {
			if out.off != (Offload{}) || out.Check() != Pass || out.Len() > longest || out.rest != AddrLen || out.nbeside != fr.nbeside {
				t.Fatalf("segment %d: %+v", i, out)
			}
			if !gso {
				checkCompleted(t, &fr, &out)
				continue
			}
			seg := out.Data()
			moved := AddrLen - fr.rest
			checkHeaders(t, &fr, &s, seg, moved, i)
			body := seg[s.header+moved:]
			if len(body) > len(payload) || !bytes.Equal(body, payload[:len(body)]) {
				t.Fatalf("segment %d carries %x of %x", i, body, payload)
			}
			payload = payload[len(body):]
			if len(body) != int(fr.off.GSOSize) && len(payload) != 0 {
				t.Fatalf("segment %d carries %d octets, %d are left", i, len(body), len(payload))
			}
		}
		if gso && len(payload) != 0 {
			t.Fatalf("%d octets of payload are lost", len(payload))
		}
	})
}

// checkCompleted holds that out is fr with the checksum right.
func checkCompleted(t *testing.T, fr, out *Frame) {
	t.Helper()
	got, want := out.Data(), append(bytes.Clone(fr.Data()[:AddrLen]), fr.Rest()...)
	if fr.off.Flags&NeedsCsum != 0 {
		start := int(fr.off.CsumStart) + len(want) - len(fr.Data())
		field := got[start+int(fr.off.CsumOffset):][:2]
		c := naive(want[start:])
		if got := binary.BigEndian.Uint16(field); got != ^c && (got != 0xffff || ^c != 0) {
			t.Fatalf("checksum %#x, want %#x", got, ^c)
		}
		copy(want[start+int(fr.off.CsumOffset):], field)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("copy\n got %x\nwant %x", got, want)
	}
}

// checkHeaders holds that the headers of segment i are right, and that nothing
// else than what differs in segments differs from those of fr.
func checkHeaders(t *testing.T, fr *Frame, s *Segmenter, seg []byte, moved, i int) {
	t.Helper()
	same := bytes.Clone(seg[:s.header+moved])
	was := append(bytes.Clone(fr.Data()[:AddrLen]), fr.Data()[fr.rest:s.header]...)
	blank := func(at, n int) { clear(same[at:][:n]); clear(was[at:][:n]) }
	for k, l := range s.path.layers[:s.path.n] {
		b, at := seg[l.at+moved:], l.at+moved
		old := fr.Data()[l.at:]
		var bad bool
		switch l.kind {
		case layerIPv4:
			bad = int(binary.BigEndian.Uint16(b[2:])) != len(b) || naive(b[:int(b[0]&0xf)*4]) != 0xffff ||
				binary.BigEndian.Uint16(b[4:])-binary.BigEndian.Uint16(old[4:]) != uint16(i)
			blank(at+2, 4)
			blank(at+10, 2)
		case layerIPv6:
			bad = int(binary.BigEndian.Uint16(b[4:])) != len(b)-40
			blank(at+4, 2)
		case layerUDP:
			ip := s.path.layers[k-1]
			bad = int(binary.BigEndian.Uint16(b[4:])) != len(b)
			if none := b[6] == 0 && b[7] == 0; none {
				bad = bad || old[6] != 0 || old[7] != 0
			} else {
				bad = bad || !sums(seg[ip.at+moved:], protoUDP, b)
			}
			blank(at+4, 4)
		case layerGRE:
			if b[0]&0x80 != 0 {
				bad = naive(b) != 0xffff
				blank(at+4, 2)
			}
		case layerTCP:
			ip := s.path.layers[k-1]
			bad = !sums(seg[ip.at+moved:], protoTCP, b) ||
				binary.BigEndian.Uint32(b[4:])-binary.BigEndian.Uint32(old[4:]) != uint32(i*int(fr.off.GSOSize)) ||
				b[13]&^old[13] != 0
			blank(at+4, 4)
			blank(at+13, 1)
			blank(at+16, 2)
		}
		if bad {
			t.Fatalf("segment %d: layer %d, %+v, is wrong: %x", i, k, l, b[:l.end-l.at])
		}
	}
	if !bytes.Equal(same, was) {
		t.Fatalf("segment %d differs where it should not:\n got %x\nwant %x", i, same, was)
	}
}

// sums reports whether the checksum in the layer 4 behind ip is right.
func sums(ip []byte, proto uint8, l4 []byte) bool {
	from, to := 8, 40
	if ip[0]>>4 == 4 {
		from, to = 12, 20
	}
	pseudo := bytes.Clone(ip[from:to])
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(l4)))
	pseudo = append(pseudo, 0, 0, 0, proto)
	return naive(append(pseudo, l4...)) == 0xffff
}

// naive sums b as RFC 1071 puts it.
func naive(b []byte) uint16 {
	var acc uint32
	for i, v := range b {
		if i%2 == 0 {
			acc += uint32(v) << 8
		} else {
			acc += uint32(v)
		}
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc)
}

func TestSum(t *testing.T) {
	b := make([]byte, 300)
	for i := range b {
		b[i] = byte(i*i*7 + i)
		if i > 200 {
			b[i] = 0xff
		}
	}
	for from := range 20 {
		for to := from; to <= len(b); to++ {
			for _, acc := range []uint64{0, 1, 0xffff, 1<<64 - 1, 1 << 63} {
				var first [8]byte
				binary.BigEndian.PutUint64(first[:], acc)
				got, want := fold(sum(acc, b[from:to])), ^naive(append(first[:], b[from:to]...))
				if got != want && got^want != 0xffff {
					t.Fatalf("[%d:%d] on %#x: got %#x, want %#x", from, to, acc, got, want)
				}
				// 0 and 0xffff are the same number, but 0 comes
				// of zeros alone.
				if got != want && !(acc == 0 && to == from) {
					t.Fatalf("[%d:%d] on %#x: got %#x, want %#x", from, to, acc, got, want)
				}
			}
		}
	}
}

type fuzzSuper struct{ data, vnet []byte }

// fuzzSupers are super-frames small enough for a fuzzer: headers of all kinds
// in front of 200 octets, cut each 64.
func fuzzSupers() []fuzzSuper {
	ether := func(etherType uint16, b ...[]byte) []byte {
		return append(append(bytes.Repeat([]byte{2}, 12), byte(etherType>>8), byte(etherType)), bytes.Join(b, nil)...)
	}
	ip4 := func(proto byte) []byte {
		return []byte{0x45, 0, 1, 0, 0xff, 0xff, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	}
	ip6 := func(proto byte) []byte {
		return append([]byte{0x60, 0, 0, 0, 1, 0, proto, 64}, bytes.Repeat([]byte{0xfd}, 32)...)
	}
	udp := func(port uint16, check byte) []byte {
		return []byte{0xc3, 0x50, byte(port >> 8), byte(port), 1, 0, check, 0}
	}
	tcp := append([]byte{1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0x60, 0xd9, 1, 0, 0x12, 0x34, 0, 0}, 1, 1, 1, 0)
	vxlan, geneve := []byte{8, 0, 0, 0, 0, 0, 42, 0}, []byte{1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 0}
	options := []byte{protoTCP, 0, 5, 2, 0, 0, 0, 0}
	tag := []byte{0, 10}
	payload := bytes.Repeat([]byte("payload."), 25)

	var all []fuzzSuper
	add := func(gso uint8, l4 int, data []byte) {
		off := Offload{Flags: NeedsCsum, GSOType: gso, HdrLen: uint16(len(data)), GSOSize: minGSOSize, CsumStart: uint16(len(data) - l4)}
		off.CsumOffset = uint16(off.l4checksum())
		vnet := make([]byte, OffloadLen)
		off.Put(vnet)
		all = append(all, fuzzSuper{slices.Concat(data, payload), vnet})
		off.GSOType = GSONone
		vnet = make([]byte, OffloadLen)
		off.Put(vnet)
		all = append(all, fuzzSuper{slices.Concat(data, payload[:21]), vnet})
	}
	add(GSOTCPv4, len(tcp), ether(typeIPv4, ip4(protoTCP), tcp))
	add(GSOTCPv4|GSOECN, len(tcp), ether(TPIDCustomer, tag, []byte{8, 0}, ip4(protoTCP), tcp))
	add(GSOTCPv6, len(tcp), ether(typeIPv6, ip6(protoHopOpts), options, tcp))
	add(GSOUDPL4, udpLen, ether(typeIPv4, ip4(protoUDP), udp(9, 1)))
	add(GSOUDPL4, udpLen, ether(typeIPv6, ip6(protoUDP), udp(9, 0)))
	add(GSOTCPv4, len(tcp), ether(typeIPv4, ip4(protoUDP), udp(4789, 0), vxlan, ether(typeIPv4, ip4(protoTCP), tcp)))
	add(GSOTCPv6, len(tcp), ether(typeIPv6, ip6(protoUDP), udp(6081, 1), geneve, ether(typeIPv6, ip6(protoTCP), tcp)))
	add(GSOTCPv4, len(tcp), ether(typeIPv4, ip4(protoGRE), []byte{0xa0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7}, ip4(protoTCP), tcp))
	add(GSOTCPv6, len(tcp), ether(typeIPv4, ip4(protoIPv6), ip6(protoTCP), tcp))
	add(GSOUDPL4, udpLen, ether(typeIPv4, ip4(protoUDP), udp(5555, 1), ip4(protoUDP), udp(9, 1)))
	return all
}

// TestFuzzSupers holds that the fuzzer starts from frames that can be cut.
func TestFuzzSupers(t *testing.T) {
	for i, s := range fuzzSupers() {
		fr, _ := fuzzFrame(s.data, 0, s.vnet)
		var seg Segmenter
		if r := fr.Check(); r != Pass {
			t.Errorf("%d: %v", i, r)
		} else if r := seg.Start(&fr); r != Pass {
			t.Errorf("%d: %v", i, r)
		}
	}
}

// FuzzParseReservedSet holds that what is read means what it is written as.
func FuzzParseReservedSet(f *testing.F) {
	for _, s := range []string{"all", "none", "lldp", "lldp,2,f", "0", "1", "all,2", "", ",", "LLDP , eapol", "10", "g", "lacp,2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := ParseReservedSet(s)
		if err != nil {
			if set != 0 {
				t.Errorf("%q: got %s with error %v", s, set, err)
			}
			return
		}
		if set.Passes(0) || set.Passes(1) {
			t.Errorf("%q passes :00 or :01: %016b", s, set)
		}
		if again, err := ParseReservedSet(set.String()); err != nil || again != set {
			t.Errorf("%q is %s, which reads as %s, %v", s, set, again, err)
		}
	})
}
