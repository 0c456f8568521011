package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is to the daemon what systemd is: it reads what it is told, and keeps
// descriptors from one run to the next.
type manager struct {
	t    testing.TB
	conn *net.UnixConn
	path string

	mu    sync.Mutex
	kept  map[string]*os.File
	words []string
}

func newManager(h *Host) *manager {
	path := h.Path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	m := &manager{t: h.t, conn: conn, path: path, kept: make(map[string]*os.File)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.read()
	}()
	h.onClose(func() {
		conn.Close()
		<-done
		m.forget()
	})
	return m
}

func (m *manager) read() {
	text, room := make([]byte, 4096), make([]byte, unix.CmsgSpace(253*4))
	for {
		n, rights, _, _, err := m.conn.ReadMsgUnix(text, room)
		if err != nil {
			return
		}
		var fds []int
		if messages, err := unix.ParseSocketControlMessage(room[:rights]); err == nil {
			for _, c := range messages {
				if got, err := unix.ParseUnixRights(&c); err == nil {
					fds = append(fds, got...)
				}
			}
		}
		m.told(string(text[:n]), fds)
	}
}

func (m *manager) told(words string, fds []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.words = append(m.words, words)
	_, name, _ := strings.Cut(words, "FDNAME=")
	name, _, _ = strings.Cut(name, "\n")
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), name)
		if strings.Contains(words, "FDSTORE=1") {
			m.kept[name] = f
		} else {
			f.Close() // a barrier
		}
	}
	if strings.Contains(words, "FDSTOREREMOVE=1") && m.kept[name] != nil {
		m.kept[name].Close()
		delete(m.kept, name)
	}
}

// has returns an error where it was not told something.
func (m *manager) has(word string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.words {
		if strings.Contains(w, word) {
			return nil
		}
	}
	return fmt.Errorf("the service manager was not told %s", word)
}

// forget closes all that is kept, as systemd does when a service is stopped for good.
func (m *manager) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.kept {
		f.Close()
		delete(m.kept, name)
	}
}

// start starts a daemon as a service.
func (m *manager) start(d *Daemon, flags ...string) {
	m.mu.Lock()
	var names []string
	var files []*os.File
	for name, f := range m.kept {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0) // as it may be withdrawn while we start
		if err != nil {
			m.t.Fatal(err)
		}
		names, files = append(names, name), append(files, os.NewFile(uintptr(fd), name))
	}
	m.mu.Unlock()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	d.Env = []string{"NOTIFY_SOCKET=" + m.path, "FDSTORE=512", "WATCHDOG_USEC=300000"}
	d.held, d.names = files, names
	d.Start(flags...)
	d.held, d.names = nil, nil
}

// TestRestart ends the daemon and starts it again, as systemctl restart does, with a
// service manager that keeps descriptors: who hangs on the ports sees no carrier go,
// and what is sent meanwhile arrives.
func TestRestart(t *testing.T) {
	h := NewHost(t, NoDaemon)
	m := newManager(h)
	m.start(&h.Daemon, "--keep-ports")
	var stacks []*Stack
	for i, kind := range deviceKinds {
		stacks = append(stacks, h.Stack(kind, kind, i+1))
	}
	for _, s := range stacks[1:] {
		s.Ping(stacks[0].Addr("tcp4"))
	}
	h.Eventually(0, func() error { return m.has("READY=1") })
	h.Eventually(0, func() error { return m.has("WATCHDOG=1") })
	h.Eventually(0, func() error {
		for _, s := range stacks {
			if out := s.Run("ip", "-6", "addr", "show", "tentative"); out != "" {
				return fmt.Errorf("not settled: %s", out)
			}
		}
		return nil
	})
	s := h.Stream(stacks[0].Station("eth0"), stacks[1].Station("eth0"))
	noticed := monitors(stacks)
	inside, config, learned := interiors(stacks), h.VS("config", "show"), len(h.FDB())
	for range 3 {
		before := h.Port("veth").Counters.RxFrames
		begin := time.Now()
		h.EndAndLeave()
		m.start(&h.Daemon, "--keep-ports")
		took := time.Since(begin)
		t.Logf("the restart took %v; the longest time without a frame is %v", took.Round(time.Millisecond), s.Check())
		if now := h.VS("config", "show"); now != config {
			t.Errorf("the configuration is another:\n%s", differing(config, now))
		}
		if now := h.Port("veth").Counters.RxFrames; now < before {
			t.Errorf("%d frames were counted, and are %d", before, now)
		}
		if now := len(h.FDB()); now < learned {
			t.Errorf("of %d entries there are %d", learned, now)
		}
		m.mu.Lock()
		if len(m.kept) > 0 {
			t.Errorf("%d descriptors are still kept", len(m.kept))
		}
		m.mu.Unlock()
	}
	s.Stop()
	if out := noticed(); strings.Contains(out, "eth0") {
		t.Errorf("people behind the ports notice:\n%s", out)
	}
	if now := interiors(stacks); now != inside {
		t.Errorf("people behind the ports find:\n%s", differing(inside, now))
	}

	// The configuration, or the machine, is another at the next start.
	h.EndAndLeave()
	h.Run("ip", "netns", "del", "tap")
	h.Run("ip", "-n", "veth", "link", "del", "eth0")
	m.start(&h.Daemon, "--keep-ports")
	h.AwaitState("tap", "lost")
	h.AwaitState("veth", "up")
	stacks[0].Ping(stacks[2].Addr("tcp4"))
	h.Run("ip", "netns", "add", "tap")
	h.AwaitState("tap", "up")

	// Nothing of what was kept is there any more, or it is damaged.
	h.EndAndLeave()
	m.forget()
	m.start(&h.Daemon, "--keep-ports")
	stacks[0].Ping(stacks[2].Addr("tcp4"))
	h.EndAndLeave()
	m.mu.Lock()
	for _, name := range []string{"vswitchd-port-0", "vswitchd-port-1"} {
		if m.kept[name] == nil {
			t.Errorf("%s is not kept", name)
			continue
		}
		m.kept[name].Close()
		delete(m.kept, name)
	}
	m.mu.Unlock()
	m.start(&h.Daemon, "--keep-ports")
	stacks[0].Ping(stacks[2].Addr("tcp4"))
	stacks[0].Ping(stacks[1].Addr("tcp4"))

	// For good.
	h.EndAndLeave()
	m.forget()
	h.Env = nil
	h.Start()
}

