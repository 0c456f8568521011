package api

import "testing"

func TestWhere(t *testing.T) {
	for _, x := range []struct {
		port Port
		want string
	}{
		{Port{Kind: KindVeth, Netns: "web", Device: "sw0-web", IfName: "eth0"}, "veth to netns web (eth0)"},
		{Port{Kind: KindVeth, Netns: "web"}, "veth to netns web"},
		{Port{Kind: KindVeth, Container: "web", IfName: "eth0"}, "veth to container web (eth0)"},
		{Port{Kind: KindVeth, Container: "web"}, "veth to container web"},
		{Port{Kind: KindTap, Device: "mon0"}, "tap to the host (mon0)"},
		{Port{Kind: KindTap}, "tap to the host"},
		{Port{Kind: KindDev, Device: "eth1"}, "dev eth1"},
		{Port{Kind: KindVM, Device: "vm1"}, "vm vm1"},
		{Port{Kind: KindPatch, Peer: "lab/up"}, "patch to lab/up"},
	} {
		if got := x.port.Where(); got != x.want {
			t.Errorf("%+v: got %q, want %q", x.port, got, x.want)
		}
	}
}
