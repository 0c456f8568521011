package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/port"

	vswitch "github.com/vswitch/vswitch/switch"
)

// step is one thing that has to be done, and how it is taken back.
type step struct {
	what string
	do   func(context.Context) error
	undo func(context.Context) error // nil: there is nothing to take back

	removes *port.PeerName // the port that is gone when it is done
	makes   *port.PeerName // the port that is gone when it is taken back
}

// undoTime is what taking back may take.
const undoTime = 30 * time.Second

// do takes all steps, or takes back what it has done. Ports that go one after another
// go together: the kernel takes no longer for hundreds than for a few.
func (s *Server) do(ctx context.Context, all []step) error {
	for i := 0; i < len(all); {
		err := ctx.Err()
		n, done := 1, all[:i]
		switch together := removed(all[i:]); {
		case err != nil:
		case len(together) > 0:
			n = len(together)
			done = all[:i+n] // should it fail, some may be gone
			err = s.engine.DeletePorts(ctx, together)
		default:
			err = all[i].do(ctx)
		}
		if err == nil {
			i += n
			continue
		}
		e := asError(err)
		err = api.Errorf(e.Code, "%s: %s; %s", all[i].what, e.Message, asBefore(done))
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		return errors.Join(err, s.takeBack(back, done))
	}
	return nil
}

// removed returns the ports that the first steps remove, up to one that does something
// else.
func removed(all []step) (ports []port.PeerName) {
	for _, one := range all {
		if one.removes == nil {
			break
		}
		ports = append(ports, *one.removes)
	}
	return ports
}

// takeBack takes steps back, the last one first. When the daemon ends there is no more
// to it: what is kept is as it was.
func (s *Server) takeBack(ctx context.Context, done []step) (err error) {
	var together []port.PeerName // ports that go, and have not gone yet
	for k := len(done) - 1; k >= -1; k-- {
		if k >= 0 && done[k].makes != nil {
			together = append(together, *done[k].makes)
			continue
		}
		if k >= 0 && done[k].undo == nil {
			continue
		}
		var failed error
		what := "remove what was added"
		if len(together) > 0 {
			failed, together = s.engine.DeletePorts(ctx, together), nil
		}
		if failed == nil && k >= 0 {
			failed, what = done[k].undo(ctx), done[k].what
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("take back: %s: %w", what, failed))
		}
		if isCode(failed, vswitch.Closing) {
			break
		}
	}
	return err
}

// asBefore says how things stand when steps were taken back.
func asBefore(done []step) string {
	var cut []string
	for _, one := range done {
		if p := one.removes; p != nil {
			cut = append(cut, p.Switch+"/"+p.Port)
		}
	}
	if len(cut) == 0 {
		return "nothing was changed"
	}
	return "all is configured as it was, with these ports made again: " + strings.Join(cut, ", ")
}

// adder makes a port.
type adder func(context.Context, vswitch.PortConfig) error

