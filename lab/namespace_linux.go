package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// A namespace of a lab bears its mark: the alias of its loopback device. So it is
// found, and told from one that somebody else made, whatever became of who made
// it.
const markPrefix = "vswitch-lab:"

func mark(lab, node string) string { return markPrefix + lab + ":" + node }

// makeNamespace makes the namespace of a node, with its loopback device up.
func makeNamespace(lab, node string) error {
	name := lab + "-" + node
	ns, err := netns.Make(name)
	if errors.Is(err, fs.ErrExist) {
		return refused("there is a network namespace %s already, which is not this lab's: rename the lab, or remove it with: ip netns del %s", name, name)
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	err = ns.Do(func() error {
		c, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Set(loopback, rtnl.Change{Alias: mark(lab, node), Flags: unix.IFF_UP, Mask: unix.IFF_UP})
	})
	if err != nil {
		return errors.Join(fmt.Errorf("mark network namespace %s: %w", name, err), netns.Remove(name))
	}
	return nil
}

// removeNamespace removes a node's namespace. One that lacks its mark is somebody
// else's.
func removeNamespace(lab, node string) error {
	name := lab + "-" + node
	if markOf(name) != mark(lab, node) {
		return nil
	}
	return netns.Remove(name)
}

// loopback is the index of lo, in every namespace.
const loopback = 1

// namespaces returns the nodes of a lab that have a namespace with its mark.
func namespaces(lab string) (nodes []string, err error) {
	files, err := filepath.Glob(filepath.Join(netns.Dir, lab+"-*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name := filepath.Base(file)
		node := strings.TrimPrefix(name, lab+"-")
		if markOf(name) == mark(lab, node) {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}

// markOf returns the alias of a namespace's loopback device; "" where there is no
// such namespace, or no alias.
func markOf(name string) (alias string) {
	ns, err := netns.Open(name)
	if err != nil {
		return ""
	}
	defer ns.Close()
	_ = ns.Do(func() error {
		c, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		lo, err := c.Link(loopback)
		if err == nil {
			alias = lo.Attrs().Alias
		}
		return err
	})
	return alias
}

// configure gives a node's namespace what its ports do not bring along: system
// settings, and routes. It is the same however often it is done.
func (m *Member) configure(lab string) error {
	return m.in(lab, func() error {
		if err := m.setSysctls(); err != nil {
			return err
		}
		for _, r := range m.Routes {
			if err := m.addRoute(r); err != nil {
				return fmt.Errorf("%s: route %s: %w", m.Name, r.To, err)
			}
		}
		return m.addLongNames()
	})
}

// forwarding is what makes a host a router.
var forwarding = map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}

func (m *Member) setSysctls() error {
	all := make(map[string]string)
	if m.Kind == Router {
		for name, value := range forwarding {
			all[name] = value
		}
	}
	for name, value := range m.Sysctls {
		all[name] = value
	}
	for name, value := range all {
		path := filepath.Join("/proc/sys", filepath.Clean("/"+strings.ReplaceAll(name, ".", "/")))
		err := os.WriteFile(path, []byte(value), 0)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return refused("%s: this kernel has no setting %s", m.Name, name)
		case err != nil:
			return refused("%s: set %s to %q: %v", m.Name, name, value, err)
		}
	}
	return nil
}

// addRoute replaces a route of the calling thread's namespace.
func (m *Member) addRoute(r Route) error {
	route := &netlink.Route{}
	if r.To != "default" {
		dst, err := netlink.ParseIPNet(r.To)
		if err != nil {
			return err
		}
		route.Dst = dst
	}
	if r.Via != "" {
		ip, err := netlink.ParseAddr(r.Via + hostBits(r.Via))
		if err != nil {
			return err
		}
		route.Gw = ip.IP
	}
	if r.Dev != "" {
		link, err := netlink.LinkByName(kernelName(r.Dev))
		if err != nil {
			return err
		}
		route.LinkIndex = link.Attrs().Index
	}
	if route.Dst == nil && route.Gw.To4() == nil && route.Gw != nil {
		route.Dst, _ = netlink.ParseIPNet("::/0")
	}
	return netlink.RouteReplace(route)
}

func hostBits(addr string) string {
	if strings.Contains(addr, ":") {
		return "/128"
	}
	return "/32"
}

// addLongNames gives interfaces whose names the kernel finds too long the names
// as they were given, as alternatives.
func (m *Member) addLongNames() error {
	for _, e := range m.Ends {
		short := kernelName(e.Name)
		if short == e.Name || e.Kind == VM {
			continue
		}
		link, err := netlink.LinkByName(short)
		if err == nil && !hasName(link, e.Name) {
			err = netlink.LinkAddAltName(link, e.Name)
		}
		if err != nil {
			return fmt.Errorf("%s: name %s %s: %w", m.Name, short, e.Name, err)
		}
	}
	return nil
}

func hasName(link netlink.Link, name string) bool {
	for _, alt := range link.Attrs().AltNames {
		if alt == name {
			return true
		}
	}
	return false
}
