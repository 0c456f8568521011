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
	vid  vlan.ID
	prio frame.Priority
}

// ingress decides about a frame that came in by a port and queues its copies.
// A frame that is dropped whole is counted here.
func (w *worker) ingress(sn *snapshot, in *view, f *frame.Frame) {
	if r := w.decide(sn, in, f); r != frame.Pass {
		bump(&in.lanes[w.index].drops[r], 1)
	}
}

func (w *worker) decide(sn *snapshot, in *view, f *frame.Frame) frame.Reason {
	if r := f.Check(); r != frame.Pass {
		return r
	}
	if !in.up {
		return frame.PortDown
	}
	if f.Hops() > maxHops {
		return frame.PatchLoop
	}
	vid, prio, r := in.policy.Ingress(f)
	if r != frame.Pass {
		return r
	}
	a := admitted{f, vid, prio}
	src, dst := f.Src(), f.Dst()
	switch {
	case src.IsMulticast():
		return frame.SrcMulticast
	case src.IsZero():
		return frame.SrcZero
	case !dst.IsMulticast():
		return w.unicast(sn, in, a, src, dst)
	case dst == frame.Broadcast:
		return w.group(sn, in, a, src, floodBroadcast)
	}
	kind := floodMulticast
	if x, ok := dst.Reserved(); ok {
		if !sn.passes(in, x) {
			return frame.Reserved
		}
		if x != 0 {
			kind = floodReserved
		}
	}
	return w.group(sn, in, a, src, kind)
}

// passes reports whether a frame to 01:80:C2:00:00:0X that came in by the port
// is forwarded. :01, a pause, concerns one link only and never is.
func (s *snapshot) passes(in *view, x uint8) bool {
	if x == 0 {
		return !s.dropBPDU
	}
	return in.pass.Passes(x)
}

// group forwards to all members but the one that the frame came from.
func (w *worker) group(sn *snapshot, in *view, a admitted, src frame.MAC, kind floods) frame.Reason {
	if r := w.learn(sn, in, a.vid, src); r != frame.Pass {
		return r
	}
	return w.flood(sn, in, a, kind)
}

// unicast forwards to the port behind which the station lives, or floods.
func (w *worker) unicast(sn *snapshot, in *view, a admitted, src, dst frame.MAC) frame.Reason {
	id, verdict := sn.table.Lookup(a.vid, dst, w.now)
	if verdict == fdb.Filtered {
		return frame.FDBFilter // before learning: a dropped frame teaches nothing
	}
	if r := w.learn(sn, in, a.vid, src); r != frame.Pass {
		return r
	}
	if src == dst {
		id, verdict = sn.table.Lookup(a.vid, dst, w.now)
	}
	if verdict == fdb.Known {
		if out := sn.view(id); out != nil {
			return w.known(in, out, a)
		}
	}
	return w.flood(sn, in, a, floodUnicast)
}

func (w *worker) known(in, out *view, a admitted) frame.Reason {
	if out.core == in.core && !in.hairpin {
		return frame.SamePort
	}
	w.emit(in, out, a)
	return frame.Pass
}

// learn notes behind which port the source lives. It drops the frame only
// where the source has a filter entry.
func (w *worker) learn(sn *snapshot, in *view, vid vlan.ID, src frame.MAC) frame.Reason {
	if in.noLearn {
		if _, verdict := sn.table.Lookup(vid, src, w.now); verdict == fdb.Filtered {
			return frame.FDBFilter
		}
		return frame.Pass
	}
	switch sn.table.Learn(vid, src, in.id, w.now) {
	case fdb.SourceFiltered:
		return frame.FDBFilter
	case fdb.Refused:
		bump(&in.lanes[w.index].notices[MoveRefused], 1)
	case fdb.Limited:
		bump(&in.lanes[w.index].notices[MACLimit], 1)
	case fdb.Busy:
		w.learnLater(in, vid, src)
	}
	return frame.Pass
}

func (w *worker) flood(sn *snapshot, in *view, a admitted, kind floods) frame.Reason {
	named := false
	for _, id := range sn.narrow.members(a.vid) {
		out := sn.views[id]
		if out.core == in.core || out.withheld&kind != 0 {
			continue
		}
		named = true
		w.emit(in, out, a)
	}
	for _, id := range sn.wide {
		out := sn.views[id]
		if out.core == in.core || out.withheld&kind != 0 || !out.policy.Member(a.vid) {
			continue
		}
		named = true
		w.emit(in, out, a)
	}
	if !named {
		return frame.NoDestination
	}
	return frame.Pass
}

// emit queues a copy for a port that the decision named, or counts why not.
func (w *worker) emit(in, out *view, a admitted) {
	l := out.lanes[w.index]
	tag, r := out.policy.Egress(a.Frame, a.vid, a.prio)
	switch {
	case r == frame.NotMember:
	case !out.up:
		r = frame.PortDown
	case r == frame.Pass:
		r = out.accepts(in, a.Frame, tag)
	}
	switch {
	case r != frame.Pass:
	case w.work >= w.limit:
		r = frame.TxFull
	case out.peer != nil:
		r = w.cross(l, out, a.Frame, tag)
	default:
		w.queue(l, out, a.Frame, tag)
	}
	if r != frame.Pass {
		bump(&l.drops[r], 1)
	}
}
