package frame

import "encoding/binary"

// Address is a [MAC] in the lower 48 bits of a word, first octet highest, as
// the frame path carries it: in a register.
type Address uint64

// addressMask has the bits of an Address.
const addressMask Address = 1<<48 - 1

// MAC is the inverse of [MAC.Address].
func (a Address) MAC() MAC {
	return MAC{byte(a >> 40), byte(a >> 32), byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}
}

// IsMulticast reports whether the group bit is set; it is in [Broadcast], too.
func (a Address) IsMulticast() bool { return a>>40&1 != 0 }

// IsBroadcast reports whether it is [Broadcast].
func (a Address) IsBroadcast() bool { return a == addressMask }

// Reserved returns X for a group address 01:80:C2:00:00:0X, which bridges
// keep to themselves (IEEE 802.1Q, 8.6.3).
func (a Address) Reserved() (x uint8, ok bool) {
	return uint8(a & 0xf), a&^0xf == 0x0180_c200_0000
}

// Addresses returns destination and source of a frame that passed
// [Frame.Check].
func (f *Frame) Addresses() (dst, src Address) {
	b := f.buf[OffloadLen : OffloadLen+AddrLen]
	dst = Address(binary.BigEndian.Uint64(b) >> 16)
	src = Address(binary.BigEndian.Uint64(b[4:])) & addressMask
	return dst, src
}
