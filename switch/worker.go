package vswitch

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/port"
)

const (
	// maxCrossings is how many copies may cross patches before what they
	// refer to is sent: room for one frame to take every path through a
	// sane layout, and a bound for the others.
	maxCrossings = 2048

	// enoughWork ends a batch, at the next frame. Some milliseconds: a flood
	// to a thousand ports must not hold up who waits for the batch's end,
	// such as the request that adds the next port. See [workOf] for the unit.
	enoughWork = 2048

	// dearWork is the least of a frame that is dear, and dearRound what a round
	// may take of such: a millisecond or two.
	dearWork, dearRound = 16, 512

	// maxWork is what a frame may make of itself, in copies, over patches
	// side by side, and in segments: a tenth of a second. What would come
	// then is [frame.TxFull]. Eleven hundred ports on each of three switches
	// take a broadcast super-frame of 64 KiB with less.
	maxWork = 1 << 15

	// maxTurn is what the frames of one turn may make of themselves together:
	// room for a burst of broadcasts to a thousand ports.
	maxTurn = 4 * maxWork

	// batchBytes is what a batch of large frames is held to, so that the
	// copy out finds the bytes in the cache that the copy in left them in.
	batchBytes = 512 << 10

	// segmentWork is the work of a segment that the switch cuts itself.
	segmentWork = 2

	// maxDeferred is how many stations wait to be learned while a control
	// request holds the table for an instant.
	maxDeferred = 256
)

// worker receives from the devices that are its own, decides, and transmits to
// any. It is a goroutine on a thread of its own, started by run and ended by a
// task that sets stopped.
type worker struct {
	index int
	workerConfig

	poll    *poller
	io      *port.IO
	sources []source
	tasks   atomic.Pointer[task]
	stopped bool
	pause   func() // what to do once no frame is under way; nil: to go on

	serving   port.Device // whose frames are under way; nil: none
	abandoned bool        // that device was released meanwhile

	now   fdb.Time // of the batch
	dirty []*lane  // that have copies queued
	work  int      // of this batch so far
	limit int      // of work, for the frame that is decided about
	turn  int      // work of the batches of this turn so far
	round int      // work of the turns of this round so far
	last  int      // work of the round before
	lap   uint     // of those whose frames are dear: each has one turn a lap
	left  bool     // one of them has yet to have its turn

	crossings [maxCrossings]crossing
	crossed   int // crossings made since the last flush
	arrived   int // of those, how many were decided

	group [together]admitted // that are decided about

	deferred [maxDeferred]station
	late     int // in deferred

	segments *segmenter
	transit
}

// workerConfig is what a worker gets from its owner. Its functions never wait.
type workerConfig struct {
	clock func() fdb.Time
	nano  func() impair.Time
	lost  func(*core) // told that a device is gone
	hot   func(*core) // told that a device is worth a boost
	heat  int         // small frames in [heatTime] that make it so; 0: nothing does
	spin  time.Duration
}

// source is a device that a worker receives from.
type source struct {
	core   *core
	device port.Device
	also   int  // a descriptor that is polled beside the device's; 0: none
	most   int  // frames that the next batch may bring
	debt   int  // work beyond its share that it has made
	each   int  // work that a frame of it makes
	lap    uint // the last one in which it had a turn
	small  int  // frames since then that a ring would take
	then   fdb.Time
}

// crossing is a frame on its way over a patch.
type crossing struct {
	to    *core
	frame frame.Frame
}

// station is a source address that could not be learned yet.
type station struct {
	in *view
	fdb.Station
}

// task is a function that a worker is to call between two batches.
type task struct {
	fn   func()
	done chan struct{}
	next *task
}

func newWorker(index int, cfg workerConfig) (*worker, error) {
	p, err := newPoller(cfg.spin)
	if err != nil {
		return nil, fmt.Errorf("worker %d: %w", index, err)
	}
	return &worker{index: index, workerConfig: cfg, poll: p, io: port.NewIO(), segments: newSegmenter(), transit: transit{wheel: new(wheel)}}, nil
}

// run works until a task stops it.
func (w *worker) run() {
	// One thread for life: the caches stay warm, and raw system calls hold
	// up nobody else's goroutine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.poll.close()
	defer w.io.Close()
	for !w.stopped {
		timeout := -1
		if w.late > 0 {
			timeout = 1
		}
		w.poll.wait(timeout, w.serve)
		w.betweenBatches()
		w.endRound()
		if w.pause != nil {
			w.pause()
		}
	}
}

