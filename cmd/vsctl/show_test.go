package main

import (
	"testing"

	"github.com/vswitch/vswitch/api"
)

func TestAttachedBriefly(t *testing.T) {
	for _, x := range []struct {
		port api.Port
		want string
	}{
		{api.Port{Kind: api.KindVeth, Netns: "web", Device: "sw0-web", IfName: "eth0"}, "veth web/eth0"},
		{api.Port{Kind: api.KindTap, Container: "web"}, "tap web"},
		{api.Port{Kind: api.KindTap, IfName: "mon0"}, "tap mon0"},
		{api.Port{Kind: api.KindTap}, "tap"},
		{api.Port{Kind: api.KindDev, Device: "eth1"}, "dev eth1"},
		{api.Port{Kind: api.KindPatch, Peer: "lab/up"}, "patch lab/up"},
	} {
		if got := attachedBriefly(&x.port); got != x.want {
			t.Errorf("%+v: got %q, want %q", x.port, got, x.want)
		}
	}
}
