package port

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// follow reads events until one that names a key in keys makes done true. It
// is how the switch learns that something happened: nothing is asked without.
func (h *testHost) follow(what string, keys func() []Key, done func() bool) time.Duration {
	h.t.Helper()
	start := time.Now()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e := <-h.Events():
			if concerns(e, keys()) && done() {
				return time.Since(start)
			}
		case <-deadline:
			h.t.Fatalf("no event told that %s (it is so: %v)", what, done())
		}
	}
}

func concerns(e Event, keys []Key) bool {
	if e.All {
		return true
	}
	for _, k := range keys {
		for _, told := range e.Keys {
			if k == told {
				return true
			}
		}
	}
	return false
}

// followStatus follows events until a stands as want says.
func (h *testHost) followStatus(a *Attachment, what string, want func(Status) bool) time.Duration {
	h.t.Helper()
	took := h.follow(what, a.Keys, func() bool { return want(a.Status()) })
	if took > time.Second {
		h.t.Errorf("%s: told after %v, want less than a second", what, took)
	}
	return took
}

// comesBack follows events until the port can be opened again.
func (h *testHost) comesBack(name string, cfg Config) *Attachment {
	h.t.Helper()
	var a *Attachment
	took := h.follow(name+" can come back", func() []Key { return WaitKeys(cfg) }, func() bool {
		got, err := h.Open(Again(context.Background()), Identity{"sw0", name}, cfg, nil)
		a = got
		return err == nil
	})
	if took > 2*time.Second {
		h.t.Errorf("%s: back after %v, want less than two seconds", name, took)
	}
	h.t.Cleanup(func() { a.Close() })
	return a
}

func waits(reason string) func(Status) bool {
	return func(s Status) bool { return !s.Carrier && !s.Gone && s.Reason == reason }
}

func wentAway(reason string) func(Status) bool {
	return func(s Status) bool { return s.Gone && !s.Manual && s.Reason == reason }
}

func carrier(s Status) bool { return s.Carrier }

func TestEventsTellOfTheFarEnd(t *testing.T) {
	for _, kind := range []Kind{Veth, Tap} {
		t.Run(string(kind), func(t *testing.T) {
			h := newTestHost(t)
			ns := namespace(t, "web")
			a := h.open("p1", Config{Kind: kind, Netns: ns})
			in(t, ns, "ip", "link", "set", "eth0", "down")
			h.followStatus(a, "the far end went down", waits("eth0 in namespace web is down"))
			in(t, ns, "ip", "link", "set", "eth0", "up")
			h.followStatus(a, "the far end went up", carrier)
			in(t, ns, "ip", "link", "set", "eth0", "mtu", "1300")
			h.followStatus(a, "the MTU changed", func(s Status) bool { return s.MTU == 1300 })
			in(t, ns, "ip", "link", "set", "eth0", "name", "wan")
			h.followStatus(a, "the far end was renamed", func(s Status) bool { return s.IfName == "wan" })
			in(t, ns, "ip", "link", "del", "wan")
			h.followStatus(a, "the far end was deleted", func(s Status) bool { return s.Gone && s.Manual })
		})
	}
}

func TestNamespaceComesBack(t *testing.T) {
	for _, kind := range []Kind{Veth, Tap} {
		t.Run(string(kind), func(t *testing.T) {
			h := newTestHost(t)
			ns := namespace(t, "web")
			cfg := Config{Kind: kind, Netns: ns, Addresses: prefixes("10.3.0.1/24")}
			a := h.open("p1", cfg)
			was := in(t, ns, "cat", "/sys/class/net/eth0/address")
			run(t, "ip", "netns", "del", ns)
			h.followStatus(a, "the namespace was deleted", wentAway("namespace web was deleted"))
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := h.Open(context.Background(), Identity{"sw0", "p1"}, cfg, nil); err == nil {
				t.Fatal("opened in a namespace that is not there")
			}
			namespace(t, ns)
			b := h.comesBack("p1", cfg)
			if is := in(t, ns, "cat", "/sys/class/net/eth0/address"); is != was {
				t.Errorf("made again with address %s, was %s", is, was)
			}
			if !b.Status().Carrier {
				t.Errorf("came back as %+v", b.Status())
			}
		})
	}
}

// A process in a namespace keeps it alive when its name is deleted.
func TestNamespaceLosesItsName(t *testing.T) {
	for _, kind := range []Kind{Veth, Tap} {
		t.Run(string(kind), func(t *testing.T) {
			h := newTestHost(t)
			ns := namespace(t, "web")
			await(t, exec.Command("ip", "netns", "exec", ns, "sh", "-c", "echo ready; exec sleep 1000"))
			a := h.open("p1", Config{Kind: kind, Netns: ns})
			pid := run(t, "ip", "netns", "pids", ns)
			run(t, "ip", "netns", "del", ns)
			h.followStatus(a, "the name was deleted", wentAway("namespace web was deleted"))
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			out := run(t, "nsenter", "--net=/proc/"+strings.TrimSpace(pid)+"/ns/net", "ip", "link")
			if strings.Contains(out, "eth0") {
				t.Errorf("after Close there is still, in the namespace without a name:\n%s", out)
			}
		})
	}
}