// steps finds what has to be done so that one configuration becomes another: what
// goes, goes first, so that its names, devices and namespaces are free. Ports leave
// profiles before these change, and join them afterwards, so that none is for a moment
// in VLANs that nobody wants it in.
func (s *Server) steps(have, want *model, add adder) (all []step) {
	gone := make(map[port.PeerName]bool) // ports, with the far ends of patches
	var ports []step
	for _, name := range natural.Sorted(maps.Keys(have.switches)) {
		ports = append(ports, s.removePorts(name, have, want, gone)...)
	}
	for _, name := range natural.Sorted(maps.Keys(have.switches)) {
		all = append(all, s.removeEntries(name, have, want, gone)...)
	}
	all = append(all, ports...)
	for _, name := range natural.Sorted(maps.Keys(have.switches)) {
		if want.switches[name] == nil {
			all = append(all, s.removeSwitch(name, have.switches[name].settings))
		}
	}
	for _, name := range natural.Sorted(maps.Keys(want.switches)) {
		all = append(all, s.switchSteps(name, have.switches[name], want.switches[name])...)
	}
	all = append(all, s.leaveProfiles(have, want, gone)...)
	for _, name := range slices.Sorted(maps.Keys(want.profiles)) {
		all = append(all, s.profileSteps(have, want.profiles[name])...)
	}
	made := make(map[port.PeerName]bool)
	for _, name := range natural.Sorted(maps.Keys(want.switches)) {
		for _, p := range natural.Sorted(maps.Keys(want.switches[name].ports)) {
			all = append(all, s.portSteps(port.PeerName{Switch: name, Port: p}, have, want, gone, made, add)...)
		}
	}
	for _, name := range natural.Sorted(maps.Keys(want.switches)) {
		all = append(all, s.addEntries(name, have, want, gone)...)
	}
	for _, name := range slices.Sorted(maps.Keys(have.profiles)) {
		if _, stays := want.profiles[name]; !stays {
			old := have.profiles[name]
			all = append(all, step{what: "remove profile " + name,
				do:   func(ctx context.Context) error { return s.engine.DeleteProfile(ctx, name) },
				undo: func(ctx context.Context) error { return s.engine.AddProfile(ctx, old) }})
		}
	}
	return all
}

// hangsAlike reports whether a port can become another without being made anew.
func hangsAlike(have, want vswitch.PortConfig) bool {
	h, w := have.Attach, want.Attach
	mac := w.MAC == (frame.MAC{}) && h.MAC == (frame.MAC{}) || w.MAC == h.MAC
	return h.Kind == w.Kind && h.Netns == w.Netns && h.Container == w.Container && h.Device == w.Device && h.IfName == w.IfName && mac &&
		sortedText(h.Addresses) == sortedText(w.Addresses) && sortedText(h.Gateways) == sortedText(w.Gateways) &&
		mtu(h) == mtu(w) && h.Owner == w.Owner && max(h.Queues, 1) == max(w.Queues, 1) && h.Peer == w.Peer
}

// removePorts removes those that nobody wants so, and notes them.
func (s *Server) removePorts(sw string, have, want *model, gone map[port.PeerName]bool) (all []step) {
	for _, name := range natural.Sorted(maps.Keys(have.switches[sw].ports)) {
		id := port.PeerName{Switch: sw, Port: name}
		old := have.switches[sw].ports[name]
		next, wanted := want.port(id)
		if gone[id] || wanted && hangsAlike(old, next) && s.farStays(old, have, want) {
			continue
		}
		gone[id] = true
		far, isPatch := have.port(old.Attach.Peer)
		if isPatch {
			gone[old.Attach.Peer] = true
		}
		all = append(all, step{what: "remove port " + sw + "/" + name, removes: &id,
			do: func(ctx context.Context) error { return s.engine.DeletePort(ctx, sw, name) },
			undo: func(ctx context.Context) error {
				if _, err := s.engine.Port(sw, name); err == nil {
					return nil // it has not gone
				}
				why, err := s.engine.RestorePort(ctx, own(old)) // it may have been lost
				if err == nil && why != nil {
					s.lost(old, why)
				}
				if err == nil && isPatch {
					err = s.putPort(ctx, far)
				}
				return errors.Join(err, s.putEntries(ctx, have, id, old.Attach.Peer))
			}})
	}
	return all
}

// putEntries gives ports again the static entries that went with them.
func (s *Server) putEntries(ctx context.Context, have *model, ports ...port.PeerName) (err error) {
	for _, id := range ports {
		if have.switches[id.Switch] == nil {
			continue
		}
		for key, at := range have.switches[id.Switch].entries {
			if at == id.Port {
				err = errors.Join(err, s.engine.AddFDB(ctx, id.Switch, key.vlan, key.mac, at))
			}
		}
	}
	return err
}

