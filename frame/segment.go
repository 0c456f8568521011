package frame

import "encoding/binary"

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
	l2 := f.typeEnd(data)
	proto, l4, ok := network(data, l2, binary.BigEndian.Uint16(data[l2-TypeLen:]))
	switch {
	case f.off.Flags&NeedsCsum != 0:
		start := int(f.off.CsumStart)
		tunnel = ok && start > l4
		l4 = start
	case !ok:
		return l2, false
	case proto != f.off.l4proto():
		// Without a partial checksum nothing says where in a tunnel
		// layer 4 is.
		return l4, true
	}
	if f.off.l4proto() == protoUDP {
		return min(l4+udpLen, len(data)), tunnel
	}
	if l4+tcpLen > len(data) {
		return min(l4, len(data)), false
	}
	end = l4 + int(data[l4+12]>>4)*4
	if end < l4+tcpLen || end > len(data) {
		return l4 + tcpLen, false
	}
	return end, tunnel
}

// l4checksum returns where in layer 4 a super-frame's type has the checksum.
func (o Offload) l4checksum() int {
	if o.GSOType == GSOUDPL4 {
		return 6
	}
	return 16
}

// l4proto returns the IP protocol that a super-frame's type is about.
func (o Offload) l4proto() uint8 {
	if o.GSOType == GSOUDPL4 {
		return protoUDP
	}
	return protoTCP
}