func TestNamespaceAtAPath(t *testing.T) {
	h := newTestHost(t)
	dir := filepath.Join(t.TempDir(), "made", "later")
	path := filepath.Join(dir, "net")
	cfg := Config{Kind: Veth, Netns: path}
	h.refused(cfg, NotFound, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h.refused(cfg, Refused, path, "not a network namespace")
	run(t, "unshare", "--net="+path, "true")
	defer exec.Command("umount", path).Run()
	a := h.comesBack("p1", cfg)
	// Unmounted, it has no other reference and ends.
	run(t, "umount", path)
	h.followStatus(a, "the namespace was unmounted", wentAway("namespace "+path+" was deleted"))
	a.Close()
	// Engines and people link names to /proc/PID/ns/net.
	p := sleeper(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join("/proc", strconv.Itoa(p.Process.Pid), "ns/net")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	b := h.comesBack("p1", cfg)
	p.Process.Kill()
	p.Wait()
	h.followStatus(b, "the process ended", wentAway("namespace "+path+" was deleted"))
}

func TestNamespaceOfAProcessIsResolvedOnce(t *testing.T) {
	for _, kind := range []Kind{Veth, Tap} {
		t.Run(string(kind), func(t *testing.T) {
			h := newTestHost(t)
			named, other := sleeper(t), (*exec.Cmd)(nil)
			ref := "pid:" + strconv.Itoa(named.Process.Pid)
			a := h.open("p1", Config{Kind: kind, Netns: ref})
			// The process goes, and another one keeps its namespace.
			other = exec.Command("nsenter", "--net=/proc/"+ref[4:]+"/ns/net", "sh", "-c", "echo ready; exec sleep 1000")
			await(t, other)
			named.Process.Kill()
			named.Wait()
			inside := "/proc/" + strconv.Itoa(other.Process.Pid) + "/ns/net"
			run(t, "nsenter", "--net="+inside, "ip", "link", "set", "eth0", "mtu", "1300")
			h.followStatus(a, "the MTU changed", func(s Status) bool { return s.Carrier && s.MTU == 1300 })
			h.refused(Config{Kind: kind, Netns: ref}, NotFound, "process "+ref[4:]+" does not exist")
			other.Process.Kill()
			other.Wait()
			h.followStatus(a, "the namespace ended", func(s Status) bool {
				return s.Gone && s.Manual && s.Reason == "the namespace of process "+ref[4:]+" is gone"
			})
		})
	}
}

func TestDeviceInTheNamespaceOfAProcessIsDeletedByHand(t *testing.T) {
	for _, kind := range []Kind{Veth, Tap} {
		h := newTestHost(t)
		pid := strconv.Itoa(sleeper(t).Process.Pid)
		a := h.open("p1", Config{Kind: kind, Netns: "pid:" + pid})
		run(t, "nsenter", "--net=/proc/"+pid+"/ns/net", "ip", "link", "del", "eth0")
		h.followStatus(a, "it was deleted", func(s Status) bool {
			return s.Gone && s.Manual && strings.Contains(s.Reason, "deleted by hand")
		})
	}
}

// sleeper is a process in a namespace of its own.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	p := exec.Command("unshare", "--net", "sh", "-c", "echo ready; exec sleep 1000")
	await(t, p)
	return p
}

// await starts a process that says when it is ready.
func await(t *testing.T, p *exec.Cmd) {
	t.Helper()
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
}

func TestDevComesBack(t *testing.T) {
	h := newTestHost(t)
	pair(t, "d1", "d2")
	run(t, "ip", "link", "set", "d2", "up")
	cfg := Config{Kind: Dev, Device: "d1"}
	a := h.open("p1", cfg)
	run(t, "ip", "link", "set", "d2", "down")
	h.followStatus(a, "the other end went down", waits("the other end of d1 is down"))
	run(t, "ip", "link", "set", "d2", "up")
	h.followStatus(a, "the other end went up", carrier)
	run(t, "ip", "link", "set", "d1", "down")
	h.followStatus(a, "it was set down", waits("device d1 is down"))
	run(t, "ip", "link", "set", "d1", "name", "d9")
	h.followStatus(a, "it was renamed", wentAway("device d1 was renamed to d9"))
	a.Close()
	run(t, "ip", "link", "set", "d9", "name", "d1")
	a = h.comesBack("p1", cfg)
	run(t, "ip", "link", "del", "d1")
	h.followStatus(a, "it was deleted", wentAway("device d1 is gone"))
	a.Close()
	pair(t, "d1", "d2")
	h.comesBack("p1", cfg)
}

// A carrier that went is told at most once a second by the kernel (linkwatch);
// a TAP's must not wait for that.
func TestVMComesAndGoes(t *testing.T) {
	h := newTestHost(t)
	a := h.open("g1", Config{Kind: VM, Device: "vm9"})
	for range 3 {
		_, quit, err := attachTun("vm9", false)
		if err != nil {
			t.Fatal(err)
		}
		up := h.followStatus(a, "somebody opened it", carrier)
		quit()
		down := h.followStatus(a, "nobody has it open", waits("nobody has opened the TAP vm9: a VM monitor would"))
		t.Logf("opened: told after %v; closed: %v", up, down)
	}
}

func TestEventsWaitForNobody(t *testing.T) {
	h := newTestHost(t)
	ns := namespace(t, "web")
	a := h.open("p1", Config{Kind: Veth, Netns: ns})
	for range 200 {
		a.SetCarrier(false)
		a.SetCarrier(true)
	}
	h.followStatus(a, "it is up at last", carrier)
}