// farStays reports whether the far end of a patch stays, too; of what is no patch,
// there is none.
func (s *Server) farStays(cfg vswitch.PortConfig, have, want *model) bool {
	far, isPatch := have.port(cfg.Attach.Peer)
	if !isPatch {
		return true
	}
	next, wanted := want.port(cfg.Attach.Peer)
	return wanted && hangsAlike(far, next)
}

// own returns a port without what its profile says, which may not be said again.
func own(cfg vswitch.PortConfig) vswitch.PortConfig {
	if cfg.Profile != "" {
		plain := vswitch.NewProfile("")
		cfg.VLAN, cfg.Options = plain.VLAN, plain.Options
	}
	return cfg
}

// putPort gives a port that stands all that can be changed of it.
func (s *Server) putPort(ctx context.Context, want vswitch.PortConfig) error {
	_, err := s.engine.SetPort(ctx, want.Switch, want.Name, false, func(cfg *vswitch.PortConfig) error {
		cfg.Profile, cfg.Impair, cfg.Down, cfg.Description = want.Profile, want.Impair, want.Down, want.Description
		if want.Profile == "" {
			cfg.VLAN, cfg.Options = want.VLAN, want.Options
		}
		return nil
	})
	return err
}

// leaveProfiles changes the ports that leave a profile which is about to change.
func (s *Server) leaveProfiles(have, want *model, gone map[port.PeerName]bool) (all []step) {
	for _, sw := range natural.Sorted(maps.Keys(want.switches)) {
		for _, name := range natural.Sorted(maps.Keys(want.switches[sw].ports)) {
			id := port.PeerName{Switch: sw, Port: name}
			if old, stands := have.port(id); stands && !gone[id] {
				all = append(all, s.changePort(old, have.meanwhile(old, want.switches[sw].ports[name], want))...)
			}
		}
	}
	return all
}

// meanwhile returns how a port has to be while profiles become others: without one
// that changes and is not its own afterwards. Where the next one changes, too, the
// port has for that time by itself what that will say.
func (m *model) meanwhile(old, next vswitch.PortConfig, want *model) vswitch.PortConfig {
	if old.Profile == "" || old.Profile == next.Profile || m.profileStays(old.Profile, want) {
		return old
	}
	if next.Profile == "" || m.profileStays(next.Profile, want) {
		return next
	}
	old.Profile, old.VLAN, old.Options = "", next.VLAN, next.Options
	return old
}

// profileStays reports whether a profile stands, and is not changed; one that goes
// does so when no port has it any more.
func (m *model) profileStays(name string, want *model) bool {
	old, stands := m.profiles[name]
	next, wanted := want.profiles[name]
	return stands && (!wanted || len(profileDiff(old, next)) == 0)
}

// changePort changes a port that stands.
func (s *Server) changePort(old, next vswitch.PortConfig) []step {
	changes := portDiff(vswitch.PortInfo{PortConfig: old}, next)
	if len(changes) == 0 {
		return nil
	}
	return []step{{what: fmt.Sprintf("change port %s/%s: %s", next.Switch, next.Name, strings.Join(changes, "; ")),
		do:   func(ctx context.Context) error { return s.putPort(ctx, next) },
		undo: func(ctx context.Context) error { return s.putPort(ctx, old) }}}
}

// portSteps makes a port, or changes it. Of a patch, one end makes the other.
func (s *Server) portSteps(id port.PeerName, have, want *model, gone, made map[port.PeerName]bool, add adder) []step {
	next, _ := want.port(id)
	old, stands := have.port(id)
	what := id.Switch + "/" + id.Port
	if stands && !gone[id] {
		return s.changePort(have.meanwhile(old, next, want), next)
	}
	if made[id] {
		return []step{{what: "add port " + what, do: func(ctx context.Context) error { return s.putPort(ctx, next) }}}
	}
	if next.Attach.Kind == port.Patch {
		made[next.Attach.Peer] = true
	}
	return []step{{what: "add port " + what, makes: &id,
		do:   func(ctx context.Context) error { return add(ctx, own(next)) },
		undo: func(ctx context.Context) error { return s.engine.DeletePort(ctx, id.Switch, id.Port) }}}
}

