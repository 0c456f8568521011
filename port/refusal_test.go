package port

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/frame"
)

func TestBadInputIsExplainedAndLeavesNothing(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	in(t, ns, "ip", "link", "add", "taken", "type", "veth", "peer", "name", "taken2")
	inside := in(t, ns, "ip", "-o", "-details", "addr")
	for _, kind := range []Kind{Veth, Tap} {
		for _, test := range []struct {
			cfg   Config
			code  Code
			words []string
		}{
			{Config{Netns: "nosuch"}, NotFound, []string{"nosuch", "ip netns add"}},
			{Config{Netns: "/nosuch/net"}, NotFound, []string{"/nosuch/net", "lsns -t net"}},
			{Config{Netns: file}, Refused, []string{file, "not a network namespace"}},
			{Config{Netns: "/proc/self/ns/mnt"}, Refused, []string{"/proc/self/ns/mnt", "not a network namespace"}},
			{Config{Netns: "../x"}, Invalid, []string{"../x"}},
			{Config{Netns: "pid:x"}, Invalid, []string{"pid:x"}},
			{Config{Netns: "pid:999999999"}, NotFound, []string{"process 999999999", "lsns -t net"}},
			{Config{Netns: ns, Container: "c"}, Invalid, []string{"one of both"}},
			{Config{Netns: ns, IfName: "a name"}, Invalid, []string{"a name"}},
			{Config{Netns: ns, IfName: "eth%d"}, Invalid, []string{"eth%d"}},
			{Config{Netns: ns, IfName: "sixteen-letters-"}, Invalid, []string{"sixteen-letters-", "15"}},
			{Config{Netns: ns, IfName: "all"}, Invalid, []string{"all"}},
			{Config{Netns: ns, IfName: "taken"}, Exists, []string{"taken", "namespace web", "--ifname"}},
			{Config{Netns: ns, MTU: 67}, Invalid, []string{"67", "68 to"}},
			{Config{Netns: ns, MTU: 65536}, Invalid, []string{"65536"}},
			{Config{Netns: ns, MTU: 1279, Addresses: prefixes("fd00::1/64")}, Invalid, []string{"1279", "fd00::1/64", "1280"}},
			{Config{Netns: ns, MAC: frame.MAC{1, 0, 0, 0, 0, 1}}, Invalid, []string{"01:00:00:00:00:01", "multicast"}},
			{Config{Netns: ns, Addresses: []netip.Prefix{{}}}, Invalid, []string{"10.0.0.1/24"}},
			{Config{Netns: ns, Addresses: prefixes("224.0.0.1/24")}, Invalid, []string{"224.0.0.1/24"}},
			{Config{Netns: ns, Addresses: prefixes("10.0.0.1/24", "10.0.0.1/24")}, Invalid, []string{"10.0.0.1/24", "twice"}},
			{Config{Netns: ns, Addresses: prefixes("10.0.0.1/24"), Gateways: addrs("10.0.1.1")}, Invalid, []string{"10.0.1.1", "prefix"}},
			{Config{Netns: ns, Gateways: addrs("fd00::1")}, Invalid, []string{"fd00::1", "prefix"}},
			{Config{Netns: ns, Addresses: prefixes("10.0.0.1/24"), Gateways: addrs("10.0.0.1")}, Invalid, []string{"10.0.0.1", "own address"}},
			{Config{Netns: ns, Addresses: prefixes("10.0.0.1/24"), Gateways: addrs("10.0.0.2", "10.0.0.3")}, Invalid, []string{"10.0.0.3"}},
		} {
			test.cfg.Kind = kind
			h.refused(test.cfg, test.code, test.words...)
		}
	}
	h.refused(Config{Kind: Tap, MTU: 65522}, Invalid, "65522", "65521")
	h.refused(Config{Kind: Patch}, Invalid, "patch")
	if now := in(t, ns, "ip", "-o", "-details", "addr"); now != inside {
		t.Errorf("inside, before\n%s\nafter\n%s", inside, now)
	}
}

