package vswitch

import (
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
)

// together is how many frames are admitted before the first of them is
// forwarded. Where the table is larger than the caches, a decision would wait
// for memory, once for either station; so the waits of many overlap.
const together = 32

// ingress decides about frames that came in by a port, in order, and queues
// their copies, until they are enough. It returns how many frames it came to,
// which are at most [together].
func (w *worker) ingress(sn *snapshot, in *view, frames []frame.Frame) (n int) {
	group := w.group[:min(len(frames), together)]
	for i := range group {
		group[i].reason = group[i].admit(sn, in, &frames[i])
	}
	for n < len(group) && w.work < enoughWork {
		w.limit = min(w.work+maxWork, maxTurn-w.turn)
		w.forward(sn, in, &group[n])
		n++
		if w.crossed > 0 {
			w.arrive()
		}
	}
	for i := n; i < len(group); i++ {
		frames[i].Rewind() // is admitted anew
	}
	return n
}

// forward decides about a frame, and counts it where it is dropped whole.
func (w *worker) forward(sn *snapshot, in *view, a *admitted) {
	r := a.reason
	switch {
	case r != frame.Pass:
	case a.kind == floodUnicast:
		r = w.unicast(sn, in, a)
	default:
		r = w.multicast(sn, in, a)
	}
	if r != frame.Pass {
		bump(&in.lanes[w.index].drops[r], 1)
	}
}

// multicast forwards to all members but the one that the frame came from.
func (w *worker) multicast(sn *snapshot, in *view, a *admitted) frame.Reason {
	if r := w.learn(sn, in, a.from); r != frame.Pass {
		return r
	}
	return w.flood(sn, in, a)
}

// unicast forwards to the port behind which the station lives, or floods.
func (w *worker) unicast(sn *snapshot, in *view, a *admitted) frame.Reason {
	id, verdict := sn.table.Lookup(a.to, w.now)
	if verdict == fdb.Filtered {
		return frame.FDBFilter // before learning: a dropped frame teaches nothing
	}
	if r := w.learn(sn, in, a.from); r != frame.Pass {
		return r
	}
	if a.from == a.to {
		id, verdict = sn.table.Lookup(a.to, w.now)
	}
	if verdict == fdb.Known {
		if out := sn.view(id); out != nil {
			return w.known(in, out, a)
		}
	}
	return w.flood(sn, in, a)
}

func (w *worker) known(in, out *view, a *admitted) frame.Reason {
	if out.core == in.core && !in.hairpin {
		return frame.SamePort
	}
	w.emit(in, out, a)
	return frame.Pass
}

// learn notes behind which port the source lives. It drops the frame only
// where the source has a filter entry.
func (w *worker) learn(sn *snapshot, in *view, src fdb.Station) frame.Reason {
	if in.noLearn {
		if _, verdict := sn.table.Lookup(src, w.now); verdict == fdb.Filtered {
			return frame.FDBFilter
		}
		return frame.Pass
	}
	switch sn.table.Learn(src, in.id, w.now) {
	case fdb.SourceFiltered:
		return frame.FDBFilter
	case fdb.Refused:
		bump(&in.lanes[w.index].notices[MoveRefused], 1)
	case fdb.Limited:
		bump(&in.lanes[w.index].notices[MACLimit], 1)
	case fdb.Busy:
		w.learnLater(in, src)
	}
	return frame.Pass
}

func (w *worker) flood(sn *snapshot, in *view, a *admitted) frame.Reason {
	named := false
	for _, id := range sn.narrow.members(a.vid) {
		out := sn.views[id]
		if out.core == in.core || out.withheld&a.kind != 0 {
			continue
		}
		named = true
		w.emit(in, out, a)
	}
	for _, id := range sn.wide {
		out := sn.views[id]
		if out.core == in.core || out.withheld&a.kind != 0 || !out.policy.Member(a.vid) {
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
func (w *worker) emit(in, out *view, a *admitted) {
	l := out.lanes[w.index]
	var tag frame.Tag
	if out.plain != a.vid || !a.plain || a.longest > out.limit || in.isolated || w.work >= w.limit {
		var queued bool
		if tag, queued = w.examine(in, out, l, a); !queued {
			return
		}
	}
	if l.n == 0 {
		l.out = out
		w.dirty = append(w.dirty, l)
	}
	l.copies[l.n] = port.Copy{Frame: a.Frame, Tag: tag}
	l.n++
	w.work += a.work
	if l.n == len(l.copies) {
		w.transmit(l)
	}
}

// examine asks the questions that need no asking where all is plain. It returns
// the tag of a copy that is to be queued; any other copy it has dealt with.
func (w *worker) examine(in, out *view, l *lane, a *admitted) (tag frame.Tag, queued bool) {
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
	case a.IsGSO() && a.Tunnelled():
		w.transmitSegments(l, out, a.Frame, tag)
	default:
		return tag, true
	}
	if r != frame.Pass {
		bump(&l.drops[r], 1)
	}
	return 0, false
}
