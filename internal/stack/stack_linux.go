// Package stack configures the network stack that the calling thread is in: its
// settings, addresses, VLAN interfaces and routes. Everything in it is the same
// however often it is done.
package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetSysctl gives a system setting a value. Its name is as sysctl(8) takes it:
// with dots, or with slashes where an interface's name has dots.
func SetSysctl(name, value string) error {
	path := name
	if !strings.Contains(name, "/") {
		path = strings.ReplaceAll(name, ".", "/")
	}
	err := os.WriteFile(filepath.Join("/proc/sys", filepath.Clean("/"+path)), []byte(value), 0)
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

// Route leads to a network.
type Route struct {
	To  string `json:"to"`            // 10.9.0.0/16, or default
	Via string `json:"via,omitempty"` // a router's address
	Dev string `json:"dev,omitempty"` // an interface
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

func hostBits(addr string) string {
	if strings.Contains(addr, ":") {
		return "/128"
	}
	return "/32"
}
