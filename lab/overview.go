package lab

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
)

// Overview is a lab as it stands.
type Overview struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Since       time.Time      `json:"since"`
	Nodes       []NodeOverview `json:"nodes"`
	Links       []LinkOverview `json:"links"`

	Services []ServiceStatus `json:"services,omitempty"`
}

// NodeOverview is a node as it stands.
type NodeOverview struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	State     string   `json:"state"` // api.StateUp, [Boots] or api.StateLost
	Reason    string   `json:"reason,omitempty"`
	Addresses []string `json:"addresses"`
	Netns     string   `json:"netns,omitempty"`
	Switch    string   `json:"switch,omitempty"`
}

// LinkOverview is a link as it stands.
type LinkOverview struct {
	Ends   [2]EndOverview `json:"ends"`
	State  string         `json:"state"` // of the worse end
	Reason string         `json:"reason,omitempty"`
}

// EndOverview is one end of a link. What it says of a port is empty where a
// station's interface is the end, which has no port of its own.
type EndOverview struct {
	Node   string          `json:"node"`
	Name   string          `json:"name"`
	Port   string          `json:"port,omitempty"` // SWITCH/PORT
	VLAN   *api.VLAN       `json:"vlan,omitempty"`
	Leaves *api.Impairment `json:"leaves,omitempty"` // what becomes of frames that leave by it

	Addresses []string `json:"addresses,omitempty"` // of the interface; of one of a VLAN, behind its name
}

// Show returns a lab as it stands.
func (m *Manager) Show(ctx context.Context, lab string) (*Overview, error) {
	s, err := loadState(lab)
	if err != nil {
		return nil, noLab(lab)
	}
	t, err := Read(s.File, []byte(s.Text))
	if err != nil {
		return nil, err
	}
	m.use(s)
	w, err := m.look(ctx, lab)
	if err != nil {
		return nil, err
	}
	programs, err := Services(lab)
	if err != nil {
		return nil, err
	}
	o := &Overview{Name: t.Name, Description: t.Description, Since: s.Since, Services: programs, Nodes: []NodeOverview{}, Links: []LinkOverview{}}
	for _, node := range t.Members {
		n := w.node(t, node)
		n.machineState(programs)
		o.Nodes = append(o.Nodes, n)
	}
	for _, c := range t.Cables {
		o.Links = append(o.Links, w.link(t, c))
	}
	return o, nil
}

// machineState says how a node stands that is a virtual machine.
func (n *NodeOverview) machineState(programs []ServiceStatus) {
	if n.Kind != VM {
		return
	}
	n.State, n.Reason = api.StateLost, "it was not started"
	for _, p := range programs {
		if p.Node != n.Name || p.Name != machineName {
			continue
		}
		switch n.Reason = p.Reason; p.State {
		case Runs:
			n.State = api.StateUp
		case Boots:
			n.State = Boots
		default:
			n.Reason = cmp.Or(p.Reason, fmt.Sprintf("QEMU has ended (exit %d)", p.Exit))
		}
	}
}

func (w *world) node(t *Topology, m *Member) NodeOverview {
	n := NodeOverview{Name: m.Name, Kind: m.Kind, State: api.StateUp, Addresses: m.addresses()}
	switch {
	case m.Kind == Switch:
		n.Switch = t.SwitchName(m)
		if _, ok := w.switches[n.Switch]; !ok {
			n.State, n.Reason = api.StateLost, w.missing("the daemon has no such switch")
		}
	case m.Kind == External:
		for _, p := range t.ports() {
			if have, ok := w.ports[p.fullName()]; p.station != nil && p.station.Member == m && (!ok || have.State == api.StateLost) {
				n.State, n.Reason = api.StateLost, cmp.Or(have.Reason, w.missing("the daemon has no port for it"))
			}
		}
	case m.hasNamespace():
		n.Netns = t.NetnsName(m)
		if !w.nodes[m.Name] {
			n.State, n.Reason = api.StateLost, "its namespace is gone"
		}
	}
	return n
}

// missing says why something of the daemon's is missing: none runs, or else.
func (w *world) missing(otherwise string) string {
	if w.asleep {
		return "no daemon runs"
	}
	return otherwise
}

func (w *world) link(t *Topology, c *Cable) LinkOverview {
	l := LinkOverview{State: api.StateUp}
	for i, e := range c.Ends {
		l.Ends[i] = e.overview()
	}
	for _, p := range t.cablePorts(c) {
		have, ok := w.ports[p.fullName()]
		if !ok {
			l.State, l.Reason = api.StateLost, w.missing("the daemon has no port "+p.fullName())
			continue
		}
		if have.State != api.StateUp && l.State != api.StateDown {
			l.State, l.Reason = have.State, have.Reason
		}
		if p.leg {
			continue
		}
		near := 0
		if c.Ends[1] == p.end {
			near = 1
		}
		end := &l.Ends[near]
		end.Port = have.FullName()
		if !strings.HasSuffix(have.Switch, "."+wiresName) {
			end.VLAN = &have.VLAN
			end.Leaves = have.Impair.Egress
		}
		if have.Kind != api.KindPatch && have.Impair.Ingress != nil {
			station := &l.Ends[1-near]
			if c.isWire() {
				station = end
			}
			station.Leaves = have.Impair.Ingress
		}
	}
	return l
}

// overview says of an end what the file has.
func (e *End) overview() EndOverview {
	o := EndOverview{Node: e.Member.Name, Name: e.Name}
	for _, p := range e.Prefixes {
		o.Addresses = append(o.Addresses, p.String())
	}
	for _, v := range e.VLANs {
		for _, p := range v.Prefixes {
			o.Addresses = append(o.Addresses, v.Name+" "+p.String())
		}
	}
	return o
}

// addresses returns those of a node, with the lengths of their prefixes.
func (m *Member) addresses() []string {
	all := []string{}
	for _, p := range m.prefixes() {
		all = append(all, p.String())
	}
	return all
}

// VLANs says the VLANs of a link in words, once where both ends are alike.
func (l *LinkOverview) VLANs() string {
	var words []string
	for _, e := range l.Ends {
		if e.VLAN != nil && (len(words) == 0 || words[0] != e.VLAN.String()) {
			words = append(words, e.VLAN.String())
		}
	}
	return strings.Join(words, " / ")
}

// Impairments says what becomes of frames in words, once where it is the same
// both ways.
func (l *LinkOverview) Impairments() string {
	near, far := l.Ends[0].Leaves, l.Ends[1].Leaves
	if near != nil && far != nil && *near == *far {
		return near.String()
	}
	var words []string
	for _, e := range l.Ends {
		if e.Leaves != nil {
			words = append(words, e.Node+": "+e.Leaves.String())
		}
	}
	return strings.Join(words, "; ")
}
