package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Each kind of port against the real thing (one file for guests, containers
// and services: portreal_test.go; refusals: refusals_test.go).

// peer adds a namespace of that name with a port in it, as the other side of
// what is being tried: 10.0.0.N and fd00::N in VLAN 1.
func peer(h *Host, name string, n int, flags ...string) *Namespace {
	h.t.Helper()
	ns := h.Namespace(name)
	h.VS(append([]string{"port", "add", name, "--netns", name}, append(addresses(n), flags...)...)...)
	return ns
}

func addresses(n int) []string {
	return []string{"--ip", fmt.Sprintf("10.0.0.%d/24", n), "--ip", fmt.Sprintf("fd00::%d/64", n)}
}

// talk makes sure that two places reach each other, both ways, and that TCP and
// UDP arrive whole. a has address 10.0.0.A and fd00::A, b likewise.
func talk(t *testing.T, a Place, na int, b Place, nb int) {
	t.Helper()
	a.Ping(fmt.Sprintf("10.0.0.%d", nb))
	b.Ping(fmt.Sprintf("10.0.0.%d", na))
	const size = 4 << 20
	Transfer(t, a, b, "tcp4", fmt.Sprintf("10.0.0.%d", nb), size)
	Transfer(t, b, a, "tcp4", fmt.Sprintf("10.0.0.%d", na), size)
	Transfer(t, a, b, "tcp6", fmt.Sprintf("fd00::%d", nb), size)
	Transfer(t, b, a, "udp6", fmt.Sprintf("fd00::%d", na), size/4)
}

func TestVethIntoANamespace(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	process, sleeper := h.NamespaceOfProcess()
	for i, c := range []struct {
		how string
		ns  *Namespace
	}{
		{"by name", h.Namespace("web")},
		{"by path", h.NamespaceAt("lab.ns")},
		{"by pid", process},
	} {
		h.Case(c.how, func(t *testing.T) {
			n := 10 + i
			port := fmt.Sprintf("p%d", n)
			out := h.VS(append([]string{"port", "add", port, "--veth", "--netns", c.ns.Name}, addresses(n)...)...)
			if want := fmt.Sprintf("sw0/%s: veth to netns %s (eth0), access VLAN 1\n", port, c.ns.Name); out != want {
				t.Errorf("port add says %q, want %q", out, want)
			}
			// The command has waited: the device is there and has its addresses.
			if _, ok := c.ns.Links()["eth0"]; !ok {
				t.Fatalf("no eth0 in %s: %v", c.ns.Name, c.ns.Links())
			}
			talk(t, c.ns, n, other, 1)
			p := h.Port(port)
			if p.State != "up" || p.Kind != "veth" || p.IfName != "eth0" || p.Netns != c.ns.Name {
				t.Errorf("port show tells %+v", p)
			}
			if l := h.Links()[p.Device]; l.Ifindex != p.Ifindex || l.Ifindex == 0 {
				t.Errorf("the switch's side is %+v, but port show tells %s, %d", l, p.Device, p.Ifindex)
			}
			h.VS("port", "del", port)
			if _, ok := c.ns.Links()["eth0"]; ok {
				t.Error("eth0 is left after port del")
			}
		})
	}

	// A process's namespace is not found again when the process is gone.
	h.VS("port", "add", "gone", "--netns", process.Name)
	process.release()
	sleeper.Kill()
	pid := strings.TrimPrefix(process.Name, "pid:")
	if p := h.AwaitState("gone", "lost"); !strings.Contains(p.Reason, pid) {
		t.Errorf("the reason is %q; it should name process %s", p.Reason, pid)
	}
}

func TestVethGetsWhatWasAskedFor(t *testing.T) {
	h := NewHost(t)
	web := h.Namespace("web")
	out := h.VS("port", "add", "p1", "--netns", "web", "--ifname", "lan0", "--mac", "02:00:00:00:0a:0b",
		"--ip", "10.0.0.7/24", "--ip", "fd00::7/64", "--gateway", "10.0.0.254", "--gateway", "fd00::fe", "--mtu", "1400",
		"--access", "30", "--description", "the web server")
	if want := "sw0/p1: veth to netns web (lan0), access VLAN 30\n"; out != want {
		t.Errorf("port add says %q, want %q", out, want)
	}
	l := web.Links()["lan0"]
	if l.Address != "02:00:00:00:0a:0b" || l.MTU != 1400 {
		t.Errorf("lan0 has address %s and MTU %d, want 02:00:00:00:0a:0b and 1400", l.Address, l.MTU)
	}
	// In force at once: an IPv6 address still being checked for a duplicate
	// could not be bound.
	for _, want := range []string{"inet 10.0.0.7/24", "inet6 fd00::7/64"} {
		got := web.Run("ip", "addr", "show", "dev", "lan0")
		if !strings.Contains(got, want) || strings.Contains(got, "fd00::7/64 scope global tentative") {
			t.Errorf("lan0 has no %q in force:\n%s", want, got)
		}
	}
	for family, want := range map[string]string{"-4": "default via 10.0.0.254 dev lan0", "-6": "default via fd00::fe dev lan0"} {
		if got := web.Run("ip", family, "route"); !strings.Contains(got, want) {
			t.Errorf("routes of the namespace have no %q:\n%s", want, got)
		}
	}
	p := h.Port("p1")
	if p.MTU != 1400 || p.IfName != "lan0" || p.Description != "the web server" || p.VLAN.Access != 30 {
		t.Errorf("port show tells %+v", p)
	}
	// Our side takes whatever the other side sends (semantics.md, "Lengths").
	if l := h.Links()[p.Device]; l.MTU != 65535 {
		t.Errorf("the switch's side has MTU %d, want 65535", l.MTU)
	}
	if len(h.Links()[p.Device].Addrs) != 0 {
		t.Errorf("the switch's side has addresses: %+v", h.Links()[p.Device].Addrs)
	}
}

func TestVethNamesInsideAreTheFirstFree(t *testing.T) {
	h := NewHost(t)
	web := h.Namespace("web")
	web.Run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "other")
	for _, want := range []string{"eth0", "eth2"} {
		h.VS("port", "add", "to-"+want, "--netns", "web")
		if got := h.Port("to-" + want).IfName; got != want {
			t.Errorf("the device inside is %s, want %s", got, want)
		}
	}
}

