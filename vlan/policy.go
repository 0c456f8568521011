package vlan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vswitch/vswitch/frame"
)

// Mode is how a port treats tags.
type Mode uint8

// The modes of a port.
const (
	Access         Mode = iota // untagged frames of one VLAN
	Trunk                      // tagged frames of many VLANs
	NativeUntagged             // a trunk with one VLAN whose frames leave untagged
	NativeTagged               // a trunk that takes untagged frames into one VLAN
	Tunnel                     // frames with whatever tag, in one service VLAN (QinQ)
)

var modeNames = [...]string{
	Access:         "access",
	Trunk:          "trunk",
	NativeUntagged: "native-untagged",
	NativeTagged:   "native-tagged",
	Tunnel:         "tunnel",
}

// String returns the mode's name in the control API.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode is the inverse of [Mode.String].
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("%q is not a VLAN mode: write one of %s", s, strings.Join(modeNames[:], ", "))
}

// PriorityTags says which of the frames that leave a port without a VLAN tag
// get a tag with VID 0, which keeps their priority.
type PriorityTags uint8

// Which frames get a priority tag.
const (
	Never     PriorityTags = iota
	IfNonzero              // those with a PCP or DEI other than 0
	Always
)

var priorityTagsNames = [...]string{Never: "never", IfNonzero: "if-nonzero", Always: "always"}

func (t PriorityTags) String() string {
	if int(t) < len(priorityTagsNames) {
		return priorityTagsNames[t]
	}
	return fmt.Sprintf("priority tags %d", uint8(t))
}

// ParsePriorityTags is the inverse of [PriorityTags.String].
func ParsePriorityTags(s string) (PriorityTags, error) {
	for t, name := range priorityTagsNames {
		if s == name {
			return PriorityTags(t), nil
		}
	}
	return 0, fmt.Errorf("%q does not say when to add priority tags: write one of %s", s, strings.Join(priorityTagsNames[:], ", "))
}

// Policy is what a port does with VLANs. [Policy.Validate] completes and checks
// it; after that it is never changed. The zero Policy stands for access VLAN 1.
type Policy struct {
	Mode Mode

	// VLAN is that of an access port, the native one of a trunk, the
	// service VLAN of a tunnel. 0 is VLAN 1 on an access port; a trunk
	// without native VLAN has 0.
	VLAN ID

	// Trunk holds a trunk's VLANs; nil is all. The native one belongs to it,
	// named or not.
	Trunk *Set

	// CVLANs holds the customer VIDs that a tunnel carries, where 0 stands
	// for untagged; nil is all.
	CVLANs *Set

	// TPID is that of the tags that the port takes and puts on; 0 is 0x8100.
	// A tunnel takes every tag, and has none of its own.
	TPID uint16

	PriorityTags PriorityTags
}

// DefaultVLAN is the VLAN of an access port that names none.
const DefaultVLAN ID = 1

// Default returns the policy of a port that was told nothing.
func Default() *Policy {
	return &Policy{VLAN: DefaultVLAN, TPID: frame.TPIDCustomer}
}

// Validate fills in what zero fields stand for, and says what is wrong with p.
func (p *Policy) Validate() error {
	if p.Mode == Access && p.VLAN == 0 {
		p.VLAN = DefaultVLAN
	}
	if p.TPID == 0 {
		p.TPID = frame.TPIDCustomer
	}
	switch {
	case int(p.Mode) >= len(modeNames):
		return fmt.Errorf("VLAN %s does not exist", p.Mode)
	case p.Mode == Trunk && p.VLAN != 0:
		return fmt.Errorf("a plain trunk has no VLAN of its own: make VLAN %d its native one, or leave it out", p.VLAN)
	case p.Mode != Trunk && !p.VLAN.Valid():
		return fmt.Errorf("%d is not a VLAN: write a number from %d to %d", p.VLAN, MinID, MaxID)
	case !p.trunk() && p.Trunk != nil:
		return fmt.Errorf("a list of trunk VLANs does not fit an %s port: make the port a trunk, or leave the list out", p.Mode)
	case p.Mode != Tunnel && p.CVLANs != nil:
		return errors.New("a list of C-VLANs fits a tunnel port only: make the port a tunnel, or leave the list out")
	case !frame.IsTPID(p.TPID):
		return fmt.Errorf("%#04x is not the TPID of a tag: write 0x8100 or 0x88a8", p.TPID)
	case p.Mode == Tunnel && p.TPID != frame.TPIDCustomer:
		return errors.New("a tunnel takes tags of both TPIDs: leave the TPID out, and set it on the trunk to the provider")
	case int(p.PriorityTags) >= len(priorityTagsNames):
		return fmt.Errorf("%s do not exist: write one of %s", p.PriorityTags, strings.Join(priorityTagsNames[:], ", "))
	}
	if err := p.Trunk.check("trunk VLANs", uint16(MinID)); err != nil {
		return err
	}
	return p.CVLANs.check("C-VLANs", 0)
}

