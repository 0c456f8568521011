package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/internal/document"
)

// clab is what of a containerlab file has a meaning here. Its other keys are
// named, and left out.
type clab struct {
	document.Where `yaml:"-"`

	Name     string       `yaml:"name"`
	Prefix   *config.Word `yaml:"prefix"`
	Mgmt     anything     `yaml:"mgmt"`
	Settings anything     `yaml:"settings"`
	Topology clabTopology `yaml:"topology"`
}

type clabTopology struct {
	document.Where `yaml:"-"`

	Defaults *clabNode              `yaml:"defaults"`
	Kinds    document.Map[clabNode] `yaml:"kinds"`
	Groups   document.Map[clabNode] `yaml:"groups"`
	Nodes    document.Map[clabNode] `yaml:"nodes"`
	Links    []clabLink             `yaml:"links"`
}

type clabNode struct {
	kind, group string
	exec        []Command
	env         map[string]string
	sysctls     map[string]string
	others      []string // keys that mean nothing here
	at          document.Place
}

// Decode implements [document.Decoder]: a node of containerlab has many keys.
func (n *clabNode) Decode(d *document.Document, node *document.Node) {
	n.at = node.Place
	for _, e := range node.Entries {
		switch e.Key {
		case "kind":
			d.Into(e.Value, &n.kind)
		case "group":
			d.Into(e.Value, &n.group)
		case "exec":
			d.Into(e.Value, &n.exec)
		case "env":
			d.Into(e.Value, &n.env)
		case "sysctls":
			d.Into(e.Value, &n.sysctls)
		default:
			n.others = append(n.others, e.Key)
		}
	}
}

type clabLink struct {
	document.Where `yaml:"-"`

	Endpoints []clabEnd    `yaml:"endpoints"`
	Endpoint  *clabEnd     `yaml:"endpoint"` // the only one, of a link that leads out of the lab
	MTU       int          `yaml:"mtu"`
	Type      string       `yaml:"type"`
	IPv4      config.Words `yaml:"ipv4"` // of the endpoints
	IPv6      config.Words `yaml:"ipv6"`
	Vars      anything     `yaml:"vars"`
	Labels    anything     `yaml:"labels"`

	// What is said of the far end outside.
	HostInterface anything `yaml:"host-interface"`
	Mode          anything `yaml:"mode"`
	Remote        anything `yaml:"remote"`
	VNI           anything `yaml:"vni"`
	UDPPort       anything `yaml:"udp-port"`
	DstPort       anything `yaml:"dst-port"`
	SrcPort       anything `yaml:"src-port"`
	ParentIf      anything `yaml:"parent-interface"`
	NoLearning    anything `yaml:"no-learning"`
	NoL2Miss      anything `yaml:"no-l2miss"`
	NoL3Miss      anything `yaml:"no-l3miss"`
}

// clabEnd is NODE:INTERFACE, or says both by their keys.
type clabEnd struct {
	node, ifname, mac string
	ips               []string
}

// Decode implements [document.Decoder].
func (c *clabEnd) Decode(d *document.Document, n *document.Node) {
	if n.Kind == document.Scalar {
		c.node, c.ifname, _ = strings.Cut(n.Text, ":")
		return
	}
	var long struct {
		Node      string   `yaml:"node"`
		Interface string   `yaml:"interface"`
		MAC       string   `yaml:"mac"`
		IPv4      string   `yaml:"ipv4"`
		IPv6      string   `yaml:"ipv6"`
		Vars      anything `yaml:"vars"`
	}
	d.Into(n, &long)
	c.node, c.ifname, c.mac = long.Node, long.Interface, long.MAC
	for _, ip := range []string{long.IPv4, long.IPv6} {
		if ip != "" {
			c.ips = append(c.ips, ip)
		}
	}
}

func (c clabEnd) String() string { return c.node + ":" + c.ifname }

// yaml writes the endpoint of a lab's link.
func (c clabEnd) yaml() string {
	if c.mac == "" && len(c.ips) == 0 {
		return fmt.Sprintf("%q", c)
	}
	text := fmt.Sprintf("{node: %s, port: %s", quote(c.node), quote(c.ifname))
	if c.mac != "" {
		text += ", mac: " + quote(c.mac)
	}
	if len(c.ips) > 0 {
		text += ", ip: " + quoteAll(c.ips)
	}
	return text + "}"
}

// clabOutside are the ends of links that lead out of the lab, or nowhere.
var clabOutside = []string{"host", "mgmt-net", "macvlan", "vxlan", "vxlan-stitch", "dummy"}

// anything is read, and forgotten.
type anything struct{}

// Decode implements [document.Decoder].
func (*anything) Decode(*document.Document, *document.Node) {}

// clabKinds says what the kinds of containerlab are here.
var clabKinds = map[string]string{"linux": Host, "host": External, "bridge": Switch, "ovs-bridge": Switch}

// ImportContainerlab makes of a containerlab file one of a lab: nodes of kind
// linux become hosts, bridges become switches. notes say what was left out. What
// cannot be had is an error: an *[document.Error].
func ImportContainerlab(name string, text []byte) (out string, notes []string, err error) {
	d := document.Parse(name, text)
	var c clab
	d.Decode(&c)
	if d.Err() == nil && len(c.Topology.Nodes) == 0 {
		d.Reject(c.Of("topology"), "there is no topology with nodes: is it a containerlab file?")
	}
	im := &importer{d: d, c: &c, kinds: make(map[string]string), left: make(map[string]bool)}
	var b strings.Builder
	switch name := strings.ReplaceAll(c.Name, ".", "-"); {
	case name == "":
	case name != c.Name:
		fmt.Fprintf(&b, "name: %s # %s; dots part a lab from its switches\n", quote(name), c.Name)
	default:
		fmt.Fprintf(&b, "name: %s\n", quote(name))
	}
	b.WriteString("nodes:\n")
	for _, p := range c.Topology.Nodes {
		b.WriteString(im.node(p))
	}
	if len(c.Topology.Links) > 0 {
		b.WriteString("links:\n")
	}
	for i := range c.Topology.Links {
		b.WriteString(im.link(&c.Topology.Links[i]))
	}
	if err := d.Err(); err != nil {
		return "", nil, err
	}
	for _, key := range []string{"prefix", "mgmt", "settings"} {
		if c.Has(key) {
			im.left[key] = true
		}
	}
	for key := range im.left {
		notes = append(notes, key)
	}
	slices.Sort(notes)
	return b.String(), notes, nil
}

