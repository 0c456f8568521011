package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ShutdownTime is how long vswitchd may take to go.
const ShutdownTime = 2 * time.Second

// Daemon is vswitchd on a host; there may be more than one: [Host.Second].
type Daemon struct {
	h        *Host
	Socket   string
	StateDir string
	Env      []string   // NAME=VALUE, beside that of the test
	Wrap     []string   // what it is started by, such as prlimit
	held     []*os.File // that the next one gets, as a service that had them kept
	names    []string   // of these
	p        *Process   // nil before the first start
	log      string     // of those before p
}

// Start starts vswitchd and waits until it answers.
func (d *Daemon) Start(flags ...string) {
	h := d.h
	h.t.Helper()
	d.Launch(flags...)
	h.Eventually(0, func() error {
		if !d.p.Running() {
			h.t.Fatalf("vswitchd ended as soon as it was started:\n%s", d.Log())
		}
		c, err := net.Dial("unix", d.Socket)
		if err != nil {
			return fmt.Errorf("vswitchd does not answer: %w", err)
		}
		return c.Close()
	})
	if r := d.vsctl("version"); r.Code != 0 {
		h.t.Fatalf("vsctl version: exit %d\n%s", r.Code, r.Output())
	}
}

// Launch starts vswitchd and waits for nothing.
func (d *Daemon) Launch(flags ...string) *Process {
	h := d.h
	h.t.Helper()
	if d.p != nil && d.p.Running() {
		h.t.Fatal("vswitchd runs already")
	}
	return d.launch(flags...)
}

