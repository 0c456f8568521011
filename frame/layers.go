package frame

import "encoding/binary"

// EtherTypes and IP protocols that the walk to layer 4 knows.
const (
	typeIPv4     = 0x0800
	typeIPv6     = 0x86dd
	typeEthernet = 0x6558 // transparent Ethernet bridging, in GRE and GENEVE

	protoHopOpts  = 0
	protoIPIP     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoGRE      = 47
	protoAuth     = 51
	protoDestOpts = 60
)

// Lengths of headers without options.
const (
	ipv4Len = 20
	ipv6Len = 40
	tcpLen  = 20
	udpLen  = 8
)

// maxExtensions bounds the IPv6 extension headers that are walked through.
// RFC 8200, section 4.1, recommends an order of at most six; the bound keeps a
// frame that is made of nothing else from costing thousands of steps.
const maxExtensions = 8

// network returns what follows the IP header at data[at], where etherType says
// which: the protocol and the index where it starts, at most len(data). ok is
// false where there is no whole IP header, where a fragment hides layer 4, and
// behind extension headers that cannot be walked through.
func network(data []byte, at int, etherType uint16) (proto uint8, l4 int, ok bool) {
	switch etherType {
	case typeIPv4:
		if at+ipv4Len > len(data) || data[at]>>4 != 4 {
			return 0, 0, false
		}
		l4 = at + int(data[at]&0xf)*4
		const fragment = 0x3fff // more fragments, and the offset
		if l4 < at+ipv4Len || l4 > len(data) || binary.BigEndian.Uint16(data[at+6:])&fragment != 0 {
			return 0, 0, false
		}
		return data[at+9], l4, true
	case typeIPv6:
		if at+ipv6Len > len(data) || data[at]>>4 != 6 {
			return 0, 0, false
		}
		proto, l4 = data[at+6], at+ipv6Len
		for range maxExtensions {
			next, n := extension(data[l4:], proto)
			if n == 0 {
				return proto, l4, true
			}
			proto, l4 = next, l4+n
			if l4 > len(data) {
				return 0, 0, false
			}
		}
	}
	return 0, 0, false
}

// extension returns the length of the IPv6 extension header proto that b starts
// with, and what follows it. n is 0 where proto is none, and more than len(b)
// where it is cut off.
func extension(b []byte, proto uint8) (next uint8, n int) {
	unit, more := 8, 1
	switch proto {
	case protoHopOpts, protoRouting, protoDestOpts:
	case protoAuth:
		unit, more = 4, 2 // RFC 4302, section 2.2
	default:
		return 0, 0
	}
	if len(b) < 8 {
		return 0, len(b) + 1
	}
	return b[0], (int(b[1]) + more) * unit
}
