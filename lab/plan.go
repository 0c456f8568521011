package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/internal/stack"
	"github.com/vswitch/vswitch/internal/terms"
	"github.com/vswitch/vswitch/storm"
)

// action is one thing that has to be done, and how it is taken back.
type action struct {
	kind string // what is counted together while it is shown: "ports"
	what string // "add port campus.sw1/p1", as a plan shows it
	do   func(context.Context) error
	undo func(context.Context) error // nil: there is nothing to take back

	quiet bool // it is no change that anybody asked for
}

// world is how things stand for a lab.
type world struct {
	switches map[string]api.Switch
	ports    map[string]api.Port
	asleep   bool            // no daemon answers
	nodes    map[string]bool // that have a namespace
	was      *Topology       // what was made of it last; nil: nothing

	// How that was left, and what its namespaces have lost since, by node.
	devices map[string]int // of its ports
	lacked  map[string][]string
	drifted map[string][]string
}

// look finds how things stand.
func (m *Manager) look(ctx context.Context, lab string) (*world, error) {
	w := &world{switches: make(map[string]api.Switch), ports: make(map[string]api.Port), nodes: make(map[string]bool)}
	nodes, err := namespaces(lab)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		w.nodes[n] = true
	}
	show, err := m.client.Show(ctx)
	if w.asleep = noDaemon(err); err != nil && !w.asleep { // without one, there are no switches
		return nil, err
	}
	for _, sw := range show.Switches {
		if !strings.HasPrefix(sw.Name, lab+".") {
			continue
		}
		w.switches[sw.Name] = sw.Switch
		for _, p := range sw.Ports {
			w.ports[p.FullName()] = p.Port
		}
	}
	if s, err := loadState(lab); err == nil {
		w.was, _ = Read(s.File, []byte(s.Text)) // was right when it was written
		w.devices, w.lacked = s.Devices, s.Lacked
	}
	w.drifted, err = w.drift(lab)
	return w, err
}

// anew is what of a lab stands, and has to be made anew.
type anew struct {
	ports map[string]bool // by SWITCH/PORT
	nodes map[string]bool
}

// anew finds it: ports that hang on something else, and nodes whose commands ran
// under other circumstances, with all their ports.
func (w *world) anew(t *Topology) anew {
	ports := t.ports()
	a := anew{w.replaced(ports), make(map[string]bool)}
	for _, node := range t.Members {
		if node.hasNamespace() && !w.nodes[node.Name] && w.member(node.Name) != nil {
			a.nodes[node.Name] = true // somebody has removed its namespace
		}
	}
	for _, p := range ports {
		if w.unplugged(p) {
			a.ports[p.fullName()] = true
		}
	}
	for _, p := range ports {
		if p.station != nil && a.ports[p.fullName()] && len(p.station.Exec) > 0 {
			a.nodes[p.station.Member.Name] = true
		}
	}
	for _, node := range t.Members {
		undone := len(w.drifted[node.Name]) > 0 && len(node.Exec) > 0
		if w.nodes[node.Name] && node.hasNamespace() && (undone || node.commandsDiffer(w.member(node.Name))) {
			a.nodes[node.Name] = true
		}
	}
	for _, p := range ports {
		_, stands := w.ports[p.fullName()]
		if stands && p.station != nil && a.nodes[p.station.Member.Name] {
			a.ports[p.fullName()] = true
		}
	}
	return a
}

// unplugged reports whether a host's port stands, but its far end is not the one that
// was configured: it has gone, or was made anew by the daemon. One that was only set
// down is mended.
func (w *world) unplugged(p *port) bool {
	have, stands := w.ports[p.fullName()]
	if !stands || p.station == nil || !p.station.hasNamespace() {
		return false
	}
	was, known := w.devices[p.fullName()]
	if known && was == have.Ifindex && slices.Contains(w.drifted[p.station.Member.Name], setUp(p.IfName)) {
		return false
	}
	return have.State == api.StateLost || known && was != have.Ifindex
}

// commandsDiffer reports whether the commands that have made a node are others
// now. What they did cannot be undone.
func (m *Member) commandsDiffer(was *Member) bool {
	if was == nil {
		return false
	}
	same := func(a, b Command) bool { return slices.Equal(a.Args, b.Args) }
	return !slices.EqualFunc(m.Exec, was.Exec, same) || len(m.Exec) > 0 && !maps.Equal(m.Env, was.Env)
}

