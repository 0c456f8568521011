package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/internal/terms"
)

// Graph is a lab as it is drawn: what stands in a file, and where it is up, how
// it stands.
type Graph struct {
	Name  string `json:"name"`
	Nodes []Dot  `json:"nodes"`
	Edges []Line `json:"edges"`
}

// Dot is a node.
type Dot struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	State     string   `json:"state"`
	Addresses []string `json:"addresses"`

	lines []string // the addresses as they are drawn: with interfaces, where there are several
}

// Line is a link.
type Line struct {
	From string    `json:"from"`
	To   string    `json:"to"`
	Ends [2]string `json:"ends"` // the names of interfaces and ports
	// Addresses are those of each end's interface.
	Addresses [2][]string `json:"addresses"`
	State     string      `json:"state"`
	VLAN      string      `json:"vlan,omitempty"`
	Impair    string      `json:"impair,omitempty"`
}

// GraphOf draws a lab as it stands.
func GraphOf(o *Overview) *Graph {
	g := &Graph{Name: o.Name, Nodes: []Dot{}, Edges: []Line{}}
	for _, n := range o.Nodes {
		g.Nodes = append(g.Nodes, Dot{n.Name, n.Kind, n.State, n.Addresses, n.Addresses})
	}
	for _, l := range o.Links {
		near, far := l.Ends[0], l.Ends[1]
		g.Edges = append(g.Edges, Line{
			From: near.Node, To: far.Node, Ends: [2]string{near.Name, far.Name}, State: l.State,
			Addresses: [2][]string{append([]string{}, near.Addresses...), append([]string{}, far.Addresses...)},
			VLAN:      short.Replace(l.VLANs()), Impair: l.Impairments(),
		})
	}
	for i := range g.Nodes {
		g.Nodes[i].lines = g.Nodes[i].drawn(o)
	}
	return g
}

// drawn returns a node's addresses, with their interfaces where it has several.
func (n *Dot) drawn(o *Overview) (lines []string) {
	interfaces := 0
	for _, l := range o.Links {
		for _, e := range l.Ends {
			if e.Node == n.Name && len(e.Addresses) > 0 {
				interfaces++
				for _, a := range e.Addresses {
					if !strings.Contains(a, " ") {
						a = e.Name + " " + a
					}
					lines = append(lines, a)
				}
			}
		}
	}
	if interfaces < 2 {
		return n.Addresses
	}
	return lines
}

// Graph draws a lab as its file has it: everything is up.
func (t *Topology) Graph() *Graph {
	o := &Overview{Name: t.Name}
	for _, m := range t.Members {
		o.Nodes = append(o.Nodes, NodeOverview{Name: m.Name, Kind: m.Kind, State: api.StateUp, Addresses: m.addresses()})
	}
	for _, c := range t.Cables {
		l := LinkOverview{State: api.StateUp}
		for i, e := range c.Ends {
			l.Ends[i] = e.overview()
			if e.Kind == Switch {
				l.Ends[i].VLAN = shown(&e.Settings)
			}
			if spec := c.Leaves[i]; spec != nil && *spec != (api.ImpairmentSpec{Replace: true}) {
				l.Ends[i].Leaves = new(api.Impairment)
				_ = convert(spec, l.Ends[i].Leaves) // of plain fields
			}
		}
		o.Links = append(o.Links, l)
	}
	return GraphOf(o)
}

// shown is what the API will show of a port's VLANs.
func shown(s *config.PortSettings) *api.VLAN {
	p, err := terms.Policy(s.VLAN(), nil)
	if err != nil {
		return nil // said when it was checked
	}
	v := terms.Shown(&p)
	return &v
}

// short says VLANs in as few words as a drawing has room for.
var short = strings.NewReplacer("access VLAN ", "access ", "trunk VLANs ", "trunk ", "trunk all VLANs", "trunk all", "tunnel VLAN ", "tunnel ")

// label says all of a link that has room beside it.
func (l *Line) label() string {
	var words []string
	for _, w := range []string{l.VLAN, l.Impair} {
		if w != "" {
			words = append(words, w)
		}
	}
	if l.State != api.StateUp {
		words = append(words, l.State)
	}
	return strings.Join(words, ", ")
}

// node returns the node of that name.
func (g *Graph) node(name string) *Dot {
	for i := range g.Nodes {
		if g.Nodes[i].Name == name {
			return &g.Nodes[i]
		}
	}
	return nil
}

// Dot writes the graph for Graphviz.
func (g *Graph) Dot() string {
	shapes := map[string]string{Switch: "box", Router: "diamond", VM: "component", External: "cds", Host: "ellipse"}
	var b strings.Builder
	fmt.Fprintf(&b, "graph %q {\n  overlap=false; splines=true; node [fontname=sans]; edge [fontname=sans, fontsize=10];\n", g.Name)
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %q [shape=%s, label=%q%s];\n", n.Name, shapes[n.Kind], strings.Join(append([]string{n.Name}, n.lines...), "\n"), dotState(n.State))
	}
	for _, l := range g.Edges {
		fmt.Fprintf(&b, "  %q -- %q [taillabel=%q, headlabel=%q, label=%q%s];\n", l.From, l.To, l.Ends[0], l.Ends[1], l.label(), dotState(l.State))
	}
	b.WriteString("}\n")
	return b.String()
}

