package e2e

import (
	"fmt"
	"strings"
	"testing"
)

const tested = `
name: tested
nodes:
  h1:  {ip: 10.0.0.1/24}
  h2:  {ip: 10.0.0.2/24}
  h3:  {ip: 10.0.0.3/24}
  sw1: {kind: switch}
  sw2: {kind: switch}
links:
  - endpoints: [h1:eth0, sw1:p1]
    access: 10
  - endpoints: [h2:eth0, sw2:p1]
    access: 10
  - endpoints: [h3:eth0, sw2:p2]
    trunk: [10, 20]
  - endpoints: [sw1:up, sw2:up]
    trunk: all
    impair: {delay: 5ms, loss: 0.1%}
  - endpoints: [h1:direct, h2:direct]
tests:
  - ping: {from: h1, to: h2}
  - ping: {from: h1, to: h3, expect: fail}
  - exec: {node: h1, command: "ip -br link show dev eth0", output: "LOWER_UP"}
  - exec: {node: h1, command: [sh, -c, "exit 3"], exit: 3}
  - impair: {link: sw1:up, impair: {loss: 100%}}
  - ping: {from: h1, to: 10.0.0.2, expect: fail}
  - impair: {link: sw1:up, impair: none}
  - ping: {from: h1, to: h2, within: 5s}
  - down: sw1:up
  - ping: {from: h1, to: h2, expect: fail, within: 2s}
`

// labLinks shows how the links of a lab stand.
func (h *Host) labLinks(lab string) string {
	h.t.Helper()
	out := h.VS("lab", "show", lab)
	_, links, _ := strings.Cut(out, "\n\n")
	return links
}

// TestLabTest takes a lab's own tests, which leave its links as they were.
func TestLabTest(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	h.VS("lab", "up", h.lab(tested))
	before := h.labLinks("tested")
	if out := h.VS("lab", "test", "tested"); !strings.Contains(out, "10 of 10 steps are as expected") {
		t.Errorf("lab test says:\n%s", out)
	}
	if after := h.labLinks("tested"); after != before {
		t.Errorf("the tests have changed links:\n%s", differing(before, after))
	}
	h.VS("lab", "apply", h.lab(strings.Replace(tested, "to: h3, expect: fail", "to: h3", 1)))
	r := h.TryVS("lab", "test", "tested")
	if r.Code != 1 || !strings.Contains(r.Stdout, "FAILED  ping h1 to h3: no answer in 1s") || !strings.Contains(r.Stdout, "9 of 10 steps") {
		t.Errorf("a test that fails: exit %d\n%s", r.Code, r.Output())
	}
	if after := h.labLinks("tested"); after != before {
		t.Errorf("tests that fail have changed links:\n%s", differing(before, after))
	}
	h.VS("lab", "down", "tested")
}

// TestLabLinks takes links of each kind down, and holds that both ends see it.
func TestLabLinks(t *testing.T) {
	h := NewHost(t)
	h.VS("lab", "up", h.lab(tested))
	carrier := func(node, ifname string) bool {
		return !strings.Contains(h.VS("lab", "exec", "tested", node, "ip", "link", "show", "dev", ifname), "NO-CARRIER")
	}
	await := func(what string, want bool, is func() bool) {
		t.Helper()
		h.Eventually(0, func() error {
			if is() != want {
				return fmt.Errorf("%s: carrier is not %t", what, want)
			}
			return nil
		})
	}
	for _, x := range []struct {
		end  string
		sees [][2]string
	}{
		{"sw1:p1", [][2]string{{"h1", "eth0"}}},
		{"h1:eth0", [][2]string{{"h1", "eth0"}}},
		{"h2:direct", [][2]string{{"h1", "direct"}, {"h2", "direct"}}},
	} {
		h.VS("lab", "link", "down", "tested", x.end)
		for _, s := range x.sees {
			await(x.end+" down", false, func() bool { return carrier(s[0], s[1]) })
		}
		h.VS("lab", "link", "up", "tested", x.end)
		for _, s := range x.sees {
			await(x.end+" up", true, func() bool { return carrier(s[0], s[1]) })
		}
	}
	h.VS("lab", "link", "down", "tested", "sw1:up")
	if p := h.Port("tested.sw2/up"); p.State != "lost" || !strings.Contains(p.Reason, "no carrier") {
		t.Errorf("the far end of a patch that is down is %s: %s", p.State, p.Reason)
	}
	h.VS("lab", "link", "up", "tested", "sw1:up")
	for _, x := range []struct{ args, want string }{
		{"up tested sw1:upp", `no link that ends at "sw1:upp"; did you mean "sw1:up"?`},
		{"up tested sw3:up", `no node "sw3"; did you mean "sw2"?`},
		{"up tested sw1", "write such as sw1:up"},
		{"aside tested sw1:up", "neither up nor down"},
		{"up testd sw1:up", `no lab "testd" is up; did you mean "tested"?`},
	} {
		if r := h.TryVS(append([]string{"lab", "link"}, strings.Fields(x.args)...)...); r.Code == 0 || !strings.Contains(r.Stderr, x.want) {
			t.Errorf("lab link %s: exit %d, %q; want %q", x.args, r.Code, r.Stderr, x.want)
		}
	}
	h.VS("lab", "down", "tested")
}

// TestLabImpair changes what links do to frames: both ways, and one.
func TestLabImpair(t *testing.T) {
	h := NewHost(t)
	h.VS("lab", "up", h.lab(tested))
	impaired := func(want string) {
		t.Helper()
		if got := h.labLinks("tested"); !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	h.VS("lab", "impair", "tested", "sw1:up", "delay", "50ms")
	impaired("sw1:up - sw2:up up trunk all VLANs delay 50ms loss 0.1%")
	h.VS("lab", "impair", "tested", "sw1:up", "--leaving", "none")
	impaired("sw1:up - sw2:up up trunk all VLANs sw2: delay 50ms loss 0.1%")
	h.VS("lab", "impair", "tested", "h1:eth0", "--leaving", "rate", "1mbit")
	impaired("h1:eth0 - sw1:p1 up access VLAN 10 h1: rate 1mbit")
	h.VS("lab", "impair", "tested", "h1:direct", "--leaving", "loss", "100%")
	impaired("h1:direct - h2:direct up - h1: loss 100%")
	h.VS("lab", "impair", "tested", "h1:direct", "loss", "2%")
	impaired("h1:direct - h2:direct up - loss 2%")
	if r := h.TryVS("lab", "impair", "tested", "sw1:up", "dely", "5ms"); r.Code != 2 || !strings.Contains(r.Stderr, "did you mean delay?") {
		t.Errorf("a wrong word: exit %d, %q", r.Code, r.Stderr)
	}
	h.VS("lab", "apply", h.lab(tested))
	impaired("sw1:up - sw2:up up trunk all VLANs delay 5ms loss 0.1%")
	impaired("h1:direct - h2:direct up - -")
	h.VS("lab", "down", "tested")
}