func (d *Daemon) launch(flags ...string) *Process {
	h := d.h
	h.t.Helper()
	if d.p != nil {
		d.log = d.Log()
	}
	argv := []string{vswitchdPath(h.t, h.has(Fast)), "--socket", d.Socket, "--state-dir", d.StateDir}
	argv = append(argv, strings.Fields(os.Getenv("VSWITCHD_FLAGS"))...)
	// A report of a race must not change what the story is about: it goes on,
	// and is found in the log when the daemon ends.
	env := append([]string{"GORACE=halt_on_error=0 exitcode=66 atexit_sleep_ms=50"}, d.Env...)
	argv = append(argv, flags...)
	if d.held != nil { // by who is the service manager
		env = append(env, fmt.Sprintf("LISTEN_FDS=%d", len(d.held)), "LISTEN_FDNAMES="+strings.Join(d.names, ":"))
		argv = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, argv...)
	}
	p, err := h.startHolding("", env, d.held, append(d.Wrap, argv...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.processes = append(h.processes, p)
	h.mu.Unlock()
	d.p = p
	return p
}

// TakeOver has another vswitchd take over from the one that runs, which has to end
// well, and returns how long that took.
func (d *Daemon) TakeOver(flags ...string) time.Duration {
	h := d.h
	h.t.Helper()
	old := d.p
	begin := time.Now()
	d.launch(append(flags, "--takeover")...)
	r := old.Wait(h.t, Patience)
	took := time.Since(begin)
	d.log += old.Output()[len(r.Output()):] // what it said at last
	if r.Code != 0 {
		h.t.Errorf("the vswitchd that was taken over from ended with status %d:\n%s", r.Code, r.Output())
	}
	if !d.p.Running() {
		h.t.Fatalf("the vswitchd that took over has ended:\n%s", d.p.Output())
	}
	if r := d.vsctl("version"); r.Code != 0 {
		h.t.Fatalf("vsctl version: exit %d\n%s", r.Code, r.Output())
	}
	return took
}

// answering returns the process that listens at the socket.
func (d *Daemon) answering() (pid int) {
	d.h.t.Helper()
	c, err := net.Dial("unix", d.Socket)
	if err != nil {
		d.h.t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		d.h.t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil {
		d.h.t.Fatal(err)
	}
	return pid
}

// Forget removes what the daemon keeps of its configuration; it does not run.
func (d *Daemon) Forget() {
	d.h.t.Helper()
	if err := os.RemoveAll(d.StateDir); err != nil {
		d.h.t.Fatal(err)
	}
}

// Second returns another instance, with a socket and a state of its own, that
// is not started yet.
func (h *Host) Second(name string) *Daemon {
	d := &Daemon{h: h, Socket: h.Path(name + ".sock"), StateDir: h.Path(name + ".state")}
	h.onClose(func() { d.endOfTest() })
	return d
}

// Running reports whether the daemon has been started and has not ended.
func (d *Daemon) Running() bool { return d.p != nil && d.p.Running() }

// Pid returns the daemon's process ID.
func (d *Daemon) Pid() int { return d.p.Pid }

// Process returns the daemon's process, for signals.
func (d *Daemon) Process() *Process { return d.p }

// Log returns what all daemons of this instance have logged.
func (d *Daemon) Log() string {
	if d.p == nil {
		return d.log
	}
	return d.log + d.p.Output()
}

// Kill9 takes the daemon away without warning.
func (d *Daemon) Kill9() {
	d.h.t.Helper()
	d.p.Kill()
}

// EndAndLeave ends a daemon that was started with --keep-ports by SIGTERM: all its
// devices stay.
func (d *Daemon) EndAndLeave() {
	d.h.t.Helper()
	made := d.devices()
	d.p.Signal(syscall.SIGTERM)
	if r := d.p.Wait(d.h.t, Patience); r.Code != 0 {
		d.h.t.Errorf("vswitchd ended with status %d, want 0", r.Code)
	}
	d.checkRaces()
	links := d.h.Links()
	for _, dev := range made {
		if _, ok := links[dev]; !ok && dev != "eth0" { // a TAP in a namespace
			d.h.t.Errorf("device %s went with a vswitchd that was to leave it", dev)
		}
	}
}

// MustCleanShutdown ends the daemon with SIGTERM: it must go within
// [ShutdownTime], with exit status 0, without a race reported, and none of the
// devices that it made may be left.
func (d *Daemon) MustCleanShutdown() {
	h := d.h
	h.t.Helper()
	made := d.devices()
	begin := time.Now()
	d.p.Signal(syscall.SIGTERM)
	limit := ShutdownTime
	if !h.has(Fast) {
		limit *= 3 // the race detector's price
	}
	r := d.p.Wait(h.t, Patience)
	h.Within(limit, begin, "ending vswitchd")
	if r.Code != 0 {
		h.t.Errorf("vswitchd ended with status %d, want 0", r.Code)
	}
	d.checkRaces()
	links := h.Links()
	for _, dev := range made {
		if l, ok := links[dev]; ok {
			h.t.Errorf("device %s is left after vswitchd has ended: %+v", dev, l)
		}
	}
	if _, err := os.Stat(d.Socket); err == nil {
		h.t.Errorf("socket %s is left after vswitchd has ended", d.Socket)
	}
}

// devices returns the names of devices in the host that the daemon made.
func (d *Daemon) devices() (made []string) {
	r := d.vsctl("--timeout", "5s", "-j", "port", "list")
	var ports []Port
	if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &ports) != nil {
		return nil // a test may have left a daemon that cannot answer
	}
	for _, p := range ports {
		if p.Device != "" && p.Kind != "dev" {
			made = append(made, p.Device)
		}
	}
	return made
}

func (d *Daemon) checkRaces() {
	d.h.t.Helper()
	if log := d.Log(); strings.Contains(log, "DATA RACE") {
		d.h.t.Errorf("the race detector reports:\n%s", log[strings.Index(log, "WARNING: DATA RACE"):])
	}
}

// endOfTest ends a daemon that the test left running.
func (d *Daemon) endOfTest() {
	switch {
	case d.p == nil:
	case d.p.Running():
		d.p.Signal(syscall.SIGCONT) // where a test has stopped it
		d.MustCleanShutdown()
	default:
		d.checkRaces()
	}
}
