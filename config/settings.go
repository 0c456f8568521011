package config

import (
	"strings"

	"github.com/vswitch/vswitch/api"
)

// VLANSettings are the VLANs of a port.
type VLANSettings struct {
	Access       *int    `yaml:"access" jsonschema:"minimum=1,maximum=4094"`
	Trunk        *VLANs  `yaml:"trunk"`
	Native       *int    `yaml:"native" jsonschema:"minimum=1,maximum=4094"`
	NativeTagged *bool   `yaml:"native_tagged"`
	Tunnel       *int    `yaml:"tunnel" jsonschema:"minimum=1,maximum=4094"`
	CVLANs       *CVLANs `yaml:"cvlans"`
	TPID         *Word   `yaml:"tpid"`
	PriorityTags *Word   `yaml:"priority_tags"`
}

// OptionSettings are a port's options beside its VLANs.
type OptionSettings struct {
	NoFlood      *bool  `yaml:"no_flood"`
	NoMcastFlood *bool  `yaml:"no_mcast_flood"`
	NoBcastFlood *bool  `yaml:"no_bcast_flood"`
	NoLearn      *bool  `yaml:"no_learn"`
	Hairpin      *bool  `yaml:"hairpin"`
	Isolated     *bool  `yaml:"isolated"`
	Sticky       *bool  `yaml:"sticky"`
	MaxMACs      *int   `yaml:"max_macs" jsonschema:"minimum=0"`
	PassReserved *Word  `yaml:"pass_reserved"`
	StormLimit   *Words `yaml:"storm_limit"`
	LoopProtect  *bool  `yaml:"loop_protect"`
}

// PortSettings are all that can be changed of a port.
type PortSettings struct {
	VLANSettings
	OptionSettings

	Down        *bool   `yaml:"down"`
	Description *string `yaml:"description"`
}

// VLAN returns the VLAN policy as the API asks for it; nil: nothing is said.
func (s *VLANSettings) VLAN() *api.VLANSpec {
	spec := api.VLANSpec{Access: s.Access, Native: s.Native, NativeTagged: s.NativeTagged, Tunnel: s.Tunnel}
	if s.Trunk != nil {
		spec.Trunk = &s.Trunk.VLANSet
	}
	if s.CVLANs != nil {
		spec.CVLANs = &s.CVLANs.VLANSet
	}
	spec.TPID, spec.PriorityTags = (*string)(s.TPID), (*string)(s.PriorityTags)
	if spec == (api.VLANSpec{}) {
		return nil
	}
	return &spec
}

// Options returns the options as the API asks for them.
func (s *OptionSettings) Options() *api.OptionsSpec {
	var limit *string
	if s.StormLimit != nil {
		all := strings.Join(s.StormLimit.Texts(), ",")
		limit = &all
	}
	return &api.OptionsSpec{
		StormLimit: limit, LoopProtect: s.LoopProtect,
		NoFlood: s.NoFlood, NoMcastFlood: s.NoMcastFlood, NoBcastFlood: s.NoBcastFlood, NoLearn: s.NoLearn,
		Hairpin: s.Hairpin, Isolated: s.Isolated, Sticky: s.Sticky, MaxMACs: s.MaxMACs, PassReserved: (*string)(s.PassReserved),
	}
}
