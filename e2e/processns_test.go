package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A namespace that only processes keep is known by the one that was named. The
// port stays as long as the namespace does, and nobody can bring it back then.
func TestNamespaceOfAProcessGoesForGood(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	others := h.bystanders()
	for _, kind := range []string{"veth", "tap"} {
		h.Case(kind, func(t *testing.T) {
			named := h.launch("", "unshare", "--net", "sh", "-c", "sleep infinity & echo other $!; exec sleep infinity")
			named.Expect(t, "other")
			var other int
			if _, err := fmt.Sscanf(named.Output(), "other %d", &other); err != nil {
				t.Fatal(err)
			}
			inside := fmt.Sprintf("/proc/%d/ns/net", other)
			where := fmt.Sprintf("pid:%d", named.Pid)
			h.VS("port", "add", kind, "--"+kind, "--netns", where)

			// The process goes, and its namespace stays.
			named.Signal(syscall.SIGKILL)
			<-named.Done()
			must(t, "inside", nil, h.try(inside, "ip", "link", "set", "eth0", "mtu", "1300"))
			h.Eventually(0, func() error {
				if p := h.Port(kind); p.MTU != 1300 || p.State != "up" {
					return fmt.Errorf("the port is %s (%q) and has MTU %d, want up and 1300: its namespace is still there", p.State, p.Reason, p.MTU)
				}
				return nil
			})

			ev := h.Events()
			before := h.states()
			if err := syscall.Kill(other, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			end := time.Now()
			lost := ev.AwaitPort(kind, "lost")
			if took := lost.Time.Sub(end); took > lostTime {
				t.Errorf("the port was lost %v after its namespace, want at most %v", took, lostTime)
			}
			if !strings.Contains(lost.Reason, fmt.Sprint(named.Pid)) {
				t.Errorf("the reason %q does not name process %d", lost.Reason, named.Pid)
			}
			others.check(h)
			h.alone(before, kind)
			// Nobody can bring it back, and who tries is told so.
			if r := h.TryVS("port", "set", kind, "up"); r.Code != 1 || !strings.Contains(r.Stderr, "cannot come up") || !strings.Contains(r.Stderr, "delete the port") {
				t.Errorf("port set up: exit %d, want 1, with what and what would work:\n%s", r.Code, indent(r.Output()))
			}
			if p := h.Port(kind); p.State != "lost" || p.Reason != lost.Reason {
				t.Errorf("after port set up the port is %s (%q), want lost for good (%q)", p.State, p.Reason, lost.Reason)
			}
			h.VS("port", "del", kind)
		})
	}
	t.Logf("%d frames of the stream", others.stream.Stop())
}

// TestNumberOfAnotherProcess: a daemon that starts takes a port into the namespace of the
// process that it was made for, and into none that the number stands for by then.
func TestNumberOfAnotherProcess(t *testing.T) {
	for _, kind := range []string{"veth", "tap"} {
		t.Run(kind, func(t *testing.T) {
			h := NewHost(t)
			other := h.Namespace("other")
			sign := h.Path("sign")
			p := h.launch("", "unshare", "--net", "sh", "-c", `echo ready; until [ -e "$1" ]; do sleep 0.02; done; exec nsenter --net=/run/netns/other sh -c "echo moved; exec sleep infinity"`, "sh", sign)
			p.Expect(t, "ready")
			h.VS("port", "add", "p", "--"+kind, "--netns", fmt.Sprintf("pid:%d", p.Pid), "--ip", "10.0.0.1/24")
			h.AwaitState("p", "up")
			h.Kill9()
			h.Start()
			h.AwaitState("p", "up")
			h.Kill9()
			h.Run("touch", sign)
			p.Expect(t, "moved")
			h.Start()
			if at := h.AwaitState("p", "lost"); !strings.Contains(at.Reason, "may be another process's") {
				t.Errorf("reason: %s", at.Reason)
			}
			if links := other.Links(); len(links) > 1 {
				t.Errorf("in another process's namespace are %v", links)
			}
			h.VS("port", "del", "p")
		})
	}
}