// betweenBatches does what waited for the end of a batch. It comes after each:
// a request waits for one batch, however many devices have frames.
func (w *worker) betweenBatches() {
	if w.late > 0 {
		w.learnDeferred()
	}
	if w.wheel.n > 0 || w.handed.Load() != nil {
		w.arrivals()
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
		w.late = 0
		t.fn()
		close(t.done)
	}
}

// receiveFrom makes the worker receive from a device. It runs as a task, or while the
// worker stands.
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
	w.sources[slot] = source{core: c, device: d, most: port.BatchFrames, each: dearWork + 1, lap: w.lap - 1}
	return nil
}

// receiveAlso polls one more descriptor of a device. It runs as a task.
func (w *worker) receiveAlso(d port.Device, fd int) error {
	for slot := range w.sources {
		if s := &w.sources[slot]; s.device == d && s.core != nil {
			s.also = fd
			return w.poll.add(fd, slot)
		}
	}
	return port.ErrGone
}

// receiveLess takes back receiveAlso. It runs as a task.
func (w *worker) receiveLess(d port.Device) {
	for slot := range w.sources {
		if s := &w.sources[slot]; s.device == d && s.core != nil && s.also != 0 {
			w.poll.remove(s.also)
			s.also = 0
		}
	}
}

// release makes the worker forget a device, and what it has received from it
// just now. It runs as a task.
func (w *worker) release(d port.Device) {
	for slot, s := range w.sources {
		if s.device == d && s.core != nil {
			w.unpoll(&s)
			w.sources[slot] = source{}
		}
	}
	if d == w.serving {
		w.serving, w.abandoned = nil, true
		w.io.Forget() // the frames lie in its memory
	}
}

// atRest calls fn on the worker at the end of its round, when it has no frame in its
// hands, and waits for it. As for do.
func (w *worker) atRest(fn func()) {
	done := make(chan struct{})
	w.do(func() {
		w.pause = func() {
			w.pause = nil
			fn()
			close(done)
		}
	})
	<-done
}

// yield makes the worker, at rest, forget a device that another is to receive from,
// and returns what that one polls beside it.
func (w *worker) yield(d port.Device) (also int) {
	for slot, s := range w.sources {
		if s.device == d && s.core != nil {
			also = s.also
			w.unpoll(&s)
			w.sources[slot] = source{}
		}
	}
	return also
}

// unpoll stops polling a source's descriptors.
func (w *worker) unpoll(s *source) {
	w.poll.remove(s.device.FD())
	if s.also != 0 {
		w.poll.remove(s.also)
	}
}

// serve gives the device in that slot its turn: what it has received, at most a
// batch, goes through the switch. Who makes much work of few frames stands back
// until the others have made as much, as long as there are others.
func (w *worker) serve(slot int, alone bool) {
	src := &w.sources[slot]
	if src.core == nil {
		return
	}
	if !alone && !w.due(src) {
		return
	}
	w.io.Most = src.room(alone)
	frames, err := src.device.Receive(w.io)
	if err != nil {
		// Until the owner takes the device away, it would poll readable.
		w.unpoll(src)
		w.lost(src.core)
		return
	}
	if len(frames) == 0 {
		return
	}
	n, bytes := len(frames), lengths(frames)
	w.poll.spin.took(bytes)
	w.serving = src.device
	w.take(src.core, frames)
	w.serving = nil
	w.io.Release()
	// A task may have given the slot to another device by now; no harm is
	// done to it.
	src = &w.sources[slot]
	src.settle(n, bytes, w.turn)
	w.round += w.turn
	if w.heat > 0 && bytes <= n*port.RingFrame && src.warm(n, w.now, w.heat) {
		w.hot(src.core)
	}
}

// due reports whether it is a source's turn. One that made more work than its share
// lets the others go first. Of those whose frames are dear, such as what is flooded to
// a thousand ports, a round takes no more than is enough; the others go on in the next
// one, so that who sends to a single port is never far from its turn.
func (w *worker) due(s *source) bool {
	switch {
	case s.debt > 0 && w.last > 0:
		s.debt -= w.last
		return false
	case !s.dear():
		return true
	case s.lap == w.lap:
		return false
	case w.round >= dearRound:
		w.left = true
		return false
	}
	s.lap = w.lap
	return true
}