// TestSocketActivation has a service manager listen at the socket: who asks before the
// daemon runs, or between two that run, waits, and the socket stays, whichever daemon
// ends.
func TestSocketActivation(t *testing.T) {
	h := NewHost(t, NoDaemon)
	m := newManager(h)
	if err := os.MkdirAll(filepath.Dir(h.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // and removes it
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	m.kept["vswitchd.socket"] = file
	asked := func() *Process {
		p := h.launch("", vsctlPath(t), "--socket", h.Socket, "version")
		ready := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, int(Patience.Milliseconds())); n != 1 {
			t.Fatalf("nobody has asked: %v", err)
		}
		return p
	}
	answered := func(p *Process) {
		t.Helper()
		if r := p.Wait(t, Patience); r.Code != 0 {
			t.Errorf("exit %d: %s", r.Code, r.Output())
		}
	}
	p := asked()
	m.start(&h.Daemon, "--keep-ports")
	answered(p)
	if st, err := os.Stat(h.Socket); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v", st, err)
	}
	h.VS("port", "add", "kept", "--tap")
	h.EndAndLeave()
	p = asked()
	m.start(&h.Daemon, "--keep-ports")
	answered(p)
	h.AwaitState("kept", "up")
	h.TakeOver("--keep-ports")
	h.EndAndLeave()
	p = asked()
	m.start(&h.Daemon)
	answered(p)

	// Others who listen there are refused, and the daemon whose socket is elsewhere.
	other := h.Second("other")
	other.Socket = h.Socket
	if r := other.Launch().Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), "another daemon answers at") {
		t.Errorf("another daemon at the socket: exit %d: %s", r.Code, r.Output())
	}
	none, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	elsewhere := h.Second("elsewhere")
	elsewhere.held, elsewhere.names = []*os.File{file}, []string{"vswitchd.socket"}
	if r := elsewhere.Launch().Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), "the service manager listens at "+h.Socket) {
		t.Errorf("a daemon whose socket is elsewhere: exit %d: %s", r.Code, r.Output())
	}
	elsewhere.held = []*os.File{none}
	if r := elsewhere.Launch().Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), "is no Unix socket that listens for streams") {
		t.Errorf("a daemon with a socket of another kind: exit %d: %s", r.Code, r.Output())
	}
	// Two of one unit have one name; and who is no systemd may give none, or one that
	// looks like ours.
	for _, names := range [][]string{{"vswitchd.socket", "vswitchd.socket"}, {"vswitchd-a", "vswitchd-a"}, {}} {
		elsewhere.held, elsewhere.names = []*os.File{file, file}, names
		if r := elsewhere.Launch().Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), "the service manager listens at 2 sockets") {
			t.Errorf("a daemon with two sockets, named %q: exit %d: %s", names, r.Code, r.Output())
		}
	}
	// A real manager does not touch it any more; the tests have made it block, for all.
	if err := unix.SetNonblock(int(file.Fd()), true); err != nil {
		t.Fatal(err)
	}
	h.VS("shutdown", "--remove")
}
