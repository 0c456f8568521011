package control

import (
	"cmp"
	"context"
	"net/http"
	"unicode"
	"unicode/utf8"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/terms"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/storm"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) listPorts(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	p, err := params(r, "switch")
	if err != nil {
		return answer{}, err
	}
	ports, err := s.engine.Ports(p["switch"])
	if err != nil {
		return answer{}, err
	}
	return answer{body: listOf(ports, shownPort)}, nil
}

func (s *Server) getPort(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	p, err := s.engine.Port(r.PathValue("switch"), r.PathValue("port"))
	return answer{body: shownPort(p)}, err
}

func (s *Server) addPort(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.PortSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	cfg, err := portConfig(spec)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusCreated, about: cfg.Switch + "/" + cfg.Name, changed: []thing{thingPort{cfg.Switch, cfg.Name}}}
	p, err := s.engine.AddPort(ctx, cfg)
	if spec.MayExist && isCode(err, vswitch.Exists) {
		// Of the names that may be taken, only this port's own may exist.
		have, lookErr := s.engine.Port(cfg.Switch, cfg.Name)
		if lookErr != nil {
			return a, err
		}
		a.status, p = http.StatusOK, have
		err = standsJustSo("port "+a.about, portDiff(have, cfg))
	}
	a.body = shownPort(p)
	return a, err
}

func (s *Server) setPort(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var change api.PortChange
	if err := decode(body, &change); err != nil {
		return answer{}, err
	}
	raise := change.Down != nil && !*change.Down
	p, err := s.engine.SetPort(ctx, r.PathValue("switch"), r.PathValue("port"), raise, func(cfg *vswitch.PortConfig) error {
		return applyChange(cfg, change)
	})
	return answer{body: shownPort(p), changed: []thing{thingPort{p.Switch, p.Name}}}, err
}

func (s *Server) deletePort(ctx context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	sw, name := r.PathValue("switch"), r.PathValue("port")
	return answer{changed: []thing{thingPort{sw, name}}}, s.engine.DeletePort(ctx, sw, name)
}

// portConfig reads what somebody wants a port to be.
func portConfig(spec api.PortSpec) (vswitch.PortConfig, error) {
	cfg := vswitch.PortConfig{Switch: cmp.Or(spec.Switch, api.DefaultSwitch), Name: spec.Name}
	if err := vswitch.CheckName("switch", cfg.Switch); err != nil {
		return cfg, err
	}
	if err := vswitch.CheckName("port", cfg.Name); err != nil {
		return cfg, err
	}
	attach, err := attachment(spec)
	if err != nil {
		return cfg, err
	}
	cfg.Attach = attach
	if cfg.VLAN, err = terms.Policy(spec.VLAN, nil); err != nil {
		return cfg, err
	}
	cfg.Profile = spec.Profile
	return cfg, applyChange(&cfg, api.PortChange{Options: spec.Options, Impair: spec.Impair, Down: &spec.Down, Description: &spec.Description})
}

// applyChange replaces what change names.
func applyChange(cfg *vswitch.PortConfig, change api.PortChange) error {
	if change.VLAN != nil {
		policy, err := terms.Policy(change.VLAN, &cfg.VLAN)
		if err != nil {
			return err
		}
		cfg.VLAN = policy
	}
	if change.Profile != nil {
		cfg.Profile = *change.Profile
	}
	if change.Options != nil {
		if err := applyOptions(&cfg.Options, *change.Options); err != nil {
			return err
		}
	}
	if change.Impair != nil {
		if err := applyImpairments(&cfg.Impair, *change.Impair); err != nil {
			return err
		}
	}
	if change.Down != nil {
		cfg.Down = *change.Down
	}
	if change.Description != nil {
		if err := checkDescription(*change.Description); err != nil {
			return err
		}
		cfg.Description = *change.Description
	}
	return nil
}

const maxDescription = 255

// checkDescription keeps a description from doing anything to a terminal.
func checkDescription(s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxDescription {
		return api.Errorf(api.Invalid, "the description is over %d characters, or no UTF-8: shorten it", maxDescription)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return api.Errorf(api.Invalid, "the description has the character %U, which cannot be shown: leave it out", r)
		}
	}
	return nil
}