// endRound ends a round, in which each source that had frames was come to once.
func (w *worker) endRound() {
	w.last, w.round = w.round, 0
	if !w.left {
		w.lap++
	}
	w.left = false
}

// heatTime is how long the frames of a port are counted until it is judged by
// them, in milliseconds.
const heatTime = 100

// warm counts small frames, and reports whether there were so many in
// [heatTime].
func (s *source) warm(frames int, now fdb.Time, heat int) (hot bool) {
	if now-s.then > heatTime {
		s.small, s.then = 0, now
	}
	s.small += frames
	if s.small < heat || s.core == nil || s.core.hot.Load() {
		return false
	}
	return !s.core.hot.Swap(true)
}

// settle sizes the next batch of a source, and its debt, by the last one.
func (s *source) settle(frames, bytes, work int) {
	s.most = min(max(batchBytes*frames/(bytes+1), 8), port.BatchFrames)
	s.each = work / frames
	s.debt = max(work-enoughWork, 0)
}

// room is how many frames the next batch may bring.
func (s *source) room(alone bool) int {
	switch {
	case !s.dear():
		return s.most
	case alone:
		return min(s.most, max(enoughWork/s.each, 1))
	}
	return min(s.most, max(dearRound/s.each, 1))
}

// dear reports whether a frame makes much work, as far as is known.
func (s *source) dear() bool { return s.each > dearWork }

// lengths sums up the octets of frames.
func lengths(frames []frame.Frame) (n int) {
	for i := range frames {
		n += frames[i].Len()
	}
	return n
}

// take takes frames that one port received through the switch.
func (w *worker) take(c *core, frames []frame.Frame) {
	w.turn, w.abandoned = 0, false
	for len(frames) > 0 && !w.abandoned {
		// After receiving: a frame that came after a change is decided by
		// it.
		sn := c.sw.snapshot.Load()
		in := sn.view(c.id)
		if in == nil || in.core != c {
			return // deleted meanwhile
		}
		w.now, w.begun = w.clock(), 0
		if in.lines[ingress] == nil {
			frames = frames[w.batch(sn, in, frames):]
		} else {
			frames = frames[w.carryIn(in, frames):]
		}
		w.betweenBatches()
	}
}

// batch decides about frames that one port received, and sends their copies.
// It returns how many frames it came to before there were enough copies.
func (w *worker) batch(sn *snapshot, in *view, frames []frame.Frame) (n int) {
	bytes := lengths(frames)
	for n < len(frames) && w.work < enoughWork {
		n += w.ingress(sn, in, frames[n:])
	}
	l := in.lanes[w.index]
	bump(&l.rxFrames, uint64(n))
	bump(&l.rxBytes, uint64(bytes-lengths(frames[n:])))
	w.flush()
	w.turn += w.work
	w.work = 0
	return n
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
	if s.Undescribed != 0 {
		bump(&l.rxFrames, s.Undescribed)
		bump(&l.rxBytes, s.Undescribed*port.UndescribedLen)
		bump(&l.drops[frame.BadOffload], s.Undescribed)
	}
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
	w.work++
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
		if ln := in.lines[ingress]; ln != nil {
			w.carry(in.core, ln, ingress, &c.frame, 0)
			continue
		}
		var a admitted
		a.reason = a.admit(sn, in, &c.frame)
		w.forward(sn, in, &a)
	}
	if w.crossed > maxCrossings/2 {
		w.flush() // makes room for what the next frame needs
	}
}

// learnLater keeps a station until the table is free. When too many wait, it
// is learned from its next frame.
func (w *worker) learnLater(in *view, src fdb.Station) {
	if w.late < len(w.deferred) {
		w.deferred[w.late] = station{in, src}
		w.late++
	}
}

// learnDeferred learns the stations that wait, as far as the table lets it.
func (w *worker) learnDeferred() {
	n := w.late
	w.late = 0
	for _, s := range w.deferred[:n] {
		w.learned(s.in, s.Station, s.in.sw.table.Learn(s.Station, s.in.id, w.now))
	}
}

// clocksFrom returns clocks that count milliseconds and nanoseconds, from 1.
func clocksFrom(start time.Time) (func() fdb.Time, func() impair.Time) {
	return func() fdb.Time { return fdb.Time(time.Since(start).Milliseconds() + 1) },
		func() impair.Time { return impair.Time(time.Since(start) + 1) }
}
