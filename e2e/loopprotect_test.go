package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestLoopProtect joins two ports by a bridge in a namespace: one of them is taken out,
// before any station has said a word, also by a daemon that takes over or comes after a
// kill, and comes back by itself once the bridge is gone.
func TestLoopProtect(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	ns := h.Quiet("joined")
	for _, kind := range []string{"veth", "tap"} {
		h.Case(kind, func(t *testing.T) {
			a, b := kind+"9", kind+"10"
			for i, name := range []string{a, b} {
				h.VS("port", "add", name, "--"+kind, "--netns", "joined", "--ifname", fmt.Sprint(kind, i), "--access", "7", "--loop-protect")
			}
			h.AwaitState(a, "up")
			h.AwaitState(b, "up")
			ns.Run("ip", "link", "add", "br0", "up", "type", "bridge")
			for i := range 2 {
				ns.Run("ip", "link", "set", fmt.Sprint(kind, i), "master", "br0")
			}
			isCut := func() error {
				if p := h.Port(b); p.State != "lost" || !strings.HasPrefix(p.Reason, "loop-protect: what leaves by sw0/"+kind) {
					return fmt.Errorf("port %s is %s (%s)", b, p.State, p.Reason)
				}
				if p := h.Port(a); p.State != "up" {
					return fmt.Errorf("port %s is %s (%s)", a, p.State, p.Reason)
				}
				return nil
			}
			h.Eventually(0, func() error {
				if out := h.VS("show"); !strings.Contains(out, "LOOP between "+b+" and "+a+" in VLAN 7 since") || !strings.Contains(out, "cut by loop protection") {
					return fmt.Errorf("the loop is not said:\n%s", out)
				}
				return isCut()
			})
			before := h.VS("show")
			h.TakeOver()
			said := regexp.MustCompile(`LOOP.*`)
			if now := h.VS("show"); said.FindString(now) != said.FindString(before) {
				t.Errorf("of the loop is said %q, and was %q", said.FindString(now), said.FindString(before))
			}
			h.Eventually(0, isCut)
			h.Process().Signal(syscall.SIGKILL)
			h.Process().Wait(t, Patience)
			h.Start()
			h.Eventually(0, isCut)
			ns.Run("ip", "link", "del", "br0")
			h.AwaitState(b, "up")
			h.VS("port", "del", a)
			h.VS("port", "del", b)
		})
	}
}

// TestLoopProtectAtBothEnds joins two daemons by two wires, whose ends are all protected:
// one of them is taken out, and the two go on with the other.
func TestLoopProtectAtBothEnds(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	other := h.Second("other")
	other.Start()
	a, b := h.Namespace("a"), h.Namespace("b")
	h.VS("port", "add", "a", "--netns", "a", "--ip", "10.0.0.1/24")
	other.VS("port", "add", "b", "--netns", "b", "--ip", "10.0.0.2/24")
	for i := range 2 {
		here, there := fmt.Sprint("x", i), fmt.Sprint("y", i)
		h.Run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
		h.VS("port", "add", here, "--dev", here, "--loop-protect")
		other.VS("port", "add", there, "--dev", there, "--loop-protect")
	}
	oneIsOut := func() error {
		var out []string
		for _, d := range []*Daemon{&h.Daemon, other} {
			for _, p := range d.Ports() {
				if p.State != "up" {
					out = append(out, p.Name)
				}
			}
		}
		if len(out) != 1 {
			return fmt.Errorf("not up are %v", out)
		}
		return nil
	}
	for range 2 {
		h.Eventually(2*Patience, oneIsOut)
		a.Ping("10.0.0.2")
		b.Ping("10.0.0.1")
		other.Kill9()
		other.Start()
	}
	other.MustCleanShutdown()
}
