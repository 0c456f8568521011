package vswitch

import (
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// maxHops is how many patches a frame may cross. A loop of patches turns one
// broadcast into that many, and no more.
const maxHops = 32

// admitted is a frame that ingress has let in, with what was found about it.
type admitted struct {
	*frame.Frame
	from, to fdb.Station
	vid      vlan.ID
	prio     frame.Priority
	kind     floods // that it is where it goes to more than one port

	plain   bool // a copy that gets no tag has none, and goes out as it came
	longest int  // of such a copy: octets of its longest segment
	work    int  // of a copy; see [workOf]
	reason  frame.Reason
}

// admit finds out what can be found about a frame that came in by a port
// without asking the table, but tells the table what it will be asked. Where it
// returns another reason than [frame.Pass], the frame is dropped whole.
func (a *admitted) admit(sn *snapshot, in *view, f *frame.Frame) (r frame.Reason) {
	a.Frame = f
	if in.plain != 0 && f.Simple() {
		a.vid, a.prio, a.plain = in.plain, 0, true
		a.work, a.longest = workOf(f), f.Len()
	} else if r = a.classify(in, f); r != frame.Pass {
		return r
	}
	dst, src := f.Addresses()
	switch {
	case src.IsMulticast():
		return frame.SrcMulticast
	case src == 0:
		return frame.SrcZero
	case !dst.IsMulticast():
		a.kind = floodUnicast
		a.to = fdb.StationOf(a.vid, dst)
	case (dst.IsBroadcast() || dst == probeGroup) && in.recognise(f, a.vid):
		return frame.LoopProbe
	case dst.IsBroadcast():
		a.kind = floodBroadcast
	default:
		if a.kind, r = sn.multicast(in, dst); r != frame.Pass {
			return r
		}
	}
	a.from = fdb.StationOf(a.vid, src)
	sn.table.Prefetch(a.from, a.to)
	return frame.Pass
}

// classify finds out to which VLAN a frame belongs, and what all of its copies
// have in common.
func (a *admitted) classify(in *view, f *frame.Frame) (r frame.Reason) {
	if r = f.Check(); r != frame.Pass {
		return r
	}
	if !in.up {
		if in.listens && in.listen(&in.policy, f) {
			return frame.LoopProbe
		}
		return frame.PortDown
	}
	if f.Hops() > maxHops {
		return frame.PatchLoop
	}
	if a.vid, a.prio, r = in.policy.Ingress(f); r != frame.Pass {
		return r
	}
	a.work, a.longest = workOf(f), f.Len()
	a.plain = !frame.IsTPID(f.OuterType())
	if f.IsGSO() {
		a.plain = a.plain && !f.Tunnelled()
		a.longest = f.SegmentLen(0)
	}
	return frame.Pass
}

// workOf estimates what it takes to send a copy: 1 for a frame that a wire
// would carry, 8 for the longest super-frame.
func workOf(f *frame.Frame) int { return 1 + f.Len()>>13 }

// multicast says how a frame to a group floods, if it is forwarded.
func (s *snapshot) multicast(in *view, dst frame.Address) (floods, frame.Reason) {
	x, reserved := dst.Reserved()
	switch {
	case !reserved:
		return floodMulticast, frame.Pass
	case !s.passes(in, x):
		return 0, frame.Reserved
	case x == 0:
		return floodMulticast, frame.Pass
	}
	return floodReserved, frame.Pass
}

// passes reports whether a frame to 01:80:C2:00:00:0X that came in by the port
// is forwarded. :01, a pause, concerns one link only and never is.
func (s *snapshot) passes(in *view, x uint8) bool {
	if x == 0 {
		return !s.dropBPDU
	}
	return in.pass.Passes(x)
}
