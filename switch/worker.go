package vswitch

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

const (
	// maxCrossings is how many copies may cross patches before what they
	// refer to is sent: room for one frame to take every path through a
	// sane layout, and a bound for the others.
	maxCrossings = 2048

	// maxCopies is how many copies end a batch. Some milliseconds of work: a
	// flood to a thousand ports must not hold up who waits for the batch's
	// end, such as the request that adds the next port.
	maxCopies = 2048

	// maxDeferred is how many stations wait to be learned while a control
	// request holds the table for an instant.
	maxDeferred = 256
)

// worker receives from the devices that are its own, decides, and transmits to
// any. It is a goroutine on a thread of its own, started by run and ended by a
// task that sets stopped.
type worker struct {
	index int
	clock func() fdb.Time
	lost  func(*core) // tells that a device is gone; never waits

	poll    *poller
	io      *port.IO
	sources []source
	tasks   atomic.Pointer[task]
	stopped bool

	now    fdb.Time // of the batch
	dirty  []*lane  // that have copies queued
	copies int      // made in this batch

	crossings [maxCrossings]crossing
	crossed   int // crossings made since the last flush
	arrived   int // of those, how many were decided

	deferred [maxDeferred]station
	waiting  int // in deferred

	segments *segmenter
}

// source is a device that a worker receives from.
type source struct {
	core   *core
	device port.Device
}

// crossing is a frame on its way over a patch.
type crossing struct {
	to    *core
	frame frame.Frame
}

// station is a source address that could not be learned yet.
type station struct {
	in  *view
	vid vlan.ID
	mac frame.MAC
}

// task is a function that a worker is to call between two batches.
type task struct {
	fn   func()
	done chan struct{}
	next *task
}

func newWorker(index int, clock func() fdb.Time, lost func(*core)) (*worker, error) {
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("worker %d: %w", index, err)
	}
	return &worker{index: index, clock: clock, lost: lost, poll: p, io: port.NewIO(), segments: newSegmenter()}, nil
}

// run works until a task stops it.
func (w *worker) run() {
	// One thread for life: the caches stay warm, and raw system calls hold
	// up nobody else's goroutine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.poll.close()
	for !w.stopped {
		timeout := -1
		if w.waiting > 0 {
			timeout = 1
		}
		w.poll.wait(timeout, w.serve)
		w.betweenBatches()
	}
}

// betweenBatches does what waited for the end of a batch. It comes after each:
// a request waits for one batch, however many devices have frames.
func (w *worker) betweenBatches() {
	if w.waiting > 0 {
		w.learnDeferred()
	}
	if w.tasks.Load() != nil {
		w.runTasks()
	}
}

// do calls fn on the worker between two batches, and waits for it. What the
// worker saw of earlier snapshots is forgotten then. It must not be called
// from the worker, nor after stop.
func (w *worker) do(fn func()) {
	t := &task{fn: fn, done: make(chan struct{})}
	for {
		t.next = w.tasks.Load()
		if w.tasks.CompareAndSwap(t.next, t) {
			break
		}
	}
	w.poll.wake()
	<-t.done
}

func (w *worker) runTasks() {
	for t := w.tasks.Swap(nil); t != nil; t = t.next {
		// A station that waits may belong to a port that this task takes
		// away; what could not be learned by now is learned from its next
		// frame.
		w.waiting = 0
		t.fn()
		close(t.done)
	}
}

// receiveFrom makes the worker receive from a device. It runs as a task.
func (w *worker) receiveFrom(c *core, d port.Device) error {
	slot := 0
	for slot < len(w.sources) && w.sources[slot].core != nil {
		slot++
	}
	if err := w.poll.add(d.FD(), slot); err != nil {
		return err
	}
	if slot == len(w.sources) {
		w.sources = append(w.sources, source{})
	}
	w.sources[slot] = source{c, d}
	return nil
}

// release makes the worker forget a device. It runs as a task.
func (w *worker) release(d port.Device) {
	for slot, s := range w.sources {
		if s.device == d && s.core != nil {
			w.poll.remove(d.FD())
			w.sources[slot] = source{}
		}
	}
}

// serve takes one batch from the device in that slot through the switch.
func (w *worker) serve(slot int) {
	src := w.sources[slot]
	if src.core == nil {
		return
	}
	frames, err := src.device.Receive(w.io)
	if err != nil {
		// Until the owner takes the device away, it would poll readable.
		w.poll.remove(src.device.FD())
		w.lost(src.core)
		return
	}
	w.take(src.core, frames)
}

