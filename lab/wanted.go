package lab

import (
	"fmt"
	"net/netip"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/stack"
)

// What of a topology is the daemon's: switches and ports, in the API's terms.

// wiresName is the switch, behind the lab's name and a dot, whose tunnels are the
// cables without a switch. No node is called so, as none begins so.
const wiresName = "_wires"

// switches returns those that the lab has.
func (t *Topology) switches() (all []api.SwitchSpec) {
	for _, m := range t.Members {
		if m.Kind == Switch {
			all = append(all, m.switchSpec(t))
		}
	}
	for _, c := range t.Cables {
		if c.isWire() {
			name, pass, bpdu := t.Name+"."+wiresName, "all", api.BPDUForward
			return append(all, api.SwitchSpec{Name: name, PassReserved: &pass, BPDU: &bpdu})
		}
	}
	return all
}

// Values of a switch that was told nothing.
const (
	defaultAgeing  = 300.0
	defaultFDBSize = 16384
)

// switchSpec says all of a switch, so that it also takes back.
func (m *Member) switchSpec(t *Topology) api.SwitchSpec {
	ageing, size, bpdu, pass := defaultAgeing, defaultFDBSize, api.BPDUForward, "none"
	if m.Ageing != nil {
		d, _ := config.ParseAgeing(string(*m.Ageing)) // was checked
		ageing = d.Seconds()
	}
	if m.FDBSize != nil {
		size = *m.FDBSize
	}
	if m.BPDU != nil {
		bpdu = string(*m.BPDU)
	}
	if m.PassReserved != nil {
		pass = string(*m.PassReserved)
	}
	return api.SwitchSpec{Name: t.SwitchName(m), AgeingSeconds: &ageing, FDBSize: &size, BPDU: &bpdu, PassReserved: &pass}
}

// isWire reports whether a cable joins no switch.
func (c *Cable) isWire() bool { return c.Ends[0].Kind != Switch && c.Ends[1].Kind != Switch }

// port is a port that the lab wants: how it is made, and what holds of it.
type port struct {
	api.PortSpec
	end     *End // whose link it is
	station *End // that hangs on it; nil: it is a patch
	leg     bool // one VLAN of the station: see [Topology.legs]
}

func (p *port) fullName() string { return p.Switch + "/" + p.Name }

// ports returns the ports that the lab has, the near end of a patch before the
// far one.
func (t *Topology) ports() (all []*port) {
	for _, c := range t.Cables {
		all = append(all, t.cablePorts(c)...)
	}
	return all
}

// cablePorts returns the ports of one link.
func (t *Topology) cablePorts(c *Cable) []*port {
	near, far := c.Ends[0], c.Ends[1]
	switch {
	case c.isWire():
		number := t.wires[c]
		return []*port{t.wirePort(near, number), t.wirePort(far, number)}
	case near.Kind == Switch && far.Kind == Switch:
		return []*port{t.patchPort(near), t.patchPort(far)}
	case near.Kind == Switch:
		return append([]*port{t.stationPort(near, far)}, t.legs(near, far)...)
	}
	return append([]*port{t.stationPort(far, near)}, t.legs(far, near)...)
}

// hasLegs reports whether the interfaces of VLANs that an end has are ports of
// their own, as this machine's kernel makes none on an interface.
func (e *End) hasLegs() bool {
	return len(e.VLANs) > 0 && e.Kind != VM && e.Far().Kind == Switch && !stack.HasVLANs()
}

// legs are the ports for those.
func (t *Topology) legs(e, station *End) (all []*port) {
	if !station.hasLegs() {
		return nil
	}
	for _, v := range station.VLANs {
		p := t.stationPort(e, station)
		id := int(v.ID)
		p.leg, p.Name, p.VLAN = true, fmt.Sprintf("%s.%d", p.Name, id), &api.VLANSpec{Access: &id}
		p.IfName, p.MAC, p.IPs, p.Gateways = v.Name, "", nil, gateways(station.Member, v.Prefixes)
		for _, prefix := range v.Prefixes {
			p.IPs = append(p.IPs, prefix.String())
		}
		all = append(all, p)
	}
	return all
}

