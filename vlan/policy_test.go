package vlan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/vlan"
)

func TestPolicyString(t *testing.T) {
	for _, tt := range []struct {
		p    vlan.Policy
		want string
	}{
		{vlan.Policy{}, "access VLAN 1"},
		{*vlan.Default(), "access VLAN 1"},
		{vlan.Policy{VLAN: 10}, "access VLAN 10"},
		{vlan.Policy{VLAN: 10, TPID: 0x88a8, PriorityTags: vlan.IfNonzero}, "access VLAN 10, TPID 0x88a8, priority tags if-nonzero"},
		{vlan.Policy{Mode: vlan.Trunk}, "trunk all VLANs"},
		{vlan.Policy{Mode: vlan.Trunk, Trunk: set(t, "10,20-30")}, "trunk VLANs 10,20-30"},
		{vlan.Policy{Mode: vlan.NativeUntagged, VLAN: 1, Trunk: set(t, "10,20-30")}, "trunk VLANs 10,20-30, native 1 untagged"},
		{vlan.Policy{Mode: vlan.NativeTagged, VLAN: 1}, "trunk all VLANs, native 1 tagged"},
		{vlan.Policy{Mode: vlan.Tunnel, VLAN: 5}, "tunnel VLAN 5"},
		{vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, CVLANs: set(t, "1-10")}, "tunnel VLAN 5, C-VLANs 1-10"},
		{vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, PriorityTags: vlan.Always}, "tunnel VLAN 5, priority tags always"},
	} {
		if err := tt.p.Validate(); err != nil {
			t.Errorf("%s: %v", tt.want, err)
		}
		if got := tt.p.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	reserved, untagged := set(t, "10"), set(t, "10")
	reserved.Add(4095)
	untagged.Add(0)
	for name, tt := range map[string]struct {
		p    vlan.Policy
		says string
	}{
		"access in VLAN 4095":          {vlan.Policy{VLAN: 4095}, "4095"},
		"trunk with a VLAN":            {vlan.Policy{Mode: vlan.Trunk, VLAN: 7}, "VLAN 7 its native one"},
		"native trunk without VLAN":    {vlan.Policy{Mode: vlan.NativeUntagged}, "0 is not a VLAN"},
		"native tagged without VLAN":   {vlan.Policy{Mode: vlan.NativeTagged}, "0 is not a VLAN"},
		"tunnel without VLAN":          {vlan.Policy{Mode: vlan.Tunnel}, "0 is not a VLAN"},
		"native VLAN 5000":             {vlan.Policy{Mode: vlan.NativeTagged, VLAN: 5000}, "5000"},
		"trunk list on an access port": {vlan.Policy{VLAN: 1, Trunk: set(t, "10")}, "make the port a trunk"},
		"trunk list on a tunnel":       {vlan.Policy{Mode: vlan.Tunnel, VLAN: 1, Trunk: set(t, "10")}, "tunnel port"},
		"C-VLANs on an access port":    {vlan.Policy{VLAN: 1, CVLANs: set(t, "10")}, "make the port a tunnel"},
		"C-VLANs on a trunk":           {vlan.Policy{Mode: vlan.Trunk, CVLANs: set(t, "10")}, "make the port a tunnel"},
		"empty trunk list":             {vlan.Policy{Mode: vlan.Trunk, Trunk: &vlan.Set{}}, "empty"},
		"empty C-VLAN list":            {vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, CVLANs: &vlan.Set{}}, "empty"},
		"VLAN 0 in a trunk list":       {vlan.Policy{Mode: vlan.Trunk, Trunk: untagged}, "1 to 4094"},
		"VLAN 4095 in a trunk list":    {vlan.Policy{Mode: vlan.Trunk, Trunk: reserved}, "1 to 4094"},
		"VLAN 4095 in a C-VLAN list":   {vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, CVLANs: reserved}, "0 to 4094"},
		"TPID of nothing":              {vlan.Policy{TPID: 0x9100}, "0x9100"},
		"TPID on a tunnel":             {vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, TPID: 0x88a8}, "leave the TPID out"},
		"unknown mode":                 {vlan.Policy{Mode: 9, VLAN: 1}, "mode 9"},
		"unknown priority tags":        {vlan.Policy{PriorityTags: 9}, "never, if-nonzero, always"},
	} {
		err := tt.p.Validate()
		if err == nil {
			t.Errorf("%s: Validate accepts it", name)
		} else if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q does not say %q", name, err, tt.says)
		}
	}
}

