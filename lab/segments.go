package lab

import (
	"net/netip"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// segment is where two interfaces hear each other's broadcasts: a VLAN of a
// switch and of those that it is joined with, or a cable without a switch.
type segment struct {
	at   any // a *Member, the first of its switches, or a *Cable
	vlan vlan.ID
}

// checkSegments finds addresses that two stations of one segment have.
func (b *builder) checkSegments() {
	type key[T comparable] struct {
		segment
		address T
	}
	ips, macs := make(map[key[netip.Addr]]*End), make(map[key[frame.MAC]]*End)
	roots := make(map[vlan.ID]map[*Member]*Member)
	for _, c := range b.t.Cables {
		for _, e := range c.Ends {
			if e.Kind == Switch {
				continue
			}
			port := e.Far()
			in := func(id vlan.ID) segment {
				if port.Kind != Switch {
					return segment{c, id}
				}
				if roots[id] == nil {
					roots[id] = b.joined(id)
				}
				return segment{roots[id][port.Member], id}
			}
			addresses := func(s segment, prefixes []netip.Prefix) {
				for _, p := range prefixes {
					k := key[netip.Addr]{s, p.Addr()}
					if first := ips[k]; first != nil {
						b.d.Reject(e.at, "%s has the address %s, which %s on the same segment has, too", e, p.Addr(), first)
					}
					ips[k] = e
				}
			}
			for _, v := range e.VLANs {
				if port.Kind == Switch && !tags(&port.Settings, v.ID) {
					b.d.Reject(v.at, "%s carries no tagged frames of VLAN %d, which %s has: give the link such as trunk: [%d]", port, v.ID, v.Name, v.ID)
				}
				addresses(in(v.ID), v.Prefixes)
			}
			id := vlan.ID(0)
			if port.Kind == Switch {
				if id = untagged(&port.Settings); id == 0 {
					continue // only tagged frames, which an address of the interface itself does not send
				}
			}
			s := in(id)
			addresses(s, e.Prefixes)
			if e.MAC != (frame.MAC{}) {
				k := key[frame.MAC]{s, e.MAC}
				if first := macs[k]; first != nil {
					b.d.Reject(e.at, "%s has the MAC address %s, which %s on the same segment has, too", e, e.MAC, first)
				}
				macs[k] = e
			}
		}
	}
}

// joined returns for each switch one that stands for all that a VLAN joins it
// with.
func (b *builder) joined(id vlan.ID) map[*Member]*Member {
	root := make(map[*Member]*Member)
	var find func(m *Member) *Member
	find = func(m *Member) *Member {
		if root[m] == nil || root[m] == m {
			root[m] = m
			return m
		}
		root[m] = find(root[m])
		return root[m]
	}
	for _, c := range b.t.Cables {
		near, far := c.Ends[0], c.Ends[1]
		if near.Kind == Switch && far.Kind == Switch && carries(&near.Settings, id) && carries(&far.Settings, id) {
			root[find(near.Member)] = find(far.Member)
		}
	}
	all := make(map[*Member]*Member)
	for _, m := range b.t.Members {
		if m.Kind == Switch {
			all[m] = find(m)
		}
	}
	return all
}
