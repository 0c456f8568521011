package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/handover"
)

// monitors watches interfaces for changes that somebody could notice.
func monitors(stacks []*Stack) (said func() string) {
	var all []*Process
	for _, s := range stacks {
		p := s.Go("ip", "-o", "monitor", "link", "address", "route")
		all = append(all, p)
	}
	return func() string {
		var b strings.Builder
		for _, p := range all {
			b.WriteString(p.Output())
		}
		return b.String()
	}
}

// TestTakeover has one daemon after another take the place of the one that runs,
// under traffic by all kinds of ports: no frame is lost, nobody behind the ports
// notices anything, and what was learned, counted and configured is as it was.
func TestTakeover(t *testing.T) {
	h := NewHost(t)
	var stacks []*Stack
	for i, kind := range deviceKinds {
		stacks = append(stacks, h.Stack(kind, kind, i+1))
	}
	h.VS("switch", "add", "lab", "--ageing", "60s")
	h.VS("port", "add", "up", "--patch", "lab/up", "--trunk", "1,10")
	h.VS("profile", "add", "office", "--access", "10")
	h.Run("ip", "netns", "add", "lost")
	h.VS("port", "add", "lost", "--netns", "lost", "--profile", "office")
	h.Run("ip", "netns", "del", "lost")
	h.AwaitState("lost", "lost")
	h.VS("port", "add", "off", "--tap", "--down")
	h.VS("fdb", "add", "02:00:00:00:00:99", "--vlan", "1", "--port", "veth")
	for _, s := range stacks {
		for _, to := range stacks {
			if s != to {
				s.Ping(to.Addr("tcp4"))
			}
		}
	}
	streams := []*Stream{
		h.Stream(stacks[0].Station("eth0"), stacks[1].Station("eth0")),
		h.Stream(stacks[2].Station("eth0"), stacks[3].Station("eth0")),
	}
	config, inside := h.VS("config", "show"), interiors(stacks)
	h.Eventually(0, func() error { // they ask whether their addresses are taken
		for _, s := range stacks {
			if out := s.Run("ip", "-6", "addr", "show", "tentative"); out != "" {
				return fmt.Errorf("not settled: %s", out)
			}
		}
		return nil
	})
	noticed := monitors(stacks)
	before := h.Port("veth").Counters
	learned := len(h.FDB())

	for round := range 4 {
		took := h.TakeOver()
		var gaps []time.Duration
		for _, s := range streams {
			gaps = append(gaps, s.Check())
		}
		t.Logf("round %d: it took %v; the longest times without a frame are %v", round, took.Round(time.Millisecond), gaps)
		if now := h.VS("config", "show"); now != config {
			t.Errorf("the configuration is another:\n%s", differing(config, now))
		}
		if now := len(h.FDB()); now < learned {
			t.Errorf("of %d entries there are %d", learned, now)
		}
		if now := h.Port("veth").Counters; now.RxFrames < before.RxFrames || now.TxFrames < before.TxFrames {
			t.Errorf("the counters of a port were %+v, and are %+v", before, now)
		}
		if p := h.Port("lost"); p.State != "lost" || !strings.Contains(p.Reason, "lost") {
			t.Errorf("the lost port is %s: %s", p.State, p.Reason)
		}
		if p := h.Port("off"); p.State != "down" {
			t.Errorf("the port that is down is %s", p.State)
		}
	}
	for _, s := range streams {
		s.Stop()
	}
	if out := noticed(); strings.Contains(out, "eth0") {
		t.Errorf("people behind the ports notice:\n%s", out)
	}
	if now := interiors(stacks); now != inside {
		t.Errorf("people behind the ports find:\n%s", differing(inside, now))
	}

	// It is a daemon like any other.
	h.Run("ip", "netns", "add", "lost")
	h.AwaitState("lost", "up")
	h.Run("ip", "netns", "del", "tap")
	h.AwaitState("tap", "lost")
	h.Run("ip", "netns", "add", "tap")
	h.AwaitState("tap", "up")
	h.VS("port", "del", "veth")
	h.VS("port", "add", "veth", "--netns", "veth", "--ip", "10.0.0.1/24")
	stacks[0].Ping(stacks[2].Addr("tcp4"))
	h.VS("port", "set", "off", "up")
	h.AwaitState("off", "up")
	h.Kill9()
	h.Start()
	stacks[0].Ping(stacks[2].Addr("tcp4"))
	h.Run("ip", "netns", "del", "lost")
}

