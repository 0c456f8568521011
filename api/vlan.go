package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// VLAN is a port's VLAN policy. Fields that the mode does not know are zero.
type VLAN struct {
	Mode         string  `json:"mode"`                    // one of the modes below
	Access       int     `json:"access,omitempty"`        // its VLAN
	Trunk        VLANSet `json:"trunk,omitempty"`         // its VLANs; the native one belongs to them, named or not
	Native       int     `json:"native,omitempty"`        // the native VLAN of a trunk
	Tunnel       int     `json:"tunnel,omitempty"`        // the service VLAN
	CVLANs       VLANSet `json:"cvlans,omitempty"`        // the customer VIDs of a tunnel; 0 stands for untagged
	TPID         string  `json:"tpid,omitempty"`          // "0x88a8"; left out when it is 0x8100
	PriorityTags string  `json:"priority_tags,omitempty"` // "if-nonzero", "always"; left out when never
}

// The modes of a port.
const (
	ModeAccess         = "access"
	ModeTrunk          = "trunk"
	ModeNativeUntagged = "native-untagged"
	ModeNativeTagged   = "native-tagged"
	ModeTunnel         = "tunnel"
)

// String says the policy in words: "access VLAN 10", "trunk VLANs 10,20-30,
// native 1 untagged", "tunnel VLAN 5, C-VLANs 1-10".
func (v *VLAN) String() string {
	var b strings.Builder
	switch v.Mode {
	case ModeAccess:
		fmt.Fprintf(&b, "access VLAN %d", v.Access)
	case ModeTunnel:
		fmt.Fprintf(&b, "tunnel VLAN %d", v.Tunnel)
	default:
		b.WriteString("trunk ")
		if v.Trunk.IsAll() {
			b.WriteString("all VLANs")
		} else {
			fmt.Fprintf(&b, "VLANs %s", v.Trunk)
		}
	}
	switch v.Mode {
	case ModeNativeUntagged:
		fmt.Fprintf(&b, ", native %d untagged", v.Native)
	case ModeNativeTagged:
		fmt.Fprintf(&b, ", native %d tagged", v.Native)
	}
	if v.CVLANs != nil && !v.CVLANs.IsAll() {
		fmt.Fprintf(&b, ", C-VLANs %s", v.CVLANs)
	}
	if v.TPID != "" {
		fmt.Fprintf(&b, ", TPID %s", v.TPID)
	}
	if v.PriorityTags != "" {
		fmt.Fprintf(&b, ", priority tags %s", v.PriorityTags)
	}
	return b.String()
}

// VLANSet names VLANs: each word is a VID or a range, such as "10" or "20-30".
// In JSON it is an array of them, or the string "all".
type VLANSet []string

// AllVLANs returns the set that stands for all.
func AllVLANs() VLANSet { return VLANSet{all} }

const all = "all"

// ParseVLANSet reads "all" or words with commas between them. Whether they are
// VLANs, the daemon says.
func ParseVLANSet(s string) VLANSet { return strings.Split(s, ",") }

// IsAll reports whether the set is [AllVLANs].
func (s VLANSet) IsAll() bool { return len(s) == 1 && s[0] == all }

// String returns what [ParseVLANSet] reads.
func (s VLANSet) String() string { return strings.Join(s, ",") }

// MarshalJSON writes "all" or an array, which is never null.
func (s VLANSet) MarshalJSON() ([]byte, error) {
	if s.IsAll() {
		return json.Marshal(all)
	}
	return json.Marshal(append([]string{}, s...))
}

// UnmarshalJSON reads "all" or an array of strings.
func (s *VLANSet) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil && word == all {
		*s = AllVLANs()
		return nil
	}
	var words []string
	if err := json.Unmarshal(b, &words); err != nil || words == nil || VLANSet(words).IsAll() {
		return errors.New(`VLANs are "all", or an array of strings such as ["10","20-30"]`)
	}
	*s = words
	return nil
}

// VLANSpec is a VLAN policy as asked for. At most one of Access, Trunk and
// Tunnel is said; it replaces the whole policy, so that what is not said
// beside it is as on a new port. With none of them, the other fields change
// the policy that stands. Mode says nothing that the other fields do not, but
// must not contradict them: what a port shows can be asked for again.
type VLANSpec struct {
	Mode         string   `json:"mode,omitempty"`
	Access       *int     `json:"access,omitempty"`
	Trunk        *VLANSet `json:"trunk,omitempty"`
	Native       *int     `json:"native,omitempty"` // 0: none
	NativeTagged *bool    `json:"native_tagged,omitempty"`
	Tunnel       *int     `json:"tunnel,omitempty"`
	CVLANs       *VLANSet `json:"cvlans,omitempty"`
	TPID         *string  `json:"tpid,omitempty"`          // "0x8100", "0x88a8"
	PriorityTags *string  `json:"priority_tags,omitempty"` // "never", "if-nonzero", "always"
}

// VLANMembers are the members of a run of neighbouring VLANs that have the
// same ones. GET /v1/vlans answers with a list of them for each switch.
type VLANMembers struct {
	VLAN  int          `json:"vlan"` // the first of the run
	To    int          `json:"to"`   // the last; often the same
	Ports []VLANMember `json:"ports"`
}

// VLANMember is a port that carries a VLAN.
type VLANMember struct {
	Port    string `json:"port"`
	Tagging string `json:"tagging"` // one of the below
}

// How frames of a VLAN leave a port.
const (
	Untagged   = "untagged"
	Tagged     = "tagged"
	ServiceTag = "tunnel" // without the service tag, with the customer's as it came
)
