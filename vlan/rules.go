package vlan

import "github.com/vswitch/vswitch/frame"

// Ingress says to which VLAN a frame that came in by the port belongs, and
// with which priority. It takes off f the tag that said so; what remains on f
// is a customer's, or stands inside.
//
// Where r is not [frame.Pass] the frame is dropped, and what remains on f has
// no meaning. f has passed [frame.Frame.Check].
func (p *Policy) Ingress(f *frame.Frame) (vid ID, prio frame.Priority, r frame.Reason) {
	tag, whole := f.Outer()
	switch {
	case tag == 0:
		if p.Mode == Trunk {
			return 0, 0, frame.UntaggedOnTrunk
		}
		if p.Mode == Tunnel && !p.carries(0) {
			return 0, 0, frame.CVLANNotAllowed
		}
		return p.VLAN, 0, frame.Pass
	case !whole:
		return 0, 0, frame.Truncated
	case p.Mode == Tunnel:
		return p.ingressTunnel(f, tag)
	case tag.TPID() != p.tpid():
		return 0, 0, frame.BadTPID
	case tag.VID() == reservedVID:
		return 0, 0, frame.BadVID
	case tag.VID() == 0:
		return p.ingressPriority(f, tag)
	case p.Mode == Access:
		return 0, 0, frame.TaggedOnAccess
	}
	vid = ID(tag.VID())
	if vid != p.VLAN && !p.listed(vid) {
		return 0, 0, frame.VLANNotAllowed
	}
	f.Pop()
	return vid, tag.Priority(), frame.Pass
}

// ingressPriority is Ingress for a frame with a priority tag.
func (p *Policy) ingressPriority(f *frame.Frame, tag frame.Tag) (ID, frame.Priority, frame.Reason) {
	if p.Mode == Trunk {
		return 0, 0, frame.UntaggedOnTrunk
	}
	f.Pop()
	if p.Mode == Access && frame.IsTPID(f.OuterType()) {
		// A station behind an access port must not choose the tag that
		// a later hop will see.
		return 0, 0, frame.TaggedOnAccess
	}
	return p.VLAN, tag.Priority(), frame.Pass
}

// ingressTunnel is Ingress for a frame with a tag on a tunnel port.
func (p *Policy) ingressTunnel(f *frame.Frame, tag frame.Tag) (ID, frame.Priority, frame.Reason) {
	var prio frame.Priority
	if tag.VID() == 0 {
		prio = tag.Priority()
		f.Pop()
		var whole bool
		if tag, whole = f.Outer(); !whole {
			return 0, 0, frame.Truncated
		}
	}
	switch cvid := tag.VID(); {
	case cvid == reservedVID:
		return 0, 0, frame.BadVID
	case !p.carries(cvid):
		return 0, 0, frame.CVLANNotAllowed
	}
	return p.VLAN, prio, frame.Pass
}

// carries reports whether a tunnel takes a customer's VID; 0 is untagged.
func (p *Policy) carries(cvid uint16) bool {
	return p.CVLANs == nil || p.CVLANs.Contains(cvid)
}

// Egress says whether a frame of the VLAN may leave by the port, and the tag
// that it gets there on top of those that [Policy.Ingress] left on f: outer,
// or 0 for none. It does not change f.
func (p *Policy) Egress(f *frame.Frame, vid ID, prio frame.Priority) (outer frame.Tag, r frame.Reason) {
	if !p.Member(vid) {
		return 0, frame.NotMember
	}
	switch {
	case p.Mode == Tunnel:
		return p.egressTunnel(f, prio)
	case p.Mode == Access || p.Mode == NativeUntagged && vid == p.VLAN:
		if frame.IsTPID(f.OuterType()) {
			return 0, frame.InnerTagOnAccess
		}
		return p.priorityTag(prio), frame.Pass
	}
	return frame.NewTag(p.tpid(), prio, uint16(vid)), frame.Pass
}

// egressTunnel is Egress for a frame of a tunnel port's VLAN.
func (p *Policy) egressTunnel(f *frame.Frame, prio frame.Priority) (frame.Tag, frame.Reason) {
	tag, whole := f.Outer()
	switch {
	case p.CVLANs != nil && (!whole || !p.CVLANs.Contains(tag.VID())):
		return 0, frame.CVLANNotAllowed
	case tag != 0:
		return 0, frame.Pass
	}
	return p.priorityTag(prio), frame.Pass
}

// priorityTag returns the tag, if any, of a frame that leaves without one that
// names a VLAN.
func (p *Policy) priorityTag(prio frame.Priority) frame.Tag {
	if p.PriorityTags == Always || p.PriorityTags == IfNonzero && prio != 0 {
		return frame.NewTag(p.tpid(), prio, 0)
	}
	return 0
}
