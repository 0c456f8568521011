package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience bounds every wait for something that should be there at once. It is
// long because a loaded machine is slow, and costs nothing where all is well.
const Patience = 15 * time.Second

// Option changes how [NewHost] sets up.
type Option int

const (
	// Fast takes the daemon without the race detector, for what measures speed.
	Fast Option = iota
	// NoDaemon leaves starting the daemon to the test: [Host.Start].
	NoDaemon
)

// Host is the machine of one test.
type Host struct {
	Daemon // the one that [Host.VS] talks to

	t    testing.TB
	dir  string // for sockets, logs and files; short enough for a socket's path
	main *thread
	opts []Option

	mu         sync.Mutex
	processes  []*Process
	namespaces []*Namespace
	closers    []func() // run before the processes are killed, last first
}

// NewHost makes a machine and starts vswitchd on it. When t ends the daemon
// must end cleanly, and all is removed.
func NewHost(t testing.TB, opts ...Option) *Host {
	t.Helper()
	need(t)
	h := &Host{t: t, dir: hostDir(t), opts: opts}
	h.Daemon = Daemon{h: h, Socket: filepath.Join(h.dir, "sock"), StateDir: filepath.Join(h.dir, "state")}
	main, err := newThread()
	if err != nil {
		t.Fatalf("make a host: %v", err)
	}
	h.main = main
	t.Cleanup(h.close)
	if !h.has(NoDaemon) {
		h.Start()
	}
	return h
}

// In makes t the test that h reports to until t ends: for subtests that share
// a host and do not run in parallel.
func (h *Host) In(t testing.TB) *Host {
	outer := h.t
	h.t = t
	t.Cleanup(func() {
		if t.Failed() {
			h.report()
		}
		h.t = outer
	})
	return h
}

// Case runs a subtest on this host.
func (h *Host) Case(name string, story func(t *testing.T)) {
	h.t.Helper()
	parent, ok := h.t.(*testing.T)
	if !ok {
		h.t.Fatalf("Case %q: only a test can have cases", name)
	}
	parent.Run(name, func(t *testing.T) {
		h.In(t)
		story(t)
	})
}

func (h *Host) has(o Option) bool {
	for _, opt := range h.opts {
		if opt == o {
			return true
		}
	}
	return false
}

// Path names a file in the host's own folder.
func (h *Host) Path(name string) string { return filepath.Join(h.dir, name) }

// Do runs fn on a thread that is in the host's network and mount namespace.
func (h *Host) Do(fn func() error) {
	h.t.Helper()
	if err := h.main.do(fn); err != nil {
		h.t.Fatal(err)
	}
}

// Eventually waits until cond returns nil, and fails with its last error when
// it does not within d (0: [Patience]).
func (h *Host) Eventually(d time.Duration, cond func() error) {
	h.t.Helper()
	Eventually(h.t, d, cond)
}

// Eventually waits until cond returns nil, and fails with its last error when
// it does not within d (0: [Patience]). For what cannot be waited for.
func Eventually(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	if d == 0 {
		d = Patience
	}
	if err := poll(d, cond); err != nil {
		t.Fatalf("not within %v: %v", d, err)
	}
}

// poll calls cond until it returns nil; after d it returns cond's last error.
func poll(d time.Duration, cond func() error) error {
	deadline := time.Now().Add(d)
	for {
		err := cond()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Within fails the test when something that began then took longer than limit, as
// [Host.AtMost] has it.
func (h *Host) Within(limit time.Duration, begin time.Time, what string) {
	h.t.Helper()
	h.AtMost(limit, time.Since(begin), what+" took")
}

// AtMost fails the test when a time is longer than limit. Where others want the
// processors, too, it may be as many times longer as there are of them for each, and
// beyond four it is only said: there the figure tells nothing about the switch.
func (h *Host) AtMost(limit, d time.Duration, what string) {
	h.t.Helper()
	switch load := max(1, loadPerCPU()); {
	case d <= limit:
	case load > 4 || float64(d) <= load*float64(limit):
		h.t.Logf("%s %v, want at most %v; but %.1f programs want each processor", what, d.Round(time.Millisecond), limit, load)
	default:
		h.t.Errorf("%s %v, want at most %v", what, d.Round(time.Millisecond), limit)
	}
}

// loadPerCPU is the load average of the last minute.
func loadPerCPU() float64 {
	var load float64
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(b), &load); err != nil {
		return 0
	}
	return load / float64(runtime.NumCPU())
}

// onClose has fn called when the host goes, before its processes are killed.
func (h *Host) onClose(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, fn)
}

