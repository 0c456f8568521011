package control

import (
	"context"
	"net/http"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/vlan"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) listVLANs(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	p, err := params(r, "switch")
	if err != nil {
		return answer{}, err
	}
	names, err := s.names(p["switch"])
	if err != nil {
		return answer{}, err
	}
	return answer{body: byName(func(yield func(string, any) bool) {
		for _, name := range names {
			ports, err := s.engine.Ports(name)
			if err != nil {
				continue // deleted meanwhile
			}
			if !yield(name, vlanRuns(ports)) {
				return
			}
		}
	})}, nil
}

// vlanRuns yields the VLANs that have members; neighbours with the same ones
// are one, so that a trunk of all VLANs does not make 4094 of them.
func vlanRuns(ports []vswitch.PortInfo) list {
	return func(yield func(any) bool) {
		var run *api.VLANMembers
		for vid := vlan.MinID; vid <= vlan.MaxID; vid++ {
			if run != nil && sameMembers(ports, vid-1, vid) {
				run.To = int(vid)
				continue
			}
			if run != nil && len(run.Ports) > 0 && !yield(run) {
				return
			}
			run = &api.VLANMembers{VLAN: int(vid), To: int(vid), Ports: members(ports, vid)}
		}
		if len(run.Ports) > 0 {
			yield(run)
		}
	}
}

func sameMembers(ports []vswitch.PortInfo, a, b vlan.ID) bool {
	for i := range ports {
		if tagging(&ports[i].VLAN, a) != tagging(&ports[i].VLAN, b) {
			return false
		}
	}
	return true
}

func members(ports []vswitch.PortInfo, vid vlan.ID) []api.VLANMember {
	all := []api.VLANMember{}
	for i := range ports {
		if t := tagging(&ports[i].VLAN, vid); t != "" {
			all = append(all, api.VLANMember{Port: ports[i].Name, Tagging: t})
		}
	}
	return all
}

// tagging says how frames of the VLAN leave; "" where they do not.
func tagging(p *vlan.Policy, vid vlan.ID) string {
	switch {
	case !p.Member(vid):
		return ""
	case p.Mode == vlan.Tunnel:
		return api.ServiceTag
	case p.Mode == vlan.Access, p.Mode == vlan.NativeUntagged && vid == p.VLAN:
		return api.Untagged
	}
	return api.Tagged
}
