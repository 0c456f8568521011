package vswitch

import (
	"github.com/vswitch/vswitch/port"
)

// addPatch makes both ends of a patch. The far end gets the same VLAN policy,
// and the options of a plain port. Frames cross in the worker that decided
// about them (worker.cross): a patch has no device.
func (e *Engine) addPatch(sw *Switch, cfg PortConfig) (PortInfo, error) {
	far := cfg
	far.Switch, far.Name = cfg.Attach.Peer.Switch, cfg.Attach.Peer.Port
	far.Attach.Peer = port.PeerName{Switch: cfg.Switch, Port: cfg.Name}
	far.Options, far.Profile, far.Impair, far.Down = Options{}, "", Impairments{}, false
	if err := far.check(); err != nil {
		return PortInfo{}, err
	}
	farSwitch, err := e.home(far.Switch)
	if err != nil {
		return PortInfo{}, err
	}
	switch {
	case far.Switch == cfg.Switch && far.Name == cfg.Name:
		return PortInfo{}, errorf(Invalid, "a patch from %s/%s to itself is not possible: name another port as its far end", cfg.Switch, cfg.Name)
	case farSwitch.ports[far.Name] != nil:
		return PortInfo{}, errorf(Exists, "port %s/%s stands already: `--patch` makes both ends, so name a port that does not stand", far.Switch, far.Name)
	}
	p, err := e.newPort(sw, cfg)
	if err != nil {
		return PortInfo{}, err
	}
	e.reserveID(p)
	q, err := e.newPort(farSwitch, far)
	if err != nil {
		e.mu.Lock()
		p.sw.ids[p.id] = nil
		e.mu.Unlock()
		return PortInfo{}, err
	}
	p.peer, q.peer = q, p
	e.enter(p)
	e.enter(q)
	return e.portInfo(p), nil
}
