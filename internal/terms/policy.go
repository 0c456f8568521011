package terms

import (
	"fmt"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// Policy reads the policy that spec asks for. have is what stands; nil for
// a new port.
func Policy(spec *api.VLANSpec, have *vlan.Policy) (vlan.Policy, error) {
	policy := *vlan.Default()
	if have != nil {
		policy = *have
	}
	if spec == nil {
		return policy, nil
	}
	if err := setMode(&policy, spec); err != nil {
		return policy, err
	}
	if err := setNative(&policy, spec); err != nil {
		return policy, err
	}
	if spec.CVLANs != nil {
		if policy.Mode != vlan.Tunnel {
			return policy, misfit("cvlans", "a list of C-VLANs", &policy, "a tunnel")
		}
		set, err := vlanSet(*spec.CVLANs, 0)
		if err != nil {
			return policy, err
		}
		policy.CVLANs = set
	}
	if spec.TPID != nil {
		switch *spec.TPID {
		case tpidName(frame.TPIDCustomer):
			policy.TPID = frame.TPIDCustomer
		case tpidName(frame.TPIDService):
			policy.TPID = frame.TPIDService
		default:
			return policy, api.Errorf(api.Invalid, "%q is not the TPID of a tag: write 0x8100 or 0x88a8", *spec.TPID)
		}
		if policy.Mode == vlan.Tunnel {
			return policy, misfit("tpid", "a TPID", &policy, "an access port or a trunk")
		}
	}
	if spec.PriorityTags != nil {
		tags, err := vlan.ParsePriorityTags(*spec.PriorityTags)
		if err != nil {
			return policy, api.Errorf(api.Invalid, "%v", err)
		}
		policy.PriorityTags = tags
	}
	if err := policy.Validate(); err != nil {
		return policy, api.Errorf(api.Invalid, "%v", err)
	}
	if spec.Mode != "" && spec.Mode != policy.Mode.String() {
		return policy, api.Errorf(api.Invalid, "mode %q contradicts what is said beside it, which makes %s: leave the mode out", spec.Mode, policy.Mode)
	}
	return policy, nil
}

// setMode replaces the whole policy, when spec says a mode by its VLANs.
func setMode(p *vlan.Policy, spec *api.VLANSpec) error {
	var said []string
	if spec.Access != nil {
		said = append(said, "access")
	}
	if spec.Trunk != nil {
		said = append(said, "trunk")
	}
	if spec.Tunnel != nil {
		said = append(said, "tunnel")
	}
	switch {
	case len(said) > 1:
		return api.Errorf(api.Invalid, "%s and %s are two modes: a port has one", said[0], said[1])
	case len(said) == 0 && spec.Mode != "" && spec.Mode != p.Mode.String() && spec.Native == nil && spec.NativeTagged == nil:
		return api.Errorf(api.Invalid, "mode %q stands alone: say its VLANs beside it, in access, trunk or tunnel", spec.Mode)
	case len(said) == 0:
		return nil
	}
	switch said[0] {
	case "access":
		*p = vlan.Policy{Mode: vlan.Access}
		return setVLAN(p, *spec.Access)
	case "tunnel":
		*p = vlan.Policy{Mode: vlan.Tunnel}
		return setVLAN(p, *spec.Tunnel)
	}
	*p = vlan.Policy{Mode: vlan.Trunk}
	set, err := vlanSet(*spec.Trunk, 1)
	p.Trunk = set
	return err
}

func setVLAN(p *vlan.Policy, vid int) error {
	id, err := VLANID(vid)
	p.VLAN = id
	return err
}

// setNative gives a trunk a native VLAN, takes it, or changes how it is tagged.
func setNative(p *vlan.Policy, spec *api.VLANSpec) error {
	if spec.Native == nil && spec.NativeTagged == nil {
		return nil
	}
	if p.Mode == vlan.Access || p.Mode == vlan.Tunnel {
		return misfit("native", "a native VLAN", p, "a trunk")
	}
	tagged := p.Mode == vlan.NativeTagged || spec.Mode == api.ModeNativeTagged
	if spec.NativeTagged != nil {
		tagged = *spec.NativeTagged
	}
	if spec.Native != nil {
		p.VLAN = 0
		if *spec.Native != 0 {
			if err := setVLAN(p, *spec.Native); err != nil {
				return err
			}
		}
	}
	switch {
	case p.VLAN != 0 && tagged:
		p.Mode = vlan.NativeTagged
	case p.VLAN != 0:
		p.Mode = vlan.NativeUntagged
	case spec.NativeTagged != nil && tagged:
		return api.Errorf(api.Invalid, "there is no native VLAN to be tagged: name one in native")
	default:
		p.Mode = vlan.Trunk
	}
	return nil
}

func misfit(field, what string, p *vlan.Policy, fits string) error {
	return api.Errorf(api.Invalid, "%s does not fit %s: make the port %s with the same request, or leave %s out", what, p, fits, field)
}

// VLANID reads the number of a VLAN.
func VLANID(vid int) (vlan.ID, error) {
	if vid < int(vlan.MinID) || vid > int(vlan.MaxID) {
		return 0, api.Errorf(api.Invalid, "%d is not a VLAN: write a number from %d to %d", vid, vlan.MinID, vlan.MaxID)
	}
	return vlan.ID(vid), nil
}

// vlanSet reads a list; nil is all.
func vlanSet(s api.VLANSet, lowest uint16) (*vlan.Set, error) {
	if s.IsAll() {
		return nil, nil
	}
	set, err := vlan.ParseSet(s.String(), lowest)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "%v", err)
	}
	return &set, nil
}

func tpidName(tpid uint16) string { return fmt.Sprintf("%#04x", tpid) }

// Shown turns a policy into what the API shows.
func Shown(p *vlan.Policy) api.VLAN {
	v := api.VLAN{Mode: p.Mode.String()}
	switch p.Mode {
	case vlan.Access:
		v.Access = int(p.VLAN)
	case vlan.Tunnel:
		v.Tunnel = int(p.VLAN)
		v.CVLANs = shownSet(p.CVLANs)
	default:
		v.Native = int(p.VLAN)
		v.Trunk = shownSet(p.Trunk)
	}
	if p.TPID != 0 && p.TPID != frame.TPIDCustomer {
		v.TPID = tpidName(p.TPID)
	}
	if p.PriorityTags != vlan.Never {
		v.PriorityTags = p.PriorityTags.String()
	}
	return v
}

func shownSet(s *vlan.Set) api.VLANSet {
	if s == nil {
		return api.AllVLANs()
	}
	return s.Ranges()
}