func TestTapForTheHostItself(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	out := h.VS(append([]string{"port", "add", "host0", "--tap"}, addresses(9)...)...)
	if !strings.HasPrefix(out, "sw0/host0: tap") || !strings.HasSuffix(out, "access VLAN 1\n") {
		t.Errorf("port add says %q", out)
	}
	if _, ok := h.Links()["host0"]; !ok {
		t.Fatalf("the host has no device host0: %v", h.Links())
	}
	talk(t, other, 1, h, 9)
	h.VS("port", "del", "host0")
	if _, ok := h.Links()["host0"]; ok {
		t.Error("host0 is left after port del")
	}
}

func TestTapMovedIntoANamespace(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	box := h.Namespace("box")
	h.VS(append([]string{"port", "add", "t", "--tap", "--netns", "box", "--mac", "02:00:00:00:00:77", "--mtu", "9000"}, addresses(9)...)...)
	l, ok := box.Links()["eth0"]
	if !ok || l.Info.Kind != "tun" || l.Address != "02:00:00:00:00:77" || l.MTU != 9000 {
		t.Fatalf("in the namespace is %+v, want a TAP eth0 with the address and MTU given", box.Links())
	}
	if got := h.Links(); len(got) != 2 { // lo, and the veth of the other
		t.Errorf("the host has more devices than the other port's: %v", got)
	}
	talk(t, other, 1, box, 9)
}