// importer is at work on one file.
type importer struct {
	d     *document.Document
	c     *clab
	kinds map[string]string // of nodes, here
	left  map[string]bool   // keys that were left out
}

// inherit gives a node what its group, its kind and the defaults say.
func (im *importer) inherit(n clabNode) clabNode {
	t := &im.c.Topology
	from := []*clabNode{t.Groups.Get(n.group)}
	if n.kind == "" && from[0] != nil {
		n.kind = from[0].kind
	}
	if n.kind == "" && t.Defaults != nil {
		n.kind = t.Defaults.kind
	}
	from = append(from, t.Kinds.Get(n.kind), t.Defaults)
	for _, f := range from {
		if f == nil {
			continue
		}
		n.others = append(n.others, f.others...)
		n.exec = slices.Concat(f.exec, n.exec) // the defaults' first
		n.env, n.sysctls = merged(n.env, f.env), merged(n.sysctls, f.sysctls)
	}
	return n
}

// merged returns the values of the first, and those that only the second has.
func merged(first, second map[string]string) map[string]string {
	all := maps.Clone(second)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, first)
	return all
}

func (im *importer) node(p document.Pair[clabNode]) string {
	n := im.inherit(p.Value)
	kind, known := clabKinds[n.kind]
	if !known || kind == External {
		im.d.Reject(n.at, "a node of kind %q cannot be had: nodes of kind linux become hosts, and bridge and ovs-bridge become switches", n.kind)
		return ""
	}
	im.kinds[p.Key] = kind
	for _, key := range n.others {
		im.left[key] = true
	}
	var words []string
	if kind != Host {
		words = append(words, "kind: "+kind)
	} else {
		if env := mapping(n.env); env != "" {
			words = append(words, "env: "+env)
		}
		if sysctls := mapping(n.sysctls); sysctls != "" {
			words = append(words, "sysctls: "+sysctls)
		}
		addresses, rest := im.addresses(p.Key, n.exec)
		if addresses != "" {
			words = append(words, "ip: {"+addresses+"}")
		}
		var commands []string
		for _, c := range rest {
			commands = append(commands, c.yaml())
		}
		if len(commands) > 0 {
			words = append(words, "exec: ["+strings.Join(commands, ", ")+"]")
		}
	}
	return fmt.Sprintf("  %s: {%s}\n", quote(p.Key), strings.Join(words, ", "))
}

// addresses finds the commands that give a node's interfaces addresses: what they
// say can be said as such, and then is known to the other nodes, too.
func (im *importer) addresses(node string, commands []Command) (ip string, rest []Command) {
	by := make(map[string][]string)
	for _, c := range commands {
		words := strings.Fields(c.String())
		if len(words) > 2 && (words[1] == "-4" || words[1] == "-6") {
			words = slices.Delete(words, 1, 2)
		}
		isAdd := len(words) == 6 && words[0] == "ip" && strings.HasPrefix("address", words[1]) && words[2] == "add" && words[4] == "dev"
		if isAdd && strings.Contains(words[3], "/") && im.linked(node+":"+words[5]) {
			by[words[5]] = append(by[words[5]], words[3])
		} else {
			rest = append(rest, c)
		}
	}
	var all []string
	for _, ifname := range slices.Sorted(maps.Keys(by)) {
		all = append(all, quote(ifname)+": "+quoteAll(by[ifname]))
	}
	return strings.Join(all, ", "), rest
}

func (im *importer) linked(end string) bool {
	return slices.ContainsFunc(im.c.Topology.Links, func(l clabLink) bool {
		return slices.ContainsFunc(l.Endpoints, func(e clabEnd) bool { return e.String() == end })
	})
}

func (im *importer) link(l *clabLink) string {
	if l.Endpoint != nil {
		l.Endpoints = append(l.Endpoints, *l.Endpoint, clabEnd{node: l.Type})
	}
	if len(l.Endpoints) != 2 {
		im.d.Reject(l.Of("endpoints"), "a link of type %q cannot be had: links with two endpoints can", l.Type)
		return ""
	}
	for _, key := range []string{"vars", "labels"} {
		if l.Has(key) {
			im.left[key] = true
		}
	}
	var ends []string
	for i, e := range l.Endpoints {
		_, known := im.kinds[e.node]
		if !known && slices.Contains(clabOutside, e.node) {
			im.left["links to "+e.node] = true
			return ""
		}
		if !known {
			im.d.Reject(l.Of("endpoints"), "the endpoint %s cannot be had: no node %q is", e, e.node)
		}
		for _, ips := range []config.Words{l.IPv4, l.IPv6} {
			if i < len(ips) && ips[i].Text != "" {
				e.ips = append(e.ips, ips[i].Text)
			}
		}
		ends = append(ends, e.yaml())
	}
	text := "  - endpoints: [" + strings.Join(ends, ", ") + "]\n"
	if l.MTU != 0 {
		text += fmt.Sprintf("    mtu: %d\n", l.MTU)
	}
	return text
}
