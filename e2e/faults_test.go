package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Faults happen to a daemon with ports of two kinds, and a lab. After each it forwards
// again at once, its configuration is as it was, and it holds no more than before.
// docs/reliability.md lists them; make faults does each twenty times, and longer.

// faultTime is short, but with FAULTS=long in the environment.
func faultTime(short, long time.Duration) time.Duration {
	if os.Getenv("FAULTS") == "long" {
		return long
	}
	return short
}

// ward is what a fault happens to.
type ward struct {
	*Host
	a, b        *Stack
	config      string
	descriptors []string
	links       int
	memory      int // KiB

	logElsewhere bool // where nobody reads it, nor what is said of goroutines
}

func newWard(t *testing.T, options ...Option) *ward {
	h := NewHost(t, append(options, Fast)...)
	return wardOf(h)
}

func wardOf(h *Host) *ward {
	h.t.Helper()
	w := &ward{Host: h, a: h.Stack("a", "veth", 1), b: h.Stack("b", "tap", 2)}
	h.VS("lab", "up", h.lab("name: ward\nnodes: {h1: {ip: 10.1.0.1/24}, h2: {ip: 10.1.0.2/24}, sw: {kind: switch}}\nlinks: [{endpoints: [h1, sw]}, {endpoints: [h2, sw]}]"))
	w.a.Ping(w.b.Addr("tcp4"))
	w.note()
	return w
}

// note notes how things stand.
func (w *ward) note() {
	w.t.Helper()
	w.config, w.descriptors, w.links, w.memory = w.VS("config", "show"), w.Daemon.descriptors(), len(w.Links()), rss(w.t, w.Pid())
}

// recovers holds that all is as it was, and says how long frames took. It leaves
// another daemon, started with the flags.
func (w *ward) recovers(what string, flags ...string) {
	w.t.Helper()
	took := w.forwardsAgain()
	w.t.Logf("after %s it forwards within %v", what, took.Round(100*time.Microsecond))
	w.AtMost(time.Second, took, "after "+what+" it forwards within")
	w.a.Ping(w.b.Addr("tcp4"))
	w.Eventually(0, func() error { // a single ping may be lost on a machine that is busy
		if r := w.TryVS("-j", "lab", "ping", "ward"); r.Code != 0 {
			return fmt.Errorf("after %s the lab is not as it was:\n%s", what, r.Output())
		}
		return nil
	})
	if out := w.VS("lab", "apply", filepath.Join(w.dir, "lab.yaml"), "--dry-run"); !strings.Contains(out, "nothing differs") {
		w.t.Errorf("after %s the lab is not as it was:\n%s", what, out)
	}
	if now := w.VS("config", "show"); now != w.config {
		w.t.Errorf("after %s the configuration is another:\n%s", what, differing(w.config, now))
	}
	w.Eventually(0, func() error {
		if n := len(w.Links()); n != w.links {
			return fmt.Errorf("after %s there are %d devices, and were %d", what, n, w.links)
		}
		return noMore(w.Daemon.descriptors(), w.descriptors)
	})
	if now := rss(w.t, w.Pid()); now > 2*w.memory+20<<10 {
		w.t.Errorf("after %s it takes %d KiB, and took %d", what, now, w.memory)
	}
	w.noMoreGoroutines(what, flags...)
}

// forwardsAgain returns how long it takes until a frame of a arrives at b. Ping is too
// coarse: where its first frame finds queues full, it waits a second for the next.
func (w *ward) forwardsAgain() time.Duration {
	w.t.Helper()
	from, to := w.a.Station("eth0"), w.b.Station("eth0")
	defer from.Close()
	defer to.Close()
	const patience = 20 * time.Millisecond // before the next is sent
	frame := Eth{Src: from.Address, Dst: to.Address, Payload: "again#" + nextMark() + "#"}
	begin := time.Now()
	w.Eventually(0, func() error {
		if err := from.TrySend(frame); err != nil {
			return err
		}
		for sent := time.Now(); time.Since(sent) < patience; {
			got, err := to.next(patience - time.Since(sent))
			if err == nil && strings.Contains(string(got.Bytes), frame.Payload) {
				return nil
			}
		}
		return errors.New("no frame arrives")
	})
	return time.Since(begin)
}