// take takes frames that one port received through the switch.
func (w *worker) take(c *core, frames []frame.Frame) {
	for len(frames) > 0 {
		// After receiving: a frame that came after a change is decided by
		// it.
		sn := c.sw.snapshot.Load()
		in := sn.view(c.id)
		if in == nil || in.core != c {
			return // deleted meanwhile
		}
		w.now = w.clock()
		frames = frames[w.batch(sn, in, frames):]
		w.betweenBatches()
	}
}

// batch decides about frames that one port received, and sends their copies.
// It returns how many frames it came to before there were enough copies.
func (w *worker) batch(sn *snapshot, in *view, frames []frame.Frame) (n int) {
	bytes := 0
	for n < len(frames) && w.copies < maxCopies {
		f := &frames[n]
		n++
		bytes += f.Len()
		w.ingress(sn, in, f)
		if w.crossed > 0 {
			w.arrive()
		}
	}
	l := in.lanes[w.index]
	bump(&l.rxFrames, uint64(n))
	bump(&l.rxBytes, uint64(bytes))
	w.flush()
	w.copies = 0
	return n
}

// queue puts a copy on a port's batch.
func (w *worker) queue(l *lane, out *view, f *frame.Frame, tag frame.Tag) {
	if f.Offload().IsGSO() && f.Tunnelled() {
		w.transmitSegments(l, out, f, tag)
		return
	}
	if l.n == 0 {
		l.out = out
		w.dirty = append(w.dirty, l)
	}
	l.copies[l.n] = port.Copy{Frame: f, Tag: tag}
	l.n++
	w.copies++
	if l.n == len(l.copies) {
		w.transmit(l)
	}
}

// flush sends all copies. The frames that they refer to are free then.
func (w *worker) flush() {
	for _, l := range w.dirty {
		if l.n > 0 {
			w.transmit(l)
		}
	}
	w.dirty = w.dirty[:0]
	w.crossed, w.arrived = 0, 0
}

func (w *worker) transmit(l *lane) {
	sent, err := l.out.device.Transmit(w.io, l.copies[:l.n])
	l.n = 0
	l.count(sent)
	if err != nil && errors.Is(err, port.ErrGone) {
		w.lost(l.out.core)
	}
}

func (l *lane) count(s port.Sent) {
	bump(&l.txFrames, s.Frames)
	bump(&l.txBytes, s.Bytes)
	if s.TooBig|s.Full|s.Failed != 0 {
		bump(&l.drops[frame.TooBig], s.TooBig)
		bump(&l.drops[frame.TxFull], s.Full)
		bump(&l.drops[frame.TxError], s.Failed)
	}
}

// cross sends a copy over a patch: no system call, no copy of its bytes. It is
// decided about at the far end once this decision is complete.
func (w *worker) cross(l *lane, out *view, f *frame.Frame, tag frame.Tag) frame.Reason {
	if w.crossed == len(w.crossings) {
		return frame.TxFull
	}
	c := &w.crossings[w.crossed]
	if !c.frame.Cross(f, tag) {
		return frame.TooBig
	}
	c.to = out.peer
	w.crossed++
	bump(&l.txFrames, 1)
	bump(&l.txBytes, uint64(c.frame.Len()))
	return frame.Pass
}

// arrive decides about the frames that crossed patches, in order, and those
// that cross further ones on the way.
func (w *worker) arrive() {
	for w.arrived < w.crossed {
		c := &w.crossings[w.arrived]
		w.arrived++
		sn := c.to.sw.snapshot.Load()
		in := sn.view(c.to.id)
		if in == nil || in.core != c.to {
			continue // deleted meanwhile, and its counters with it
		}
		l := in.lanes[w.index]
		bump(&l.rxFrames, 1)
		bump(&l.rxBytes, uint64(c.frame.Len()))
		w.ingress(sn, in, &c.frame)
	}
	if w.crossed > maxCrossings/2 {
		w.flush() // makes room for what the next frame needs
	}
}

// learnLater keeps a station until the table is free. When too many wait, it
// is learned from its next frame.
func (w *worker) learnLater(in *view, vid vlan.ID, mac frame.MAC) {
	if w.waiting < len(w.deferred) {
		w.deferred[w.waiting] = station{in, vid, mac}
		w.waiting++
	}
}

// learnDeferred learns the stations that wait, as far as the table lets it.
func (w *worker) learnDeferred() {
	n := w.waiting
	w.waiting = 0
	for _, s := range w.deferred[:n] {
		w.learn(s.in.sw.snapshot.Load(), s.in, s.vid, s.mac)
	}
}

// clockFrom returns a clock that counts milliseconds from 1.
func clockFrom(start time.Time) func() fdb.Time {
	return func() fdb.Time { return fdb.Time(time.Since(start).Milliseconds() + 1) }
}
