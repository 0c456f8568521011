package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/frame"
)

// Export writes a lab as it stands as a file: what was a range is each node by
// itself, and what was changed since it was built is so.
func Export(t *Topology, o *Overview) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\n", t.Name)
	if t.Description != "" {
		fmt.Fprintf(&b, "description: %s\n", quote(t.Description))
	}
	b.WriteString("nodes:\n")
	for _, m := range t.Members {
		fmt.Fprintf(&b, "  %s: {%s}\n", quote(m.Name), strings.Join(m.words(), ", "))
	}
	if len(t.Cables) > 0 {
		b.WriteString("links:\n")
	}
	for i, c := range t.Cables {
		fmt.Fprintf(&b, "  - %s\n", strings.Join(c.words(o.Links[i]), "\n    "))
	}
	if len(t.Tests) > 0 {
		b.WriteString("tests:\n")
	}
	for i := range t.Tests {
		fmt.Fprintf(&b, "  - %s\n", t.Tests[i].yaml())
	}
	return b.String()
}

// quote writes a word so that YAML reads it as one.
func quote(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-", r)
	}) < 0
	if plain && s != "" && !strings.HasPrefix(s, "-") {
		return s
	}
	return strconv.Quote(s)
}

func quoteAll(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, quote(w))
	}
	if len(all) == 1 {
		return all[0]
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// words are the settings of a node.
func (m *Member) words() (all []string) {
	say := func(key, value string) {
		if value != "" {
			all = append(all, key+": "+value)
		}
	}
	if m.Kind != Host {
		say("kind", m.Kind)
	}
	var ips []string
	for _, e := range m.Ends {
		var of []string
		for _, p := range e.Prefixes {
			of = append(of, p.String())
		}
		if len(of) > 0 {
			ips = append(ips, quote(e.Name)+": "+quoteAll(of))
		}
		for _, v := range e.VLANs {
			of = nil
			for _, p := range v.Prefixes {
				of = append(of, p.String())
			}
			ips = append(ips, quote(v.Name)+": "+quoteAll(of))
		}
	}
	if len(ips) > 0 {
		say("ip", "{"+strings.Join(ips, ", ")+"}")
	}
	if len(m.Gateway) > 0 {
		say("gateway", quoteAll(m.Gateway.Texts()))
	}
	var routes []string
	for _, r := range m.Routes {
		routes = append(routes, strconv.Quote(r.String()))
	}
	if len(routes) > 0 {
		say("routes", "["+strings.Join(routes, ", ")+"]")
	}
	say("sysctls", mapping(m.Sysctls))
	say("env", mapping(m.Env))
	var commands []string
	for _, c := range m.Exec {
		commands = append(commands, c.yaml())
	}
	if len(commands) > 0 {
		say("exec", "["+strings.Join(commands, ", ")+"]")
	}
	var services []string
	for _, p := range m.Services {
		services = append(services, quote(p.Key)+": "+p.Value.yaml())
	}
	if len(services) > 0 {
		say("services", "{"+strings.Join(services, ", ")+"}")
	}
	for _, f := range []struct {
		key string
		to  *config.Word
	}{{"ageing", m.Ageing}, {"bpdu", m.BPDU}, {"pass_reserved", m.PassReserved}} {
		if f.to != nil {
			say(f.key, quote(string(*f.to)))
		}
	}
	if m.FDBSize != nil {
		say("fdb_size", strconv.Itoa(*m.FDBSize))
	}
	for _, f := range [][2]string{{"memory", m.Memory}, {"image", m.Image}, {"kernel", m.Kernel}, {"initrd", m.Initrd}, {"append", m.Append}, {"user_data", m.UserData}, {"accel", m.Accel}, {"device", m.Device}} {
		if f[1] != "" {
			say(f[0], quote(f[1]))
		}
	}
	if m.CPUs > 0 {
		say("cpus", strconv.Itoa(m.CPUs))
	}
	if len(m.Args) > 0 {
		say("args", "["+strings.Join(quoteEach(m.Args), ", ")+"]")
	}
	return all
}

func quoteEach(words []string) (all []string) {
	for _, w := range words {
		all = append(all, strconv.Quote(w))
	}
	return all
}

// mapping writes a mapping in one line; "" where there is none.
func mapping(m map[string]string) string {
	var all []string
	for k, v := range m {
		all = append(all, quote(k)+": "+strconv.Quote(v))
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ", ") + "}"
}

// yaml writes a command as it can be read.
func (c Command) yaml() string {
	if len(c.Args) == 3 && c.Args[0] == "sh" && c.Args[1] == "-c" {
		return strconv.Quote(c.Args[2])
	}
	return "[" + strings.Join(quoteEach(c.Args), ", ") + "]"
}

func (s *Service) yaml() string {
	words := []string{"command: " + s.Command.yaml()}
	if s.Restart != "" {
		words = append(words, "restart: "+strconv.Quote(s.Restart))
	}
	if env := mapping(s.Env); env != "" {
		words = append(words, "env: "+env)
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// String returns the route as ip-route(8) has it.
func (r Route) String() string {
	words := []string{r.To}
	if r.Via != "" {
		words = append(words, "via", r.Via)
	}
	if r.Dev != "" {
		words = append(words, "dev", r.Dev)
	}
	return strings.Join(words, " ")
}

// words are the settings of a link, as it stands.
func (c *Cable) words(o LinkOverview) (all []string) {
	ends := make([]string, 2)
	same := samePolicies(o)
	for i, e := range c.Ends {
		ends[i] = strconv.Quote(e.String())
		words := e.words(o.Ends[i], !same)
		if len(words) > 0 {
			ends[i] = fmt.Sprintf("{node: %s, port: %s, %s}", quote(e.Member.Name), quote(e.Name), strings.Join(words, ", "))
		}
	}
	all = append(all, "endpoints: ["+strings.Join(ends, ", ")+"]")
	if same {
		for _, e := range o.Ends {
			if e.VLAN != nil {
				all = append(all, vlanYAML(e.VLAN)...)
				break
			}
		}
	}
	if c.MTU != 0 {
		all = append(all, "mtu: "+strconv.Itoa(c.MTU))
	}
	if impair := impairYAML(c, o); impair != "" {
		all = append(all, "impair: "+impair)
	}
	if o.State == api.StateDown {
		all = append(all, "down: true")
	}
	return all
}

// samePolicies reports whether the VLANs of a link can be said once.
func samePolicies(o LinkOverview) bool {
	near, far := o.Ends[0].VLAN, o.Ends[1].VLAN
	return near == nil || far == nil || near.String() == far.String()
}

// words are the settings of an end that are its own.
func (e *End) words(o EndOverview, withVLAN bool) (all []string) {
	if e.MAC != (frame.MAC{}) {
		all = append(all, "mac: "+strconv.Quote(e.MAC.String()))
	}
	if withVLAN && o.VLAN != nil {
		all = append(all, vlanYAML(o.VLAN)...)
	}
	s := &e.Settings
	for _, f := range []struct {
		key string
		to  *bool
	}{{"no_flood", s.NoFlood}, {"no_mcast_flood", s.NoMcastFlood}, {"no_bcast_flood", s.NoBcastFlood}, {"no_learn", s.NoLearn}, {"hairpin", s.Hairpin}, {"isolated", s.Isolated}, {"sticky", s.Sticky}, {"loop_protect", s.LoopProtect}} {
		if e.Kind == Switch && f.to != nil && *f.to {
			all = append(all, f.key+": true")
		}
	}
	if e.Kind == Switch && s.StormLimit != nil {
		all = append(all, "storm_limit: "+quoteAll(s.StormLimit.Texts()))
	}
	if e.Kind == Switch && s.MaxMACs != nil {
		all = append(all, "max_macs: "+strconv.Itoa(*s.MaxMACs))
	}
	if e.Kind == Switch && s.PassReserved != nil {
		all = append(all, "pass_reserved: "+strconv.Quote(string(*s.PassReserved)))
	}
	if e.Kind == Switch && s.Description != nil {
		all = append(all, "description: "+strconv.Quote(*s.Description))
	}
	return all
}

// vlanYAML writes a policy; nothing for that of a new port.
func vlanYAML(v *api.VLAN) (all []string) {
	set := func(s api.VLANSet) string {
		if s.IsAll() {
			return "all"
		}
		return strconv.Quote(s.String())
	}
	switch v.Mode {
	case api.ModeAccess:
		if v.Access != 1 {
			all = append(all, "access: "+strconv.Itoa(v.Access))
		}
	case api.ModeTunnel:
		all = append(all, "tunnel: "+strconv.Itoa(v.Tunnel))
		if !v.CVLANs.IsAll() {
			all = append(all, "cvlans: "+set(v.CVLANs))
		}
	default:
		all = append(all, "trunk: "+set(v.Trunk))
		if v.Native != 0 {
			all = append(all, "native: "+strconv.Itoa(v.Native))
		}
		if v.Mode == api.ModeNativeTagged {
			all = append(all, "native_tagged: true")
		}
	}
	if v.TPID != "" {
		all = append(all, "tpid: "+strconv.Quote(v.TPID))
	}
	if v.PriorityTags != "" {
		all = append(all, "priority_tags: "+v.PriorityTags)
	}
	return all
}

// impairYAML writes what becomes of frames, by the end that they leave where the
// two differ.
func impairYAML(c *Cable, o LinkOverview) string {
	near, far := o.Ends[0].Leaves, o.Ends[1].Leaves
	switch {
	case near == nil && far == nil:
		return ""
	case near != nil && far != nil && *near == *far:
		return "{" + impairmentYAML(near) + "}"
	}
	var all []string
	for i, leaves := range []*api.Impairment{near, far} {
		if leaves != nil {
			all = append(all, fmt.Sprintf("%q: {%s}", c.Ends[i].String(), impairmentYAML(leaves)))
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func impairmentYAML(i *api.Impairment) string {
	var all []string
	words := strings.Fields(i.String())
	for len(words) > 0 {
		key := strings.ReplaceAll(words[0], "-", "_")
		if words[0] == "in-order" {
			all = append(all, key+": true")
			words = words[1:]
			continue
		}
		all = append(all, key+": "+words[1])
		words = words[2:]
	}
	return strings.Join(all, ", ")
}
