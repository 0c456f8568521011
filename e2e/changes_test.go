package e2e

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The frame path waits for no control request.

// changesPerSecond is how often settings change in these tests.
const changesPerSecond = 1000

// changesAtOnce is how many are asked for in one go, at the most.
const changesAtOnce = 10

// changes are requests that change settings of ports, again and again, and
// leave frames between a and b alone: those of the two ports themselves, and
// the VLANs of a third.
var changes = []string{
	patch("a", `{"options":{"isolated":true}}`),
	patch("b", `{"options":{"hairpin":true}}`),
	patch("c", `{"vlan":{"mode":"access","access":20}}`),
	patch("b", `{"description":"here or there"}`),
	patch("a", `{"options":{"no_mcast_flood":true,"max_macs":50}}`),
	patch("c", `{"vlan":{"mode":"trunk","trunk":["1-100"]}}`),
	patch("a", `{"options":{"isolated":false}}`),
	patch("b", `{"options":{"hairpin":false}}`),
	patch("a", `{"options":{"no_mcast_flood":false,"max_macs":0}}`),
}

func patch(port, body string) string {
	return fmt.Sprintf("PATCH /v1/ports/sw0/%s HTTP/1.1\r\nHost: vswitchd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", port, len(body), body)
}

// changer makes changes over one connection. It costs as little as can be: plain system calls on a thread of its own, because what the
// asking takes from the processors is no fault of the daemon's.
type changer struct {
	t    *testing.T
	fd   int
	next int
}

func newChanger(h *Host, t *testing.T) *changer {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: h.Socket}); err != nil {
		t.Fatal(err)
	}
	// Nobody waits for an answer for ever.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(Patience.Seconds())}); err != nil {
		t.Fatal(err)
	}
	return &changer{t: t, fd: fd}
}

// during makes changes while work is done, and returns how many were made a
// second.
func (c *changer) during(work func()) float64 {
	c.t.Helper()
	var stop atomic.Bool
	var made atomic.Int64
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var err error
		for begin := time.Now(); err == nil && !stop.Load(); {
			due := int64(time.Since(begin).Seconds() * changesPerSecond)
			if due <= made.Load() {
				unix.Nanosleep(&unix.Timespec{Nsec: int64(time.Second / changesPerSecond / 2)}, nil)
				continue
			}
			// More than one where the processors were others' for a while.
			n := min(due-made.Load(), changesAtOnce)
			if err = c.change(int(n)); err == nil {
				made.Add(n)
			}
		}
		ended <- err
	}()
	begin := time.Now()
	work()
	rate := float64(made.Load()) / time.Since(begin).Seconds()
	stop.Store(true)
	if err := <-ended; err != nil {
		c.t.Fatalf("change a port: %v", err)
	}
	return rate
}

// change makes n requests and waits for all of the answers.
func (c *changer) change(n int) error {
	var requests []byte
	for range n {
		requests = append(requests, changes[c.next%len(changes)]...)
		c.next++
	}
	if _, err := ignoringEINTR(unix.Write, c.fd, requests); err != nil {
		return err
	}
	var answers []byte
	for n > 0 {
		buf := make([]byte, 4096)
		m, err := ignoringEINTR(unix.Read, c.fd, buf)
		if err != nil || m == 0 {
			return fmt.Errorf("after %q: %w", answers, cmp.Or(err, io.ErrUnexpectedEOF))
		}
		answers = append(answers, buf[:m]...)
		for n > 0 {
			head, rest, ok := bytes.Cut(answers, []byte("\r\n\r\n"))
			if !ok {
				break
			}
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
				return fmt.Errorf("%s\nis answered with\n%s", requests, answers)
			}
			_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
			length, _, _ = bytes.Cut(length, []byte("\r\n"))
			body, err := strconv.Atoi(string(length))
			if err != nil {
				return fmt.Errorf("an answer without a length: %q", head)
			}
			if len(rest) < body {
				break
			}
			answers = rest[body:]
			n--
		}
	}
	return nil
}

// ignoringEINTR makes a system call again that was interrupted: the runtime
// sends signals to its threads.
func ignoringEINTR(call func(int, []byte) (int, error), fd int, b []byte) (n int, err error) {
	for {
		if n, err = call(fd, b); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// changedPorts starts a daemon with the ports that changes speak of, and returns
// the stacks behind a and b. The daemon logs no changes: somebody would have to
// read that.
func changedPorts(t *testing.T) (h *Host, a, b *Stack) {
	t.Helper()
	h = NewHost(t, Fast, NoDaemon)
	h.Start("--log-level", "warn")
	a, b = h.Stack("a", "veth", 1), h.Stack("b", "veth", 2)
	h.Quiet("c")
	h.VS("port", "add", "c", "--netns", "c")
	h.Favour(h.Pid(), os.Getpid())
	return h, a, b
}

func TestAThousandChangesASecondLoseNothingOfAPacedStream(t *testing.T) {
	const (
		rate     = 250_000_000 // octets a second: 2 Gbit/s
		window   = 250 * time.Millisecond
		enough   = 8  // windows under changes that lose nothing
		patience = 60 // windows at the most
		chance   = 3  // more windows that may lose something than do without changes
	)
	h, a, b := changedPorts(t)
	s := h.Spray(a, b)
	s.For(window, rate/10) // the way is known, and all code is warm
	c := newChanger(h, t)

	// Whether a frame is lost may be up to the machine: to whatever else wants
	// its processors. So windows with and without changes take turns.
	var log strings.Builder
	good, lossy, lossyInPeace, full := 0, 0, 0, 0
	for n := 0; good < enough; n++ {
		if n == patience {
			t.Fatalf("in %d windows, %d of which carried all that was asked, only %d lost nothing under changes; %d lost something in peace:\n%s",
				n, full, good, lossyInPeace, log.String())
		}
		peace := s.For(window, rate)
		var storm Burst
		done := c.during(func() { storm = s.For(window, rate) })
		fmt.Fprintf(&log, "  in peace %v; with %.0f changes/s %v\n", peace, done, storm)
		if peace.Lost > 0 {
			lossyInPeace++
		}
		complete := storm.Rate > 0.9*rate && done > 0.9*changesPerSecond
		if complete {
			full++
		}
		if storm.Lost > 0 {
			lossy++
		} else if complete {
			good++
		}
		if lossy > lossyInPeace+chance {
			t.Fatalf("changes lose frames:\n%s", log.String())
		}
	}
	t.Logf("windows:\n%s", log.String())
}
