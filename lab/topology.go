package lab

import (
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/vlan"
)

// Topology is what a [Spec] means: each node and each link by itself, with names,
// addresses and settings.
type Topology struct {
	Name        string
	Description string
	Members     []*Member
	Cables      []*Cable
	Tests       []Step

	dir   string // of the file: where others that it names are
	by    map[string]*Member
	wires map[*Cable]int // VLANs of cables without a switch
}

// Member is a node.
type Member struct {
	Node // with the values of its group and of the defaults
	Name string
	Ends []*End // in the order of the links
}

// Cable is a link.
type Cable struct {
	Link                  // with the values of the defaults
	said   document.Where // the link's own keys, without the defaults'
	Ends   [2]*End
	Leaves [2]*api.ImpairmentSpec // what becomes of frames that leave by an end; nil: nothing
}

// End is one end of a cable.
type End struct {
	*Member
	Cable    *Cable
	Name     string // of a switch's port, or of an interface
	MAC      frame.MAC
	Prefixes []netip.Prefix // addresses with the lengths of their networks
	VLANs    []*VLANInterface
	Settings config.PortSettings
	at       document.Place
}

func (e *End) String() string { return e.Member.Name + ":" + e.Name }

// VLANInterface is an interface of one VLAN, such as eth0.10, on an end's own.
type VLANInterface struct {
	Name     string
	ID       vlan.ID
	Prefixes []netip.Prefix
	at       document.Place
}

// prefixes returns all addresses of a node.
func (m *Member) prefixes() (all []netip.Prefix) {
	for _, e := range m.Ends {
		all = append(all, e.Prefixes...)
		for _, v := range e.VLANs {
			all = append(all, v.Prefixes...)
		}
	}
	return all
}

// Far returns the other end.
func (e *End) Far() *End {
	if e.Cable.Ends[0] == e {
		return e.Cable.Ends[1]
	}
	return e.Cable.Ends[0]
}

// Member returns the node of that name; nil: there is none.
func (t *Topology) Member(name string) *Member { return t.by[name] }

// Read reads a lab from the text of a file, whose name is for messages. The error
// is a *[document.Error], which says all that is wrong.
func Read(name string, text []byte) (*Topology, error) {
	d := document.Parse(name, text)
	var spec Spec
	d.Decode(&spec)
	if d.Empty() && d.Err() == nil {
		d.Reject(document.Place{}, "the file is empty: a lab has nodes and links")
	}
	b := &builder{d: d, spec: &spec, t: &Topology{
		Name:        spec.Name,
		Description: spec.Description,
		Tests:       spec.Tests,
		dir:         filepath.Dir(name),
		by:          make(map[string]*Member),
		wires:       make(map[*Cable]int),
	}}
	if spec.Name == "" {
		b.t.Name = strings.TrimSuffix(strings.TrimSuffix(path.Base(name), path.Ext(name)), ".lab")
	}
	b.build()
	return b.t, d.Err()
}

// builder makes a topology of a spec.
type builder struct {
	d    *document.Document
	spec *Spec
	t    *Topology
	used map[string]*End // by NODE:PORT

	// brokenLinks says that a link could not be made, which is said; nothing is
	// said of interfaces that nodes lack for it.
	brokenLinks bool
}

func (b *builder) build() {
	b.checkName()
	b.members()
	b.cables()
	b.nameEnds()
	b.addresses()
	b.checkMembers()
	b.checkCables()
	b.checkSegments()
	b.checkTests()
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

const nameRule = "use 1 to 32 of A-Z a-z 0-9 . _ -, the first a letter or digit"

// labForm is that of a lab's name. It has no dot: behind the first one in the name
// of a switch comes the node.
var labForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

const labRule = "use 1 to 32 of A-Z a-z 0-9 _ -, the first a letter or digit"

func (b *builder) checkName() {
	if !labForm.MatchString(b.t.Name) {
		at := b.spec.Of("name")
		if !b.spec.Has("name") {
			b.d.Reject(at, "the lab has no name, and %q, from the file's, cannot be one: say name, and %s", b.t.Name, labRule)
			return
		}
		b.d.Reject(at, "%q cannot name a lab: %s", b.t.Name, labRule)
	}
}

// members makes the nodes: patterns and counts expanded, and what a node does not
// say taken from its group and from its kind's defaults.
func (b *builder) members() {
	for i := range b.spec.Nodes {
		p := &b.spec.Nodes[i]
		node := p.Value
		if group := node.Group; group != "" {
			b.inheritGroup(&node, group)
		}
		if node.Kind == "" {
			node.Kind = Host
		}
		if d := b.spec.Defaults.of(node.Kind); d != nil {
			inherit(&node, &node.Where, d, &d.Where)
		}
		for _, in := range b.instances(p.Key, &node, p.Place) {
			b.member(in, node, p.Place)
		}
	}
}

func (b *builder) inheritGroup(node *Node, name string) {
	g := b.spec.Groups.Get(name)
	if g == nil {
		var names []string
		for _, p := range b.spec.Groups {
			names = append(names, p.Key)
		}
		b.d.Reject(node.Of("group"), "no group %q%s", name, document.DidYouMean(name, names))
		return
	}
	inherit(node, &node.Where, g, &g.Where)
}

func (d *Defaults) of(kind string) *Node {
	switch kind {
	case Host:
		return d.Host
	case Router:
		return d.Router
	case Switch:
		return d.Switch
	case VM:
		return d.VM
	case External:
		return d.External
	}
	return nil
}

// instances returns the nodes that one entry stands for.
func (b *builder) instances(key string, node *Node, at document.Place) []instance {
	pattern := key
	if node.Has("count") {
		switch {
		case node.Count < 1 || node.Count > maxNodes:
			b.d.Reject(node.Of("count"), "a count of %d is not possible: give 1 to %d", node.Count, maxNodes)
			return nil
		case strings.Contains(key, "["):
			b.d.Reject(node.Of("count"), "%q says already how many there are: leave the count out", key)
		default:
			pattern = fmt.Sprintf("%s[1-%d]", key, node.Count)
		}
	}
	all, err := expand(pattern)
	if err != nil {
		b.d.Reject(at, "%v", err)
	}
	return all
}

func (b *builder) member(in instance, node Node, at document.Place) {
	switch {
	case !nameForm.MatchString(in.name):
		b.d.Reject(at, "%q cannot name a node: %s", in.name, nameRule)
		return
	case b.t.by[in.name] != nil:
		b.d.Reject(at, "there are two nodes %q", in.name)
		return
	case len(b.t.Members) == maxNodes:
		b.d.Reject(at, "a lab has %d nodes at the most", maxNodes)
		return
	}
	if in.number != "" {
		in.fill(&node)
	}
	m := &Member{Node: node, Name: in.name}
	b.t.Members = append(b.t.Members, m)
	b.t.by[in.name] = m
}

// names returns those of all nodes.
func (b *builder) names() (all []string) {
	for _, m := range b.t.Members {
		all = append(all, m.Name)
	}
	return all
}

// find returns the node of that name, or rejects it.
func (b *builder) find(at document.Place, name string) *Member {
	m := b.t.by[name]
	if m == nil {
		b.d.Reject(at, "no node %q%s", name, document.DidYouMean(name, b.names()))
	}
	return m
}
