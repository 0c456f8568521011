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

// Address returns m in one word.
func (m MAC) Address() Address {
	return Address(m[0])<<40 | Address(m[1])<<32 | Address(m[2])<<24 | Address(m[3])<<16 | Address(m[4])<<8 | Address(m[5])
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText writes the address with colons.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what [ParseMAC] reads.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMAC(string(b))
	return err
}
