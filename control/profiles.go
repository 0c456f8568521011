package control

import (
	"context"
	"net/http"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/terms"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) listProfiles(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	counts, err := s.profileUse()
	return answer{body: listOf(s.engine.Profiles(), func(p vswitch.Profile) api.Profile { return shownProfile(p, counts[p.Name]) })}, err
}

func (s *Server) getProfile(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	p, err := s.oneProfile(r.PathValue("profile"))
	return answer{body: p}, err
}

func (s *Server) oneProfile(name string) (api.Profile, error) {
	p, err := s.engine.Profile(name)
	if err != nil {
		return api.Profile{}, err
	}
	counts, err := s.profileUse()
	return shownProfile(p, counts[name]), err
}

// profileUse counts the ports of each profile.
func (s *Server) profileUse() (map[string]int, error) {
	ports, err := s.engine.Ports("")
	counts := make(map[string]int)
	for _, p := range ports {
		counts[p.Profile]++
	}
	return counts, err
}

func shownProfile(p vswitch.Profile, ports int) api.Profile {
	return api.Profile{Name: p.Name, VLAN: terms.Shown(&p.VLAN), Options: shownOptions(&p.Options), PortCount: ports}
}

func (s *Server) addProfile(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.ProfileSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	want := vswitch.NewProfile(spec.Name)
	a := answer{status: http.StatusCreated, about: "profile " + spec.Name, changed: []thing{thingProfile{spec.Name}}}
	if err := vswitch.CheckProfileName(spec.Name); err != nil {
		return answer{}, err
	}
	if err := applyProfile(&want, spec); err != nil {
		return a, err
	}
	err := s.engine.AddProfile(ctx, want)
	if spec.MayExist && isCode(err, vswitch.Exists) {
		a.status = http.StatusOK
		have, lookErr := s.engine.Profile(spec.Name)
		if lookErr != nil {
			return a, err
		}
		err = standsJustSo("profile "+spec.Name, profileDiff(have, want))
	}
	if err != nil {
		return a, err
	}
	a.body, err = s.oneProfile(spec.Name)
	return a, err
}

func (s *Server) setProfile(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.ProfileSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	if spec.MayExist || spec.Name != "" {
		return answer{}, api.Errorf(api.Invalid, "name and may_exist have no place in a change: a profile keeps its name")
	}
	name := r.PathValue("profile")
	err := s.engine.SetProfile(ctx, name, func(p *vswitch.Profile) error { return applyProfile(p, spec) })
	if err != nil {
		return answer{}, err
	}
	p, err := s.oneProfile(name)
	return answer{body: p, changed: []thing{thingProfile{name}}}, err
}

func (s *Server) deleteProfile(ctx context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	name := r.PathValue("profile")
	return answer{changed: []thing{thingProfile{name}}}, s.engine.DeleteProfile(ctx, name)
}

// applyProfile replaces what spec names.
func applyProfile(p *vswitch.Profile, spec api.ProfileSpec) error {
	if spec.VLAN != nil {
		policy, err := terms.Policy(spec.VLAN, &p.VLAN)
		if err != nil {
			return err
		}
		p.VLAN = policy
	}
	if spec.Options != nil {
		return applyOptions(&p.Options, *spec.Options)
	}
	return nil
}

func profileDiff(have, want vswitch.Profile) []string {
	var d differences
	if !have.VLAN.Equal(&want.VLAN) {
		d.add("vlan", have.VLAN.String(), want.VLAN.String())
	}
	return append(d, optionsDiff(have.Options, want.Options)...)
}
