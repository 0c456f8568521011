package lab

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/internal/terms"
	"github.com/vswitch/vswitch/lab/vm"
	"github.com/vswitch/vswitch/storm"
	"github.com/vswitch/vswitch/vlan"
)

// Kinds are those that a node can be of.
var Kinds = []string{Host, Router, Switch, VM, External}

// fits says which kinds a key is for; those that are not listed are for all.
var fits = map[string][]string{
	"ip":       {Host, Router, VM},
	"gateway":  {Host, Router, VM},
	"routes":   {Host, Router, VM},
	"sysctls":  {Host, Router, VM},
	"env":      {Host, Router, VM},
	"exec":     {Host, Router, VM},
	"services": {Host, Router},

	"ageing":        {Switch},
	"fdb_size":      {Switch},
	"bpdu":          {Switch},
	"pass_reserved": {Switch},

	"memory": {VM},
	"cpus":   {VM},
	"image":  {VM},
	"kernel": {VM},
	"initrd": {VM},
	"append": {VM},
	"args":   {VM},

	"user_data": {VM},
	"accel":     {VM},

	"device": {External},
}

// longestSwitch is how long the name of a switch may be, LAB.NODE.
const longestSwitch = 32

func (b *builder) checkMembers() {
	if len(b.spec.Nodes) == 0 && !b.d.Empty() {
		b.d.Reject(b.spec.Of("nodes"), "a lab has nodes: write such as nodes: {h1: {ip: 10.0.0.1/24}}")
	}
	for _, m := range b.t.Members {
		b.checkKind(m)
		switch m.Kind {
		case Switch:
			b.checkSwitch(m)
		case VM:
			b.checkVM(m)
		case External:
			b.checkExternal(m)
		}
		if m.hasNamespace() {
			b.checkHost(m)
		}
		for _, r := range m.Routes {
			b.checkRoute(m, r)
		}
		b.checkGateways(m)
	}
}

func (b *builder) checkKind(m *Member) {
	if !slices.Contains(Kinds, m.Kind) {
		hint := cmp.Or(document.DidYouMean(m.Kind, Kinds), ": say "+strings.Join(Kinds, ", "))
		b.d.Reject(m.Of("kind"), "nodes have no kind %q%s", m.Kind, hint)
		return
	}
	for _, key := range m.Keys() {
		if kinds := fits[key]; kinds != nil && !slices.Contains(kinds, m.Kind) {
			b.d.Reject(m.Of(key), "%s does not fit a node of kind %s: it is for %s", key, m.Kind, strings.Join(kinds, ", "))
		}
	}
}

func (b *builder) checkSwitch(m *Member) {
	if name := b.t.SwitchName(m); len(name) > longestSwitch {
		b.d.Reject(m.Place(), "the switch would be called %q, with %d characters, and %d are the most: shorten the name of the lab or of the node", name, len(name), longestSwitch)
	}
	if m.Ageing != nil {
		if _, err := config.ParseAgeing(string(*m.Ageing)); err != nil {
			b.d.Reject(m.Of("ageing"), "%v", err)
		}
	}
	if m.FDBSize != nil && *m.FDBSize < 1 {
		b.d.Reject(m.Of("fdb_size"), "a forwarding database of %d entries is not possible: give 1 or more", *m.FDBSize)
	}
	if m.BPDU != nil && *m.BPDU != api.BPDUForward && *m.BPDU != api.BPDUDrop {
		b.d.Reject(m.Of("bpdu"), "%q does not say what to do with BPDUs: use forward or drop", *m.BPDU)
	}
	if m.PassReserved != nil {
		if _, err := frame.ParseReservedSet(string(*m.PassReserved)); err != nil {
			b.d.Reject(m.Of("pass_reserved"), "%v", err)
		}
	}
}

func (b *builder) checkVM(m *Member) {
	if m.Image == "" && m.Kernel == "" {
		b.d.Reject(m.Place(), "the virtual machine %s has nothing to boot: say image, a disk, or kernel", m.Name)
	}
	if m.Initrd != "" && m.Kernel == "" {
		b.d.Reject(m.Of("initrd"), "an initrd goes with a kernel: say kernel, too")
	}
	if m.Append != "" && m.Kernel == "" {
		b.d.Reject(m.Of("append"), "a command line goes with a kernel: say kernel, too")
	}
	if m.UserData != "" && m.Image == "" {
		b.d.Reject(m.Of("user_data"), "user_data is for cloud-init, on a disk: say image, too")
	}
	if m.Accel != "" && m.Accel != vm.KVM && m.Accel != vm.TCG {
		b.d.Reject(m.Of("accel"), "%q does not say how the machine runs: use kvm or tcg, or leave it out", m.Accel)
	}
	if m.Memory != "" && !regexp.MustCompile(`^[1-9][0-9]*[MG]$`).MatchString(m.Memory) {
		b.d.Reject(m.Of("memory"), "%q is no amount of memory: write such as 256M or 2G", m.Memory)
	}
	if m.Has("cpus") && m.CPUs < 1 {
		b.d.Reject(m.Of("cpus"), "%d processors are not possible: give 1 or more", m.CPUs)
	}
}