// close takes the machine down in an order that lets each part end by itself:
// the daemon sees its neighbours alive when it is told to go.
func (h *Host) close() {
	if h.t.Failed() {
		h.report()
	}
	h.Daemon.endOfTest()
	h.mu.Lock()
	closers, processes := h.closers, h.processes
	h.closers, h.processes = nil, nil
	h.mu.Unlock()
	for i := len(closers) - 1; i >= 0; i-- {
		closers[i]()
	}
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].Kill()
	}
	h.main.end()
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Logf("remove %s: %v", h.dir, err)
	}
}

// report prints what a person would look at first.
func (h *Host) report() {
	h.t.Helper()
	var b strings.Builder
	show := func(title string, r Result) {
		fmt.Fprintf(&b, "--- %s\n%s", title, indent(r.Stdout+r.Stderr))
	}
	if h.Daemon.Running() {
		show("vsctl show", h.TryVS("--timeout", "3s", "show"))
		show("vsctl drops", h.TryVS("--timeout", "3s", "drops"))
		show("vsctl fdb show", h.TryVS("--timeout", "3s", "fdb", "show"))
	}
	show("ip -br link", h.Try("ip", "-br", "link"))
	h.mu.Lock()
	namespaces := h.namespaces
	h.mu.Unlock()
	for _, ns := range namespaces {
		if !ns.deleted && len(namespaces) <= 8 {
			show("ip addr in "+ns.Name, ns.Try("ip", "-br", "addr"))
		}
	}
	fmt.Fprintf(&b, "--- vswitchd's log\n%s", indent(tail(collapse(h.Daemon.Log()), 16<<10)))
	h.t.Log("what the host looks like:\n" + b.String())
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") + "\n"
}

// collapse says how often a line of a log came in a row, whatever its time.
func collapse(log string) string {
	var b strings.Builder
	last, times := "", 0
	flush := func() {
		if times > 1 {
			fmt.Fprintf(&b, "    ... %d times\n", times)
		}
	}
	for line := range strings.Lines(log) {
		_, text, ok := strings.Cut(line, " ") // time=... first
		if ok && text == last {
			times++
			continue
		}
		flush()
		b.WriteString(line)
		last, times = text, 1
	}
	flush()
	return b.String()
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "[...]" + s[len(s)-n:]
}

// thread is an OS thread with a network and a mount namespace of its own.
// They live as long as it does, or a process started from it.
type thread struct {
	work chan func()
	done chan struct{}
	net  int // descriptor of the thread's own network namespace
}

// newThread starts a thread and waits until its namespaces are set up. It ends
// with [thread.end].
func newThread() (*thread, error) {
	th := &thread{work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(th.done)
		// Never unlocked: the thread cannot go back, so it dies with the
		// goroutine, and with it the namespaces.
		runtime.LockOSThread()
		err := th.setUp()
		ready <- err
		if err != nil {
			return
		}
		for fn := range th.work {
			fn()
		}
		unix.Close(th.net)
	}()
	return th, <-ready
}

func (th *thread) setUp() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// An empty /run: namespaces' names, pid files and sockets of lldpd,
	// podman's state are all this host's own.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range []string{"/run/lock", "/run/lldpd", "/run/netns"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	// Files of namespaces, such as labs make.
	if err := os.MkdirAll("/etc/netns", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/etc/netns", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /etc/netns: %w", err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open own namespace: %w", err)
	}
	th.net = fd
	return linkUp("lo")
}

// do runs fn on the thread.
func (th *thread) do(fn func() error) error {
	result := make(chan error, 1)
	th.work <- func() { result <- fn() }
	return <-result
}

// in runs fn on the thread in the network namespace that path names.
func (th *thread) in(path string, fn func() error) error {
	return th.do(func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", path, err)
		}
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("enter namespace %s: %w", path, err)
		}
		defer func() {
			if err := unix.Setns(th.net, unix.CLONE_NEWNET); err != nil {
				panic(fmt.Sprintf("go back to the host's namespace: %v", err))
			}
		}()
		return fn()
	})
}

// end lets the thread die and waits until it has.
func (th *thread) end() {
	close(th.work)
	<-th.done
}
