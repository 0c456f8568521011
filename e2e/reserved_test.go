package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// "Reserved group addresses", row by row: sixteen frames each, one to every
// address, in by p1. p2 takes all that is forwarded, p3 takes no multicast
// floods: what is passed by a list reaches it, and what is forwarded as
// multicast (STP) does not.
func TestReservedAddresses(t *testing.T) {
	all := []int{0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	rows := []struct {
		name     string
		onSwitch string
		p1, p2   string // their own lists
		passed   []int
	}{
		{name: "by default: STP alone", passed: []int{0}},
		{name: "--bpdu drop: none", onSwitch: "--bpdu drop"},
		{name: "--pass-reserved all: all but pause", onSwitch: "--pass-reserved all", passed: all},
		{name: "--pass-reserved all --bpdu drop: all but pause and STP", onSwitch: "--pass-reserved all --bpdu drop", passed: all[1:]},
		{name: "--pass-reserved none", onSwitch: "--pass-reserved none", passed: []int{0}},
		{name: "--pass-reserved lldp", onSwitch: "--pass-reserved lldp", passed: []int{0, 14}},
		{name: "--pass-reserved lacp", onSwitch: "--pass-reserved lacp", passed: []int{0, 2}},
		{name: "--pass-reserved eapol", onSwitch: "--pass-reserved eapol", passed: []int{0, 3}},
		{name: "--pass-reserved by last digits", onSwitch: "--pass-reserved 4,d", passed: []int{0, 4, 13}},
		{name: "--pass-reserved by names and digits", onSwitch: "--pass-reserved lldp,8", passed: []int{0, 8, 14}},
		{name: "the port's list: lldp", p1: "lldp", passed: []int{0, 14}},
		{name: "the port's list before the switch's: none before all", onSwitch: "--pass-reserved all", p1: "none", passed: []int{0}},
		{name: "the port's list before the switch's: lacp before lldp", onSwitch: "--pass-reserved lldp", p1: "lacp", passed: []int{0, 2}},
		{name: "the list of the port they came in by, not of the one they leave by", p1: "all", p2: "none", passed: all},
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add(kind, "p1")
			l.add(kind, "p2")
			l.add(kind, "p3", "--no-mcast-flood")
			for _, row := range rows {
				l.h.Case(row.name, func(t *testing.T) {
					l.lists(row.onSwitch, row.p1, row.p2)
					e := entry{from: "p1", arrive: Arrive{}, drops: Drops{"p1/reserved": uint64(16 - len(row.passed))}}
					for x := range 16 {
						f := Eth{Dst: fmt.Sprintf("01:80:c2:00:00:%02x", x), Payload: row.name}
						e.send = append(e.send, f)
						if !slices.Contains(row.passed, x) {
							continue
						}
						e.arrive["p2"] = append(e.arrive["p2"], f)
						if x != 0 {
							e.arrive["p3"] = append(e.arrive["p3"], f)
						}
					}
					l.check(e)
				})
			}
			l.h.Case("the next addresses are not reserved", func(*testing.T) {
				l.lists("", "", "")
				l.pass("p1", Eth{Dst: "01:80:c2:00:00:10"}, "p2")
				l.pass("p1", Eth{Dst: "01:80:c2:00:01:00"}, "p2")
				l.pass("p1", Eth{Dst: "01:80:c1:00:00:0e"}, "p2")
			})
			l.close()
		})
	}
}

// lists sets which reserved addresses the switch and two ports pass; "" is the
// default.
func (l *ledger) lists(onSwitch, p1, p2 string) {
	l.h.t.Helper()
	l.h.VS("switch", "set", "sw0", "--bpdu", "forward", "--pass-reserved", "none")
	if onSwitch != "" {
		l.h.VS(append([]string{"switch", "set", "sw0"}, strings.Fields(onSwitch)...)...)
	}
	for port, list := range map[string]string{"p1": p1, "p2": p2} {
		if list == "" {
			list = "switch"
		}
		l.set(port, "--pass-reserved", list)
	}
}
