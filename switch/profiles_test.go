package vswitch

import (
	"context"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

func accessVLAN(id vlan.ID) vlan.Policy {
	p := vlan.Policy{Mode: vlan.Access, VLAN: id}
	if err := p.Validate(); err != nil {
		panic(err)
	}
	return p
}

// TestProfileChangesItsPorts holds that ports have what their profile says, and
// others have not.
func TestProfileChangesItsPorts(t *testing.T) {
	e, host := startEngine(t, 2)
	ctx := context.Background()
	if err := e.AddProfile(ctx, Profile{Name: "office", VLAN: accessVLAN(10)}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, e.AddProfile(ctx, NewProfile("office")), Exists)
	mustBe(t, e.AddProfile(ctx, NewProfile("a b")), Invalid)
	for _, name := range []string{"p1", "p2"} {
		if p, err := e.AddPort(ctx, PortConfig{Switch: "sw0", Name: name, Profile: "office"}); err != nil || p.VLAN.VLAN != 10 {
			t.Fatalf("%s: %+v, %v", name, p.VLAN, err)
		}
	}
	mustAdd(t, e, "p3")
	_, err := e.AddPort(ctx, PortConfig{Switch: "sw0", Name: "p4", Profile: "none"})
	mustBe(t, err, NotFound)
	_, err = e.AddPort(ctx, PortConfig{Switch: "sw0", Name: "p4", Profile: "office", VLAN: accessVLAN(3)})
	mustBe(t, err, Refused)
	_, err = e.SetPort(ctx, "sw0", "p1", false, func(c *PortConfig) error { c.Options.NoFlood = true; return nil })
	mustBe(t, err, Refused)
	mustBe(t, e.DeleteProfile(ctx, "office"), Refused)
	mustBe(t, e.DeleteProfile(ctx, "other"), NotFound)

	host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)))
	awaitFrames(t, host.pair("sw0/p2").Take, 1)
	err = e.SetProfile(ctx, "office", func(p *Profile) error { p.VLAN, p.Options.MaxMACs = accessVLAN(20), 5; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]vlan.ID{"p1": 20, "p2": 20, "p3": 1} {
		if p, err := e.Port("sw0", name); err != nil || p.VLAN.VLAN != want || (p.Options.MaxMACs == 5) != (want == 20) {
			t.Errorf("%s: VLAN %d, %+v, %v; want VLAN %d", name, p.VLAN.VLAN, p.Options, err, want)
		}
	}
	if entries, err := e.FDB("sw0"); err != nil || len(entries) != 0 {
		t.Errorf("of VLAN 10 there is still %v, %v", entries, err)
	}
	host.pair("sw0/p2").Send(untagged(frame.Broadcast, mac(2)))
	awaitFrames(t, host.pair("sw0/p1").Take, 1)
	if n := len(host.pair("sw0/p3").Take()); n > 0 {
		t.Errorf("p3 has %d frames of another VLAN", n)
	}

	// A port that leaves its profile keeps what it had, as its own.
	p, err := e.SetPort(ctx, "sw0", "p1", false, func(c *PortConfig) error { c.Profile = ""; c.Options.MaxMACs = 0; return nil })
	if err != nil || p.VLAN.VLAN != 20 || p.Options.MaxMACs != 0 {
		t.Errorf("without its profile: %+v, %v", p, err)
	}
	if _, err := e.SetPort(ctx, "sw0", "p3", false, func(c *PortConfig) error { c.Profile = "office"; return nil }); err != nil {
		t.Error(err)
	}
	if err := e.DeletePort(ctx, "sw0", "p2"); err != nil {
		t.Error(err)
	}
	if p, err := e.Port("sw0", "p3"); err != nil || p.VLAN.VLAN != 20 {
		t.Errorf("p3: %+v, %v", p.VLAN, err)
	}
	if err := e.DeletePort(ctx, "sw0", "p3"); err != nil {
		t.Error(err)
	}
	if err := e.DeleteProfile(ctx, "office"); err != nil || len(e.Profiles()) != 0 {
		t.Errorf("%v; left are %v", err, e.Profiles())
	}
}