func dotState(state string) string {
	if state == api.StateUp {
		return ""
	}
	return ", style=dashed, color=red"
}

// Mermaid writes the graph for Mermaid, which many wikis draw.
func (g *Graph) Mermaid() string {
	shapes := map[string][2]string{Switch: {"[", "]"}, Router: {"{{", "}}"}, VM: {"[[", "]]"}, External: {">", "]"}, Host: {"(", ")"}}
	var b strings.Builder
	b.WriteString("graph LR\n")
	ids := make(map[string]string)
	for i, n := range g.Nodes {
		ids[n.Name] = fmt.Sprintf("n%d", i)
		s := shapes[n.Kind]
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s\n", i, s[0], mermaidText(strings.Join(append([]string{n.Name}, n.lines...), "<br>")), s[1])
	}
	for _, l := range g.Edges {
		line := "---"
		if l.State != api.StateUp {
			line = "-.-"
		}
		text := l.Ends[0] + " – " + l.Ends[1]
		if label := l.label(); label != "" {
			text += "<br>" + label
		}
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", ids[l.From], line, mermaidText(text), ids[l.To])
	}
	return b.String()
}

func mermaidText(s string) string { return strings.NewReplacer(`"`, "#quot;").Replace(s) }

// Tree draws the graph for a terminal: each switch and router with what hangs on
// it, and then the cables without either.
func (g *Graph) Tree() string {
	var b strings.Builder
	fmt.Fprintln(&b, g.Name)
	var roots []string
	shown := make(map[int]bool)
	for _, n := range g.Nodes {
		if n.Kind == Switch {
			roots = append(roots, n.Name)
		}
	}
	for _, n := range g.Nodes {
		if n.Kind != Switch && !g.hangsOnSwitch(n.Name) {
			roots = append(roots, n.Name)
		}
	}
	direct := g.direct(roots)
	for i, name := range roots {
		branch, below := "├── ", "│   "
		if i == len(roots)-1 && len(direct) == 0 {
			branch, below = "└── ", "    "
		}
		n := g.node(name)
		fmt.Fprintf(&b, "%s%s\n", branch, n.title())
		g.leaves(&b, name, below, shown)
	}
	for i, l := range direct {
		branch := "├── "
		if i == len(direct)-1 {
			branch = "└── "
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%s%s:%s ── %s:%s  %s", branch, l.From, l.Ends[0], l.To, l.Ends[1], l.label()), " "))
	}
	return b.String()
}

// direct returns the links that no root of the tree has below it.
func (g *Graph) direct(roots []string) (all []Line) {
	for _, l := range g.Edges {
		if !slices.Contains(roots, l.From) && !slices.Contains(roots, l.To) {
			all = append(all, l)
		}
	}
	return all
}

// hangsOnSwitch reports whether a node is shown below a switch.
func (g *Graph) hangsOnSwitch(name string) bool {
	for _, l := range g.Edges {
		if l.From == name && g.node(l.To).Kind == Switch || l.To == name && g.node(l.From).Kind == Switch {
			return true
		}
	}
	return false
}

func (n *Dot) title() string {
	words := []string{n.Name}
	if n.Kind != Host {
		words = append(words, "("+n.Kind+")")
	}
	words = append(words, n.lines...)
	if n.State != api.StateUp {
		words = append(words, "["+n.State+"]")
	}
	return strings.Join(words, " ")
}

// leaves writes the links of a node in columns.
func (g *Graph) leaves(b *strings.Builder, name, indent string, shown map[int]bool) {
	type leaf struct{ port, far, label string }
	var all []leaf
	for i, l := range g.Edges {
		near, far, ends, addresses := l.From, l.To, l.Ends, l.Addresses[1]
		if l.To == name && l.From != name {
			near, far, ends, addresses = l.To, l.From, [2]string{l.Ends[1], l.Ends[0]}, l.Addresses[0]
		}
		if near != name {
			continue
		}
		n := g.node(far)
		text := far + ":" + ends[1]
		if n.Kind != Switch && !shown[i] {
			text = strings.Join(append([]string{text}, addresses...), " ")
			if n.Kind != Host {
				text += " (" + n.Kind + ")"
			}
		}
		shown[i] = true
		all = append(all, leaf{ends[0], text, l.label()})
	}
	ports, fars := 0, 0
	for _, l := range all {
		ports, fars = max(ports, len([]rune(l.port))), max(fars, len([]rune(l.far)))
	}
	for i, l := range all {
		branch := "├── "
		if i == len(all)-1 {
			branch = "└── "
		}
		line := fmt.Sprintf("%s%s%-*s ── %-*s  %s", indent, branch, ports, l.port, fars, l.far, l.label)
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
}
