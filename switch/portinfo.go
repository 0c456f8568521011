package vswitch

import (
	"cmp"
	"maps"
	"slices"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/port"
)

func (e *Engine) findPort(swName, name string) (*Port, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	sw, err := e.findLocked(swName)
	if err != nil {
		return nil, err
	}
	if p := sw.ports[name]; p != nil {
		return p, nil
	}
	return nil, errorf(NotFound, "no port %q on switch %s: `vsctl port list %s` shows those that stand", name, swName, swName)
}

// Port returns one port.
func (e *Engine) Port(sw, name string) (PortInfo, error) {
	p, err := e.findPort(sw, name)
	if err != nil {
		return PortInfo{}, err
	}
	return e.portInfo(p), nil
}

// Ports returns the ports of a switch, or of all where sw is empty, by switch
// and name; digits in names count as numbers.
func (e *Engine) Ports(sw string) ([]PortInfo, error) {
	e.mu.RLock()
	var ports []*Port
	if sw != "" {
		s, err := e.findLocked(sw)
		if err != nil {
			e.mu.RUnlock()
			return nil, err
		}
		ports = slices.Collect(maps.Values(s.ports))
	} else {
		for _, s := range e.switches {
			ports = append(ports, slices.Collect(maps.Values(s.ports))...)
		}
	}
	e.mu.RUnlock()
	slices.SortFunc(ports, func(a, b *Port) int {
		return cmp.Or(cmp.Compare(a.sw.name, b.sw.name), natural.Compare(a.core.name, b.core.name))
	})
	infos := make([]PortInfo, 0, len(ports))
	for _, p := range ports {
		infos = append(infos, e.portInfo(p))
	}
	return infos, nil
}

func (e *Engine) portInfo(p *Port) PortInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := PortInfo{PortConfig: p.cfg, State: p.state, Reason: p.reason, Info: p.info, FarName: p.ifName, Stations: p.sw.table.PortCount(p.id)}
	for _, l := range p.core.lanes {
		l.addTo(&info.Counters)
	}
	if p.attached != nil {
		p.countRxFull(p.attached.Device())
	}
	info.Counters.Drops[frame.RxFull] = p.rxFull
	info.Counters.Add(&p.earlier)
	return info
}

// countRxFull adds what the kernel has dropped since the last call. The caller
// holds Engine.mu.
func (p *Port) countRxFull(d port.Device) {
	if c, ok := d.(port.RxDropCounter); ok {
		p.rxFull += c.RxDrops()
	}
}
