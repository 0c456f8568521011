package lab

import (
	"maps"
	"net/netip"
	"path/filepath"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/stack"
	"github.com/vswitch/vswitch/lab/guest"
	"github.com/vswitch/vswitch/lab/vm"
)

// machine says how a node that is a virtual machine is run.
func (t *Topology) machine(m *Member) *vm.Machine {
	return &vm.Machine{
		Name:     t.NetnsName(m),
		Memory:   m.Memory,
		CPUs:     m.CPUs,
		Accel:    m.Accel,
		Image:    t.file(m.Image),
		UserData: t.file(m.UserData),
		Kernel:   t.file(m.Kernel),
		Initrd:   t.file(m.Initrd),
		Append:   m.Append,
		Args:     m.Args,
		Cards:    t.cards(m),
		Guest:    t.guest(m),
	}
}

// file returns a file that the lab's file names: beside it, unless it says more.
func (t *Topology) file(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(t.dir, name)
}

func (t *Topology) cards(m *Member) (all []vm.Card) {
	for _, e := range m.Ends {
		all = append(all, vm.Card{TAP: t.tapName(e), MAC: t.cardMAC(e).String(), MTU: e.Cable.MTU})
	}
	return all
}

// cardMAC returns the address of a virtual machine's card: the one that is given,
// or one that stays the same, of those that are for local use.
func (t *Topology) cardMAC(e *End) frame.MAC {
	if e.MAC != (frame.MAC{}) {
		return e.MAC
	}
	var mac frame.MAC
	copy(mac[:], digest(t.Name, e.Member.Name, e.Name))
	mac[0] = mac[0]&^1 | 2
	return mac
}

// guest says what the machine's guest is told.
func (t *Topology) guest(m *Member) guest.Config {
	c := guest.Config{Lab: t.Name, Node: m.Name, Hosts: t.hosts(), Env: m.Env, Routes: m.routes(m.Gateway.Texts()), Sysctls: maps.Clone(m.Sysctls)}
	for _, e := range m.Ends {
		i := guest.Interface{Name: kernelName(e.Name), MAC: t.cardMAC(e).String()}
		for _, p := range e.Prefixes {
			i.Addresses = append(i.Addresses, p.String())
		}
		for _, v := range e.VLANs {
			sub := guest.VLAN{Name: v.Name, ID: int(v.ID)}
			for _, p := range v.Prefixes {
				sub.Addresses = append(sub.Addresses, p.String())
			}
			i.VLANs = append(i.VLANs, sub)
		}
		c.Interfaces = append(c.Interfaces, i)
	}
	for _, command := range m.Exec {
		c.Exec = append(c.Exec, command.Args)
	}
	return c
}

// routes returns the node's routes, those by some gateways first. A gateway with
// an address of the link alone is at the first.
func (m *Member) routes(gateways []string) (all []stack.Route) {
	for _, g := range gateways {
		r := stack.Route{To: "default", Via: g}
		if addr, err := netip.ParseAddr(g); err == nil && addr.IsLinkLocalUnicast() && len(m.Ends) > 0 {
			r.Dev = kernelName(m.Ends[0].Name)
		}
		all = append(all, r)
	}
	for _, r := range m.Routes {
		dev := r.Dev
		if dev != "" {
			dev = kernelName(dev)
		}
		all = append(all, stack.Route{To: r.To, Via: r.Via, Dev: dev})
	}
	return all
}

// MachineFiles returns the files of a node that is a virtual machine and runs.
func (t *Topology) MachineFiles(m *Member) vm.Files { return vm.FilesIn(folder(t.Name), m.Name) }

// machines returns the nodes that are virtual machines.
func (t *Topology) machines() (all []*Member) {
	for _, m := range t.Members {
		if m.Kind == VM {
			all = append(all, m)
		}
	}
	return all
}

// Buildable says what of a lab cannot be had on this machine.
func (t *Topology) Buildable() error {
	for _, m := range t.machines() {
		if err := t.machine(m).Check(); err != nil {
			return refused("the virtual machine %s cannot run: %v", m.Name, err)
		}
	}
	return nil
}
