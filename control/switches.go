package control

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) listSwitches(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	all, err := s.switches("")
	return answer{body: all}, err
}

func (s *Server) getSwitch(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	sw, err := s.oneSwitch(r.PathValue("switch"))
	return answer{body: sw}, err
}

// oneSwitch returns a switch as the API shows it.
func (s *Server) oneSwitch(name string) (api.Switch, error) {
	info, err := s.engine.Switch(name)
	if err != nil {
		return api.Switch{}, err
	}
	stats, err := s.engine.FDBStats(name)
	if err != nil {
		return api.Switch{}, err
	}
	sw := shownSettings(info.Name, info.Settings)
	sw.PortCount = info.Ports
	sw.FDB = api.FDBUse{Dynamic: stats.Dynamic, Static: stats.Static, Filter: stats.Filter}
	return sw, nil
}

func shownSettings(name string, s vswitch.Settings) api.Switch {
	return api.Switch{Name: name, AgeingSeconds: s.Ageing.Seconds(), FDBSize: s.FDBSize, BPDU: bpdu(s.DropBPDU), PassReserved: s.PassReserved.String()}
}

// switches returns the switch of that name, or all with "". One that is
// deleted meanwhile is left out.
func (s *Server) switches(name string) ([]api.Switch, error) {
	names, err := s.names(name)
	if err != nil {
		return nil, err
	}
	all := make([]api.Switch, 0, len(names))
	for _, n := range names {
		if sw, err := s.oneSwitch(n); err == nil {
			all = append(all, sw)
		}
	}
	return all, nil
}

// names returns the name of a switch that stands, or of all with "".
func (s *Server) names(name string) ([]string, error) {
	if name != "" {
		_, err := s.engine.Switch(name)
		return []string{name}, err
	}
	var names []string
	for _, info := range s.engine.Switches() {
		names = append(names, info.Name)
	}
	return names, nil
}

func (s *Server) addSwitch(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.SwitchSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	if err := vswitch.CheckName("switch", spec.Name); err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusCreated, about: spec.Name, changed: []thing{thingSwitch{spec.Name}}}
	want := vswitch.DefaultSettings()
	if err := applySettings(&want, spec); err != nil {
		return a, err
	}
	err := s.engine.AddSwitch(ctx, spec.Name, want)
	if spec.MayExist && isCode(err, vswitch.Exists) {
		a.status = http.StatusOK
		have, lookErr := s.engine.Switch(spec.Name)
		if lookErr != nil {
			return a, err
		}
		err = standsJustSo("switch "+spec.Name, settingsDiff(have.Settings, want))
	}
	if err != nil {
		return a, err
	}
	a.body, err = s.oneSwitch(spec.Name)
	return a, err
}

func (s *Server) setSwitch(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.SwitchSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	name := r.PathValue("switch")
	if spec.MayExist || spec.Name != "" {
		return answer{}, api.Errorf(api.Invalid, "name and may_exist have no place in a change: a switch keeps its name")
	}
	err := s.engine.SetSwitch(ctx, name, func(settings *vswitch.Settings) error {
		return applySettings(settings, spec)
	})
	if err != nil {
		return answer{}, err
	}
	sw, err := s.oneSwitch(name)
	return answer{body: sw, changed: []thing{thingSwitch{name}}}, err
}

func (s *Server) deleteSwitch(ctx context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	name := r.PathValue("switch")
	release, err := s.keeper.reserveForGone(name)
	if err != nil {
		return answer{}, err
	}
	return answer{changed: []thing{thingSwitch{name}}, release: release}, s.engine.DeleteSwitch(ctx, name)
}

func bpdu(drop bool) string {
	if drop {
		return api.BPDUDrop
	}
	return api.BPDUForward
}

// applySettings replaces what spec names.
func applySettings(s *vswitch.Settings, spec api.SwitchSpec) error {
	if a := spec.AgeingSeconds; a != nil {
		// The engine says which times are possible; this bound is that of
		// a time.Duration.
		if *a < 0 || *a > math.MaxInt32 {
			return api.Errorf(api.Invalid, "an ageing time of %v seconds is not possible: give a time such as 300 seconds, or 0 to keep entries for good", *a)
		}
		s.Ageing = time.Duration(math.Round(*a * float64(time.Second)))
	}
	if spec.FDBSize != nil {
		s.FDBSize = *spec.FDBSize
	}
	if spec.BPDU != nil {
		switch *spec.BPDU {
		case api.BPDUForward:
			s.DropBPDU = false
		case api.BPDUDrop:
			s.DropBPDU = true
		default:
			return api.Errorf(api.Invalid, "%q does not say what to do with BPDUs: use forward or drop", *spec.BPDU)
		}
	}
	if spec.PassReserved != nil {
		pass, err := frame.ParseReservedSet(*spec.PassReserved)
		if err != nil {
			return api.Errorf(api.Invalid, "%v", err)
		}
		s.PassReserved = pass
	}
	return nil
}
