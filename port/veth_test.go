package port

import (
	"strings"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
)

func contains(t *testing.T, what, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("%s: got\n%s\nwithout %q", what, got, w)
		}
	}
}

func TestVethIsMadeAsAsked(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	a := h.open("p1", Config{
		Kind: Veth, Netns: ns, IfName: "lan0", MTU: 9000,
		MAC:       frame.MAC{2, 0, 0, 0, 0, 7},
		Addresses: prefixes("10.1.0.2/24", "fd00::2/64"),
		Gateways:  addrs("10.1.0.1", "fd00::1"),
	})
	if a.Info.Device != "sw0-p1" || a.Info.IfName != "lan0" || a.Info.MTU != 9000 || a.Info.Netns != ns || a.Info.Ifindex == 0 {
		t.Errorf("Info: got %+v", a.Info)
	}
	contains(t, "link inside", in(t, ns, "ip", "link", "show", "lan0"), "02:00:00:00:00:07", "mtu 9000", "state UP", "LOWER_UP")
	contains(t, "addresses", in(t, ns, "ip", "addr", "show", "lan0"), "inet 10.1.0.2/24", "inet6 fd00::2/64 scope global nodad")
	contains(t, "routes", in(t, ns, "ip", "route"), "default via 10.1.0.1 dev lan0")
	contains(t, "routes", in(t, ns, "ip", "-6", "route"), "default via fd00::1 dev lan0")
	contains(t, "lo inside", in(t, ns, "ip", "link", "show", "lo"), "state DOWN")
	features := in(t, ns, "ethtool", "-k", "lan0")
	contains(t, "features inside", features,
		"tx-udp_tnl-segmentation: off", "tx-gre-segmentation: off", "tx-checksum-sctp: off", "tx-gso-list: off",
		"tx-tcp-segmentation: on", "tx-tcp6-segmentation: on", "tx-udp-segmentation: on", "tx-checksum-ip-generic: on")
	contains(t, "our side", run(t, "ip", "-details", "link", "show", "sw0-p1"),
		"NOARP", "mtu 65535", "state UP", "alias vswitch:"+h.instance+":sw0/p1", "group ")
	contains(t, "filter", run(t, "tc", "filter", "show", "dev", "sw0-p1", "ingress"), "vswitch-"+h.instance, "direct-action")
	if out := run(t, "ip", "addr", "show", "sw0-p1"); strings.Contains(out, "inet") {
		t.Errorf("our side has addresses:\n%s", out)
	}
	if s := a.Status(); s != (Status{Carrier: true, MTU: 9000, Device: "sw0-p1", IfName: "lan0"}) {
		t.Errorf("Status: got %+v", s)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if out := devices(t); strings.Contains(out, "sw0-p1") {
		t.Errorf("after Close there are\n%s", out)
	}
	if out := in(t, ns, "ip", "link"); strings.Contains(out, "lan0") {
		t.Errorf("after Close there are inside\n%s", out)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestVethStatusSaysWhy(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	a := h.open("p1", Config{Kind: Veth, Netns: ns})
	in(t, ns, "ip", "link", "set", "eth0", "down")
	if s := a.Status(); s.Gone || s.Carrier || s.Reason != "eth0 in namespace web is down" {
		t.Errorf("far end down: got %+v", s)
	}
	in(t, ns, "ip", "link", "set", "eth0", "name", "wan", "mtu", "1400", "up")
	if s := a.Status(); s != (Status{Carrier: true, MTU: 1400, Device: "sw0-p1", IfName: "wan"}) {
		t.Errorf("far end renamed, other MTU: got %+v", s)
	}
	if err := a.SetCarrier(false); err != nil {
		t.Fatal(err)
	}
	contains(t, "inside, carrier off", in(t, ns, "ip", "link", "show", "wan"), "NO-CARRIER")
	if err := a.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
	contains(t, "inside, carrier on", in(t, ns, "ip", "link", "show", "wan"), "LOWER_UP")
	in(t, ns, "ip", "link", "del", "wan")
	if s := a.Status(); !s.Gone || !s.Manual || !strings.Contains(s.Reason, "deleted by hand") {
		t.Errorf("far end deleted: got %+v", s)
	}

	b := h.open("p2", Config{Kind: Veth, Netns: ns})
	run(t, "ip", "netns", "del", ns)
	if s := b.Status(); !s.Gone || s.Manual || s.Reason != "namespace web was deleted" {
		t.Errorf("namespace deleted: got %+v", s)
	}
	if err := b.Close(); err != nil {
		t.Errorf("close after the namespace was deleted: %v", err)
	}
}

func TestTapIsMadeAsAsked(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	for _, test := range []struct {
		netns, ifName string
		show          func(...string) string
	}{
		{"", "t9", func(argv ...string) string { return run(t, argv...) }},
		{ns, "eth0", func(argv ...string) string { return in(t, ns, argv...) }},
	} {
		a := h.open("t9", Config{
			Kind: Tap, Netns: test.netns, MTU: 1400, MAC: frame.MAC{2, 0, 0, 0, 0, 8},
			Addresses: prefixes("10.2.0.2/24", "fd01::2/64"), Gateways: addrs("10.2.0.1"),
		})
		if a.Info.IfName != test.ifName || a.Info.MTU != 1400 {
			t.Errorf("Info: got %+v", a.Info)
		}
		contains(t, "link", test.show("ip", "-details", "link", "show", test.ifName), "02:00:00:00:00:08", "mtu 1400", "LOWER_UP", "alias vswitch:"+h.instance+":sw0/t9")
		contains(t, "addresses", test.show("ip", "addr", "show", test.ifName), "inet 10.2.0.2/24", "inet6 fd01::2/64")
		contains(t, "routes", test.show("ip", "route"), "default via 10.2.0.1")
		if s := a.Status(); s != (Status{Carrier: true, MTU: 1400, Device: test.ifName, IfName: test.ifName}) {
			t.Errorf("Status: got %+v", s)
		}
		if err := a.SetCarrier(false); err != nil {
			t.Fatal(err)
		}
		contains(t, "carrier off", test.show("ip", "link", "show", test.ifName), "NO-CARRIER")
		if err := a.SetCarrier(true); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if out := test.show("ip", "link"); strings.Contains(out, test.ifName) {
			t.Errorf("after Close there are\n%s", out)
		}
	}
}

func TestTapGoesWithItsNamespace(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	a := h.open("t1", Config{Kind: Tap, Netns: ns})
	start := time.Now()
	run(t, "ip", "netns", "del", ns)
	if s := a.Status(); !s.Gone || s.Manual || s.Reason != "namespace web was deleted" {
		t.Errorf("namespace deleted: got %+v", s)
	}
	eventually(t, "the TAP is gone", func() bool { return !tunAlive(a.Device.FD()) })
	t.Logf("after %v", time.Since(start))
}