// check says what is wrong with a policy's list; nil is all, and right.
func (s *Set) check(what string, lowest uint16) error {
	switch {
	case s == nil:
		return nil
	case s.Empty():
		return fmt.Errorf("the list of %s is empty: name one at least, or say all", what)
	case s.Contains(reservedVID) || lowest > 0 && s.Contains(0):
		return fmt.Errorf("the list of %s, %s, is out of range: name numbers from %d to %d", what, s, lowest, MaxID)
	}
	return nil
}

// trunk reports whether p carries several VLANs.
func (p *Policy) trunk() bool {
	return p.Mode == Trunk || p.Mode == NativeUntagged || p.Mode == NativeTagged
}

// tpid returns the TPID of the tags that the port puts on and takes.
func (p *Policy) tpid() uint16 {
	if p.TPID == 0 {
		return frame.TPIDCustomer
	}
	return p.TPID
}

// Member reports whether the port carries the VLAN.
func (p *Policy) Member(vid ID) bool {
	return vid == p.VLAN && vid != 0 || p.trunk() && p.listed(vid)
}

// listed reports whether a trunk's list has the VLAN.
func (p *Policy) listed(vid ID) bool {
	if p.Trunk == nil {
		return vid.Valid()
	}
	return p.Trunk.Contains(uint16(vid))
}

// wide is how many VLANs a port may carry before it is [Policy.Wide].
const wide = 64

// Wide reports whether the port carries so many VLANs that a list of each
// VLAN's members had better not name it.
func (p *Policy) Wide() bool {
	if !p.trunk() {
		return false
	}
	if p.Trunk == nil {
		return true
	}
	n := p.Trunk.Len()
	if p.VLAN != 0 && !p.Trunk.Contains(uint16(p.VLAN)) {
		n++
	}
	return n > wide
}

// EachVLAN calls fn once for each VLAN that the port carries, in rising order.
func (p *Policy) EachVLAN(fn func(ID)) {
	if !p.trunk() {
		fn(p.VLAN)
		return
	}
	for vid := MinID; vid <= MaxID; vid++ {
		if p.Member(vid) {
			fn(vid)
		}
	}
}

// Equal reports whether p and q, both validated, mean the same.
func (p *Policy) Equal(q *Policy) bool {
	if p.Mode != q.Mode || p.VLAN != q.VLAN || p.tpid() != q.tpid() || p.PriorityTags != q.PriorityTags {
		return false
	}
	switch {
	case p.trunk():
		return p.Trunk == q.Trunk || same(func(vid uint16) bool { return p.Member(ID(vid)) == q.Member(ID(vid)) })
	case p.Mode == Tunnel:
		return p.CVLANs == q.CVLANs || same(func(vid uint16) bool { return p.carries(vid) == q.carries(vid) })
	}
	return true
}

// same reports whether two policies agree on each VID.
func same(agree func(vid uint16) bool) bool {
	for vid := uint16(0); vid <= uint16(MaxID); vid++ {
		if !agree(vid) {
			return false
		}
	}
	return true
}

// String says in words what the port does: "access VLAN 10", "trunk VLANs
// 10,20-30, native 1 untagged", "tunnel VLAN 5, C-VLANs 1-10".
func (p *Policy) String() string {
	var b strings.Builder
	switch {
	case !p.trunk():
		fmt.Fprintf(&b, "%s VLAN %d", p.Mode, p.VLAN)
	case p.Trunk == nil:
		b.WriteString("trunk all VLANs")
	default:
		fmt.Fprintf(&b, "trunk VLANs %s", p.Trunk)
	}
	switch p.Mode {
	case NativeUntagged:
		fmt.Fprintf(&b, ", native %d untagged", p.VLAN)
	case NativeTagged:
		fmt.Fprintf(&b, ", native %d tagged", p.VLAN)
	}
	if p.CVLANs != nil {
		fmt.Fprintf(&b, ", C-VLANs %s", p.CVLANs)
	}
	if p.tpid() != frame.TPIDCustomer {
		fmt.Fprintf(&b, ", TPID %#04x", p.TPID)
	}
	if p.PriorityTags != Never {
		fmt.Fprintf(&b, ", priority tags %s", p.PriorityTags)
	}
	return b.String()
}
