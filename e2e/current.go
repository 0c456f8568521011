package e2e

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Current is a stream of TCP from one stack to another that does not end by
// itself. It shows how fast the way between them is while a test does other
// things.
type Current struct {
	h        *Host
	from, to *Stack
	conns    [2]net.Conn
	arrived  atomic.Int64
	ended    sync.WaitGroup
	once     sync.Once
	halting  atomic.Bool
}

// Current starts one, paced by the sender's stack to so many octets a second;
// 0: as fast as it goes. It ends with the host, or with [Current.Stop].
func (h *Host) Current(from, to *Stack, pace int) *Current {
	h.t.Helper()
	c := &Current{h: h, from: from, to: to}
	l, err := to.listen("tcp4")
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	if c.conns[0], err = from.dial("tcp4", l.Addr().String()); err != nil {
		h.t.Fatal(err)
	}
	if c.conns[1], err = l.Accept(); err != nil {
		h.t.Fatal(err)
	}
	if pace > 0 {
		err := control(c.conns[0].(*net.TCPConn), func(fd int) error {
			return os.NewSyscallError("SO_MAX_PACING_RATE", unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, uint64(pace)))
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	c.ended.Go(c.send)
	c.ended.Go(c.receive)
	h.onClose(c.Stop)
	return c
}

func (c *Current) send() {
	data := unguessable(256 << 10)
	for {
		if _, err := c.conns[0].Write(data); err != nil {
			c.broken(err)
			return
		}
	}
}

func (c *Current) receive() {
	buf := make([]byte, 256<<10)
	for {
		n, err := c.conns[1].Read(buf)
		c.arrived.Add(int64(n))
		if err != nil {
			c.broken(err)
			return
		}
	}
}

// broken fails the test when the stream ends before it should.
func (c *Current) broken(err error) {
	if !c.halting.Load() {
		c.h.t.Errorf("the stream from %s to %s broke: %v", c.from.Name, c.to.Name, err)
	}
}

// Stop ends the stream.
func (c *Current) Stop() {
	c.once.Do(func() {
		c.halting.Store(true)
		for _, conn := range c.conns {
			_ = conn.Close() // for the other half to end
		}
		c.ended.Wait()
	})
}

// During returns how fast the stream is, in octets a second, while work is
// done.
func (c *Current) During(work func()) float64 {
	begin, before := time.Now(), c.arrived.Load()
	work()
	return float64(c.arrived.Load()-before) / time.Since(begin).Seconds()
}

// Speed returns how fast the stream is for a while.
func (c *Current) Speed(d time.Duration) float64 {
	return c.During(func() { <-time.After(d) })
}

// median is less shaken by what else the machine does than a mean.
func median[T float64 | time.Duration](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// answerTimes asks the daemon so many times, on a new connection each, and
// returns how long the answers took.
func (h *Host) answerTimes(t testing.TB, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		c, begin := h.Connect(), time.Now()
		if err := c.Do("GET /v1/ports", nil, nil); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
		c.http.CloseIdleConnections()
	}
	return took
}

// answersInTime makes sure that the daemon answers within a second. One answer
// may take longer where the machine has other things to do.
func (h *Host) answersInTime() {
	h.t.Helper()
	took := h.answerTimes(h.t, 5)
	if m := median(took); m > time.Second {
		h.t.Errorf("the daemon answers after %v: %v; want at most a second", m, took)
	}
}

// grows returns an error unless a counter went up.
func grows(what string, before, now uint64) error {
	if now <= before {
		return fmt.Errorf("%s: the counter stands at %d", what, now)
	}
	return nil
}
