package vswitch

import (
	"sync/atomic"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
)

// Frames on impaired lines are cut as a wire would carry them, judged by an
// [impair.Line], copied, and held by a wheel until they are due. A direction of a
// port's line belongs to one worker, the port's; others hand frames to it. So no
// lock is needed, and ports that are not impaired are asked no question.

const (
	// maxHeld is how many octets of memory a worker holds frames in. What
	// comes then finds the queue full.
	maxHeld = 256 << 20
	// maxHanded is how many frames wait that other workers hand over.
	maxHanded = 4096
)

// line is one direction of a port's line, impaired.
type line struct {
	cfg   impair.Config
	owner *worker
	model *impair.Line // owner's alone
	cuts  bool
}

// transit is what a worker has under way on impaired lines.
type transit struct {
	wheel  *wheel
	octets int         // of memory, held
	begun  impair.Time // the batch; 0: nobody has asked yet

	handed  atomic.Pointer[held] // by other workers, the last is first
	waiting atomic.Int32         // in handed
}

// carry takes a frame along an impaired direction of the port's line. What does
// not come to its end is counted; the rest is held until it is due.
func (w *worker) carry(c *core, ln *line, dir way, f *frame.Frame, tag frame.Tag) {
	switch {
	case ln.owner != w:
		w.handOver(c, ln.owner, dir, f, tag)
	case ln.cuts:
		w.carrySegments(c, ln, dir, f, tag)
	default:
		h := w.hold(c, f.Room())
		if h == nil {
			return
		}
		f.CopyTo(h.room, &h.frame)
		w.send(c, ln, dir, h, tag)
	}
}

// carrySegments is carry for lines that tell apart what a super-frame stands
// for. Checksums are complete then, so that damage shows.
func (w *worker) carrySegments(c *core, ln *line, dir way, f *frame.Frame, tag frame.Tag) {
	cut := &w.segments.cut
	if r := cut.Start(f); r != frame.Pass {
		w.lose(c, r)
		return
	}
	for room := cut.Bound(); room > 0; room = cut.Bound() {
		h := w.hold(c, room)
		if h == nil {
			return // nor are the segments behind it
		}
		cut.Next(h.room, &h.frame)
		w.send(c, ln, dir, h, tag)
	}
}

// hold returns memory for a frame; nil: there is no more, which is counted.
func (w *worker) hold(c *core, octets int) *held {
	if w.octets < maxHeld {
		if h := newHeld(octets); h != nil {
			w.octets += len(h.room)
			return h
		}
	}
	w.lose(c, frame.ImpairQueue)
	return nil
}

// letGo gives back what hold has returned.
func (w *worker) letGo(h *held) {
	w.octets -= len(h.room)
	h.free()
}

func (w *worker) lose(c *core, r frame.Reason) { bump(&c.lanes[w.index].drops[r], 1) }

// send lets the line's model judge a frame.
func (w *worker) send(c *core, ln *line, dir way, h *held, tag frame.Tag) {
	length := h.frame.Len()
	if tag != 0 {
		length += frame.TagLen
	}
	w.work++
	fate := ln.model.Next(w.instant(), length)
	switch {
	case fate.Lost:
		w.lose(c, frame.ImpairLoss)
	case fate.Full:
		w.lose(c, frame.ImpairQueue)
	}
	if fate.Copies == 0 {
		w.letGo(h)
		return
	}
	notices := &c.lanes[w.index].notices
	if fate.Damage != 0 && h.frame.Damage(fate.Damage) {
		bump(&notices[Corrupted], 1)
	}
	h.core, h.way, h.tag = c, dir, tag
	w.wheel.put(h, fate.At[0])
	if fate.Copies == 1 {
		return
	}
	if twin := w.hold(c, h.frame.Room()); twin != nil {
		bump(&notices[Duplicated], 1)
		h.frame.CopyTo(twin.room, &twin.frame)
		twin.core, twin.way, twin.tag = c, dir, tag
		w.wheel.put(twin, fate.At[1])
	}
}

// handOver leaves a frame to the worker whose line it is.
func (w *worker) handOver(c *core, to *worker, dir way, f *frame.Frame, tag frame.Tag) {
	var h *held
	if to.waiting.Load() < maxHanded {
		h = newHeld(f.Room())
	}
	if h == nil {
		w.lose(c, frame.ImpairQueue)
		return
	}
	f.CopyTo(h.room, &h.frame)
	h.core, h.way, h.tag = c, dir, tag
	to.waiting.Add(1)
	for {
		behind := to.handed.Load()
		h.next = behind
		if !to.handed.CompareAndSwap(behind, h) {
			continue
		}
		if behind == nil {
			to.poll.wake()
		}
		return
	}
}