func (s *Server) removeSwitch(name string, old vswitch.Settings) step {
	return step{what: "remove switch " + name,
		do:   func(ctx context.Context) error { return s.engine.DeleteSwitch(ctx, name) },
		undo: func(ctx context.Context) error { return s.engine.AddSwitch(ctx, name, old) }}
}

func (s *Server) switchSteps(name string, have, want *modelSwitch) []step {
	if have == nil {
		return []step{{what: "add switch " + name,
			do:   func(ctx context.Context) error { return s.engine.AddSwitch(ctx, name, want.settings) },
			undo: func(ctx context.Context) error { return s.engine.DeleteSwitch(ctx, name) }}}
	}
	changes := settingsDiff(have.settings, want.settings)
	if len(changes) == 0 {
		return nil
	}
	put := func(to vswitch.Settings) func(context.Context) error {
		return func(ctx context.Context) error {
			return s.engine.SetSwitch(ctx, name, func(settings *vswitch.Settings) error { *settings = to; return nil })
		}
	}
	return []step{{what: "change switch " + name + ": " + strings.Join(changes, "; "), do: put(want.settings), undo: put(have.settings)}}
}

func (s *Server) profileSteps(have *model, want vswitch.Profile) []step {
	old, stands := have.profiles[want.Name]
	if !stands {
		return []step{{what: "add profile " + want.Name,
			do:   func(ctx context.Context) error { return s.engine.AddProfile(ctx, want) },
			undo: func(ctx context.Context) error { return s.engine.DeleteProfile(ctx, want.Name) }}}
	}
	changes := profileDiff(old, want)
	if len(changes) == 0 {
		return nil
	}
	put := func(to vswitch.Profile) func(context.Context) error {
		return func(ctx context.Context) error {
			return s.engine.SetProfile(ctx, to.Name, func(p *vswitch.Profile) error { *p = to; return nil })
		}
	}
	return []step{{what: "change profile " + want.Name + ": " + strings.Join(changes, "; "), do: put(want), undo: put(old)}}
}

// removeEntries removes static entries that nobody wants so. Those of ports that go
// are no steps of their own: they go along, and come again if that is taken back.
func (s *Server) removeEntries(sw string, have, want *model, gone map[port.PeerName]bool) (all []step) {
	for _, key := range slices.SortedFunc(maps.Keys(have.switches[sw].entries), compareEntries) {
		at := have.switches[sw].entries[key]
		if want.hasEntry(sw, key, at) || gone[port.PeerName{Switch: sw, Port: at}] {
			continue
		}
		all = append(all, step{what: fmt.Sprintf("remove entry %s %s", sw, key),
			do:   func(ctx context.Context) error { return s.engine.DeleteFDB(ctx, sw, key.vlan, key.mac) },
			undo: func(ctx context.Context) error { return s.engine.AddFDB(ctx, sw, key.vlan, key.mac, at) }})
	}
	return all
}

// addEntries adds static entries that are missing, or went with their ports.
func (s *Server) addEntries(sw string, have, want *model, gone map[port.PeerName]bool) (all []step) {
	for _, key := range slices.SortedFunc(maps.Keys(want.switches[sw].entries), compareEntries) {
		at := want.switches[sw].entries[key]
		if have.hasEntry(sw, key, at) && !gone[port.PeerName{Switch: sw, Port: at}] {
			continue
		}
		all = append(all, step{what: fmt.Sprintf("add entry %s %s", sw, key),
			do:   func(ctx context.Context) error { return s.engine.AddFDB(ctx, sw, key.vlan, key.mac, at) },
			undo: func(ctx context.Context) error { return s.engine.DeleteFDB(ctx, sw, key.vlan, key.mac) }})
	}
	return all
}
