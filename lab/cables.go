package lab

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/vlan"
)

// cables makes the links: patterns expanded, with the defaults.
func (b *builder) cables() {
	for i := range b.spec.Links {
		link := b.spec.Links[i]
		said := link.Where
		if d := b.spec.Defaults.Link; d != nil {
			inherit(&link, &link.Where, d, withoutMode(&d.Where, &said))
		}
		if len(link.Endpoints) != 2 {
			b.brokenLinks = true
			b.d.Reject(link.Of("endpoints"), "a link has two endpoints, and this one %d: write such as endpoints: [h1:eth0, sw1:p1]", len(link.Endpoints))
			continue
		}
		near, far := b.ends(&link.Endpoints[0]), b.ends(&link.Endpoints[1])
		n := max(len(near), len(far))
		switch {
		case len(near) == 0 || len(far) == 0:
			b.brokenLinks = true
			continue // said already
		case len(near) != n && len(near) != 1 || len(far) != n && len(far) != 1:
			b.brokenLinks = true
			b.d.Reject(link.Of("endpoints"), "there are %d nodes at one end, and %d at the other: give as many, or one", len(near), len(far))
			continue
		case len(b.t.Cables)+n > maxNodes:
			b.d.Reject(link.Place(), "a lab has %d links at the most", maxNodes)
			return
		}
		for k := range n {
			b.cable(link, said, near[min(k, len(near)-1)], far[min(k, len(far)-1)])
		}
	}
}

// found is a node that an endpoint names, and as which instance.
type found struct {
	*Member
	as instance
}

// ends returns the nodes that an endpoint names: one, those of a range, or those
// that a * matches.
func (b *builder) ends(e *Endpoint) (all []found) {
	switch {
	case e.Node == "":
		b.d.Reject(e.Of("node"), "an endpoint names a node: write such as h1:eth0")
		return nil
	case strings.ContainsRune(e.Node, '*'):
		for _, m := range b.t.Members {
			if ok, _ := path.Match(e.Node, m.Name); ok {
				all = append(all, found{m, instance{m.Name, strings.TrimLeft(m.Name, letters)}})
			}
		}
		if len(all) == 0 {
			b.d.Reject(e.Of("node"), "no node is like %q", e.Node)
		}
		return all
	}
	names, err := expand(e.Node)
	if err != nil {
		b.d.Reject(e.Of("node"), "%v", err)
	}
	for _, in := range names {
		if m := b.find(e.Of("node"), in.name); m != nil {
			all = append(all, found{m, in})
		}
	}
	return all
}

// letters are what stands before the number in a node's name.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"

// cable makes one link between two nodes. {i} and {name} in it are the ranged
// end's, or the first's.
func (b *builder) cable(link Link, said document.Where, near, far found) {
	as := near.as
	if as.number == "" {
		as = far.as
	}
	as.fill(&link)
	c := &Cable{Link: link, said: said}
	for i, f := range []found{near, far} {
		e := &link.Endpoints[i]
		end := &End{Member: f.Member, Cable: c, Name: e.Port, Settings: e.settings(&link), at: e.Of("node")}
		if e.MAC != "" {
			mac, err := frame.ParseMAC(e.MAC)
			if err != nil {
				b.d.Reject(e.Of("mac"), "%v", err)
			} else if mac.IsMulticast() {
				b.d.Reject(e.Of("mac"), "%s is a multicast address: a station has an even first octet, such as 02:00:00:00:00:01", mac)
			}
			end.MAC = mac
		}
		c.Ends[i] = end
		f.Member.Ends = append(f.Member.Ends, end)
	}
	b.t.Cables = append(b.t.Cables, c)
	for i, e := range link.Endpoints {
		for _, ip := range e.IP {
			b.address(c.Ends[i], ip)
		}
	}
}

// settings returns those of the endpoint, and where it says nothing, the link's.
func (e *Endpoint) settings(link *Link) config.PortSettings {
	settings, at := e.PortSettings, e.Where
	inherit(&settings, &at, &link.PortSettings, withoutMode(&link.Where, &e.Where))
	return settings
}

// optionKeys are those of a port beside its VLANs.
var optionKeys = []string{
	"priority_tags", "no_flood", "no_mcast_flood", "no_bcast_flood", "no_learn", "hairpin", "isolated", "sticky", "max_macs", "pass_reserved", "storm_limit", "loop_protect",
}

// modeKeys are those of a VLAN mode, which go together.
var modeKeys = []string{"access", "trunk", "tunnel", "native", "native_tagged", "cvlans", "tpid"}

// withoutMode returns the link's keys without those of its mode, where the
// endpoint has a mode of its own.
func withoutMode(link, endpoint *document.Where) *document.Where {
	for _, key := range []string{"access", "trunk", "tunnel"} {
		if endpoint.Has(key) {
			return link.Without(modeKeys...)
		}
	}
	return link
}

// nameEnds names what the file leaves to us: interfaces ethN, ports after the
// node at the far end.
func (b *builder) nameEnds() {
	b.used = make(map[string]*End)
	for _, c := range b.t.Cables {
		for _, e := range c.Ends {
			if e.Name != "" {
				b.claim(e)
			}
		}
	}
	for _, c := range b.t.Cables {
		for _, e := range c.Ends {
			if e.Name == "" {
				e.Name = b.freeName(e)
				b.claim(e)
			}
		}
	}
	for _, c := range b.t.Cables {
		b.impairments(c)
	}
}

func (b *builder) claim(e *End) {
	if first := b.used[e.String()]; first != nil {
		b.d.Reject(e.at, "the endpoint %s is used twice: first in line %d", e, first.at.Line)
		return
	}
	b.used[e.String()] = e
}