// takeOver carries the frames that other workers have handed over, in the order
// in which each did.
func (w *worker) takeOver() {
	var first *held
	for h := w.handed.Swap(nil); h != nil; {
		following := h.next
		h.next, first = first, h
		h = following
	}
	for h := first; h != nil; {
		following := h.next
		w.waiting.Add(-1)
		w.adopt(h)
		h = following
	}
}

// adopt carries a frame that lies in memory of its own already.
func (w *worker) adopt(h *held) {
	w.octets += len(h.room)
	var ln *line
	v := h.core.view()
	if v != nil {
		ln = v.lines[h.way]
	}
	switch {
	case v == nil: // deleted meanwhile
		w.letGo(h)
	case ln == nil: // no longer impaired
		w.wheel.put(h, w.instant())
	case ln.cuts:
		w.carrySegments(h.core, ln, h.way, &h.frame, h.tag)
		w.letGo(h)
	default:
		w.send(h.core, ln, h.way, h, h.tag)
	}
}

// instant returns when this batch began.
func (w *worker) instant() impair.Time {
	if w.begun == 0 {
		w.begun = w.nano()
	}
	return w.begun
}

// carryIn takes frames that came in by a port along its line, before anything
// is decided about them. It returns how many frames it came to.
func (w *worker) carryIn(in *view, frames []frame.Frame) (n int) {
	bytes := 0
	for n < len(frames) && w.work < enoughWork {
		f := &frames[n]
		n++
		bytes += f.Len()
		r := f.Check()
		switch {
		case r != frame.Pass:
			w.lose(in.core, r)
		case !in.up:
			w.lose(in.core, frame.PortDown)
		default:
			w.carry(in.core, in.lines[ingress], ingress, f, 0)
		}
	}
	l := in.lanes[w.index]
	bump(&l.rxFrames, uint64(n))
	bump(&l.rxBytes, uint64(bytes))
	w.turn += w.work
	w.work = 0
	return n
}

// arrivals has the frames that have come to the end of their lines leave by the
// port, or go on through the switch, until they are enough for one batch.
func (w *worker) arrivals() {
	w.now, w.begun = w.clock(), 0
	if w.handed.Load() != nil {
		w.takeOver()
	}
	var spent queue
	due := uint64(w.instant()) >> tickShift
	for w.work < enoughWork {
		h := w.wheel.take(due)
		if h == nil {
			break
		}
		w.limit = min(w.work+maxWork, maxTurn)
		w.complete(h)
		spent.push(h)
	}
	w.flush()
	w.work = 0
	if w.wheel.n > 0 {
		w.poll.arm(impair.Time(w.wheel.next()<<tickShift), w.nano)
	}
	for h := spent.all(); h != nil; {
		following := h.next
		w.letGo(h)
		h = following
	}
}

// complete ends a frame's way along a line.
func (w *worker) complete(h *held) {
	v := h.core.view()
	switch {
	case v == nil: // deleted meanwhile
	case h.way == ingress:
		sn := h.core.sw.snapshot.Load()
		var a admitted
		a.reason = a.admit(sn, v, &h.frame)
		w.forward(sn, v, &a)
	case !v.up:
		w.lose(h.core, frame.PortDown)
	default:
		w.leave(v, &h.frame, h.tag)
	}
	if w.crossed > 0 {
		w.arrive()
	}
}

// leave sends a copy that has come to the end of the port's line.
func (w *worker) leave(out *view, f *frame.Frame, tag frame.Tag) {
	l := out.lanes[w.index]
	switch {
	case out.peer != nil:
		if r := w.cross(l, out, f, tag); r != frame.Pass {
			bump(&l.drops[r], 1)
		}
	case f.IsGSO() && f.Tunnelled():
		w.transmitSegments(l, out, f, tag)
	default:
		w.work += workOf(f)
		w.queue(l, out, f, tag)
	}
}

// workerOf returns the worker that a port belongs to.
func (e *Engine) workerOf(id fdb.PortID) *worker { return e.workers[int(id)%len(e.workers)] }

// linesOf returns the lines that a port's configuration asks for. A direction of
// which nothing else is asked stays as it is, with its queue.
func (e *Engine) linesOf(p *Port, have [ways]*line) (lines [ways]*line) {
	for d, name := range wayNames {
		cfg := *p.cfg.Impair.of(way(d))
		switch {
		case cfg.None():
		case have[d] != nil && have[d].cfg == cfg:
			lines[d] = have[d]
		default:
			lines[d] = &line{
				cfg:   cfg,
				owner: e.workerOf(p.id),
				model: impair.NewLine(cfg, p.name()+" "+name),
				cuts:  cfg.Cuts(),
			}
		}
	}
	return lines
}