// noMoreGoroutines compares the daemon's with those of another, which takes over from
// it and to which nothing happened: who tells of its goroutines ends. Those of clients
// have ended, as their descriptors have. One that runs at that moment is not told of,
// so a daemon that has fewer is no proof, and two more are asked.
func (w *ward) noMoreGoroutines(what string, flags ...string) {
	w.t.Helper()
	if w.logElsewhere {
		return
	}
	after := w.Daemon.goroutines()
	var err error
	for range 3 {
		w.Start(flags...)
		w.a.Ping(w.b.Addr("tcp4"))
		if err = noMore(after, w.Daemon.goroutines()); err == nil {
			break
		}
	}
	if err != nil {
		w.t.Errorf("goroutines after %s: %v", what, err)
	}
	w.Start(flags...)
}

// TestFaultKilledAtRandom kills it at random moments, under traffic and changes: what
// was answered stands afterwards.
func TestFaultKilledAtRandom(t *testing.T) {
	w := newWard(t)
	var asked, answered atomic.Int64
	description := func() int64 {
		n, err := strconv.ParseInt(w.Port("b").Description, 10, 64)
		if err != nil {
			t.Fatalf("the description is no number: %v", err)
		}
		return n
	}
	w.VS("port", "set", "b", "--description", "0")
	flood := w.a.Go("ping", "-f", "-q", w.b.Addr("tcp4"))
	for range 5 {
		var changing sync.WaitGroup
		stop := make(chan struct{})
		changing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := asked.Add(1)
				if w.TryVS("--timeout", "2s", "port", "set", "b", "--description", fmt.Sprint(n)).Code == 0 {
					answered.Store(n)
				}
				if w.TryVS("--timeout", "2s", "port", "add", "extra", "--tap").Code == 0 {
					w.TryVS("--timeout", "2s", "port", "del", "extra")
				}
			}
		})
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		pid := w.Pid()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		close(stop)
		changing.Wait()
		w.p.Wait(t, Patience)
		w.Start("--rx-rings", "0") // which would be a descriptor more, while the flood goes on
		if n := description(); n < answered.Load() || n > asked.Load() {
			t.Errorf("the description is %d: %d was answered, %d asked", n, answered.Load(), asked.Load())
		}
		w.VS("port", "del", "extra", "--if-exists")
		w.VS("port", "set", "b", "--description", "0")
		asked.Store(0)
		answered.Store(0)
		w.config = w.VS("config", "show")
		w.recovers("kill -9", "--rx-rings", "0")
	}
	flood.Kill()
}

// TestFaultFlapping sets an interface down and up a hundred times a second.
func TestFaultFlapping(t *testing.T) {
	w := newWard(t)
	other := w.Stack("c", "veth", 3)
	w.note()
	s := w.Stream(w.b.Station("eth0"), other.Station("eth0"))
	flaps := 0
	w.a.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for begin := time.Now(); err == nil && time.Since(begin) < faultTime(time.Second, 20*time.Second); flaps++ {
			<-tick.C
			err = netlink.LinkSetDown(link)
			<-tick.C
			err = errors.Join(err, netlink.LinkSetUp(link))
		}
		return err
	})
	t.Logf("%d times", flaps)
	s.Stop()
	w.AwaitState("a", "up")
	w.a.Run("ip", "addr", "replace", "10.0.0.1/24", "dev", "eth0")
	w.recovers("flapping")
}

// TestFaultStopped stops the process for a while.
func TestFaultStopped(t *testing.T) {
	w := newWard(t)
	flood := w.a.Go("ping", "-f", "-q", w.b.Addr("tcp4"))
	w.p.Signal(syscall.SIGSTOP)
	time.Sleep(faultTime(time.Second, 30*time.Second))
	w.p.Signal(syscall.SIGCONT)
	flood.Kill()
	w.recovers("SIGSTOP")
}

// TestFaultFewDescriptors gives it 64: what needs another is refused with the reason,
// nothing else is hurt, and it goes on when there are more.
func TestFaultFewDescriptors(t *testing.T) {
	h := NewHost(t, NoDaemon, Fast)
	h.Wrap = []string{"prlimit", "--nofile=64:64"}
	h.Start()
	w := wardOf(h)
	s := w.Stream(w.a.Station("eth0"), w.b.Station("eth0"))
	refused := ""
	n := 0
	for ; n < 64 && refused == ""; n++ {
		if r := h.TryVS("port", "add", fmt.Sprint("p", n), "--tap"); r.Code != 0 {
			refused = r.Stderr
		}
	}
	if !strings.Contains(refused, "as many files open as it may") {
		t.Errorf("port %d is refused: %q", n, refused)
	}
	var held []net.Conn
	for range 64 {
		c, err := net.Dial("unix", h.Socket)
		if err != nil {
			break
		}
		held = append(held, c)
	}
	s.Check()
	for _, c := range held {
		c.Close()
	}
	for i := range n - 1 {
		h.VS("port", "del", fmt.Sprint("p", i))
	}
	h.VS("port", "add", "another", "--tap")
	h.VS("port", "del", "another")
	s.Stop()
	w.recovers("want of descriptors")
}

