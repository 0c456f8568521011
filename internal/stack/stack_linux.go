// Package stack configures the network stack that the calling thread is in: its
// settings, addresses, VLAN interfaces and routes. Everything in it is the same
// however often it is done.
package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mdlayher/ethernet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sysctlPath returns the file of a system setting. Its name is as sysctl(8) takes
// it: where a dot comes first, dots part it and slashes stand for dots, as in
// net.ipv4.conf.eth0/10.forwarding; and the other way round.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	return filepath.Join("/proc/sys", filepath.Clean("/"+name))
}

// Sysctl returns the value of a system setting.
func Sysctl(name string) (string, error) {
	value, err := os.ReadFile(sysctlPath(name))
	return strings.TrimSpace(string(value)), err
}

// SetSysctl gives a system setting a value.
func SetSysctl(name, value string) error {
	err := os.WriteFile(sysctlPath(name), []byte(value), 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("this kernel has no setting %s", name)
	case err != nil:
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	return nil
}

// Forwarding are the settings that make a host a router.
var Forwarding = map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}

// AddAddress gives an interface an address, such as 10.0.0.1/24, in force at
// once: nobody is asked whether it is taken.
func AddAddress(ifname, prefix string) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("interface %s: %w", ifname, err)
	}
	addr, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("interface %s: address %s: %w", ifname, prefix, err)
	}
	return nil
}

// ErrNoVLANs says that the kernel makes no 802.1Q interfaces.
var ErrNoVLANs = errors.New("this kernel makes no 802.1Q interfaces: its module 8021q is not there")

// HasVLANs reports whether the kernel makes 802.1Q interfaces: it is asked for one
// on nothing, which it refuses for another reason where it could.
var HasVLANs = sync.OnceValue(func() bool {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "vlan-on-nothing"
	return !errors.Is(netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 1}), unix.EOPNOTSUPP)
})

// AddVLAN makes the interface name, on which the frames of parent with a VLAN's
// tag arrive without it, and sets it up.
func AddVLAN(parent, name string, id int) error {
	on, err := netlink.LinkByName(parent)
	if err != nil {
		return fmt.Errorf("interface %s: %w", parent, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, on.Attrs().Index
	err = netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("interface %s: %w", name, ErrNoVLANs)
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("interface %s, of VLAN %d on %s: %w", name, id, parent, err)
	}
	return SetUp(name)
}

// Remove removes an interface, if there is one of that name.
func Remove(name string) {
	if link, err := netlink.LinkByName(name); err == nil {
		_ = netlink.LinkDel(link) // it may have gone this moment
	}
}

// SetUp sets an interface up.
func SetUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// RemoveAddress takes an address from an interface, if it has it.
func RemoveAddress(ifname, prefix string) {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return
	}
	if addr, err := netlink.ParseAddr(prefix); err == nil {
		_ = netlink.AddrDel(link, addr) // it may have gone
	}
}

// ForgetNeighbours removes what is known of where some addresses live.
func ForgetNeighbours(gone func(net.IP) bool) error {
	all, err := netlink.NeighList(0, 0)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range all {
		if gone(n.IP) && n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) == 0 {
			_ = netlink.NeighDel(&n) // it may have gone
		}
	}
	return nil
}

// Announce tells the neighbours on an interface that an IPv4 address lives there:
// a gratuitous ARP request (RFC 5227, section 3).
func Announce(ifname string, addr netip.Addr) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil || !addr.Is4() {
		return err
	}
	own := link.Attrs().HardwareAddr
	ip := addr.As4()
	arp := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, a request
	arp = append(append(append(append(arp, own...), ip[:]...), make([]byte, 6)...), ip[:]...)
	frame := ethernet.Frame{Destination: ethernet.Broadcast, Source: own, EtherType: ethernet.EtherTypeARP, Payload: arp}
	b, err := frame.MarshalBinary()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	return nil
}

// Route leads to a network.
type Route struct {
	To  string `json:"to"`            // 10.9.0.0/16, or default
	Via string `json:"via,omitempty"` // a router's address
	Dev string `json:"dev,omitempty"` // an interface
}