func (b *builder) checkExternal(m *Member) {
	switch {
	case m.Device == "":
		b.d.Reject(m.Place(), "the external node %s names no device: say device, such as eth1", m.Name)
	case len(m.Ends) > 1:
		b.d.Reject(m.Ends[1].at, "%s is one device, and has a link already", m.Name)
	}
	for _, other := range b.t.Members {
		if other == m {
			break
		}
		if other.Kind == External && other.Device == m.Device && m.Device != "" {
			b.d.Reject(m.Of("device"), "the device %s is that of %s, too: it is one port", m.Device, other.Name)
		}
	}
}

// Restart policies of services.
const (
	RestartNo        = "no"
	RestartOnFailure = "on-failure"
	RestartAlways    = "always"
)

func (b *builder) checkHost(m *Member) {
	for _, name := range slices.Sorted(maps.Keys(m.Sysctls)) {
		if !strings.HasPrefix(name, "net.") && !strings.HasPrefix(name, "net/") {
			b.d.Reject(m.Of("sysctls"), "%s is a setting of the whole machine, and no node's own: those below net. are", name)
		}
	}
	for _, p := range m.Services {
		s := p.Value
		switch {
		case s == nil || len(s.Command.Args) == 0:
			b.d.Reject(p.Place, "the service %s has no command", p.Key)
		case s.Restart != "" && s.Restart != RestartNo && s.Restart != RestartOnFailure && s.Restart != RestartAlways:
			b.d.Reject(s.Of("restart"), "%q does not say when to start it again: use no, on-failure or always", s.Restart)
		}
		if !nameForm.MatchString(p.Key) {
			b.d.Reject(p.Place, "%q cannot name a service: %s", p.Key, nameRule)
		}
	}
}

func (b *builder) checkRoute(m *Member, r Route) {
	if r.To != "default" && r.To != "" {
		if p, err := netip.ParsePrefix(r.To); err != nil {
			b.d.Reject(r.Place, "%q is no network: write such as 10.9.0.0/16, or default", r.To)
		} else if p != p.Masked() {
			b.d.Reject(r.Place, "%s is no network, but %s is", r.To, p.Masked())
		}
	}
	if r.Via != "" {
		if _, err := netip.ParseAddr(r.Via); err != nil {
			b.d.Reject(r.Place, "%q is no address of a router", r.Via)
		}
	}
	if r.Dev != "" && !slices.Contains(m.allInterfaces(), r.Dev) {
		b.d.Reject(r.Place, "%s has no interface %q%s", m.Name, r.Dev, document.DidYouMean(r.Dev, m.allInterfaces()))
	}
}

// checkGateways holds that a gateway is a neighbour.
func (b *builder) checkGateways(m *Member) {
	for _, g := range m.Gateway {
		addr, err := netip.ParseAddr(g.Text)
		if err != nil {
			b.d.Reject(g.Place, "%q is not an address, such as 10.0.0.254", g.Text)
			continue
		}
		reached := addr.IsLinkLocalUnicast() || len(m.Ends) == 0 // of which something was said
		for _, p := range m.prefixes() {
			reached = reached || p.Contains(addr)
		}
		if !reached {
			b.d.Reject(g.Place, "no address of %s is in a network with its gateway %s", m.Name, addr)
		}
	}
}

func (b *builder) checkCables() {
	for _, c := range b.t.Cables {
		b.checkKinds(c)
		if c.isWire() {
			b.wire(c)
		}
		if c.Has("mtu") && (c.MTU < 68 || c.MTU > 65535) {
			b.d.Reject(c.Of("mtu"), "an MTU of %d is not possible: give 68 to 65535", c.MTU)
		}
		for i, e := range c.Ends {
			b.checkEnd(e)
			if e.Kind == Switch {
				b.checkSettings(e, &c.Link.Endpoints[i])
			}
		}
		for _, spec := range c.Leaves {
			b.checkImpairment(c.Of("impair"), spec)
		}
	}
}

