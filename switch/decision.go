package vswitch

import (
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/storm"
)

// together is how many frames are admitted before the first of them is
// forwarded. Where the table is larger than the caches, a decision would wait
// for memory, once for either station; so the waits of many overlap.
const together = 16

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

// forward sends a frame on its way, and counts it where it is dropped whole.
func (w *worker) forward(sn *snapshot, in *view, a *admitted) {
	r := a.reason
	if r == frame.Pass {
		r = w.decide(sn, in, a)
	}
	if r != frame.Pass {
		bump(&in.lanes[w.index].drops[r], 1)
	}
}

// decide forwards to the port behind which the station lives, or floods, and
// learns behind which port the source lives.
func (w *worker) decide(sn *snapshot, in *view, a *admitted) frame.Reason {
	id, verdict := fdb.PortID(0), fdb.Unknown
	if a.kind == floodUnicast {
		if id, verdict = sn.table.Lookup(a.to, w.now); verdict == fdb.Filtered {
			return frame.FDBFilter // before learning: a dropped frame teaches nothing
		}
	}
	if in.storm != nil && verdict != fdb.Known && !w.within(in, a) {
		return frame.Storm
	}
	if in.noLearn {
		if _, source := sn.table.Lookup(a.from, w.now); source == fdb.Filtered {
			return frame.FDBFilter
		}
	} else if o := sn.table.Learn(a.from, in.id, w.now); o != fdb.Renewed {
		if w.learned(in, a.from, o) == fdb.SourceFiltered {
			return frame.FDBFilter
		}
		if a.from == a.to && a.kind == floodUnicast {
			id, verdict = sn.table.Lookup(a.to, w.now)
		}
	}
	if verdict == fdb.Known {
		if out := sn.view(id); out != nil {
			return w.known(in, out, a)
		}
	}
	return w.flood(sn, in, a)
}

// within reports whether a frame for many ports is within the limit of the port
// that it came in by. Each worker that takes frames from a port has its own meter;
// a device has one worker, and only to a patch may several bring frames.
func (w *worker) within(in *view, a *admitted) bool {
	class := storm.Multicast
	switch a.kind {
	case floodReserved:
		return true // few, and not for everybody
	case floodBroadcast:
		class = storm.Broadcast
	case floodUnicast:
		class = storm.Unicast
	}
	frames := 1
	if a.IsGSO() && a.longest > 0 {
		frames = (a.Len() + a.longest - 1) / a.longest
	}
	return in.lanes[w.index].meters[class].Take(in.storm[class], int64(w.instant()), frames, a.Len())
}

func (w *worker) known(in, out *view, a *admitted) frame.Reason {
	if out.core == in.core && !in.hairpin {
		return frame.SamePort
	}
	w.emit(in, out, a)
	return frame.Pass
}

// learned notes what became of learning, where something did.
func (w *worker) learned(in *view, src fdb.Station, o fdb.Outcome) fdb.Outcome {
	switch o {
	case fdb.Refused:
		bump(&in.lanes[w.index].notices[MoveRefused], 1)
	case fdb.Limited:
		bump(&in.lanes[w.index].notices[MACLimit], 1)
	case fdb.Busy:
		w.learnLater(in, src)
	}
	return o
}

func (w *worker) flood(sn *snapshot, in *view, a *admitted) frame.Reason {
	in.lanes[w.index].countFlood(a.vid)
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
	w.work += a.work
	w.queue(l, out, a.Frame, tag)
}

// queue queues a copy for the end of the batch.
func (w *worker) queue(l *lane, out *view, f *frame.Frame, tag frame.Tag) {
	if l.n == 0 {
		l.out = out
		w.dirty = append(w.dirty, l)
	}
	l.copies[l.n] = port.Copy{Frame: f, Tag: tag}
	l.n++
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
	case out.lines[egress] != nil:
		w.carry(out.core, out.lines[egress], egress, a.Frame, tag)
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