func applyOptions(o *vswitch.Options, spec api.OptionsSpec) error {
	for _, f := range []struct {
		to   *bool
		want *bool
	}{
		{&o.NoFlood, spec.NoFlood},
		{&o.NoMcastFlood, spec.NoMcastFlood},
		{&o.NoBcastFlood, spec.NoBcastFlood},
		{&o.NoLearn, spec.NoLearn},
		{&o.Hairpin, spec.Hairpin},
		{&o.Isolated, spec.Isolated},
		{&o.Sticky, spec.Sticky},
		{&o.LoopProtect, spec.LoopProtect},
	} {
		if f.want != nil {
			*f.to = *f.want
		}
	}
	if n := spec.MaxMACs; n != nil {
		if *n < 0 {
			return api.Errorf(api.Invalid, "a limit of %d addresses is not possible: give 1 or more, or 0 for no limit", *n)
		}
		o.MaxMACs = *n
	}
	if spec.StormLimit != nil {
		limits, err := storm.Parse(*spec.StormLimit)
		if err != nil {
			return api.Errorf(api.Invalid, "%v", err)
		}
		o.Storm = limits
	}
	if p := spec.PassReserved; p != nil {
		o.PassReserved = nil
		if *p != api.PassAsSwitch {
			set, err := frame.ParseReservedSet(*p)
			if err != nil {
				return api.Errorf(api.Invalid, "%v", err)
			}
			o.PassReserved = &set
		}
	}
	return nil
}

// shownPort turns a port into what the API shows.
func shownPort(p vswitch.PortInfo) api.Port {
	shown := api.Port{
		Switch: p.Switch,
		Name:   p.Name,
		Kind:   string(p.Attach.Kind),
		State:  string(p.State),
		Reason: p.Reason,
		VLAN:   terms.Shown(&p.VLAN),

		Profile: p.Profile,

		Device:  cmp.Or(p.Info.Device, p.Attach.Device),
		Ifindex: p.Info.Ifindex,
		Netns:   p.Attach.Netns,
		IfName:  p.Info.IfName,
		MTU:     p.Info.MTU,

		Counters:    shownCounters(&p.Counters),
		Options:     shownOptions(&p.Options),
		Impair:      shownImpairments(p.Impair),
		Description: p.Description,

		Container: p.Attach.Container,
		IPs:       texts(p.Attach.Addresses),
		Gateways:  texts(p.Attach.Gateways),
		Owner:     p.Attach.Owner,
		Peer:      peerName(p.Attach.Peer),
	}
	if p.Info.Device == "" { // lost since the start: what it waits for
		shown.IfName = p.Attach.IfName
	}
	if p.Attach.Kind == port.VM {
		shown.Queues = cmp.Or(p.Attach.Queues, 1)
	}
	if p.Attach.MAC != (frame.MAC{}) {
		shown.MAC = p.Attach.MAC.String()
	}
	return shown
}

func shownOptions(o *vswitch.Options) api.Options {
	return api.Options{
		NoFlood:      o.NoFlood,
		NoMcastFlood: o.NoMcastFlood,
		NoBcastFlood: o.NoBcastFlood,
		NoLearn:      o.NoLearn,
		Hairpin:      o.Hairpin,
		Isolated:     o.Isolated,
		Sticky:       o.Sticky,
		MaxMACs:      o.MaxMACs,
		PassReserved: passReserved(o.PassReserved),
		StormLimit:   o.Storm.String(),
		LoopProtect:  o.LoopProtect,
	}
}

func shownCounters(c *vswitch.Counters) api.Counters {
	shown := api.Counters{
		RxFrames: c.RxFrames, RxBytes: c.RxBytes,
		TxFrames: c.TxFrames, TxBytes: c.TxBytes,
		Drops:   make(map[string]uint64),
		Notices: make(map[string]uint64),
	}
	for reason, n := range c.Drops {
		if n != 0 {
			shown.Drops[frame.Reason(reason).String()] = n
		}
	}
	for notice, n := range c.Notices {
		if n != 0 {
			shown.Notices[vswitch.Notice(notice).String()] = n
		}
	}
	return shown
}

func passReserved(r *frame.ReservedSet) string {
	if r == nil {
		return api.PassAsSwitch
	}
	return r.String()
}

func peerName(p port.PeerName) string {
	if p == (port.PeerName{}) {
		return ""
	}
	return p.Switch + "/" + p.Port
}
