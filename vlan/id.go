package vlan

import (
	"fmt"
	"strconv"
)

// ID is a VLAN identifier that a VLAN may have: 1 to 4094 (IEEE 802.1Q, table
// 9-2: 0 means no VLAN, 4095 is reserved).
type ID uint16

// Bounds of an [ID].
const (
	MinID ID = 1
	MaxID ID = 4094
)

// reservedVID marks a frame that must not be forwarded (IEEE 802.1Q, table 9-2).
const reservedVID = 4095

// Valid reports whether id is a VLAN's.
func (id ID) Valid() bool { return id >= MinID && id <= MaxID }

// ParseID reads a VLAN identifier, written in decimal.
func ParseID(s string) (ID, error) {
	v, err := parseVID(s, uint16(MinID))
	return ID(v), err
}

// parseVID reads a number from lowest to 4094, written with digits alone and no
// leading zeros: somebody who writes 010 may mean 8.
func parseVID(s string, lowest uint16) (uint16, error) {
	v, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) > 1 && s[0] == '0' || v < uint64(lowest) || v > uint64(MaxID) {
		return 0, fmt.Errorf("%s is not a VLAN: write a number from %d to %d", quote(s), lowest, MaxID)
	}
	return uint16(v), nil
}

// quote quotes s for a message, which a person is to read to its end.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return strconv.Quote(s)
}
