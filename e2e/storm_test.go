package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Loops: the storm costs what it costs, but other ports go on, the daemon
// answers, and taking a port down ends it.

// storm is a switch on which the test makes a loop in VLAN 66, with stations in
// that VLAN and beside it.
type storm struct {
	h       *Host
	igniter *Station
	beside  [2]*Stack
	stream  *Stream // between the two beside it
}

func newStorm(t *testing.T) *storm {
	h := NewHost(t)
	s := &storm{h: h}
	for _, name := range []string{"igniter", "caught"} { // the latter gets every copy
		ns := h.Quiet(name)
		h.VS("port", "add", name, "--netns", name, "--access", "66")
		if name == "igniter" {
			s.igniter = ns.Station("eth0")
		}
	}
	s.besides()
	return s
}

// besides makes the stations beside the storm.
func (s *storm) besides() {
	for i, kind := range []string{"tap", "veth"} {
		s.beside[i] = s.h.Stack("beside-"+kind, kind, 1+i, "--access", "5")
	}
	s.stream = s.h.Stream(s.beside[0].Station("eth0"), s.beside[1].Station("eth0"))
}

// ignite sends one broadcast.
func (s *storm) ignite() { s.igniter.Send(spark) }

var spark = Eth{Src: MAC(66), Payload: "round and round"}