// TestTakeoverAtTenThousandFrames a second, and of ports that are busy enough for a
// ring. A takeover stops frames for less than any queue lasts, so none is lost. On a busy
// machine other programs may make some of them longer: then what is lost is what queues
// had no room for, and no other.
func TestTakeoverAtTenThousandFrames(t *testing.T) {
	const rate, longQueue = 10_000, 50_000
	const ownQueue = 1_000 * time.Second / rate // how long a TAP's lasts, without txqueuelen
	h := NewHost(t, Fast)
	for _, ring := range []string{"1000000", "2000"} {
		h.TakeOver("--rx-ring-rate", ring)
		for _, kind := range []string{"veth", "tap"} {
			name := kind + ring
			a, b := h.Stack(name+"a", kind, 1), h.Stack(name+"b", kind, 2)
			a.Run("ip", "link", "set", "eth0", "txqueuelen", strconv.Itoa(longQueue)) // a TAP does not count what it has no room for
			s := h.Faster(a.Station("eth0"), b.Station("eth0"), rate)
			var gaps []time.Duration
			var lost []int
			for range 5 {
				h.Eventually(0, func() error {
					if h.Port(name+"a").Counters.RxFrames < 1000 {
						return fmt.Errorf("not at speed yet")
					}
					return nil
				})
				s.Check()
				before := s.Lost()
				h.TakeOver("--rx-ring-rate", ring)
				gaps = append(gaps, s.Check().Round(time.Microsecond))
				lost = append(lost, s.Lost()-before)
			}
			t.Logf("%s, rings from %s frames a second on: of %d frames, %v were lost at each takeover; the longest times without one are %v", kind, ring, s.Stop(), lost, gaps)
			if most := slices.Max(lost); most > 50 && loadPerCPU() <= 2 {
				t.Errorf("%s: a takeover lost %d frames, want at most 50", kind, most)
			}
			if slices.Min(lost) > 0 || slices.Min(gaps) > ownQueue {
				t.Errorf("%s: no takeover was without a loss and in less than %v", kind, ownQueue)
			}
			h.Eventually(0, func() error {
				if full := h.Port(name + "a").Counters.Drops["rx-full"]; full != uint64(s.Lost()) {
					return fmt.Errorf("%d frames were lost, and %d had no room in a queue", s.Lost(), full)
				}
				return nil
			})
			h.VS("port", "del", name+"a")
			h.VS("port", "del", name+"b")
		}
	}
}

