package api

// Profile is a VLAN policy and options under a name. A port that refers to it has
// these, and none of its own; what changes of it changes of its ports.
type Profile struct {
	Name      string  `json:"name"`
	VLAN      VLAN    `json:"vlan"`
	Options   Options `json:"options"`
	PortCount int     `json:"port_count"` // ports that refer to it
}

// ProfileSpec is the body of POST /v1/profiles, and of PATCH
// /v1/profiles/PROFILE, where Name and MayExist have no place.
type ProfileSpec struct {
	Name     string `json:"name,omitempty"`
	MayExist bool   `json:"may_exist,omitempty"` // a profile that stands just so is no error

	VLAN    *VLANSpec    `json:"vlan,omitempty"` // access VLAN 1 when new
	Options *OptionsSpec `json:"options,omitempty"`
}
