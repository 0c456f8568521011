package frame

import "encoding/binary"

// Segmenter does in software what a frame's offload header leaves to do, for
// an egress that cannot take the header, and for TCP in a tunnel, which the
// header cannot describe. It makes of one frame those that go out on the wire:
//
//	var s frame.Segmenter
//	if r := s.Start(f); r != frame.Pass {
//		return r
//	}
//	for s.Next(scratch, &segment) {
//		send(&segment)
//	}
//
// A super-frame becomes its segments, each with lengths, identifications,
// sequence numbers and checksums of its own, in all headers from the outermost
// IP to the innermost layer 4; any other frame becomes a copy with its checksum
// complete. Nothing is allocated. The zero Segmenter has no frames to give.
type Segmenter struct {
	f      Frame
	path   path
	more   bool
	header int // where in f.Data() the payload starts
	at     int // where in f.Data() the next segment's payload starts
	index  int // of the next segment
}

// Start begins with f, which passed [Frame.Check] and whose bytes stay as they
// are until Next has returned false. It returns [TxError] where f is a super-frame whose
// bytes are not what its offload header says, or whose tunnel is unknown.
func (s *Segmenter) Start(f *Frame) Reason {
	data := f.Data()
	*s = Segmenter{f: *f, more: true, header: f.rest, at: f.rest}
	if !f.off.IsGSO() {
		return Pass
	}
	w := walk{data: data, off: f.off}
	if !w.typed(f.rest) {
		s.more = false
		return TxError
	}
	s.path = w.path
	s.header = w.layers[w.n-1].end
	s.at = s.header
	longest := min(len(data), s.header+int(f.off.GSOSize))
	for _, l := range w.layers[:w.n] {
		if longest-l.at > 1<<16-1 {
			s.more = false
			return TxError
		}
	}
	return Pass
}

// Bound returns how long the longest scratch is that Next needs. It is at most
// the length of the buffer of Start's frame.
func (s *Segmenter) Bound() int {
	if !s.more {
		return 0
	}
	n := len(s.f.Data())
	if s.f.off.IsGSO() {
		n = min(n, s.header+int(s.f.off.GSOSize))
	}
	return OffloadLen + n - s.f.rest + AddrLen
}

// Next makes out the next frame, in scratch, which is [Segmenter.Bound] octets
// long at least and stays the caller's. out has the tags beside, and the hops,
// of Start's frame, and no offloads. Next returns false when there is no more.
func (s *Segmenter) Next(scratch []byte, out *Frame) bool {
	if !s.more {
		return false
	}
	f := &s.f
	end := len(f.Data())
	if f.off.IsGSO() {
		end = min(end, s.at+int(f.off.GSOSize))
	}
	n := s.copy(scratch, end)
	first, last := s.index == 0, end == len(f.Data())
	seg := scratch[OffloadLen:n]
	if f.off.IsGSO() {
		for i := s.path.n - 1; i >= 0; i-- {
			s.mend(seg, i, first, last)
		}
	} else if f.off.Flags&NeedsCsum != 0 {
		s.complete(seg)
	}
	*out = *f
	out.buf, out.rest, out.off = scratch[:n:n], AddrLen, Offload{}
	s.at = end
	s.index++
	s.more = !last
	return true
}

// copy writes addresses, headers and payload up to end of the data, without
// the tags that were taken off, and returns their length with the offload
// header in front.
func (s *Segmenter) copy(scratch []byte, end int) int {
	data := s.f.Data()
	Offload{}.Put(scratch)
	n := OffloadLen
	n += copy(scratch[n:], data[:AddrLen])
	n += copy(scratch[n:], data[s.f.rest:s.header])
	return n + copy(scratch[n:], data[s.at:end])
}