func TestDevTakesOneEndOfAVeth(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	box := h.Namespace("box")
	h.Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "eth0", "netns", "box")
	box.Run("ip", "addr", "add", "10.0.0.5/24", "dev", "eth0")
	box.Run("ip", "addr", "add", "fd00::5/64", "dev", "eth0", "nodad")
	box.Run("ip", "link", "set", "eth0", "up")
	h.settle("d0")
	before := h.look("d0")
	h.VS("port", "add", "box", "--dev", "d0")
	if p := h.AwaitState("box", "up"); p.Device != "d0" || p.Kind != "dev" {
		t.Errorf("port show tells %+v", p)
	}
	talk(t, other, 1, box, 5)
	h.VS("port", "del", "box")
	if after := h.look("d0"); after != before {
		t.Errorf("after port del the device is not as it was\nbefore:\n%safter:\n%s", indent(before), indent(after))
	}
}

// settle has a device been up once: the kernel gives it its queueing discipline
// then, and never takes it back.
func (h *Host) settle(ifname string) {
	h.t.Helper()
	h.Run("ip", "link", "set", ifname, "up")
	h.Run("ip", "link", "set", ifname, "down")
}

// look describes all that a port may have changed on a device of the host.
func (h *Host) look(ifname string) string {
	h.t.Helper()
	return h.Run("ip", "-d", "addr", "show", "dev", ifname) + h.Run("tc", "qdisc", "show", "dev", ifname) +
		h.Run("tc", "filter", "show", "dev", ifname, "ingress") +
		h.Run("sysctl", "net.ipv6.conf."+ifname+".disable_ipv6", "net.ipv6.conf."+ifname+".addr_gen_mode", "net.ipv6.conf."+ifname+".accept_ra")
}

func TestDevIsPutBackHoweverTheDaemonEnds(t *testing.T) {
	for _, c := range []struct {
		how string
		end func(h *Host)
	}{
		{"SIGTERM", func(h *Host) { h.MustCleanShutdown() }},
		{"kill -9, and the next start", func(h *Host) { h.Kill9(); h.Start(); h.MustCleanShutdown() }},
	} {
		t.Run(c.how, func(t *testing.T) {
			h := NewHost(t)
			h.Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
			h.Run("ip", "link", "set", "d0", "alias", "mine")
			h.settle("d0")
			before := h.look("d0")
			h.VS("port", "add", "d", "--dev", "d0")
			if h.look("d0") == before {
				t.Error("the port changed nothing on its device, so this test shows nothing")
			}
			c.end(h)
			if after := h.look("d0"); after != before {
				t.Errorf("the device is not as it was\nbefore:\n%safter:\n%s", indent(before), indent(after))
			}
		})
	}
}

func TestDevTakesATap(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	h.Run("ip", "tuntap", "add", "vm7", "mode", "tap")
	h.VS("port", "add", "vm", "--dev", "vm7")
	if p := h.Port("vm"); p.State != "lost" || p.Reason == "" {
		t.Errorf("a TAP that nobody has opened is %s (%q), want lost with a reason", p.State, p.Reason)
	}
	m := h.Monitor("vm7")
	h.AwaitState("vm", "up")
	st := other.Station("eth0")
	hello := Eth{Payload: "hello from a guest"}
	m.Send(hello)
	st.Await(hello)
	st.Send(hello.From(MAC(2)).To(MAC(1)).Saying("hello back"))
	m.Await(hello.From(MAC(2)).To(MAC(1)).Saying("hello back"))
}

func TestVMTapIsForAMonitorToOpen(t *testing.T) {
	h := NewHost(t)
	other := peer(h, "other", 1)
	out := h.VS("port", "add", "vm", "--vm", "vm0", "--owner", "nobody", "--queues", "2", "--mtu", "9000")
	if !strings.HasPrefix(out, "sw0/vm: vm") {
		t.Errorf("port add says %q", out)
	}
	if got := h.Run("ip", "-d", "link", "show", "vm0"); !strings.Contains(got, "type tap") ||
		!strings.Contains(got, "persist on") || !strings.Contains(got, "user nobody") {
		t.Errorf("the TAP is not a persistent one of nobody's:\n%s", got)
	}
	if l := h.Links()["vm0"]; l.MTU != 9000 {
		t.Errorf("the TAP has MTU %d, want 9000", l.MTU)
	}
	if p := h.Port("vm"); p.State != "lost" || p.Reason == "" {
		t.Errorf("before the monitor comes the port is %s (%q), want lost with a reason", p.State, p.Reason)
	}
	for range 2 { // the second is a guest that was killed and started again
		m := h.Monitor("vm0", 2)
		h.AwaitState("vm", "up")
		st := other.Station("eth0")
		hello := Eth{Payload: "hello from a guest"}
		m.Send(hello)
		st.Await(hello)
		m.Close()
		h.AwaitState("vm", "lost")
	}
	h.VS("port", "del", "vm")
	if _, ok := h.Links()["vm0"]; ok {
		t.Error("vm0 is left after port del")
	}
}