// base says what is common to the ports of a switch.
func (t *Topology) base(e *End) *port {
	p := &port{end: e, PortSpec: api.PortSpec{Switch: t.SwitchName(e.Member), Name: e.Name, VLAN: e.Settings.VLAN(), Options: withDefaults(e.Settings.Options())}}
	if e.Settings.Down != nil {
		p.Down = *e.Settings.Down
	}
	if e.Settings.Description != nil {
		p.Description = *e.Settings.Description
	}
	return p
}

func (t *Topology) patchPort(e *End) *port {
	p := t.base(e)
	p.Kind, p.Peer = api.KindPatch, t.SwitchName(e.Far().Member)+"/"+e.Far().Name
	p.Impair = &api.ImpairmentsSpec{Egress: e.leaving(), Ingress: &api.ImpairmentSpec{Replace: true}}
	return p
}

// stationPort is a port of a switch on which a station hangs.
func (t *Topology) stationPort(e, station *End) *port {
	p := t.base(e)
	t.attach(p, station)
	p.Impair = &api.ImpairmentsSpec{Egress: e.leaving(), Ingress: station.leaving()}
	return p
}

// wirePort is one end of a cable without a switch: a tunnel of a VLAN of its own,
// which carries whatever frame as it is.
func (t *Topology) wirePort(station *End, number int) *port {
	yes := true
	p := &port{end: station, PortSpec: api.PortSpec{
		Switch:  t.Name + "." + wiresName,
		Name:    hashed("w", station.Member.Name, station.Name),
		VLAN:    &api.VLANSpec{Tunnel: &number},
		Options: &api.OptionsSpec{NoLearn: &yes},
	}}
	p.Options = withDefaults(p.Options)
	p.Description = station.String()
	if down := station.Cable.Down; down != nil {
		p.Down = *down
	}
	t.attach(p, station)
	p.Impair = &api.ImpairmentsSpec{Egress: &api.ImpairmentSpec{Replace: true}, Ingress: station.leaving()}
	return p
}

// attach hangs a port on a station.
func (t *Topology) attach(p *port, s *End) {
	p.station = s
	p.MTU = s.Cable.MTU
	switch s.Kind {
	case External:
		p.Kind, p.Device = api.KindDev, s.Device
	case VM:
		p.Kind, p.Device = api.KindVM, t.tapName(s)
	default:
		p.Kind, p.Netns, p.IfName = api.KindVeth, t.NetnsName(s.Member), kernelName(s.Name)
		if s.MAC != (frame.MAC{}) {
			p.MAC = s.MAC.String()
		}
		for _, prefix := range s.Prefixes {
			p.IPs = append(p.IPs, prefix.String())
		}
		p.Gateways = gateways(s.Member, s.Prefixes)
	}
}

// tapName is the name of a virtual machine's TAP.
func (t *Topology) tapName(s *End) string { return hashed("vt", t.Name, s.Member.Name, s.Name) }

// gateways returns those of a node's that are reached by an interface with these
// addresses.
func gateways(m *Member, prefixes []netip.Prefix) (all []string) {
	for _, g := range m.Gateway {
		for _, p := range prefixes {
			if addr, err := netip.ParseAddr(g.Text); err == nil && p.Contains(addr) {
				all = append(all, addr.String())
				break
			}
		}
	}
	return all
}

// leaving says what becomes of frames that leave by an end: also nothing.
func (e *End) leaving() *api.ImpairmentSpec {
	spec := api.ImpairmentSpec{}
	for i, end := range e.Cable.Ends {
		if end == e && e.Cable.Leaves[i] != nil {
			spec = *e.Cable.Leaves[i]
		}
	}
	spec.Replace = true
	return &spec
}

// withDefaults says all options, so that they also take back.
func withDefaults(o *api.OptionsSpec) *api.OptionsSpec {
	for _, f := range []**bool{&o.NoFlood, &o.NoMcastFlood, &o.NoBcastFlood, &o.NoLearn, &o.Hairpin, &o.Isolated, &o.Sticky, &o.LoopProtect} {
		if *f == nil {
			*f = new(bool)
		}
	}
	if o.StormLimit == nil {
		o.StormLimit = new(string)
	}
	if o.MaxMACs == nil {
		o.MaxMACs = new(int)
	}
	if o.PassReserved == nil {
		as := api.PassAsSwitch
		o.PassReserved = &as
	}
	return o
}