// TestReload has SIGHUP start the program that is installed, which takes over.
func TestReload(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	s := h.Stream(a.Station("eth0"), b.Station("eth0"))
	first := h.answering()
	if first != h.Pid() {
		t.Fatalf("process %d answers, and the daemon is %d", first, h.Pid())
	}
	now := first
	for range 2 {
		was := now
		if err := syscall.Kill(was, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		h.Eventually(0, func() error {
			if now = h.answering(); now == was {
				return fmt.Errorf("process %d still answers", now)
			}
			return nil
		})
		h.VS("show")
		s.Check()
	}
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", now))
	if n := strings.Count(string(words), "--takeover"); err != nil || n != 1 {
		t.Errorf("the last one has the word --takeover %d times: %q, %v", n, words, err)
	}
	s.halt()
	if err := syscall.Kill(now, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := h.p.Wait(t, Patience); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	if links := h.Links(); len(links) != 1 {
		t.Errorf("left: %v", links)
	}
}

// TestTakeoverThatFails has the old one go on as if nothing had been.
func TestTakeoverThatFails(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	s := h.Stream(a.Station("eth0"), b.Station("eth0"))
	good := h.StateDir
	file := h.Path("a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := h.p
	for _, flags := range [][]string{{"--state-dir", file}, {"--workers", "0", "--state-dir", "/proc/nothing"}} {
		p := h.Daemon.launch(append(flags, "--takeover")...)
		if r := p.Wait(t, Patience); r.Code != 1 || !strings.Contains(r.Output(), "take over from") {
			t.Errorf("%v: exit %d: %s", flags, r.Code, r.Output())
		}
		h.p = old
		s.Check()
		h.VS("port", "set", "a", "--description", strings.Join(flags, " ")) // and keeps it
	}
	h.StateDir = good

	// The new one is killed at some moment: one of the two goes on.
	for i := range 20 {
		old := h.p
		p := h.Daemon.launch("--takeover")
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		p.Kill()
		h.p = old
		if r := h.TryVS("port", "set", "a", "--description", fmt.Sprint(i)); r.Code == 0 {
			s.Check()
			continue
		}
		if !strings.Contains(old.Output(), "has taken over") {
			t.Fatalf("killed after %v, and the old one does not answer:\n%s", time.Duration(i)*3*time.Millisecond, old.Output())
		}
		t.Logf("killed after %v, it had taken over", time.Duration(i)*3*time.Millisecond)
		old.Wait(t, Patience)
		h.Start()
		break
	}
	want := h.VS("config", "show")
	h.TakeOver()
	if now := h.VS("config", "show"); now != want {
		t.Errorf("the configuration is another:\n%s", differing(want, now))
	}
	a.Ping(b.Addr("tcp4"))
	s.halt()

	// Nobody runs to take over from.
	h.MustCleanShutdown()
	h.Start("--takeover")
	a.Ping(b.Addr("tcp4"))
}

// TestTakeoverInAContainer: the first process of a container refuses who would end with
// it, and goes on. Another one from outside takes over.
func TestTakeoverInAContainer(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.Wrap = []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}
	h.Start()
	h.VS("port", "add", "p", "--tap")
	before := h.Port("p").Ifindex
	was := h.answering()
	if err := syscall.Kill(was, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	h.Eventually(0, func() error {
		if log := h.Log(); !strings.Contains(log, "podman run --init") || !strings.Contains(log, "that was to take over has ended") {
			return fmt.Errorf("it has not refused:\n%s", log)
		}
		return nil
	})
	if now := h.answering(); now != was {
		t.Errorf("process %d answers, and %d did", now, was)
	}
	h.VS("port", "set", "p", "--access", "20")
	h.Wrap = nil
	h.TakeOver()
	if p := h.Port("p"); p.Ifindex != before || p.State != "up" {
		t.Errorf("port p is %s, with ifindex %d; it had %d", p.State, p.Ifindex, before)
	}
}

// TestTakeoverWithAnotherGroup has the socket be the group's that the new daemon is
// told, and nobody's where it is told none. What people have set by hand stays.
func TestTakeoverWithAnotherGroup(t *testing.T) {
	h := NewHost(t)
	group := func() int {
		t.Helper()
		st, err := os.Stat(h.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if mode := st.Mode().Perm(); mode != 0o660 {
			t.Errorf("the socket's mode is %o", mode)
		}
		return int(st.Sys().(*syscall.Stat_t).Gid)
	}
	for _, c := range []struct {
		flags []string
		want  int
	}{
		{[]string{"--socket-group", "4000"}, 4000},
		{[]string{"--socket-group", "4000"}, 4000},
		{[]string{"--admin-group", "4001"}, 4001},
		{nil, os.Getegid()},
	} {
		h.TakeOver(c.flags...)
		// It answers before it is done with that.
		h.Eventually(0, func() error {
			if now := group(); now != c.want {
				return fmt.Errorf("with %v the socket is group %d's", c.flags, now)
			}
			return nil
		})
	}
	if err := os.Chown(h.Socket, -1, 4002); err != nil {
		t.Fatal(err)
	}
	h.TakeOver()
	if now := group(); now != 4002 {
		t.Errorf("it was group 4002's by hand, and is %d's", now)
	}
	old := h.p
	p := h.Daemon.launch("--takeover", "--socket-group", "nosuchgroup")
	if r := p.Wait(t, Patience); r.Code != 1 || !strings.Contains(r.Output(), "no group") {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	h.p = old
}

// TestTakeoverWhileOthersAsk: who looks or changes something while one daemon after another
// takes over is answered, by one or the other, as if there were one.
func TestTakeoverWhileOthersAsk(t *testing.T) {
	h := NewHost(t)
	const ports = 20
	for i := range ports {
		h.VS("port", "add", fmt.Sprint("p", i), "--tap")
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var asked atomic.Int64
	ask := func(right func(string) bool, words func(n int) []string) {
		asking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if r := h.TryVS(words(n)...); r.Code != 0 || !right(r.Stdout) {
					t.Errorf("%v: exit %d\n%s", words(n), r.Code, r.Output())
					return
				}
				asked.Add(1)
			}
		})
	}
	whole := func(out string) bool { return strings.Count(out, "tap") >= ports }
	ask(whole, func(int) []string { return []string{"config", "show"} })
	ask(whole, func(int) []string { return []string{"port", "list"} })
	ask(func(string) bool { return true }, func(n int) []string { return []string{"port", "set", "p1", "--description", fmt.Sprint(n)} })
	ask(func(string) bool { return true }, func(n int) []string {
		return []string{"port", []string{"add", "del"}[n%2], "more", []string{"--tap", "--if-exists"}[n%2]}
	})
	for range 8 {
		h.TakeOver()
	}
	close(stop)
	asking.Wait()
	t.Logf("%d requests", asked.Load())
}

// TestTakeoverByOneThatHangs: one that is to take over, and says nothing more once frames
// stand, holds them up for a moment; while it has the folder of the configuration, changes
// are refused, and no longer.
func TestTakeoverByOneThatHangs(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	a.Ping(b.Addr("tcp4"))
	s := h.Stream(a.Station("eth0"), b.Station("eth0"))
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/takeover HTTP/1.1\r\nHost: vswitchd\r\nConnection: Upgrade\r\nUpgrade: vswitch-takeover/1\r\n\r\n")
	var header []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(header), "\r\n\r\n"); header = append(header, one...) {
		if _, err := conn.Read(one); err != nil {
			t.Fatalf("%v in %q", err, header)
		}
	}
	said := func() string {
		text, fds, err := handover.Receive(conn)
		if err != nil {
			t.Fatal(err)
		}
		handover.Close(fds)
		return string(text)
	}
	said() // what it leaves
	if err := handover.Send(conn, []byte("ready"), nil); err != nil {
		t.Fatal(err)
	}
	if word := said(); word != "keep" {
		t.Fatalf("it says %.40q", word)
	}
	folder, err := os.Open(filepath.Join(h.StateDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := handover.Send(conn, []byte("kept"), nil); err != nil {
		t.Fatal(err)
	}
	said() // what is left, and the descriptors
	h.Eventually(0, func() error { return asError("ping", a.Try("ping", "-c", "1", "-W", "1", b.Addr("tcp4"))) })
	h.AtMost(2*time.Second, s.Check(), "frames stood for")
	if r := h.TryVS("port", "set", "a", "--description", "refused"); r.Code != 1 || !strings.Contains(r.Output(), "nothing was changed") {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	old := h.p
	if r := h.Daemon.launch("--takeover").Wait(t, 2*Patience); r.Code == 0 { // nor can another one have it
		t.Errorf("a takeover without the folder: %s", r.Output())
	}
	h.p = old
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	h.Eventually(0, func() error { return asError("change", h.TryVS("port", "set", "a", "--description", "kept")) })
	s.Stop()
	h.Kill9()
	h.Start()
	if p := h.Port("a"); p.Description != "kept" {
		t.Errorf("the description is %q", p.Description)
	}
}

// TestTakeoverIntoAnotherFolder: what the new one is given it keeps whole where it is told
// to, whatever was there; and a path that links or goes up is no other name of the socket.
func TestTakeoverIntoAnotherFolder(t *testing.T) {
	h := NewHost(t)
	h.VS("profile", "add", "office", "--access", "20")
	h.Quiet("a")
	h.VS("port", "add", "a", "--netns", "a", "--profile", "office")
	h.VS("fdb", "add", MAC(7), "--vlan", "20", "--port", "a")
	for _, had := range []bool{false, true} {
		first := h.StateDir
		h.StateDir = h.Path(fmt.Sprint("another", had))
		if had {
			other := h.Second("other")
			other.StateDir = h.StateDir
			other.Start()
			other.VS("port", "add", "old", "--tap")
			other.Kill9()
			other.Start()
			other.VS("shutdown", "--remove")
			other.p.Wait(t, Patience)
		}
		h.TakeOver()
		want := h.VS("config", "show")
		h.Kill9()
		h.Start()
		if now := h.VS("config", "show"); now != want || !strings.Contains(now, "office") || !strings.Contains(now, MAC(7)) {
			t.Errorf("after a takeover from %s the configuration is another:\n%s", first, differing(want, now))
		}
		h.AwaitState("a", "up")
	}
	h.Run("ln", "-s", h.Socket, h.Path("link"))
	for path, says := range map[string]string{h.Path("link"): "is a symbolic link", h.dir + "/none/../sock": "goes up by .."} {
		same := h.Second("same")
		same.Socket = path
		if r := same.Launch("--takeover").Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), says) {
			t.Errorf("%s: exit %d: %s", path, r.Code, r.Output())
		}
	}
}

// TestTakeoverFromOneThatEnds has somebody end the old one at moments of a takeover: it
// ends, and what is the new one's by then stays.
func TestTakeoverFromOneThatEnds(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	both := 0
	for i := range 15 {
		old := h.p
		p := h.Daemon.launch("--takeover")
		time.Sleep(time.Duration(15+3*i) * time.Millisecond)
		old.Signal(syscall.SIGTERM)
		if r := old.Wait(t, Patience); r.Code != 0 {
			t.Fatalf("ended after %d ms: exit %d, %s", 15+3*i, r.Code, r.Output())
		}
		if strings.Contains(old.Output(), "another vswitchd has taken over") {
			both++
		}
		h.Eventually(0, func() error {
			if !p.Running() { // the old one went in the middle
				p = h.Launch()
			}
			if r := h.TryVS("show"); r.Code != 0 {
				return fmt.Errorf("%s", r.Output())
			}
			return nil
		})
		a.Ping(b.Addr("tcp4"))
	}
	t.Logf("%d of 15 had taken over", both)
}