// String writes the route as ip route add takes it.
func (r Route) String() string {
	text := r.To
	if r.Via != "" {
		text += " via " + r.Via
	}
	if r.Dev != "" {
		text += " dev " + r.Dev
	}
	return text
}

// Replace puts the route in force, in place of another to the same network.
func (r Route) Replace() error {
	route, err := r.parse()
	if err == nil {
		err = netlink.RouteReplace(route)
	}
	if err != nil {
		return fmt.Errorf("route %s: %w", r.To, err)
	}
	return nil
}

// Remove takes the route away, if it is there.
func (r Route) Remove() {
	if route, err := r.parse(); err == nil {
		_ = netlink.RouteDel(route) // it may have gone, with its interface
	}
}

func (r Route) parse() (*netlink.Route, error) {
	route := &netlink.Route{}
	if r.Via != "" {
		via, err := netlink.ParseAddr(r.Via + hostBits(r.Via))
		if err != nil {
			return nil, err
		}
		route.Gw = via.IP
	}
	to := r.To
	if to == "default" {
		to = "0.0.0.0/0"
		if route.Gw != nil && route.Gw.To4() == nil {
			to = "::/0"
		}
	}
	dst, err := netlink.ParseIPNet(to)
	if err != nil {
		return nil, err
	}
	route.Dst = dst
	if r.Dev != "" {
		link, err := netlink.LinkByName(r.Dev)
		if err != nil {
			return nil, err
		}
		route.LinkIndex = link.Attrs().Index
	}
	return route, nil
}

// State is how a network stack stands.
type State struct {
	links  map[string]*netlink.LinkAttrs
	names  map[int]string
	addrs  map[string]bool // "eth0 10.0.0.1/24"
	routes []netlink.Route
}

// Look finds how the network stack stands.
func Look() (*State, error) {
	s := &State{links: make(map[string]*netlink.LinkAttrs), names: make(map[int]string), addrs: make(map[string]bool)}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		s.links[l.Attrs().Name], s.names[l.Attrs().Index] = l.Attrs(), l.Attrs().Name
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		s.addrs[s.names[a.LinkIndex]+" "+a.IPNet.String()] = true
	}
	if s.routes, err = netlink.RouteList(nil, netlink.FAMILY_ALL); err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return s, nil
}

// Has reports whether there is an interface of that name.
func (s *State) Has(ifname string) bool { return s.links[ifname] != nil }

// Up reports whether an interface is set up.
func (s *State) Up(ifname string) bool { return s.Has(ifname) && s.links[ifname].Flags&net.FlagUp != 0 }

// MTU returns that of an interface, in bytes; 0: there is none.
func (s *State) MTU(ifname string) int {
	if !s.Has(ifname) {
		return 0
	}
	return s.links[ifname].MTU
}

// HasAddress reports whether an interface has an address.
func (s *State) HasAddress(ifname string, prefix netip.Prefix) bool {
	return s.addrs[ifname+" "+prefix.String()]
}

// HasRoute reports whether a route is in force.
func (s *State) HasRoute(r Route) bool {
	want, err := r.parse()
	if err != nil {
		return false
	}
	for _, have := range s.routes {
		to := have.Dst
		if to == nil { // how some versions give the default route
			to = &net.IPNet{IP: make(net.IP, len(want.Dst.IP)), Mask: make(net.IPMask, len(want.Dst.Mask))}
		}
		if to.String() == want.Dst.String() && have.Gw.Equal(want.Gw) && (r.Dev == "" || have.LinkIndex == want.LinkIndex) {
			return true
		}
	}
	return false
}

// SetMTU sets the MTU of an interface, in bytes.
func SetMTU(ifname string, mtu int) error {
	link, err := netlink.LinkByName(ifname)
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("interface %s: MTU %d: %w", ifname, mtu, err)
	}
	return nil
}

func hostBits(addr string) string {
	if strings.Contains(addr, ":") {
		return "/128"
	}
	return "/32"
}
