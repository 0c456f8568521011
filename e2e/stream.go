package e2e

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is a flow of numbered frames from one station to another, slow enough
// that nobody has a reason to lose one. It shows that what a test does to other
// ports is nothing to these two.
type Stream struct {
	h        *Host
	from, to *Station
	frame    Eth
	pause    time.Duration // from frame to frame
	window   int           // the most frames that are on their way; 0: any number
	stop     chan struct{}
	ended    sync.WaitGroup

	mu       sync.Mutex
	sent     int           // frames that are on the wire
	got      int           // the number of the frame that is due
	lost     int           // frames that were skipped, of a stream that may lose some
	last     time.Time     // when the last one did
	gap      time.Duration // the longest time between two
	problems []string
	more     chan struct{} // closed and renewed at each arrival
}

const (
	// streamPause is how long a stream waits from frame to frame.
	streamPause = time.Millisecond
	// streamWindow is less than a TAP's queue holds (1000 frames, tx_queue_len): what a
	// switch that stands still leaves there is late, and not lost.
	streamWindow = 500
	// streamBehind bounds what a sender that was held up catches up with, for the same
	// reason.
	streamBehind = 10 * time.Millisecond
)

// Stream starts one, of unicast that the switch knows where to send. Nothing
// else may be expected at the receiving station until [Stream.Stop], which the
// host calls where the test does not.
func (h *Host) Stream(from, to *Station) *Stream {
	h.t.Helper()
	to.Learn(to.Address)
	h.Eventually(0, func() error {
		for _, e := range h.FDB() {
			if e.MAC == to.Address {
				return nil
			}
		}
		return fmt.Errorf("the switch has not learned %s", to.Address)
	})
	return h.stream(from, to)
}

// Faster is Stream with so many frames a second, which wait for nobody: what a switch
// leaves standing for longer than queues hold is lost, and counted by [Stream.Lost].
func (h *Host) Faster(from, to *Station, rate int) *Stream {
	h.t.Helper()
	to.Learn(to.Address)
	return h.streamEvery(time.Second/time.Duration(rate), 0, from, to)
}

// stream is [Host.Stream] where the receiver is known.
func (h *Host) stream(from, to *Station) *Stream {
	return h.streamEvery(streamPause, streamWindow, from, to)
}

func (h *Host) streamEvery(pause time.Duration, window int, from, to *Station) *Stream {
	s := &Stream{
		h: h, from: from, to: to, pause: pause, window: window, stop: make(chan struct{}), more: make(chan struct{}),
		frame: Eth{Src: from.Address, Dst: to.Address, Payload: "stream#" + nextMark() + "#"},
	}
	s.ended.Go(s.send)
	s.ended.Go(s.receive)
	h.onClose(func() { s.halt() })
	return s
}

// send sends until stop. A sender that was held up catches up, with little. It stays on
// one processor: what two of them send one after the other may arrive the other way round.
func (s *Stream) send() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err == nil {
		for cpu := range 1024 {
			if cpus.IsSet(cpu) {
				cpus.Zero()
				cpus.Set(cpu)
				break
			}
		}
		_ = unix.SchedSetaffinity(0, &cpus) // else it is as it is
	}
	tick := time.NewTicker(streamPause)
	defer tick.Stop()
	begin := time.Now()
	for n := 0; ; {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if behind := time.Since(begin) - time.Duration(n)*s.pause; behind > streamBehind {
			begin = begin.Add(behind - streamBehind)
		}
		for ; time.Duration(n)*s.pause < time.Since(begin) && !s.full(); n++ {
			select {
			case <-s.stop:
				return // one that is too slow would never be done
			default:
			}
			err := s.from.TrySend(s.frame.Saying(fmt.Sprintf("%s%08d", s.frame.Payload, n)))
			s.mu.Lock()
			if err != nil {
				s.problems = append(s.problems, fmt.Sprintf("send frame %d: %v", n, err))
			}
			s.sent = n + 1
			s.mu.Unlock()
		}
	}
}

// full reports whether as many frames are on their way as may be.
func (s *Stream) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window > 0 && s.sent-s.got >= s.window
}

// receive counts until stop.
func (s *Stream) receive() {
	for {
		r, ok, more, err := s.to.take()
		if !ok {
			if err != nil {
				s.mu.Lock()
				s.problems = append(s.problems, fmt.Sprintf("%s: %v", s.to, err))
				s.mu.Unlock()
				return
			}
			select {
			case <-s.stop:
				return
			case <-more:
			}
			continue
		}
		if _, number, ok := strings.Cut(string(r.Bytes), s.frame.Payload); ok {
			s.count(number)
		}
	}
}

func (s *Stream) count(number string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := strconv.Atoi(number)
	switch skipped := n - s.got; {
	case err != nil, skipped < 0, skipped > 0 && s.window > 0:
		if len(s.problems) < 10 {
			s.problems = append(s.problems, fmt.Sprintf("frame %s came where %08d was due", number, s.got))
		}
	default:
		s.lost += skipped
	}
	if err == nil {
		s.got = n // go on from there
	}
	s.got++
	if !s.last.IsZero() {
		s.gap = max(s.gap, now.Sub(s.last))
	}
	s.last = now
	close(s.more)
	s.more = make(chan struct{})
}

// Check waits until all that was sent so far has arrived, and fails the test
// when a frame was lost (of a fast stream [Stream.Lost] counts them), came twice, or
// overtook another. It returns the longest time between two arrivals since the last call.
func (s *Stream) Check() time.Duration {
	s.h.t.Helper()
	s.mu.Lock()
	sent := s.sent
	s.mu.Unlock()
	deadline := time.After(Patience)
	for {
		s.mu.Lock()
		got, gap, problems, more := s.got, s.gap, s.problems, s.more
		if got >= sent || len(problems) > 0 {
			s.problems, s.gap = nil, 0
		}
		s.mu.Unlock()
		if len(problems) > 0 {
			s.h.t.Errorf("the stream from %s to %s is not whole, %d frames sent:\n    %s", s.from, s.to, sent, strings.Join(problems, "\n    "))
		}
		if got >= sent || len(problems) > 0 {
			return gap
		}
		select {
		case <-more:
		case <-deadline:
			s.h.t.Fatalf("the stream from %s to %s stands: %d of %d frames arrived", s.from, s.to, got, sent)
		}
	}
}

// Lost returns how many frames of a fast stream were skipped so far.
func (s *Stream) Lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Stop checks the stream and ends it. It returns how many frames there were.
func (s *Stream) Stop() int {
	s.h.t.Helper()
	s.Check()
	s.halt()
	return s.sent
}

func (s *Stream) halt() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.ended.Wait()
}
