package frame

import (
	"fmt"
	"net"
)

// MAC is an EUI-48 address in transmission order.
type MAC [6]byte

// Broadcast is the address of every station.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseMAC reads an address written as six octets in hexadecimal, separated
// by colons or dashes, or as three groups of four digits separated by dots.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(MAC{}) {
		return MAC{}, fmt.Errorf("%q is not a MAC address: write six octets, such as 02:00:00:00:00:01", s)
	}
	return MAC(hw), nil
}

// ParseStation reads an address that a station may have: neither multicast
// nor all zero.
func ParseStation(s string) (MAC, error) {
	m, err := ParseMAC(s)
	switch {
	case err != nil:
		return MAC{}, err
	case m.IsMulticast():
		return MAC{}, fmt.Errorf("%s is a multicast address: a station has an even first octet, such as 02:00:00:00:00:01", m)
	case m.IsZero():
		return MAC{}, fmt.Errorf("%s is not the address of a station: use one such as 02:00:00:00:00:01", m)
	}
	return m, nil
}

// IsMulticast reports whether the group bit is set; it is in [Broadcast], too.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsZero reports whether all octets are zero.
func (m MAC) IsZero() bool { return m == MAC{} }

// Uint64 returns the address in the lower 48 bits, first octet highest.
func (m MAC) Uint64() uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

// MACFromUint64 is the inverse of [MAC.Uint64].
func MACFromUint64(v uint64) MAC {
	return MAC{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// Reserved returns X for a group address 01:80:C2:00:00:0X, which bridges
// keep to themselves (IEEE 802.1Q, 8.6.3).
func (m MAC) Reserved() (x uint8, ok bool) {
	ok = m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5] <= 0x0f
	return m[5] & 0x0f, ok
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText writes the address with colons.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what [ParseMAC] reads.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMAC(string(b))
	return err
}
