package e2e

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

// A receiver that stops costs its own frames alone.

// drizzle sends the same frame from a station again and again, perSecond times,
// until stop is called.
func drizzle(st *Station, frame Eth, perSecond int) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		begin := time.Now()
		for n := 0; ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for ; n < int(time.Since(begin).Seconds()*float64(perSecond)); n++ {
				if st.TrySend(frame) != nil {
					return // closed
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		ended.Wait()
	})
}

func TestAReceiverThatStopsCostsItsOwnFramesAlone(t *testing.T) {
	h := NewHost(t, Fast)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	sender := h.Stack("sender", "veth", 3)
	h.VS("port", "add", "vm", "--vm", "vm0")
	monitor := h.Go(agentPath(t), "monitor", "vm0")
	monitor.Expect(t, "attached")
	h.AwaitState("vm", "up")
	h.VS("fdb", "add", MAC(99), "--vlan", "1", "--port", "vm")

	// The sender costs the same whether its frames arrive or not.
	stop := drizzle(sender.Station("eth0"), Eth{Src: MAC(98), Dst: MAC(99), Payload: "are you there?"}, 20_000)
	h.onClose(stop)
	current := h.Current(a, b, 0)
	c := h.Connect()
	vm := func() Counters {
		var p Port
		c.MustDo("GET /v1/ports/sw0/vm", nil, &p)
		return p.Counters
	}
	const window, rounds = 300 * time.Millisecond, 5
	var reading, stopped []float64
	measure := func() {
		before := vm()
		h.Eventually(0, func() error { return grows("frames to the monitor that reads", before.TxFrames, vm().TxFrames) })
		reading = append(reading, current.Speed(window))

		monitor.Signal(syscall.SIGSTOP)
		before = vm()
		h.Eventually(0, func() error {
			return grows("tx-full of the monitor that stopped", before.Drops["tx-full"], vm().Drops["tx-full"])
		})
		stopped = append(stopped, current.Speed(window))
		monitor.Signal(syscall.SIGCONT)
	}
	// What else the machine does at the moment comes and goes.
	for tries := 0; tries == 0 || tries < 3 && median(stopped) < 0.6*median(reading); tries++ {
		reading, stopped = nil, nil
		for range rounds {
			measure()
		}
	}
	t.Logf("the stream: %.2f Gbit/s while the receiver reads, %.2f while it is stopped", median(reading)*8e-9, median(stopped)*8e-9)
	if median(stopped) < 0.6*median(reading) {
		t.Errorf("the stream has %.0f octets/s while another receiver is stopped, and %.0f while it reads: %v and %v",
			median(stopped), median(reading), stopped, reading)
	}
	stop()
	for _, p := range h.Ports() {
		if n := p.Counters.Drops["tx-full"]; p.Name != "vm" && n != 0 {
			t.Errorf("port %s counts %d tx-full, which are not its own", p.Name, n)
		}
	}
}