// plan finds what has to be done so that things stand as the topology wants.
// First goes what is no longer wanted, then comes what is missing.
func (m *Manager) plan(w *world, t *Topology, anew anew) (all []action) {
	ports := t.ports()
	wanted := make(map[string]*port)
	for _, p := range ports {
		wanted[p.fullName()] = p
	}
	replaced := anew.ports
	all = append(all, m.removals(w, t, wanted, anew)...)
	for _, spec := range t.switches() {
		all = append(all, m.switchActions(w, spec)...)
	}
	fresh := make(map[string]bool)   // nodes whose namespace is new
	plugged := make(map[string]bool) // nodes that get an interface
	for _, node := range t.Members {
		if node.hasNamespace() && !w.nodes[node.Name] {
			fresh[node.Name] = true
			all = append(all, m.addNamespace(w, t, node))
		}
	}
	for _, p := range ports {
		have, stands := w.ports[p.fullName()]
		if stands && !replaced[p.fullName()] {
			all = append(all, m.changePort(have, p)...)
		} else {
			all = append(all, m.addPort(p, wanted)...)
			for _, e := range p.end.Cable.Ends {
				plugged[e.Member.Name] = true
			}
		}
	}
	for _, node := range t.Members {
		if node.hasNamespace() && (fresh[node.Name] || plugged[node.Name] || node.configuredOtherwise(w.was)) {
			all = append(all, action{kind: "nodes", what: "configure node " + node.Name, do: func(context.Context) error { return node.configure(t.Name, w.member(node.Name)) }})
		}
	}
	all = append(all, m.mendActions(w, t, plugged)...)
	if w.was != nil && len(plugged) > 0 {
		all = append(all, action{quiet: true, what: "tell where addresses live now", do: func(context.Context) error { return t.reannounce(plugged) }})
	}
	if names := t.hosts(); w.was == nil || names != w.was.hosts() || len(fresh) > 0 {
		all = append(all, action{kind: "names", what: "name nodes to each other", do: func(context.Context) error { return t.writeHosts() }})
	}
	for _, node := range t.Members {
		if fresh[node.Name] {
			for _, c := range node.Exec {
				all = append(all, action{kind: "commands", what: fmt.Sprintf("run in %s: %s", node.Name, c), do: func(ctx context.Context) error { return m.runAtStart(ctx, t, node, c) }})
			}
		}
	}
	return all
}

