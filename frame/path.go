package frame

import "encoding/binary"

// layerKind says what has to be mended in a header when the frame around it is
// cut.
type layerKind uint8

const (
	layerIPv4 layerKind = iota // length, identification, checksum
	layerIPv6                  // length
	layerUDP                   // length, checksum
	layerGRE                   // checksum
	layerTCP                   // sequence number, flags, checksum
)

// layer is a header at an index in the data of a frame.
type layer struct {
	kind layerKind
	at   int
	end  int // where the next one starts
}

// maxLayers is enough for a tunnel in a tunnel in a tunnel.
const maxLayers = 8

// path is the headers from a super-frame's outermost IP header to the layer 4
// that is segmented. Those that stay as they are when the frame is cut, such as
// VXLAN's, are left out.
type path struct {
	layers [maxLayers]layer
	n      int
}

// walk looks for the layer 4 of a super-frame. What a tunnel's UDP carries is
// not written anywhere but in port numbers, which people choose. So it is
// tried, and only a walk that comes out exactly where the partial checksum
// starts counts.
type walk struct {
	path
	data []byte
	off  Offload
}

// target reports whether the super-frame's layer 4 is at data[at], behind the
// IP header that the path ends with. Without a partial checksum, which says
// where it is, that is the outermost one.
func (w *walk) target(at int, proto uint8) bool {
	if w.off.Flags&NeedsCsum != 0 && at != int(w.off.CsumStart) || proto != w.off.l4proto() {
		return false
	}
	ip := w.layers[w.n-1].kind
	switch w.off.GSOType &^ GSOECN {
	case GSOTCPv4:
		return ip == layerIPv4
	case GSOTCPv6:
		return ip == layerIPv6
	}
	return true
}

// push adds a layer, and reports false where there is no room.
func (w *walk) push(l layer) bool {
	if w.n == maxLayers {
		return false
	}
	w.layers[w.n] = l
	w.n++
	return true
}

// network, like all that follow, goes on from the header at data[at] to layer 4
// and reports whether it came there. Where it did not, w is as it was.
func (w *walk) network(at int, etherType uint16) bool {
	kind := layerIPv4
	if etherType == typeIPv6 {
		kind = layerIPv6
	}
	proto, l4, ok := network(w.data, at, etherType)
	if !ok || !w.push(layer{kind, at, l4}) {
		return false
	}
	if w.transport(l4, proto) {
		return true
	}
	w.n--
	return false
}

func (w *walk) transport(at int, proto uint8) bool {
	if w.target(at, proto) {
		return w.layer4(at, proto)
	}
	if w.off.Flags&NeedsCsum == 0 || at >= int(w.off.CsumStart) {
		return false
	}
	switch proto {
	case protoUDP:
		return w.udp(at)
	case protoGRE:
		return w.gre(at)
	case protoIPIP:
		return w.network(at, typeIPv4)
	case protoIPv6:
		return w.network(at, typeIPv6)
	}
	return false
}

// layer4 ends the walk at the layer 4 that is segmented.
func (w *walk) layer4(at int, proto uint8) bool {
	l := layer{layerUDP, at, at + udpLen}
	if proto == protoTCP {
		if at+tcpLen > len(w.data) {
			return false
		}
		l = layer{layerTCP, at, at + int(w.data[at+12]>>4)*4}
		if l.end < at+tcpLen {
			return false
		}
	}
	return l.end <= len(w.data) && !w.routed(w.layers[w.n-1]) && w.push(l)
}

// routed reports whether an IP packet is on its way to another address than its
// header says, which its layer 4's checksum covers instead (RFC 8200, section
// 8.1).
func (w *walk) routed(ip layer) bool {
	if ip.kind != layerIPv6 {
		return false
	}
	proto := w.data[ip.at+6]
	for at := ip.at + ipv6Len; at < ip.end; {
		next, n := extension(w.data[at:], proto)
		if proto == protoRouting && w.data[at+3] != 0 {
			return true
		}
		proto, at = next, at+n
	}
	return false
}

func (w *walk) udp(at int) bool {
	in, ip := at+udpLen, w.layers[w.n-1]
	if in > len(w.data) || !w.push(layer{layerUDP, at, in}) {
		return false
	}
	summed := binary.BigEndian.Uint16(w.data[at+6:]) != 0
	if !(summed && w.routed(ip)) && (w.vxlan(in) || w.geneve(in) || w.ip(in)) {
		return true
	}
	w.n--
	return false
}

// vxlan goes on behind a VXLAN header (RFC 7348, section 5), one with a group
// policy or one that names its protocol (draft-ietf-nvo3-vxlan-gpe), too.
func (w *walk) vxlan(at int) bool {
	const length, valid, generic = 8, 0x08, 0x04
	if at+length > len(w.data) || w.data[at]&valid == 0 {
		return false
	}
	if w.data[at]&generic == 0 {
		return w.ethernet(at + length)
	}
	switch w.data[at+3] {
	case 1:
		return w.network(at+length, typeIPv4)
	case 2:
		return w.network(at+length, typeIPv6)
	case 3:
		return w.ethernet(at + length)
	}
	return false
}

// geneve goes on behind a GENEVE header (RFC 8926, section 3.4).
func (w *walk) geneve(at int) bool {
	const length = 8
	if at+length > len(w.data) || w.data[at]>>6 != 0 {
		return false
	}
	return w.payload(at+length+int(w.data[at]&0x3f)*4, binary.BigEndian.Uint16(w.data[at+2:]))
}

// gre goes on behind a GRE header (RFC 2784 and 2890).
func (w *walk) gre(at int) bool {
	const length, checksum, key, known = 4, 0x8000, 0x2000, 0x8000 | 0x2000
	if at+length > len(w.data) {
		return false
	}
	// A sequence number would have to be given to each segment, and then
	// those of later frames would be taken.
	flags := binary.BigEndian.Uint16(w.data[at:])
	if flags&^known != 0 {
		return false
	}
	in := at + length
	if flags&checksum != 0 {
		in += 4
	}
	if flags&key != 0 {
		in += 4
	}
	if in > len(w.data) || !w.push(layer{layerGRE, at, in}) {
		return false
	}
	if w.payload(in, binary.BigEndian.Uint16(w.data[at+2:])) {
		return true
	}
	w.n--
	return false
}

// payload goes on with what a tunnel's header announced.
func (w *walk) payload(at int, etherType uint16) bool {
	if etherType == typeEthernet {
		return w.ethernet(at)
	}
	return w.network(at, etherType)
}

// ip goes on with an IP packet that says itself which it is.
func (w *walk) ip(at int) bool {
	if at >= len(w.data) {
		return false
	}
	if w.data[at]>>4 == 4 {
		return w.network(at, typeIPv4)
	}
	return w.network(at, typeIPv6)
}

// ethernet goes on behind the addresses of an inner frame.
func (w *walk) ethernet(at int) bool {
	return at+HeaderLen <= len(w.data) && w.typed(at+AddrLen)
}

// typed goes on behind tags, if any, and a type, of which there is room for the
// latter.
func (w *walk) typed(at int) bool {
	at = pastTags(w.data, at, maxDepth)
	return w.network(at+TypeLen, binary.BigEndian.Uint16(w.data[at:]))
}