// wire gives a cable without a switch a VLAN, which stays its own while others
// come and go, as far as that can be: ports need not be changed then.
func (b *builder) wire(c *Cable) {
	const most = int(vlan.MaxID)
	if len(b.t.wires) == most {
		b.d.Reject(c.Place(), "a lab has %d links without a switch at the most: put a switch between some of their nodes", most)
		return
	}
	taken := make(map[int]bool)
	for _, id := range b.t.wires {
		taken[id] = true
	}
	h := fnv.New32a()
	h.Write([]byte(c.Ends[0].String() + " " + c.Ends[1].String()))
	id := int(h.Sum32()%uint32(most)) + 1
	for taken[id] {
		id = id%most + 1
	}
	b.t.wires[c] = id
}

// checkKinds refuses what no cable can join, and what only a switch could use.
func (b *builder) checkKinds(c *Cable) {
	near, far := c.Ends[0], c.Ends[1]
	if near.Member == far.Member {
		b.d.Reject(near.at, "the link goes from %s to itself", near.Member.Name)
		return
	}
	for _, e := range c.Ends {
		if e.Kind == External && e.Far().Kind != Switch {
			b.d.Reject(e.at, "the device %s is a port of a switch, and %s is none: put a switch between them", e.Device, e.Far().Member.Name)
		}
	}
	if near.Kind != Switch && far.Kind != Switch {
		for _, key := range slices.Concat(modeKeys, optionKeys) {
			if c.said.Has(key) {
				b.d.Reject(c.Of(key), "%s is for a port of a switch, and neither %s nor %s is one", key, near.Member.Name, far.Member.Name)
			}
		}
	}
}

func (b *builder) checkEnd(e *End) {
	if e.Kind == Switch {
		if !nameForm.MatchString(e.Name) {
			b.d.Reject(e.at, "%q cannot name a port: %s", e.Name, nameRule)
		}
		return
	}
	if strings.ContainsAny(e.Name, "/ :") || e.Name == "." || e.Name == ".." || e.Name == "lo" || len(e.Name) > 127 {
		b.d.Reject(e.at, "%q cannot name an interface", e.Name)
	}
}

// checkSettings holds what the daemon would refuse of a port's settings.
func (b *builder) checkSettings(e *End, said *Endpoint) {
	at := func(keys ...string) document.Place {
		for _, key := range keys {
			for _, w := range []*document.Where{&said.Where, &e.Cable.Link.Where} {
				if w.Has(key) {
					return w.Of(key)
				}
			}
		}
		return e.at
	}
	spec := e.Settings.VLAN()
	if spec != nil {
		if _, err := terms.Policy(spec, nil); err != nil {
			b.d.Reject(at(append([]string{"priority_tags"}, modeKeys...)...), "%s: %v", e, err)
		}
	}
	if n := e.Settings.MaxMACs; n != nil && *n < 0 {
		b.d.Reject(at("max_macs"), "a limit of %d addresses is not possible: give 1 or more, or 0 for no limit", *n)
	}
	if s := e.Settings.Options().StormLimit; s != nil {
		if _, err := storm.Parse(*s); err != nil {
			b.d.Reject(at("storm_limit"), "%v", err)
		}
	}
	if p := e.Settings.PassReserved; p != nil && string(*p) != api.PassAsSwitch {
		if _, err := frame.ParseReservedSet(string(*p)); err != nil {
			b.d.Reject(at("pass_reserved"), "%v", err)
		}
	}
}

func (b *builder) checkImpairment(at document.Place, spec *api.ImpairmentSpec) {
	if spec == nil {
		return
	}
	var c impair.Config
	if err := terms.Impair(&c, *spec); err != nil {
		b.d.Reject(at, "%v", err)
	}
}

// untagged returns the VLAN that untagged frames have at a port; 0: none.
func untagged(s *config.PortSettings) vlan.ID {
	p, err := terms.Policy(s.VLAN(), nil)
	if err != nil || p.Mode == vlan.Trunk {
		return 0
	}
	return p.VLAN
}

// tags reports whether frames of a VLAN leave a port with its tag.
func tags(s *config.PortSettings, id vlan.ID) bool {
	p, err := terms.Policy(s.VLAN(), nil)
	switch {
	case err != nil || !p.Member(id):
		return false
	case p.Mode == vlan.NativeUntagged:
		return p.VLAN != id
	}
	return p.Mode == vlan.Trunk || p.Mode == vlan.NativeTagged
}

// carries reports whether a port carries a VLAN.
func carries(s *config.PortSettings, id vlan.ID) bool {
	p, err := terms.Policy(s.VLAN(), nil)
	return err == nil && p.Member(id)
}

// SwitchName returns what the daemon calls the switch of a node.
func (t *Topology) SwitchName(m *Member) string { return t.Name + "." + m.Name }

// NetnsName returns the name of a node's namespace, as ip-netns(8) shows it.
func (t *Topology) NetnsName(m *Member) string { return t.Name + "-" + m.Name }
