package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

// Shown is a configuration as it stands, in the API's terms. Of ports, what they
// were given and not what became of them is written: the MTU that was asked for.
type Shown struct {
	Profiles []ShownProfile
	Switches []ShownSwitch
}

// ShownProfile is a profile as it stands.
type ShownProfile struct {
	Name    string
	VLAN    api.VLAN
	Options api.Options
}

// ShownSwitch is a switch as it stands.
type ShownSwitch struct {
	api.Switch
	Ports   []api.Port
	Entries []api.FDBEntry // static ones, and filters
}

// Tree returns the document that stands for a configuration, in a stable order. A
// value that is that of something new is left out.
func (s *Shown) Tree() document.Tree {
	doc := document.Tree{{Key: "version", Value: Version}}
	var profiles, switches document.Tree
	for _, p := range s.Profiles {
		profiles.Add(p.Name, ProfileTree(&p.VLAN, &p.Options))
	}
	for i := range s.Switches {
		switches.Add(s.Switches[i].Name, s.Switches[i].tree())
	}
	doc.Say("profiles", profiles)
	doc.Add("switches", switches)
	return doc
}

// ProfileTree returns what a document says of a profile.
func ProfileTree(v *api.VLAN, o *api.Options) document.Tree {
	return append(vlanTree(v), optionTree(o)...)
}

// SettingKeys are those of a switch's own settings.
var SettingKeys = []string{"ageing", "fdb_size", "bpdu", "pass_reserved"}

// SettingsTree returns what a document says of a switch's own settings.
func SettingsTree(s api.Switch) (t document.Tree) {
	if s.AgeingSeconds != 300 {
		t.Add("ageing", strconv.FormatFloat(s.AgeingSeconds, 'f', -1, 64)+"s")
	}
	if s.FDBSize != 16384 {
		t.Add("fdb_size", s.FDBSize)
	}
	if s.BPDU != api.BPDUForward {
		t.Add("bpdu", s.BPDU)
	}
	if s.PassReserved != "none" {
		t.Add("pass_reserved", s.PassReserved)
	}
	return t
}

func (s *ShownSwitch) tree() document.Tree {
	t := SettingsTree(s.Switch)
	var ports document.Tree
	for i := range s.Ports {
		ports.Add(s.Ports[i].Name, PortTree(s.Ports[i]))
	}
	t.Say("ports", ports)
	var entries []any
	for _, e := range s.Entries {
		one := document.Tree{{Key: "vlan", Value: e.VLAN}, {Key: "mac", Value: e.MAC}}
		if e.Type == api.Filter {
			one.Add("drop", true)
		} else {
			one.Add("port", e.Port)
		}
		entries = append(entries, one)
	}
	if len(entries) > 0 {
		t.Add("fdb", entries)
	}
	return t
}

// PortTree returns what a document says of a port.
func PortTree(p api.Port) (t document.Tree) {
	switch p.Kind {
	case api.KindVeth:
		if p.Netns == "" && p.Container == "" {
			t.Add("veth", true)
		}
	case api.KindTap:
		t.Add("tap", true)
	case api.KindPatch:
		t.Add("patch", p.Peer)
	default:
		t.Add(p.Kind, p.Device)
	}
	t.Say("netns", p.Netns)
	t.Say("container", p.Container)
	if p.Kind == api.KindVeth || p.Kind == api.KindTap {
		t.Say("ifname", cmp.Or(p.IfName, p.Device))
	}
	t.Say("mac", p.MAC)
	t.Say("ip", list(p.IPs))
	t.Say("gateway", list(p.Gateways))
	t.Say("mtu", p.MTU)
	t.Say("owner", p.Owner)
	if p.Queues > 1 {
		t.Add("queues", p.Queues)
	}
	if p.Profile != "" {
		t.Add("profile", p.Profile)
	} else {
		t = append(append(t, vlanTree(&p.VLAN)...), optionTree(&p.Options)...)
	}
	if p.State == api.StateDown {
		t.Add("down", true)
	}
	t.Say("description", p.Description)
	t.Say("impair", impairTree(p.Impair))
	return t
}

// list writes a single word as such.
func list(words []string) any {
	switch len(words) {
	case 0:
		return nil
	case 1:
		return words[0]
	}
	var all []any
	for _, w := range words {
		all = append(all, w)
	}
	return all
}

// vlanTree always says the mode, so that nobody has to know what it is otherwise.
func vlanTree(v *api.VLAN) (t document.Tree) {
	switch v.Mode {
	case api.ModeAccess:
		t.Add("access", v.Access)
	case api.ModeTunnel:
		t.Add("tunnel", v.Tunnel)
		if v.CVLANs != nil && !v.CVLANs.IsAll() {
			t.Add("cvlans", vlanList(v.CVLANs))
		}
	default:
		t.Add("trunk", vlanList(v.Trunk))
		t.Say("native", v.Native)
		t.Say("native_tagged", v.Mode == api.ModeNativeTagged)
	}
	t.Say("tpid", v.TPID)
	t.Say("priority_tags", v.PriorityTags)
	return t
}

// vlanList writes a list of VIDs and ranges.
func vlanList(s api.VLANSet) any {
	if s.IsAll() {
		return "all"
	}
	all := []any{}
	for _, word := range s {
		if n, err := strconv.Atoi(word); err == nil {
			all = append(all, n)
		} else {
			all = append(all, word)
		}
	}
	return all
}

func optionTree(o *api.Options) (t document.Tree) {
	t.Say("no_flood", o.NoFlood)
	t.Say("no_mcast_flood", o.NoMcastFlood)
	t.Say("no_bcast_flood", o.NoBcastFlood)
	t.Say("no_learn", o.NoLearn)
	t.Say("hairpin", o.Hairpin)
	t.Say("isolated", o.Isolated)
	t.Say("sticky", o.Sticky)
	t.Say("max_macs", o.MaxMACs)
	if o.PassReserved != api.PassAsSwitch {
		t.Add("pass_reserved", o.PassReserved)
	}
	t.Say("loop_protect", o.LoopProtect)
	t.Say("storm_limit", list(strings.FieldsFunc(o.StormLimit, func(r rune) bool { return r == ',' })))
	return t
}

func impairTree(i api.Impairments) (t document.Tree) {
	if i.Egress != nil && i.Ingress != nil && *i.Egress == *i.Ingress {
		return directionTree(i.Egress)
	}
	if i.Egress != nil {
		t.Add("egress", directionTree(i.Egress))
	}
	if i.Ingress != nil {
		t.Add("ingress", directionTree(i.Ingress))
	}
	return t
}

// directionTree writes the words of [api.Impairment.String], with underscores.
func directionTree(i *api.Impairment) (t document.Tree) {
	words := strings.Fields(i.String())
	for len(words) > 0 {
		key := strings.ReplaceAll(words[0], "-", "_")
		at := slices.IndexFunc(api.ImpairmentWords, func(w struct{ Name, Value, Help string }) bool { return w.Name == words[0] })
		if at >= 0 && api.ImpairmentWords[at].Value == "" {
			t.Add(key, true)
			words = words[1:]
			continue
		}
		t.Add(key, words[1])
		words = words[2:]
	}
	return t
}
