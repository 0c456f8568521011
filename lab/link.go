package lab

import (
	"context"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

// End returns the end of a link that is named NODE:PORT.
func (t *Topology) End(name string) (*End, error) {
	var names []string
	for _, c := range t.Cables {
		for _, e := range c.Ends {
			if e.String() == name {
				return e, nil
			}
			names = append(names, e.String())
		}
	}
	node, _, ok := strings.Cut(name, ":")
	switch m := t.Member(node); {
	case !ok:
		return nil, api.Errorf(api.Invalid, "%q is no end of a link: write such as sw1:up", name)
	case m == nil:
		return nil, api.Errorf(api.NotFound, "lab %s has no node %q%s", t.Name, node, t.LikeNode(node))
	}
	return nil, api.Errorf(api.NotFound, "lab %s has no link that ends at %q%s", t.Name, name, document.DidYouMean(name, names))
}

// port returns the port that an end is, or the one that it hangs on.
func (t *Topology) port(e *End) *port {
	ports := t.cablePorts(e.Cable)
	for _, p := range ports {
		if p.end == e {
			return p
		}
	}
	return ports[0]
}

// SetLink takes the link at an end down, or up: what is at the other end sees its
// carrier go, or come.
func (m *Manager) SetLink(ctx context.Context, t *Topology, e *End, down bool) error {
	m.useOf(t)
	ports := t.cablePorts(e.Cable)
	if near, far := e.Cable.Ends[0], e.Cable.Ends[1]; near.Kind == Switch && far.Kind == Switch {
		ports = []*port{t.port(e)} // the far one loses its carrier then
	}
	for _, p := range ports {
		if _, err := m.client.SetPort(ctx, p.Switch, p.Name, api.PortChange{Down: &down}); err != nil {
			return err
		}
	}
	return nil
}

// Impair changes what becomes of frames that leave by an end, and with both of
// those that leave by the other one, too.
func (m *Manager) Impair(ctx context.Context, t *Topology, e *End, spec *api.ImpairmentSpec, both bool) error {
	m.useOf(t)
	ends := []*End{e}
	if both {
		ends = append(ends, e.Far())
	}
	for _, end := range ends {
		change := api.ImpairmentsSpec{Egress: spec}
		if end.Kind != Switch {
			change = api.ImpairmentsSpec{Ingress: spec}
		}
		near := t.port(end)
		for _, p := range t.cablePorts(e.Cable) {
			if p != near && p.end != near.end {
				continue
			}
			if _, err := m.client.SetPort(ctx, p.Switch, p.Name, api.PortChange{Impair: &change}); err != nil {
				return err
			}
		}
	}
	return nil
}

// restorer returns a function that makes the link at an end as it is now.
func (m *Manager) restorer(ctx context.Context, t *Topology, e *End) (func(context.Context) error, error) {
	type was struct {
		*port
		change api.PortChange
	}
	var all []was
	for _, p := range t.cablePorts(e.Cable) {
		have, err := m.client.Port(ctx, p.Switch, p.Name)
		if err != nil {
			return nil, err
		}
		down := have.State == api.StateDown
		impair := api.ImpairmentsSpec{Egress: &api.ImpairmentSpec{}, Ingress: &api.ImpairmentSpec{}}
		for to, from := range map[*api.ImpairmentSpec]*api.Impairment{impair.Egress: have.Impair.Egress, impair.Ingress: have.Impair.Ingress} {
			if from != nil {
				if err := convert(from, to); err != nil {
					return nil, err
				}
			}
			to.Replace = true
		}
		all = append(all, was{p, api.PortChange{Down: &down, Impair: &impair}})
	}
	return func(ctx context.Context) error {
		for _, w := range all {
			if _, err := m.client.SetPort(ctx, w.Switch, w.Name, w.change); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
