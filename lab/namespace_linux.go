package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
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
	ns, err := netns.Make(name, mark(lab, node), func() error {
		c, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Set(loopback, rtnl.Change{Alias: mark(lab, node), Flags: unix.IFF_UP, Mask: unix.IFF_UP})
	})
	if errors.Is(err, fs.ErrExist) {
		if of, other, ok := strings.Cut(strings.TrimPrefix(markOf(name), markPrefix), ":"); ok && strings.HasPrefix(markOf(name), markPrefix) {
			return refused("the network namespace %s is that of node %s of the lab %s: rename one of the two labs", name, other, of)
		}
		return refused("there is a network namespace %s already, which is not this lab's: rename the lab, or remove it with: ip netns del %s", name, name)
	}
	if err != nil {
		return err
	}
	ns.Close()
	return nil
}

// removeNamespace removes a node's namespace. One that lacks its mark is somebody
// else's.
func removeNamespace(lab, node string) error {
	name := lab + "-" + node
	if !isOf(lab, node) {
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
		if isOf(lab, node) {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}

// isOf reports whether a name is that of a node's namespace, or would have become it
// if its maker had not been killed.
func isOf(lab, node string) bool {
	name := lab + "-" + node
	return markOf(name) == mark(lab, node) || netns.Note(name) == mark(lab, node)
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

// configure gives a node's namespace what its ports do not bring along: interfaces
// of VLANs, system settings, and routes; and takes away what the file had of these
// before. It is the same however often it is done. was is the node as it was
// configured before; nil: it was not.
func (m *Member) configure(lab string, was *Member) error {
	return m.in(lab, func() error {
		err := m.setVLANs(was)
		if err == nil {
			err = m.setSysctls(lab)
		}
		if err == nil {
			err = m.setRoutes(was)
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

func (m *Member) setRoutes(was *Member) error {
	wanted := m.routes(m.farGateways())
	if was != nil {
		for _, old := range was.routes(was.farGateways()) {
			if !slices.Contains(wanted, old) {
				old.Remove()
			}
		}
	}
	for _, r := range wanted {
		if err := r.Replace(); err != nil {
			return err
		}
	}
	return nil
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

// sysctlsPath is where is noted what a node's settings were before the file's.
func sysctlsPath(lab, node string) string { return filepath.Join(folder(lab), node+".sysctls.json") }

// settings returns what a node's system settings shall be.
func (m *Member) settings() map[string]string {
	wanted := make(map[string]string)
	if m.Kind == Router {
		maps.Copy(wanted, stack.Forwarding)
	}
	maps.Copy(wanted, m.Sysctls)
	return wanted
}

// setSysctls gives settings the file's values, and those that it has no more the
// values that they had before it.
func (m *Member) setSysctls(lab string) error {
	wanted := m.settings()
	path := sysctlsPath(lab, m.Name)
	before := make(map[string]string)
	if text, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &before); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, stays := wanted[name]; !stays {
			_ = stack.SetSysctl(name, before[name]) // it may have gone, with its interface
			delete(before, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if _, known := before[name]; !known {
			if value, err := stack.Sysctl(name); err == nil {
				before[name] = value
			}
		}
		if err := stack.SetSysctl(name, wanted[name]); err != nil {
			return err
		}
	}
	if len(before) == 0 {
		return removeIfThere(path)
	}
	text, err := json.Marshal(before)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// setVLANs makes the interfaces of VLANs, and removes those that were, with their
// addresses.
func (m *Member) setVLANs(was *Member) error {
	wanted := make(map[string]*VLANInterface)
	for _, e := range m.Ends {
		for _, v := range e.VLANs {
			if !e.hasLegs() {
				wanted[v.Name] = v
			}
		}
	}
	if was != nil {
		was.removeVLANs(wanted)
	}
	for _, e := range m.Ends {
		for _, v := range e.VLANs {
			if wanted[v.Name] == nil {
				continue
			}
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

// removeVLANs removes a node's interfaces of VLANs, and of those that are wanted,
// the addresses that are not.
func (m *Member) removeVLANs(wanted map[string]*VLANInterface) {
	for _, e := range m.Ends {
		if e.hasLegs() {
			continue // ports, which went as such
		}
		for _, v := range e.VLANs {
			next := wanted[v.Name]
			if next == nil {
				stack.Remove(v.Name)
				continue
			}
			for _, p := range v.Prefixes {
				if !slices.Contains(next.Prefixes, p) {
					stack.RemoveAddress(v.Name, p.String())
				}
			}
		}
	}
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
