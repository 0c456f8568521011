package vswitch

import (
	"fmt"
	"strings"
)

// Reserved is a set of the group addresses 01:80:C2:00:00:0X that are passed:
// bit X for each. The bits of :00 (Settings.DropBPDU decides) and :01 (never
// passed) stay 0.
type Reserved uint16

// ReservedAll passes every reserved address that can be passed.
const ReservedAll Reserved = 0xfffc

var reservedNames = map[string]Reserved{
	"lacp":  1 << 0x2,
	"eapol": 1 << 0x3,
	"lldp":  1 << 0xe,
	"all":   ReservedAll,
	"none":  0,
}

// ParseReserved reads "all", "none", or a list of names (lldp, lacp, eapol) and
// last digits (2 to f), separated by commas.
func ParseReserved(s string) (Reserved, error) {
	var set Reserved
	words := strings.Split(s, ",")
	for _, word := range words {
		word = strings.ToLower(strings.TrimSpace(word))
		bit, ok := reservedNames[word]
		if d := strings.Index("23456789abcdef", word); !ok && len(word) == 1 && d >= 0 {
			bit, ok = 1<<(d+2), true
		}
		if !ok || (len(words) > 1 && (word == "all" || word == "none")) {
			return 0, &Error{Invalid, fmt.Sprintf(
				"%q does not name reserved addresses: use all, none, or a list of lldp, lacp, eapol and last digits 2 to f, such as lldp,4", s)}
		}
		set |= bit
	}
	return set, nil
}

// String returns what [ParseReserved] reads.
func (r Reserved) String() string {
	switch r {
	case 0:
		return "none"
	case ReservedAll:
		return "all"
	}
	var words []string
	for x := 2; x <= 0xf; x++ {
		switch bit := Reserved(1) << x; {
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
func (r Reserved) Passes(x uint8) bool { return r>>x&1 != 0 }