// TestFaultLogThatNobodyReads has the log go into a pipe that nobody reads.
func TestFaultLogThatNobodyReads(t *testing.T) {
	h := NewHost(t, NoDaemon, Fast)
	fifo := h.Path("log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	h.Wrap = []string{"sh", "-c", `log=$1; shift; exec "$@" 2>"$log"`, "sh", fifo}
	h.Start("--log-level", "debug")
	w := wardOf(h)
	w.logElsewhere = true
	s := w.Stream(w.a.Station("eth0"), w.b.Station("eth0"))
	for i := range 400 { // some 200 octets of log each, and a pipe takes 64 KiB
		h.VS("port", "set", "b", "--description", fmt.Sprint(i%2))
	}
	h.VS("port", "set", "b", "--description", "")
	s.Stop()
	w.recovers("a log that nobody reads")
}

// TestFaultHostileClients come in numbers, and with bodies that are too large or too
// deep.
func TestFaultHostileClients(t *testing.T) {
	w := newWard(t)
	s := w.Stream(w.a.Station("eth0"), w.b.Station("eth0"))
	post := func(body io.Reader) int {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.Socket)
		}
		client := http.Client{Transport: &http.Transport{DialContext: dial}}
		defer client.CloseIdleConnections()
		resp, err := client.Post("http://vswitchd/v1/ports", "application/json", body)
		if err != nil {
			return 0 // it has hung up
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if code := post(strings.NewReader(`{"name":"` + strings.Repeat("x", 16<<20) + `"}`)); code != 0 && code != http.StatusRequestEntityTooLarge && code != http.StatusBadRequest {
		t.Errorf("a body of 16 MiB: status %d", code)
	}
	if code := post(strings.NewReader(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))); code != http.StatusBadRequest {
		t.Errorf("a body of depth 100,000: status %d", code)
	}
	var crowd sync.WaitGroup
	for range 1000 {
		crowd.Go(func() {
			c, err := net.Dial("unix", w.Socket)
			if err == nil {
				io.WriteString(c, "GET /v1/show HTTP/1.1\r\nHost: x\r\n\r\n")
				io.Copy(io.Discard, io.LimitReader(c, 16))
				c.Close()
			}
		})
	}
	crowd.Wait()
	s.Stop()
	w.recovers("clients in numbers")
}

// limited puts the daemon into a control group of its own (version 1 of their file
// system), with a limit.
func (w *ward) limited(controller, file, value string) {
	w.t.Helper()
	dir := filepath.Join("/sys/fs/cgroup", controller, runPrefix+runMark(), "fault")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Skipf("there are no control groups of version 1: %v", err)
	}
	w.onClose(func() {
		_ = os.Remove(dir) // else the next run does
		_ = os.Remove(filepath.Dir(dir))
	})
	for _, f := range [][2]string{{file, value}, {"cgroup.procs", strconv.Itoa(w.Pid())}} {
		if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestFaultLittleProcessor leaves it a twentieth of one.
func TestFaultLittleProcessor(t *testing.T) {
	w := newWard(t)
	w.limited("cpu", "cpu.cfs_quota_us", "5000")
	flood := w.a.Go("ping", "-f", "-q", w.b.Addr("tcp4"))
	w.VS("port", "add", "another", "--tap")
	w.VS("port", "del", "another")
	time.Sleep(faultTime(500*time.Millisecond, 20*time.Second))
	flood.Kill()
	w.recovers("a quota of the processor")
}

// TestFaultLittleMemory leaves it a fifth more than it has at rest. If it is killed,
// the next one takes over.
func TestFaultLittleMemory(t *testing.T) {
	w := newWard(t)
	w.limited("memory", "memory.limit_in_bytes", fmt.Sprint(rss(t, w.Pid())*1024*12/10))
	ended := errors.New("it was killed")
	try := func() error {
		for i := range 40 {
			w.TryVS("--timeout", "5s", "port", "add", fmt.Sprint("m", i), "--tap")
			if !w.p.Running() {
				return ended
			}
		}
		return nil
	}
	if err := try(); err != nil {
		t.Log(err)
		w.Start()
	}
	for i := range 40 {
		w.VS("port", "del", fmt.Sprint("m", i), "--if-exists")
	}
	w.recovers("want of memory")
}