func TestPolicyMembers(t *testing.T) {
	for name, tt := range map[string]struct {
		p    vlan.Policy
		want string
		wide bool
	}{
		"access":                 {vlan.Policy{VLAN: 10}, "10", false},
		"tunnel":                 {vlan.Policy{Mode: vlan.Tunnel, VLAN: 10, CVLANs: set(t, "1-100")}, "10", false},
		"trunk":                  {vlan.Policy{Mode: vlan.Trunk, Trunk: set(t, "10,20-30")}, "10,20-30", false},
		"trunk all":              {vlan.Policy{Mode: vlan.Trunk}, "1-4094", true},
		"trunk of 64":            {vlan.Policy{Mode: vlan.Trunk, Trunk: set(t, "1-64")}, "1-64", false},
		"trunk of 65":            {vlan.Policy{Mode: vlan.Trunk, Trunk: set(t, "1-65")}, "1-65", true},
		"native and 64":          {vlan.Policy{Mode: vlan.NativeTagged, VLAN: 65, Trunk: set(t, "1-64")}, "1-65", true},
		"native among 64":        {vlan.Policy{Mode: vlan.NativeTagged, VLAN: 64, Trunk: set(t, "1-64")}, "1-64", false},
		"native not in the list": {vlan.Policy{Mode: vlan.NativeUntagged, VLAN: 15, Trunk: set(t, "10,20")}, "10,15,20", false},
	} {
		var members, each vlan.Set
		for vid := range vlan.ID(4096) {
			if tt.p.Member(vid) {
				members.Add(uint16(vid))
			}
		}
		var order []vlan.ID
		tt.p.EachVLAN(func(vid vlan.ID) {
			each.Add(uint16(vid))
			order = append(order, vid)
		})
		if members.String() != tt.want || each.String() != tt.want || !slices.IsSorted(order) || len(order) != each.Len() {
			t.Errorf("%s: member of %s, goes through %s, want %s", name, &members, &each, tt.want)
		}
		if tt.p.Wide() != tt.wide {
			t.Errorf("%s: Wide() = %v, want %v", name, !tt.wide, tt.wide)
		}
	}
}

func TestPolicyEqual(t *testing.T) {
	all := policies(t)
	again := policies(t)
	for a, p := range all {
		for b, q := range again {
			if p.Equal(q) != (a == b) {
				t.Errorf("%q equals %q: %v", a, b, a != b)
			}
		}
	}
	for name, pair := range map[string][2]vlan.Policy{
		"native named or not":  {{Mode: vlan.NativeTagged, VLAN: 1, Trunk: set(t, "1,2")}, {Mode: vlan.NativeTagged, VLAN: 1, Trunk: set(t, "2")}},
		"all said or written":  {{Mode: vlan.Trunk}, {Mode: vlan.Trunk, Trunk: set(t, "1-4094")}},
		"TPID said or written": {{VLAN: 1}, {VLAN: 1, TPID: 0x8100}},
	} {
		if !pair[0].Equal(&pair[1]) {
			t.Errorf("%s: %s and %s are not equal", name, &pair[0], &pair[1])
		}
	}
}

func TestNames(t *testing.T) {
	for m, name := range map[vlan.Mode]string{
		vlan.Access: "access", vlan.Trunk: "trunk", vlan.NativeUntagged: "native-untagged",
		vlan.NativeTagged: "native-tagged", vlan.Tunnel: "tunnel",
	} {
		if got, err := vlan.ParseMode(name); got != m || err != nil || m.String() != name {
			t.Errorf("ParseMode(%q) = %v, %v; String() = %q", name, got, err, m)
		}
	}
	for p, name := range map[vlan.PriorityTags]string{vlan.Never: "never", vlan.IfNonzero: "if-nonzero", vlan.Always: "always"} {
		if got, err := vlan.ParsePriorityTags(name); got != p || err != nil || p.String() != name {
			t.Errorf("ParsePriorityTags(%q) = %v, %v; String() = %q", name, got, err, p)
		}
	}
	if m, err := vlan.ParseMode("hybrid"); err == nil || !strings.Contains(err.Error(), "native-tagged") {
		t.Errorf("ParseMode of a wrong word: %v, %v", m, err)
	}
	if p, err := vlan.ParsePriorityTags(""); err == nil || !strings.Contains(err.Error(), "if-nonzero") {
		t.Errorf("ParsePriorityTags of nothing: %v, %v", p, err)
	}
}