// complete fills in the checksum that the offload header speaks of.
func (s *Segmenter) complete(seg []byte) {
	off := s.f.off
	start := int(off.CsumStart) - s.f.rest + AddrLen
	// Whose checksum it is may be unknown; 0 and 0xffff are the same number,
	// and the latter is right for UDP as well (skb_checksum_help in
	// net/core/dev.c).
	c := foldNonzero(sum(0, seg[start:]))
	binary.BigEndian.PutUint16(seg[start+int(off.CsumOffset):], c)
}

// mend makes the header of layer i right, in a segment in which those behind it
// are.
func (s *Segmenter) mend(seg []byte, i int, first, last bool) {
	moved := AddrLen - s.f.rest
	l := s.path.layers[i]
	b := seg[l.at+moved:]
	switch l.kind {
	case layerIPv4:
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(s.index))
		putSum(b[10:], fold, 0, b[:l.end-l.at])
	case layerIPv6:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Len))
	case layerGRE:
		if b[0]&0x80 != 0 {
			putSum(b[4:], fold, 0, b)
		}
	case layerUDP:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		// 0 is no checksum, and stays so, unless a sum of 0 was left to
		// complete.
		partial := i == s.path.n-1 && s.f.off.Flags&NeedsCsum != 0
		if partial || binary.BigEndian.Uint16(b[6:]) != 0 {
			ip := seg[s.path.layers[i-1].at+moved:]
			putSum(b[6:], foldNonzero, pseudoSum(ip, protoUDP, len(b)), b)
		}
	case layerTCP:
		done := s.at - s.header
		binary.BigEndian.PutUint32(b[4:], binary.BigEndian.Uint32(b[4:])+uint32(done))
		const fin, psh, cwr = 0x01, 0x08, 0x80
		if !last {
			b[13] &^= fin | psh
		}
		if !first {
			b[13] &^= cwr // RFC 3168, section 6.1.2: once a window
		}
		ip := seg[s.path.layers[i-1].at+moved:]
		putSum(b[16:], fold, pseudoSum(ip, protoTCP, len(b)), b)
	}
}

// putSum writes the checksum of b, on top of acc, to field, which lies in b.
func putSum(field []byte, finish func(uint64) uint16, acc uint64, b []byte) {
	field[0], field[1] = 0, 0
	binary.BigEndian.PutUint16(field, finish(sum(acc, b)))
}

// Tunnelled reports whether f is a super-frame whose segmented layer 4 is not
// its outermost one, such as TCP in VXLAN. A virtio-net header cannot describe
// the tunnel around it, so that a kernel that is given one cuts the inner TCP
// only, and damages every header outside it.
func (f *Frame) Tunnelled() bool {
	if !f.off.IsGSO() {
		return false
	}
	_, tunnel := f.segmentHeader()
	return tunnel
}

// segmentHeader returns where in Data() the payload of a super-frame begins
// that is cut into segments, and whether the layer 4 in front of it is not the
// outermost one. Where the bytes contradict the offload header, end is a bound
// within the data, and tunnel is false.
func (f *Frame) segmentHeader() (end int, tunnel bool) {
	data := f.Data()
	l2 := pastTags(data, f.rest, maxDepth)
	proto, l4, ok := network(data, l2+TypeLen, binary.BigEndian.Uint16(data[l2:]))
	switch {
	case f.off.Flags&NeedsCsum != 0:
		start := int(f.off.CsumStart)
		tunnel = ok && start > l4
		l4 = start
	case !ok:
		return l2 + TypeLen, false
	case proto != f.off.l4proto():
		// A lie, or a tunnel. Without a partial checksum nothing says
		// where in it layer 4 is.
		return l4, false
	}
	if f.off.l4proto() == protoUDP {
		return min(l4+udpLen, len(data)), tunnel
	}
	if l4+tcpLen > len(data) {
		return l4, false
	}
	end = l4 + int(data[l4+12]>>4)*4
	if end < l4+tcpLen || end > len(data) {
		return l4 + tcpLen, false
	}
	return end, tunnel
}