// reannounce tells all nodes that addresses may live elsewhere now: those of some
// nodes. What is known of them is forgotten, and guests are told.
func (t *Topology) reannounce(nodes map[string]bool) error {
	moved := make(map[netip.Addr]bool)
	for _, m := range t.Members {
		for _, p := range m.prefixes() {
			moved[p.Addr()] = moved[p.Addr()] || nodes[m.Name]
		}
	}
	forget := func(ip net.IP) bool {
		addr, ok := netip.AddrFromSlice(ip)
		return ok && moved[addr.Unmap()]
	}
	for _, m := range t.Members {
		if !m.hasNamespace() {
			continue
		}
		err := m.in(t.Name, func() error {
			err := stack.ForgetNeighbours(forget)
			for _, e := range m.Ends {
				for _, p := range e.Prefixes {
					if nodes[m.Name] && err == nil {
						err = stack.Announce(kernelName(e.Name), p.Addr())
					}
				}
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

func (m *Member) hasNamespace() bool { return m.Kind == Host || m.Kind == Router }

// member returns a node as it was made last; nil: it was not.
func (w *world) member(name string) *Member {
	if w.was == nil {
		return nil
	}
	return w.was.Member(name)
}

// configuredOtherwise reports whether a node had other settings or routes.
func (m *Member) configuredOtherwise(was *Topology) bool {
	if was == nil || was.Member(m.Name) == nil {
		return true
	}
	old := was.Member(m.Name)
	routes := func(m *Member) []stack.Route { return m.routes(m.Gateway.Texts()) }
	return m.Kind != old.Kind || !maps.Equal(m.Sysctls, old.Sysctls) || !slices.Equal(routes(m), routes(old)) ||
		!slices.Equal(m.allInterfaces(), old.allInterfaces()) || !slices.Equal(m.prefixes(), old.prefixes())
}

// replaced finds ports that stand, but hang on something else than is wanted:
// they have to be made anew, and of a patch, both ends.
func (w *world) replaced(ports []*port) map[string]bool {
	was := make(map[string]*port)
	if w.was != nil {
		for _, p := range w.was.ports() {
			was[p.fullName()] = p
		}
	}
	all := make(map[string]bool)
	for _, p := range ports {
		have, stands := w.ports[p.fullName()]
		if !stands || hangsAlike(have, p) && !otherMTU(was[p.fullName()], p) {
			continue
		}
		all[p.fullName()] = true
		for _, peer := range []string{have.Peer, p.Peer} {
			if _, stands := w.ports[peer]; stands {
				all[peer] = true
			}
		}
	}
	return all
}

// otherMTU reports whether a port was asked for with another MTU. What its device
// has now may be what a node's command gave it.
func otherMTU(was, p *port) bool { return was != nil && was.MTU != p.MTU }

// hangsAlike reports whether a port hangs on what is wanted.
func hangsAlike(have api.Port, p *port) bool {
	device := p.Device == "" || p.Device == have.Device
	return have.Kind == p.Kind && have.Netns == p.Netns && device && have.Peer == p.Peer &&
		(p.Kind != api.KindVeth || have.IfName == p.IfName) && have.MAC == p.MAC &&
		sameWords(have.IPs, p.IPs) && sameWords(have.Gateways, p.Gateways)
}

func sameWords(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// removals takes away what nobody wants. Of patches, deleting one end takes the
// other along; a switch takes its ports along, and they their far ends.
func (m *Manager) removals(w *world, t *Topology, wanted map[string]*port, anew anew) (all []action) {
	replaced := anew.ports
	keep := make(map[string]bool)
	for _, spec := range t.switches() {
		keep[spec.Name] = true
	}
	gone := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(w.ports)) {
		p := w.ports[name]
		if !keep[p.Switch] {
			continue
		}
		if wanted[name] != nil && !replaced[name] && (p.Peer == "" || w.staysJoined(p, wanted, replaced, keep)) {
			continue
		}
		delete(w.ports, name)
		if !gone[name] {
			all = append(all, action{kind: "ports", what: "remove port " + name, do: func(ctx context.Context) error { return unlessGone(m.client.DeletePort(ctx, p.Switch, p.Name)) }})
			gone[p.Peer] = p.Peer != ""
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.switches)) {
		if !keep[name] {
			all = append(all, action{kind: "switches", what: "remove switch " + name, do: func(ctx context.Context) error { return unlessGone(m.client.DeleteSwitch(ctx, name)) }})
		}
	}
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		if member := t.Member(node); member == nil || !member.hasNamespace() || anew.nodes[node] {
			delete(w.nodes, node)
			all = append(all, action{kind: "namespaces", what: "remove node " + node, do: func(ctx context.Context) error { return m.removeNode(ctx, t.Name, node) }})
		}
	}
	return all
}

// staysJoined reports whether a patch's other end stays, too.
func (w *world) staysJoined(p api.Port, wanted map[string]*port, replaced map[string]bool, keep map[string]bool) bool {
	sw, _, _ := strings.Cut(p.Peer, "/")
	return wanted[p.Peer] != nil && !replaced[p.Peer] && keep[sw]
}

func unlessGone(err error) error {
	var e *api.Error
	if errors.As(err, &e) && e.Code == api.NotFound {
		return nil
	}
	return err
}

func (m *Manager) switchActions(w *world, spec api.SwitchSpec) []action {
	have, stands := w.switches[spec.Name]
	if !stands {
		return []action{{
			kind: "switches",
			what: "add switch " + spec.Name,
			do:   func(ctx context.Context) error { _, err := m.client.AddSwitch(ctx, spec); return err },
			undo: func(ctx context.Context) error { return unlessGone(m.client.DeleteSwitch(ctx, spec.Name)) },
		}}
	}
	same := func(have any, want any) bool {
		v := reflect.ValueOf(want)
		return v.IsNil() || reflect.DeepEqual(have, v.Elem().Interface())
	}
	if same(have.AgeingSeconds, spec.AgeingSeconds) && same(have.FDBSize, spec.FDBSize) && same(have.BPDU, spec.BPDU) && same(have.PassReserved, spec.PassReserved) {
		return nil
	}
	change := spec
	change.Name = ""
	return []action{{kind: "switches", what: "change switch " + spec.Name, do: func(ctx context.Context) error {
		_, err := m.client.SetSwitch(ctx, spec.Name, change)
		return err
	}}}
}

// addNamespace makes a node's namespace. In one that somebody has removed the name
// of, programs may go on.
func (m *Manager) addNamespace(w *world, t *Topology, node *Member) action {
	return action{
		kind: "namespaces",
		what: "add node " + node.Name,
		do: func(ctx context.Context) error {
			if w.member(node.Name) != nil {
				if err := endProcesses(ctx, t.Name, []string{node.Name}, false); err != nil {
					return err
				}
			}
			return makeNamespace(t.Name, node.Name)
		},
		undo: func(ctx context.Context) error { return m.removeNode(ctx, t.Name, node.Name) },
	}
}

// addPort makes a port; of a patch, the near end makes the far one, which then
// is as a change.
func (m *Manager) addPort(p *port, wanted map[string]*port) []action {
	if p.Kind == api.KindPatch && p.end.Cable.Ends[1] == p.end {
		return []action{{kind: "ports", what: "add port " + p.fullName(), do: func(ctx context.Context) error { return m.setPort(ctx, p) }}}
	}
	return []action{{
		kind: "ports",
		what: "add port " + p.fullName(),
		do: func(ctx context.Context) error {
			_, err := m.client.AddPort(ctx, p.PortSpec)
			if err != nil {
				return fmt.Errorf("%s: %w", p.end, err)
			}
			return nil
		},
		undo: func(ctx context.Context) error { return unlessGone(m.client.DeletePort(ctx, p.Switch, p.Name)) },
	}}
}

// setPort puts all that can be changed of a port in force.
func (m *Manager) setPort(ctx context.Context, p *port) error {
	none := ""
	change := api.PortChange{VLAN: p.VLAN, Profile: &none, Options: p.Options, Impair: p.Impair, Description: &p.Description, Down: &p.Down}
	if change.VLAN == nil {
		access := 1
		change.VLAN = &api.VLANSpec{Access: &access}
	}
	_, err := m.client.SetPort(ctx, p.Switch, p.Name, change)
	if err != nil {
		return fmt.Errorf("%s: %w", p.end, err)
	}
	return nil
}

// changePort changes a port that hangs on what is wanted, where it differs.
func (m *Manager) changePort(have api.Port, p *port) []action {
	differs := p.differs(have)
	if len(differs) == 0 {
		return nil
	}
	return []action{{
		kind: "ports",
		what: fmt.Sprintf("change port %s: %s", p.fullName(), strings.Join(differs, ", ")),
		do:   func(ctx context.Context) error { return m.setPort(ctx, p) },
	}}
}

// differs says what of a port is not as it is wanted, and how it shall be.
func (p *port) differs(have api.Port) (all []string) {
	want, err := terms.Policy(p.VLAN, nil)
	var shown api.VLANSpec
	same := err == nil && convert(have.VLAN, &shown) == nil
	if same {
		stands, err := terms.Policy(&shown, nil)
		same = err == nil && stands.Equal(&want)
	}
	if !same {
		all = append(all, want.String())
	}
	var options api.OptionsSpec
	if convert(have.Options, &options) != nil || !sameLimits(withDefaults(&options), p.Options) || !reflect.DeepEqual(options, *p.Options) {
		all = append(all, "options")
	}
	if p.impairedOtherwise(have.Impair) {
		all = append(all, "impairments")
	}
	if (have.State == api.StateDown) != p.Down {
		all = append(all, map[bool]string{true: "down", false: "up"}[p.Down])
	}
	if have.Profile != "" {
		all = append(all, "no profile")
	}
	if have.Description != p.Description {
		all = append(all, "description")
	}
	return all
}

// sameLimits reports whether storm limits mean the same, and makes them alike then.
func sameLimits(have, want *api.OptionsSpec) bool {
	h, err1 := storm.Parse(*have.StormLimit)
	w, err2 := storm.Parse(*want.StormLimit)
	*have.StormLimit = *want.StormLimit
	return err1 == nil && err2 == nil && h == w
}

func (p *port) impairedOtherwise(have api.Impairments) bool {
	for _, d := range []struct {
		have *api.Impairment
		want *api.ImpairmentSpec
	}{{have.Egress, p.Impair.Egress}, {have.Ingress, p.Impair.Ingress}} {
		var stands, wanted impair.Config
		if d.have != nil {
			var spec api.ImpairmentSpec
			if convert(d.have, &spec) != nil || terms.Impair(&stands, spec) != nil {
				return true
			}
		}
		if terms.Impair(&wanted, *d.want) != nil || stands != wanted {
			return true
		}
	}
	return false
}

// convert makes of what the API shows what it can be asked for.
func convert(shown, spec any) error {
	b, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, spec)
}
