package frame

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to acc, as 16-bit words in one's complement (RFC 1071). It adds 64
// bits at a time, which comes to the same: 2^16 is 1 modulo 2^16-1. Of the
// pieces of one sum only the last may have an odd length.
func sum(acc uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(tail[:]), carry)
	}
	acc, carry = bits.Add64(acc, 0, carry)
	return acc + carry
}

// fold makes the checksum of a sum.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return ^uint16(acc)
}

// foldNonzero is fold for UDP, where 0 says that there is no checksum (RFC 768).
func foldNonzero(acc uint64) uint16 {
	if c := fold(acc); c != 0 {
		return c
	}
	return 0xffff
}

// pseudoSum sums the pseudo header in front of n octets of layer 4 (RFC 9293,
// section 3.1; RFC 8200, section 8.1), where ip starts with the IP header.
func pseudoSum(ip []byte, proto uint8, n int) uint64 {
	acc := uint64(proto) + uint64(n)
	if ip[0]>>4 == 4 {
		return sum(acc, ip[12:20])
	}
	return sum(acc, ip[8:40])
}