func TestPatchJoinsTwoSwitches(t *testing.T) {
	h := NewHost(t)
	h.VS("switch", "add", "sw1")
	a := h.Namespace("a")
	b := h.Namespace("b")
	h.VS(append([]string{"port", "add", "a", "--netns", "a", "--access", "10"}, addresses(1)...)...)
	h.VS(append([]string{"port", "add", "sw1/b", "--netns", "b", "--access", "10"}, addresses(2)...)...)
	a.NoPing("10.0.0.2")
	h.VS("port", "add", "up", "--patch", "sw1/down", "--trunk", "all")
	for _, name := range []string{"up", "sw1/down"} {
		if p := h.Port(name); p.State != "up" || p.Kind != "patch" || p.VLAN.Mode != "trunk" {
			t.Errorf("port show %s tells %+v", name, p)
		}
	}
	talk(t, a, 1, b, 2)
	h.VS("port", "del", "sw1/down")
	if ports := h.Ports(); len(ports) != 2 {
		t.Errorf("after one end was deleted there are %d ports, want 2: both ends go", len(ports))
	}
	a.NoPing("10.0.0.2")
}

// The host's stack never sees a port's frames: not even one that asks for an
// address that the host has.
func TestHostDoesNotAnswerThroughAPort(t *testing.T) {
	h := NewHost(t)
	h.Run("ip", "link", "add", "mgmt", "type", "veth", "peer", "name", "mgmt1")
	h.Run("ip", "addr", "add", "10.0.0.200/24", "dev", "mgmt")
	h.Run("ip", "addr", "add", "fd00::200/64", "dev", "mgmt", "nodad")
	for _, dev := range []string{"mgmt", "mgmt1"} {
		h.Run("ip", "link", "set", dev, "up")
	}
	h.Sysctl("net/ipv4/ip_forward", "1")
	h.Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
	box := h.Namespace("box")
	h.Run("ip", "link", "set", "d1", "netns", "box", "up")
	box.Run("ip", "addr", "add", "10.0.0.5/24", "dev", "d1")
	h.VS("port", "add", "box", "--dev", "d0")
	a := peer(h, "a", 1)
	h.VS("port", "add", "vm", "--vm", "vm0")
	m := h.Monitor("vm0")
	h.AwaitState("vm", "up")

	a.Ping("10.0.0.5") // the path stands
	a.NoPing("10.0.0.200")
	box.NoPing("10.0.0.200")
	a.NoPing("fd00::200")
	if got := a.Run("ip", "neigh", "show", "10.0.0.200"); strings.Contains(got, "lladdr") {
		t.Errorf("somebody answered for the host's address: %s", got)
	}
	// The monitor asks, too; all that comes back is what others say.
	ask := Eth{Src: MAC(0xaa), Type: 0x0806,
		Payload: "\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\xaa\x0a\x00\x00\x32\x00\x00\x00\x00\x00\x00\x0a\x00\x00\xc8"}
	m.Send(ask)
	a.Station("eth0").Send(Eth{Src: MAC(5), Dst: MAC(0xaa), Payload: "the mark"})
	for {
		r := m.Next()
		if strings.HasSuffix(string(r.Bytes), "the mark") {
			break
		}
		if d := Describe(r.Bytes); strings.Contains(d, "type 0806") && strings.Contains(d, "> "+MAC(0xaa)) {
			t.Errorf("somebody answered the guest for the host's address: %s", d)
		}
	}
}
