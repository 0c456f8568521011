package frame

import (
	"fmt"
	"strings"
)

// ReservedSet is a set of the group addresses 01:80:C2:00:00:0X that are passed:
// bit X for each. The bits of :00 (a switch decides about BPDUs by themselves) and :01 (never
// passed) stay 0.
type ReservedSet uint16

// AllReserved passes every reserved address that can be passed.
const AllReserved ReservedSet = 0xfffc

var reservedNames = map[string]ReservedSet{
	"lacp":  1 << 0x2,
	"eapol": 1 << 0x3,
	"lldp":  1 << 0xe,
	"all":   AllReserved,
	"none":  0,
}

// ParseReservedSet reads "all", "none", or a list of names (lldp, lacp, eapol) and
// last digits (2 to f), separated by commas.
func ParseReservedSet(s string) (ReservedSet, error) {
	var set ReservedSet
	words := strings.Split(s, ",")
	for _, word := range words {
		word = strings.ToLower(strings.TrimSpace(word))
		bit, ok := reservedNames[word]
		if d := strings.Index("23456789abcdef", word); !ok && len(word) == 1 && d >= 0 {
			bit, ok = 1<<(d+2), true
		}
		if !ok || (len(words) > 1 && (word == "all" || word == "none")) {
			return 0, fmt.Errorf("%q does not name reserved addresses: use all, none, or a list of lldp, lacp, eapol and last digits 2 to f, such as lldp,4", s)
		}
		set |= bit
	}
	return set, nil
}

// String returns what [ParseReservedSet] reads.
func (r ReservedSet) String() string {
	switch r {
	case 0:
		return "none"
	case AllReserved:
		return "all"
	}
	var words []string
	for x := 2; x <= 0xf; x++ {
		switch bit := ReservedSet(1) << x; {
		case r&bit == 0:
		case x == 0x2:
			words = append(words, "lacp")
		case x == 0x3:
			words = append(words, "eapol")
		case x == 0xe:
			words = append(words, "lldp")
		default:
			words = append(words, fmt.Sprintf("%x", x))
		}
	}
	return strings.Join(words, ",")
}

// Passes reports whether the set holds 01:80:C2:00:00:0X.
func (r ReservedSet) Passes(x uint8) bool { return r>>x&1 != 0 }
