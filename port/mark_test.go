package port

import (
	"strings"
	"testing"
)

func TestMarksTellInstancesApart(t *testing.T) {
	for _, b := range []marker{newMarker("aaa", 1), newMarker("aa", 2)} {
		tellApart(t, newMarker("aa", 1), b)
	}
}

func tellApart(t *testing.T, a, b marker) {
	t.Helper()
	id := Identity{"sw0", "p1"}
	for _, test := range []struct {
		group uint32
		alias string
		want  bool
	}{
		{a.group, a.alias(id), true},
		{0, a.alias(id), true}, // somebody changed the group
		{a.group, "", true},    // killed before it set the alias
		{a.doomed, "", true},
		{b.group, "", false},
		{0, "", false},
		{b.group, b.alias(id), false},
		{a.group, b.alias(id), false}, // groups of two instances that meet
		{a.group, "uplink to the office", false},
	} {
		if got := a.made(test.group, test.alias); got != test.want {
			t.Errorf("made(%#x, %q): got %v, want %v", test.group, test.alias, got, test.want)
		}
	}
	if a.group == b.group || a.doomed == b.doomed || a.group == a.doomed || int32(a.group) < 1000 {
		t.Errorf("groups: %#x %#x, %#x %#x", a.group, a.doomed, b.group, b.doomed)
	}
	if instance, port, ok := aliasOwner(a.alias(id)); instance != a.instance || port != "sw0/p1" || !ok {
		t.Errorf("aliasOwner: got %q %q %v", instance, port, ok)
	}
}

func TestStationMACIsItsPortsOwn(t *testing.T) {
	a := newMarker("aa", 1)
	mac := a.stationMAC(Identity{"sw0", "p1"})
	if mac != a.stationMAC(Identity{"sw0", "p1"}) {
		t.Error("the address of a port changes")
	}
	if mac.IsMulticast() || mac[0]&2 == 0 {
		t.Errorf("%s is not a locally administered station", mac)
	}
	for _, other := range []marker{newMarker("ab", 1), newMarker("aa", 2)} {
		if other.stationMAC(Identity{"sw0", "p1"}) == mac {
			t.Errorf("%+v gives the same address", other)
		}
	}
	if a.stationMAC(Identity{"sw0", "p2"}) == mac || a.stationMAC(Identity{"sw1", "p1"}) == mac {
		t.Error("another port has the same address")
	}
}

func TestDevMarkIsReadBack(t *testing.T) {
	long := strings.Repeat("x-", 16)
	for _, m := range []devMark{
		{"c0ffee", devState{up: true, ipv6: '0', mtu: 1500}, Identity{"sw0", "p1"}},
		{"c0ffee", devState{ipv6: '1', clsact: true, mtu: 9000, set: 1400}, Identity{"a-b.c_d", "e-f"}},
		{strings.Repeat("f", 32), devState{up: true, ipv6: 'x', clsact: true, mtu: 65535, set: 65535}, Identity{long, long}},
	} {
		s := m.String()
		if len(s) > 127 {
			t.Errorf("%q has %d characters, the kernel takes 127", s, len(s))
		}
		if got, ok := parseDevMark(s); !ok || got != m {
			t.Errorf("%q: got %+v %v, want %+v", s, got, ok, m)
		}
	}
	for _, s := range []string{"", "vswitch-", "vswitch-a-b-c", "vswitch-a-u1v0q0m1500-x:y", "vswitch-a-u1v0q0m1500s0-x", "enp3s0"} {
		if m, ok := parseDevMark(s); ok {
			t.Errorf("%q: got %+v", s, m)
		}
	}
}

func FuzzParseDevMark(f *testing.F) {
	f.Add("vswitch-c0ffee-u1v0q0m1500s0-sw0:p1")
	f.Add("vswitch-c0ffee-u1v0q0m1500-sw0:p1")
	f.Fuzz(func(t *testing.T, s string) { parseDevMark(s) })
}
