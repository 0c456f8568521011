package e2e

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// Impaired lines, with real stacks at their ends. How exactly they keep what was
// set is measured by bench/; here counts what must hold on the busiest machine.

// pingTimes returns the round trips of n pings, in milliseconds.
func (s *Stack) pingTimes(to *Stack, n int) (took []float64) {
	s.h.t.Helper()
	out := s.Run("ping", "-c", strconv.Itoa(n), "-i", "0.1", to.addr4)
	for _, m := range regexp.MustCompile(`time=([0-9.]+) ms`).FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			s.h.t.Fatal(err)
		}
		took = append(took, ms)
	}
	return took
}

// TestImpairedLinesDelay holds that frames of each kind of port, and over a
// patch, take as long as was asked, and no longer once nothing is asked.
func TestImpairedLinesDelay(t *testing.T) {
	h := NewHost(t)
	h.VS("switch", "add", "sw1")
	h.VS("port", "add", "up", "--patch", "sw1/up", "--access", "10")
	near := h.stacks("sw0", 1, false)
	far := h.Stack("sw1/far", "veth", 20, "--access", "10")
	for _, s := range near {
		s.Ping(far.addr4)
		h.VS("port", "impair", s.Port, "--egress", "delay", "20ms")
		h.VS("port", "impair", s.Port, "--ingress", "delay", "30ms")
		h.VS("port", "impair", "up", "delay", "10ms")
		if took := s.pingTimes(far, 5); slices.Min(took) < 70 {
			t.Errorf("over a line that takes 70 ms there and back, %s has answers after %v ms", s.Kind, took)
		}
		h.VS("port", "impair", s.Port, "none")
		h.VS("port", "impair", "up", "none")
		if took := s.pingTimes(far, 5); slices.Min(took) >= 20 {
			t.Errorf("over a line that is no longer impaired, %s has answers after %v ms", s.Kind, took)
		}
	}
}

// TestImpairedLinesLoseNothingElse holds that TCP comes through whole, over lines
// that do all but damage frames, for stacks that send super-frames.
func TestImpairedLinesLoseNothingElse(t *testing.T) {
	h := NewHost(t)
	near := h.stacks("sw0", 1, false)
	peer := h.Stack("peer", "veth", 20, "--access", "10")
	for i, s := range near {
		h.VS("port", "impair", s.Port, "delay", "2ms", "jitter", "200us", "loss", "0.5%", "duplicate", "1%", "reorder", "1%", "rate", "200mbit", "seed", "1")
		network := networks[i%2]
		Transfer(t, s, peer, network, peer.Addr(network), 2<<20)
		Transfer(t, peer, s, network, s.Addr(network), 2<<20)
		c := h.Port(s.Port).Counters
		if c.Drops["impair-loss"] == 0 {
			t.Errorf("%s: nothing was lost: %+v", s.Kind, c)
		}
		if mean := c.TxBytes / c.TxFrames; mean > 1514 {
			t.Errorf("%s: frames that left have %d octets on average: a super-frame was not cut", s.Kind, mean)
		}
	}
}

// TestRateOfALineIsNotExceeded asks for the time that a transfer takes at least.
func TestRateOfALineIsNotExceeded(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	const size, mbit = 4 << 20, 40
	h.VS("port", "impair", "b", "--egress", "rate", strconv.Itoa(mbit)+"mbit", "queue", "50ms")
	moved := Transfer(t, a, b, "tcp4", b.addr4, size)
	if least := float64(size) * 8 / (mbit * 1e6); moved.Seconds < least {
		t.Errorf("%d octets took %.2f s at %d Mbit/s, want %.2f or more", size, moved.Seconds, mbit, least)
	}
	if n := h.Port("b").Counters.Drops["impair-queue"]; n > 0 {
		t.Logf("%d frames found the queue full", n)
	}
}

// TestDamageIsSeen holds that a bit that is turned over shows in the checksums
// that the stack had left to the device.
func TestDamageIsSeen(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "veth", 2)
	a.Ping(b.addr4)
	h.VS("port", "impair", "b", "--egress", "corrupt", "100%")
	a.NoPing(b.addr4)
	if n := h.Port("b").Counters.Notices["impair-corrupt"]; n == 0 {
		t.Error("the notice impair-corrupt is 0")
	}
	h.VS("port", "impair", "b", "corrupt", "0")
	a.Ping(b.addr4)
}

// TestLossOfAll also holds that a line is impaired while frames flow, and until
// it is not any more.
func TestLossOfAll(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "veth", 2)
	a.Ping(b.addr4)
	h.VS("port", "impair", "a", "--ingress", "loss", "100%")
	a.NoPing(b.addr4)
	h.AwaitDrops("a", "impair-loss", 1)
	h.VS("port", "impair", "a", "none")
	a.Ping(b.addr4)
}
