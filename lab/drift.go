package lab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/internal/stack"
)

// lack is something of the file that a node's namespace lacks, and how it gets it.
type lack struct {
	what string // "10.0.0.1/24 at eth0"
	mend func() error
}

// usualMTU is that of an interface that was given none, in bytes.
const usualMTU = 1500

// lacks finds what a node's namespace lacks, first what the rest builds on.
func (m *Member) lacks(lab string) (all []lack, err error) {
	err = m.in(lab, func() error {
		s, err := stack.Look()
		if err != nil {
			return err
		}
		for _, e := range m.Ends {
			all = append(all, e.lacks(s)...)
		}
		all = append(all, m.settingLacks()...)
		for _, r := range m.routes(m.Gateway.Texts()) {
			if !s.HasRoute(r) {
				all = append(all, lack{"route " + r.String(), r.Replace})
			}
		}
		return nil
	})
	return all, err
}

// lacks finds what an end's interfaces lack. One that is a port and has gone is
// another matter: see [world.unplugged].
func (e *End) lacks(s *stack.State) (all []lack) {
	on := kernelName(e.Name)
	if !s.Has(on) {
		return nil
	}
	if mtu := cmp.Or(e.Cable.MTU, usualMTU); s.MTU(on) != mtu {
		all = append(all, lack{fmt.Sprintf("MTU %d of %s", mtu, on), func() error { return stack.SetMTU(on, mtu) }})
	}
	all = append(all, stationLacks(s, on, e.Prefixes)...)
	for _, v := range e.VLANs {
		if !s.Has(v.Name) && !e.hasLegs() {
			all = append(all, lack{"interface " + v.Name, func() error { return stack.AddVLAN(on, v.Name, int(v.ID)) }})
		}
		if s.Has(v.Name) || !e.hasLegs() {
			all = append(all, stationLacks(s, v.Name, v.Prefixes)...)
		}
	}
	return all
}

func setUp(ifname string) string { return ifname + " up" }

// stationLacks finds what an interface lacks to be a station.
func stationLacks(s *stack.State, ifname string, prefixes []netip.Prefix) (all []lack) {
	if !s.Up(ifname) {
		all = append(all, lack{setUp(ifname), func() error { return stack.SetUp(ifname) }})
	}
	for _, p := range prefixes {
		if !s.HasAddress(ifname, p) {
			all = append(all, lack{fmt.Sprintf("%s at %s", p, ifname), func() error { return stack.AddAddress(ifname, p.String()) }})
		}
	}
	return all
}

func (m *Member) settingLacks() (all []lack) {
	wanted := m.settings()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		value, err := stack.Sysctl(name)
		if err == nil && !slices.Equal(strings.Fields(value), strings.Fields(wanted[name])) {
			all = append(all, lack{name + "=" + wanted[name], func() error { return stack.SetSysctl(name, wanted[name]) }})
		}
	}
	return all
}

// names returns what is lacking.
func names(lacks []lack) (all []string) {
	for _, l := range lacks {
		all = append(all, l.what)
	}
	return all
}

// drift finds what the nodes' namespaces have lost since they were configured, by
// node. What they lacked then was taken by the file's commands.
func (w *world) drift(lab string) (map[string][]string, error) {
	drift := make(map[string][]string)
	if w.was == nil {
		return drift, nil
	}
	for _, m := range w.was.Members {
		if !m.hasNamespace() || !w.nodes[m.Name] {
			continue
		}
		lacks, err := m.lacks(lab)
		if err != nil {
			return nil, err
		}
		for _, what := range names(lacks) {
			if !slices.Contains(w.lacked[m.Name], what) {
				drift[m.Name] = append(drift[m.Name], what)
			}
		}
	}
	return drift, nil
}

// mend gives a node's namespace again what it has lost.
func (m *Member) mend(lab string, lost []string) error {
	lacks, err := m.lacks(lab)
	if err != nil {
		return err
	}
	return m.in(lab, func() error {
		for _, l := range lacks {
			if !slices.Contains(lost, l.what) {
				continue
			}
			if err := l.mend(); err != nil {
				return refused("%s: %v", m.Name, err)
			}
		}
		return nil
	})
}

// mendActions mends nodes that stay as they are otherwise. Those that get an
// interface are configured anyway, and lose no word on it.
func (m *Manager) mendActions(w *world, t *Topology, plugged map[string]bool) (all []action) {
	for _, node := range t.Members {
		lost := w.drifted[node.Name]
		if len(lost) == 0 || !w.nodes[node.Name] {
			continue
		}
		all = append(all, action{
			kind:  "nodes",
			what:  fmt.Sprintf("mend node %s: %s", node.Name, strings.Join(lost, ", ")),
			do:    func(context.Context) error { return node.mend(t.Name, lost) },
			quiet: plugged[node.Name],
		})
	}
	return all
}