func (b *builder) freeName(e *End) string {
	if e.Kind != Switch {
		for i := 0; ; i++ {
			if name := fmt.Sprintf("eth%d", i); b.used[e.Member.Name+":"+name] == nil {
				return name
			}
		}
	}
	far := e.Far().Member.Name
	name := far
	for i := 2; b.used[e.Member.Name+":"+name] != nil; i++ {
		name = fmt.Sprintf("%s-%d", far, i)
	}
	return name
}

// impairments finds what the link does to frames that leave by each end.
func (b *builder) impairments(c *Cable) {
	i := &c.Impair
	if i.Both != nil {
		c.Leaves = [2]*api.ImpairmentSpec{i.Both, i.Both}
	}
	for _, p := range i.By {
		switch p.Key {
		case c.Ends[0].String(), c.Ends[0].Member.Name:
			c.Leaves[0] = p.Value
		case c.Ends[1].String(), c.Ends[1].Member.Name:
			c.Leaves[1] = p.Value
		default:
			b.d.Reject(p.Place, "%q is no end of this link%s", p.Key, document.DidYouMean(p.Key, []string{c.Ends[0].String(), c.Ends[1].String()}))
		}
	}
}

// addresses gives interfaces the addresses that their nodes name.
func (b *builder) addresses() {
	for _, m := range b.t.Members {
		for _, ip := range m.IP.First {
			prefix, ok := b.prefix(ip)
			switch {
			case !ok || len(m.Ends) == 0 && b.brokenLinks:
			case len(m.Ends) == 0:
				b.d.Reject(ip.Place, "%s has an address, and no link that it could be at: link it to a node", m.Name)
			default:
				m.Ends[0].Prefixes = append(m.Ends[0].Prefixes, prefix)
			}
		}
		for _, p := range m.IP.By {
			to := b.interfacePrefixes(m, p.Key, p.Place)
			if to == nil {
				continue
			}
			for _, ip := range p.Value {
				if prefix, ok := b.prefix(ip); ok {
					*to = append(*to, prefix)
				}
			}
		}
	}
}

// interfacePrefixes returns where the addresses of an interface are kept: of an
// end's own, or of one of a VLAN on it, which it makes.
func (b *builder) interfacePrefixes(m *Member, name string, at document.Place) *[]netip.Prefix {
	if e := b.used[m.Name+":"+name]; e != nil {
		return &e.Prefixes
	}
	dot := strings.LastIndexByte(name, '.')
	e := (*End)(nil)
	if dot > 0 {
		e = b.used[m.Name+":"+name[:dot]]
	}
	switch {
	case e == nil && b.brokenLinks:
		return nil
	case e == nil:
		b.d.Reject(at, "%s has no interface %q%s", m.Name, name, document.DidYouMean(name, m.interfaces()))
		return nil
	}
	id, err := vlan.ParseID(name[dot+1:])
	if err != nil {
		b.d.Reject(at, "%q is no interface of a VLAN: %v", name, err)
		return nil
	}
	if len(name) > longestIfName {
		b.d.Reject(at, "%q cannot name an interface of a VLAN: it has %d characters, and %d are the most", name, len(name), longestIfName)
	}
	v := &VLANInterface{Name: name, ID: id, at: at}
	e.VLANs = append(e.VLANs, v)
	return &v.Prefixes
}

func (m *Member) interfaces() (names []string) {
	for _, e := range m.Ends {
		names = append(names, e.Name)
	}
	return names
}

// allInterfaces returns the names of a node's interfaces, those of VLANs, too.
func (m *Member) allInterfaces() (names []string) {
	for _, e := range m.Ends {
		names = append(names, e.Name)
		for _, v := range e.VLANs {
			names = append(names, v.Name)
		}
	}
	return names
}

// address gives an end an address.
func (b *builder) address(e *End, ip config.Placed) {
	if prefix, ok := b.prefix(ip); ok {
		e.Prefixes = append(e.Prefixes, prefix)
	}
}

// isStation reports whether an address can be that of an interface.
func isStation(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback() && !a.Is4In6() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isBroadcast reports whether an address is the last of its IPv4 network, by which
// all stations of that are meant.
func isBroadcast(p netip.Prefix) bool {
	next := p.Addr().Next()
	return p.Addr().Is4() && p.Bits() < 31 && (!next.IsValid() || !p.Contains(next))
}

// prefix reads an address with the length of its network's prefix.
func (b *builder) prefix(ip config.Placed) (prefix netip.Prefix, ok bool) {
	prefix, err := netip.ParsePrefix(ip.Text)
	switch {
	case err != nil && !strings.Contains(ip.Text, "/"):
		b.d.Reject(ip.Place, "%q has no prefix length: write it behind a slash, such as 10.0.0.1/24", ip.Text)
	case err != nil:
		b.d.Reject(ip.Place, "%q is not an address with its prefix length, such as 10.0.0.1/24 or fd00::1/64", ip.Text)
	case !isStation(prefix.Addr()):
		b.d.Reject(ip.Place, "%s is not the address of a station: use one such as 10.0.0.1/24", ip.Text)
	case isBroadcast(prefix):
		b.d.Reject(ip.Place, "%s is the broadcast address of its network: give another in it", ip.Text)
	case prefix.Addr() == prefix.Masked().Addr() && prefix.Bits() < prefix.Addr().BitLen()-1:
		b.d.Reject(ip.Place, "%s is the network itself: give an address in it, such as %s/%d", ip.Text, prefix.Addr().Next(), prefix.Bits())
	default:
		ok = true
	}
	return prefix, ok
}