// keepIgniting sends the next broadcast whenever no more copies of the last one
// come back, so that the loop is never still, and there is no heap in front of
// it. Calling stop ends that.
func (s *storm) keepIgniting() (stop func()) {
	const quiet = 5 * time.Millisecond
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for s.igniter.TrySend(spark) == nil {
			for back := true; back; {
				s.igniter.Drain()
				_, _, more, _ := s.igniter.take()
				select {
				case <-done:
					return
				case <-more:
				case <-time.After(quiet):
					back = false
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		ended.Wait()
	})
}

// goOn makes sure that ports beside the loop carry what they are given, and
// that the daemon answers and does what it is told.
func (s *storm) goOn() {
	h := s.h
	h.t.Helper()
	h.answersInTime()
	for _, network := range []string{"tcp4", "tcp6", "udp4", "uso6"} {
		if err := Flow(s.beside[0], s.beside[1], network, flowSize); err != nil {
			h.t.Error(err)
		}
	}
	h.VS("port", "add", "new", "--tap", "--access", "5")
	h.VS("port", "del", "new")
	h.AtMost(time.Second, s.stream.Check(), "frames beside the loop stood still for")
	h.answersInTime()
}

// seen sums up what ports have received, sent and dropped.
func (s *storm) seen(ports ...string) (n [3]uint64) {
	s.h.t.Helper()
	for _, p := range ports {
		c := s.h.Port(p).Counters
		n[0], n[1] = n[0]+c.RxFrames, n[1]+c.TxFrames
		for _, d := range c.Drops {
			n[2] += d
		}
	}
	return n
}

// rages makes sure that frames come by a port without end.
func (s *storm) rages(port string) {
	s.h.t.Helper()
	for range 3 {
		before := s.seen(port)[0]
		s.h.Eventually(0, func() error {
			if now := s.seen(port)[0]; now < before+1000 {
				return fmt.Errorf("by %s came %d frames, then %d: no storm", port, before, now)
			}
			return nil
		})
	}
}

// isOver makes sure that nothing goes round: once what was on its way has
// arrived, the counters stand still while other frames pass.
func (s *storm) isOver(ports ...string) {
	s.h.t.Helper()
	s.h.Eventually(0, func() error {
		before := s.seen(ports...)
		if err := Flow(s.beside[0], s.beside[1], "udp4", flowSize); err != nil {
			return err
		}
		if now := s.seen(ports...); now != before {
			return fmt.Errorf("received, sent and dropped by %v: %v, then %v", ports, before, now)
		}
		return nil
	})
}

// loops returns how many copies patches have dropped because they had gone
// round too often.
func (s *storm) loops(patches []string) (n uint64) {
	s.h.t.Helper()
	for _, p := range patches {
		n += s.h.Port(p).Counters.Drops["patch-loop"]
	}
	return n
}

func TestStormOverAWire(t *testing.T) {
	s := newStorm(t)
	h := s.h
	h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	h.Run("ip", "link", "add", "w0", "type", "veth", "peer", "name", "w1")
	h.VS("port", "add", "w0", "--dev", "w0", "--access", "66")
	h.VS("port", "add", "w1", "--dev", "w1", "--access", "66")
	h.AwaitState("w0", "up")
	h.AwaitState("w1", "up")
	noticed := func() error {
		if out := h.VS("show"); !strings.Contains(out, "LOOP between") || !strings.Contains(out, "w1 in VLAN 66 since") {
			return fmt.Errorf("the loop is not noticed:\n%s", out)
		}
		return nil
	}
	gone := func() error {
		if noticed() == nil {
			return fmt.Errorf("the loop is gone, and still said to be there")
		}
		return nil
	}
	for _, cut := range []string{"w0", "w1"} {
		h.Case("cut at "+cut, func(*testing.T) {
			s.ignite()
			s.rages("w0")
			h.Eventually(0, noticed)
			s.goOn()
			s.rages("w1")
			h.VS("port", "set", cut, "down")
			s.isOver(append(caughtPorts, "w0", "w1")...)
			if cut == "w1" {
				h.Eventually(0, gone) // though probes still leave by the other one
			}
			h.VS("port", "set", cut, "up")
			s.isOver(append(caughtPorts, "w0", "w1")...)
		})
	}
	h.Run("ip", "link", "del", "w0")
	h.Eventually(0, gone)
	if log := h.Log(); !strings.Contains(log, "there is a loop") || !strings.Contains(log, "the loop is gone") {
		t.Errorf("the log does not tell of the loop:\n%s", log)
	}

	h.Run("ip", "link", "add", "w0", "type", "veth", "peer", "name", "w1")
	h.AwaitState("w0", "up")
	h.AwaitState("w1", "up")
	h.Case("with loop protection", func(*testing.T) {
		stop := s.keepIgniting()
		h.onClose(stop)
		s.rages("w0")
		h.VS("port", "set", "w1", "--loop-protect")
		h.AwaitState("w1", "lost")
		stop()
		s.isOver(caughtPorts...)
		h.AwaitState("w0", "up")
	})
}

// caughtPorts are those in the loop's VLAN that are not part of it.
var caughtPorts = []string{"igniter", "caught"}

func TestStormInARingOfPatches(t *testing.T) {
	s := newStorm(t)
	h := s.h
	ring := s.patches("a", "sw1/a", "sw1/b", "sw2/b", "sw2/c", "c")
	all := append(caughtPorts, ring...)
	h.Case("one broadcast ends by itself", func(*testing.T) {
		s.ignite()
		h.Eventually(0, func() error { return grows("what the patches dropped", 0, s.loops(ring)) })
		s.isOver(all...)
	})
	h.Case("cut while there is always one in it", func(*testing.T) {
		stop := s.keepIgniting()
		h.onClose(stop)
		s.rages("a")
		s.goOn()
		s.rages("a")
		h.VS("port", "set", "sw1/b", "down")
		h.Eventually(0, func() error {
			loops, begun := s.loops(ring), s.seen("igniter")[0]
			err := poll(Patience, func() error { return grows("frames of the igniter", begun+2, s.seen("igniter")[0]) })
			if now := s.loops(ring); err == nil && now != loops {
				err = fmt.Errorf("%d copies were dropped for having gone round, then %d", loops, now)
			}
			return err
		})
		stop()
		s.isOver(all...)
	})
}

// Where a frame meets a fork at every switch, copies double from crossing to
// crossing, and 32 crossings are no bound.
func TestStormInPatchesSideBySide(t *testing.T) {
	s := newStorm(t)
	all := append(caughtPorts, s.patches("a", "sw1/a", "b", "sw1/b", "c", "sw1/c")...)
	for range 3 {
		s.ignite()
		s.goOn()
		s.isOver(all...)
	}
}

// patches makes patches in the loop's VLAN between ports named in pairs, and
// the switches that they need. It returns the names.
func (s *storm) patches(ends ...string) []string {
	h := s.h
	h.t.Helper()
	for i := 0; i < len(ends); i += 2 {
		for _, end := range ends[i : i+2] {
			if sw, _, ok := strings.Cut(end, "/"); ok && h.TryVS("switch", "show", sw).Code != 0 {
				h.VS("switch", "add", sw)
			}
		}
		h.VS("port", "add", ends[i], "--patch", ends[i+1], "--access", "66")
	}
	return ends
}

// One super-frame in a tunnel is a thousand segments at each port, which the
// switch has to cut.
func TestTinySegmentsDisturbNobody(t *testing.T) {
	const ports, rooms = 100, 10
	s := &storm{h: NewHost(t, Fast)}
	h := s.h
	for i := range ports {
		room := fmt.Sprintf("room%d", i%rooms)
		if i < rooms {
			h.Quiet(room)
		}
		h.VS("port", "add", fmt.Sprintf("p%d", i), "--netns", room, "--ifname", fmt.Sprintf("e%d", i))
	}
	l := newLedgerOn(h)
	l.add("vm", "source")
	s.besides()
	small := super(gsoTCPv4, 60_000, 64).inVXLAN()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if l.ends["source"].SendOffload(small.Offload, small.frame) != nil {
					return
				}
			}
		}
	})
	for range 5 {
		before := s.seen("source")[0]
		h.Eventually(0, func() error { return grows("super-frames in a tunnel", before+5, s.seen("source")[0]) })
		h.answersInTime()
		h.VS("port", "add", "new", "--tap", "--access", "5")
		h.VS("port", "del", "new")
		h.AtMost(time.Second, s.stream.Check(), "frames beside it stood still for")
	}
	s.stream.Stop()
	begin := time.Now()
	h.Process().Signal(syscall.SIGTERM)
	h.Process().Wait(t, Patience)
	if took := time.Since(begin); took > ShutdownTime {
		t.Errorf("it took %v to end, want at most %v", took, ShutdownTime)
	}
	close(stop)
	sending.Wait()
}
