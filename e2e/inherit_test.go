package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// interiors returns what stands behind ports: interfaces with their numbers,
// addresses and routes. Carriers are another matter.
func interiors(stacks []*Stack) string {
	var b strings.Builder
	for _, s := range stacks {
		const script = "ip -o link | sed -E 's/NO-CARRIER,|,LOWER_UP//g; s/ (state|qdisc|mode) .* group/ group/; s/brd.*//'; ip -o addr | sed 's/ valid_lft.*//; s/ tentative//'; ip route | sed 's/ linkdown//'"
		fmt.Fprintf(&b, "== %s\n%s", s.Port, s.Run("sh", "-c", script))
	}
	return b.String()
}

// TestDaemonTakesOver what one has left that was killed, or told to leave its ports:
// all of it stands as it did, whatever people have changed inside, and forwards again.
func TestDaemonTakesOver(t *testing.T) {
	h := NewHost(t)
	var stacks []*Stack
	for i, kind := range deviceKinds {
		stacks = append(stacks, h.Stack(kind, kind, i+1))
	}
	h.VS("port", "add", "here", "--tap", "--ip", "10.0.0.9/24")
	for _, s := range stacks {
		s.Run("ip", "addr", "add", "10.77.0.1/24", "dev", s.IfName)
		s.Run("ip", "route", "add", "10.88.0.0/16", "via", "10.0.0.77")
	}
	indexes := func() string {
		var b strings.Builder
		for _, p := range h.Ports() {
			fmt.Fprintf(&b, "%s %d\n", p.Name, p.Ifindex)
		}
		return b.String() + h.Run("sh", "-c", "ip -o -4 addr show here")
	}
	inside, outside, config := interiors(stacks), indexes(), h.VS("config", "show")
	for _, end := range []struct {
		what string
		now  func()
	}{
		{"kill -9", h.Kill9},
		{"SIGTERM with --keep-ports", h.EndAndLeave},
		{"another kill -9", h.Kill9},
	} {
		end.now()
		if now := interiors(stacks); now != inside {
			t.Errorf("%s, and nobody there:\n%s", end.what, differing(inside, now))
		}
		h.Start("--keep-ports")
		for _, p := range append([]string{"here"}, deviceKinds...) {
			h.AwaitState(p, "up")
		}
		if now := interiors(stacks); now != inside {
			t.Errorf("after %s:\n%s", end.what, differing(inside, now))
		}
		if now := indexes(); now != outside {
			t.Errorf("after %s:\n%s", end.what, differing(outside, now))
		}
		if now := h.VS("config", "show"); now != config {
			t.Errorf("after %s:\n%s", end.what, differing(config, now))
		}
		for _, s := range stacks[1:] {
			for _, network := range []string{"tcp4", "tcp6"} {
				stacks[0].Ping(s.Addr(network))
			}
		}
		stacks[2].Ping("10.0.0.9")
	}

	// What is gone meanwhile is lost; what a port hangs on no more goes.
	h.Kill9()
	h.Run("ip", "netns", "del", "tap")
	h.Run("ip", "-n", "veth", "link", "del", "eth0")
	h.Start("--keep-ports")
	h.AwaitState("tap", "lost")
	stacks[0].Run("ip", "link", "show", "eth0") // made anew
	h.Run("ip", "netns", "add", "tap")
	h.AwaitState("tap", "up")

	// For good.
	made := h.Daemon.devices()
	h.VS("shutdown", "--remove")
	links := h.Links()
	for _, dev := range made {
		if _, ok := links[dev]; ok {
			t.Errorf("shutdown --remove has left %s", dev)
		}
	}
	if out := h.Run("ip", "-n", "tap", "-br", "link"); strings.Contains(out, "eth0") {
		t.Errorf("shutdown --remove has left the TAP in a namespace:\n%s", out)
	}
	h.p.Wait(t, Patience)

	// A daemon that was killed, and of which nothing is to be left.
	h.Start()
	h.AwaitState("tap", "up")
	h.Kill9()
	if r := h.Launch("--remove-ports").Wait(t, Patience); r.Code != 0 {
		t.Errorf("--remove-ports: exit %d: %s", r.Code, r.Output())
	}
	if out := h.Run("ip", "-n", "tap", "-br", "link") + h.Run("ip", "-br", "link"); strings.Contains(out, "eth0") || strings.Contains(out, "here") {
		t.Errorf("--remove-ports has left\n%s", out)
	}
}

// TestAHundredPortsForwardAgain after kill -9.
func TestAHundredPortsForwardAgain(t *testing.T) {
	h := NewHost(t, Fast)
	first, last := h.Stack("first", "veth", 1), h.Stack("last", "tap", 2)
	for i := range 98 {
		name := fmt.Sprint("n", i)
		h.Quiet(name)
		kind := []string{"--veth", "--tap"}[i%2]
		h.VS("port", "add", name, kind, "--netns", name)
	}
	first.Ping(last.Addr("tcp4"))
	h.Kill9()
	begin := time.Now()
	h.Start()
	answers := time.Since(begin)
	first.Ping(last.Addr("tcp4"))
	t.Logf("answers after %v, forwards after %v", answers.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	for _, p := range h.Ports() {
		h.AwaitState(p.Name, "up")
	}
}

// TestDaemonsOfTwoContainers: daemons whose sockets have the same path, each in namespaces
// of its own, leave each other's devices alone, also those in other namespaces.
func TestDaemonsOfTwoContainers(t *testing.T) {
	h := NewHost(t, NoDaemon)
	box, far := h.Namespace("box"), h.Namespace("far")
	dir := h.Path("same")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := box.Go("unshare", "--mount", "sh", "-c", `mount -t tmpfs tmpfs "$1" && exec "$2" --socket "$1/sock" --state-dir "$1/state"`, "sh", dir, vswitchdPath(t, true))
	p.Expect(t, "vswitchd is ready")
	inBox := func(args ...string) string {
		pid := strconv.Itoa(p.Pid)
		return h.Run(append([]string{"nsenter", "-t", pid, "-m", "-n", vsctlPath(t), "--socket", dir + "/sock"}, args...)...)
	}
	inBox("port", "add", "own", "--tap")
	inBox("port", "add", "far", "--tap", "--netns", far.path, "--ifname", "far0")
	outside := h.Second("outside")
	outside.Socket = dir + "/sock"
	outside.Start()
	if log := outside.Log(); strings.Contains(log, "removed") {
		t.Errorf("the second daemon removes what is the first one's:\n%s", log)
	}
	box.AwaitLink("own")
	far.AwaitLink("far0")
	if out := inBox("port", "list"); strings.Contains(out, "lost") {
		t.Errorf("a port is lost:\n%s", out)
	}
	outside.MustCleanShutdown()
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(t, Patience); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
}
