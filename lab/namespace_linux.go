package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
	"github.com/vswitch/vswitch/internal/stack"
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
// settings, interfaces of VLANs, and routes. It is the same however often it is
// done. was is the node as it was configured before; nil: it was not.
func (m *Member) configure(lab string, was *Member) error {
	return m.in(lab, func() error {
		err := m.setSysctls()
		if err == nil {
			err = m.setVLANs(was)
		}
		for _, r := range m.routes(m.farGateways()) {
			if err == nil {
				err = r.Replace()
			}
		}
		if err == nil {
			err = m.addLongNames()
		}
		if err != nil {
			return refused("%s: %v", m.Name, err)
		}
		return nil
	})
}

// farGateways returns the gateways that no port brings along.
func (m *Member) farGateways() (all []string) {
	var near []string
	for _, e := range m.Ends {
		near = append(near, gateways(m, e.Prefixes)...)
		for _, v := range e.VLANs {
			if e.hasLegs() {
				near = append(near, gateways(m, v.Prefixes)...)
			}
		}
	}
	for _, g := range m.Gateway {
		if !slices.Contains(near, g.Text) {
			all = append(all, g.Text)
		}
	}
	return all
}

func (m *Member) setSysctls() error {
	all := make(map[string]string)
	if m.Kind == Router {
		maps.Copy(all, stack.Forwarding)
	}
	maps.Copy(all, m.Sysctls)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := stack.SetSysctl(name, all[name]); err != nil {
			return err
		}
	}
	return nil
}

// setVLANs makes the interfaces of VLANs, and removes those that were.
func (m *Member) setVLANs(was *Member) error {
	if was != nil {
		for _, e := range was.Ends {
			for _, v := range e.VLANs {
				if !slices.Contains(m.allInterfaces(), v.Name) {
					stack.Remove(v.Name)
				}
			}
		}
	}
	for _, e := range m.Ends {
		if e.hasLegs() {
			continue
		}
		for _, v := range e.VLANs {
			if err := stack.AddVLAN(kernelName(e.Name), v.Name, int(v.ID)); err != nil {
				return err
			}
			for _, p := range v.Prefixes {
				if err := stack.AddAddress(v.Name, p.String()); err != nil {
					return err
				}
			}
		}
	}
	return nil
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