// What the kernel alone can know is refused after the pair was made.
func TestLateRefusalLeavesNothing(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	h.open("p1", Config{Kind: Veth, Netns: ns, Addresses: prefixes("10.0.0.1/24", "fd00::1/64"), Gateways: addrs("10.0.0.254", "fe80::1")})
	inside := in(t, ns, "ip", "-o", "-details", "link")
	for _, kind := range []Kind{Veth, Tap} {
		h.refused(Config{Kind: kind, Netns: ns, Addresses: prefixes("10.0.1.1/24"), Gateways: addrs("10.0.1.254")}, Refused, "10.0.1.254", "default route")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		before := devices(t)
		if _, err := h.Open(ctx, Identity{"sw0", "late"}, Config{Kind: kind, Netns: ns}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("open with a context that ended: got %v", err)
		}
		if after := devices(t); after != before {
			t.Errorf("left %s", after)
		}
	}
	if now := in(t, ns, "ip", "-o", "-details", "link"); now != inside {
		t.Errorf("inside, before\n%s\nafter\n%s", inside, now)
	}
}

// Names that do not fit the kernel's fifteen characters, or are taken.
func TestKernelNames(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	pair(t, "sw0-taken", "other")
	for _, test := range []struct{ port, prefix string }{
		{"short", "sw0-short"},
		{"a-name-of-more-than-fifteen", "vs"},
		{"taken", "vs"},
	} {
		a := h.open(test.port, Config{Kind: Veth, Netns: ns})
		if len(a.Info.Device) > 15 || a.Info.Device[:len(test.prefix)] != test.prefix {
			t.Errorf("port %s: our side is called %s, want %s...", test.port, a.Info.Device, test.prefix)
		}
	}
	a := h.open("a-name-of-more-than-fifteen2", Config{Kind: Tap})
	if len(a.Info.IfName) > 15 || a.Info.IfName[:2] != "vs" {
		t.Errorf("TAP with a long name: got %s", a.Info.IfName)
	}
	b := h.open("default", Config{Kind: Tap}) // sysctl would not have that name
	if b.Info.IfName[:2] != "vs" {
		t.Errorf("TAP of port default: got %s", b.Info.IfName)
	}
	// Each far end takes the first name that is free.
	contains(t, "inside", in(t, ns, "ip", "link"), "eth0", "eth1", "eth2")
}

func TestTapIsFoundWhereItsIndexIsTaken(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	for i := range 40 { // makes numbers meet
		run(t, "ip", "link", "add", "x", "type", "veth", "peer", "name", "y")
		run(t, "ip", "link", "del", "x")
		if i%4 == 0 {
			in(t, ns, "ip", "link", "add", "x"+string(rune('a'+i/4)), "type", "veth", "peer", "name", "y"+string(rune('a'+i/4)))
		}
	}
	for i := range 10 {
		a := h.open("t"+string(rune('a'+i)), Config{Kind: Tap, Netns: ns})
		if s := a.Status(); !s.Carrier || s.IfName != a.Info.IfName {
			t.Errorf("Info %+v, Status %+v", a.Info, s)
		}
	}
}

func TestOpenAndCloseAtOnce(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	before := devices(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			kind := []Kind{Veth, Tap}[i%2]
			for range 5 {
				a, err := h.Open(context.Background(), Identity{"sw0", string(rune('a' + i))}, Config{Kind: kind, Netns: ns}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				a.Status()
				a.Keys()
				wg.Go(func() { a.Status(); a.SetCarrier(false) })
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if after := devices(t); after != before {
		t.Errorf("left %s", after)
	}
}

// IPv6 that a container engine turned off is turned on for who asks for it.
func TestAddressTurnsIPv6On(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	in(t, ns, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1")
	h.open("p1", Config{Kind: Veth, Netns: ns, Addresses: prefixes("fd00::1/64")})
	contains(t, "inside", in(t, ns, "ip", "addr", "show", "eth0"), "fd00::1/64")
}
