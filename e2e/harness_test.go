package e2e

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The tests in this file hold the harness against the kernel alone, so that a
// failure elsewhere is known to be the switch's.

// wire joins two namespaces by a veth pair, eth0 in each.
func wire(h *Host, a, b *Namespace) {
	h.t.Helper()
	h.Run("ip", "link", "add", "w0", "type", "veth", "peer", "name", "w1")
	for dev, ns := range map[string]*Namespace{"w0": a, "w1": b} {
		h.Run("ip", "link", "set", dev, "netns", ns.Name)
		ns.Run("ip", "link", "set", dev, "name", "eth0")
	}
	for _, ns := range []*Namespace{a, b} {
		ns.Run("ip", "link", "set", "eth0", "up")
	}
}

func TestHarnessHostsKnowNothingOfEachOther(t *testing.T) {
	one, two := NewHost(t, NoDaemon), NewHost(t, NoDaemon)
	one.Namespace("a").Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
	if got := two.Run("ip", "netns", "list"); got != "" {
		t.Errorf("another host sees namespaces %q", got)
	}
	two.Namespace("a") // the same name does not clash
	if _, ok := one.Links()["d0"]; ok {
		t.Error("the host sees its namespace's device")
	}
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "a") && strings.Contains("\n"+string(out), "\na") {
		t.Errorf("the machine's own list of namespaces has %q", out)
	}
}

func TestHarnessStationsKeepTagsOnTheWire(t *testing.T) {
	h := NewHost(t, NoDaemon)
	a, b := h.Quiet("a"), h.Quiet("b")
	wire(h, a, b)
	from, to := a.Station("eth0"), b.Station("eth0")
	hello := Eth{Payload: "hello, station"}
	frames := []any{
		hello,
		hello.With(C(10)),
		hello.With(C(0)),
		hello.With(C(4095).Prio(7).Drop()),
		hello.With(S(5).Prio(3), C(10)),
		hello.With(C(1), C(2), C(3)),
		hello.With(P(5)),
		Eth{Payload: strings.Repeat("x", 1486)},
	}
	from.Send(frames...)
	to.Expect(frames...)
	to.Send(hello)
	from.Expect(hello)
	from.ExpectNone(Eth{}, func(mark Eth) { to.Send(mark) }) // its own are not received again
}

func TestHarnessMonitorIsTheOtherSideOfATap(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	h.Run("ip", "tuntap", "add", "vm0", "mode", "tap", "multi_queue")
	h.Do(func() error { return linkUp("vm0") })
	m := h.Monitor("vm0", 2)
	st := h.Station("vm0")
	frame := Eth{Payload: "from the guest"}.With(C(7))
	m.Send(frame)
	st.Expect(frame)
	st.Send(frame.Saying("to the guest"))
	m.Expect(frame.Saying("to the guest"))
}

func TestHarnessTransfers(t *testing.T) {
	h := NewHost(t, NoDaemon)
	a, b := h.Namespace("a"), h.Namespace("b")
	wire(h, a, b)
	for i, ns := range []*Namespace{a, b} {
		n := string(rune('1' + i))
		ns.Run("ip", "addr", "add", "10.0.0."+n+"/24", "dev", "eth0")
		ns.Run("ip", "addr", "add", "fd00::"+n+"/64", "dev", "eth0", "nodad")
	}
	a.Ping("10.0.0.2")
	a.NoPing("10.0.0.3")
	for _, c := range []struct {
		network, addr string
		how           []string
	}{
		{"tcp4", "10.0.0.2", nil},
		{"tcp6", "fd00::2", nil},
		{"udp4", "10.0.0.2", nil},
		{"udp6", "fd00::2", nil},
		{"udp4", "10.0.0.2", []string{"gso"}},
		{"udp4", "10.0.0.2", []string{"4000"}},
		{"udp6", "fd00::2", []string{"1000gso"}},
	} {
		t.Run(strings.Join(append([]string{c.network}, c.how...), " "), func(t *testing.T) {
			m := Transfer(t, a, b, c.network, c.addr, 8<<20, c.how...)
			t.Logf("%.2f Gbit/s, %d sent again", m.Gbps(), m.Resent)
		})
	}
	Offloads(t, a, "eth0", false, "tx", "tso", "gso")
	if got := a.Run("ethtool", "-k", "eth0"); !strings.Contains(got, "tx-tcp-segmentation: off") || !strings.Contains(got, "tx-checksumming: off") {
		t.Errorf("features of eth0:\n%s", got)
	}
	Transfer(t, a, b, "tcp4", "10.0.0.2", 8<<20)
}

func TestHarnessGuest(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t, NoDaemon)
	h.Run("ip", "tuntap", "add", "vm0", "mode", "tap")
	h.Run("ip", "addr", "add", "10.0.0.1/24", "dev", "vm0")
	h.Run("ip", "link", "set", "vm0", "up")
	g := h.Guest("g", NIC{Tap: "vm0", MAC: "02:00:00:00:00:aa"})
	if got := g.Try("echo out; echo err >&2; exit 7"); got != (Result{Stdout: "out\n", Stderr: "err\n", Code: 7}) {
		t.Errorf("the guest answers %+v", got)
	}
	g.Run("ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip link add link eth0 name eth0.5 type vlan id 5")
	g.Ping("10.0.0.1")
	h.Ping("10.0.0.2")
	Transfer(t, h, g, "tcp4", "10.0.0.2", 8<<20)
	m := Transfer(t, g, h, "tcp4", "10.0.0.1", 8<<20)
	t.Logf("%.2f Gbit/s", m.Gbps())
	Offloads(t, g, "eth0", false, "tso", "gso", "tx")
	Transfer(t, g, h, "udp4", "10.0.0.1", 1<<20)
}

func TestHarnessContainer(t *testing.T) {
	h := NewHost(t, NoDaemon)
	c := h.Container("web")
	if got := c.Run("ip", "link"); !strings.Contains(got, "lo") || strings.Contains(got, "eth0") {
		t.Errorf("devices in the container:\n%s", got)
	}
	ChecksumErrors(t, c)
	c.Restart()
	c.Run("sleep", "0")
}

func TestHarnessProcesses(t *testing.T) {
	h := NewHost(t, NoDaemon)
	p := h.Go("sh", "-c", "echo begin; exec sleep infinity")
	p.Expect(t, "begin")
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(t, Patience); r.Code != 128+15 {
		t.Errorf("exit status %d, want 143", r.Code)
	}
	if r := h.Try("sh", "-c", "exit 3"); r.Code != 3 {
		t.Errorf("exit status %d, want 3", r.Code)
	}
}

func TestHarnessServices(t *testing.T) {
	h := NewHost(t, NoDaemon)
	a, b := h.Namespace("a"), h.Namespace("b")
	wire(h, a, b)
	a.Run("ip", "addr", "add", "10.0.0.1/24", "dev", "eth0")
	a.DHCPServer("eth0", "10.0.0.50", "10.0.0.60")
	if ip := b.DHCPClient("eth0"); !strings.HasPrefix(ip, "10.0.0.") {
		t.Errorf("lease of %s", ip)
	}
	b.Ping("10.0.0.1")
	one, two := a.LLDP("eth0"), b.LLDP("eth0")
	one.AwaitNeighbour("b")
	two.AwaitNeighbour("a")
}

func TestHarnessTaggedStacks(t *testing.T) {
	h := NewHost(t, NoDaemon)
	a, b := h.Namespace("a"), h.Namespace("b")
	wire(h, a, b)
	for i, ns := range []*Namespace{a, b} {
		ns.Run("ip", "addr", "add", "10.0.0."+string(rune('1'+i))+"/24", "dev", "eth0")
	}
	a.Tag("eth0", 10)
	a.NoPing("10.0.0.2")
	b.Tag("eth0", 10)
	a.Ping("10.0.0.2")
	st := b.Station("eth0")
	a.Run("ping", "-c", "1", "-W", "1", "10.0.0.2")
	if r := st.Next(); !strings.Contains(Describe(r.Bytes), "C-tag 10") {
		t.Errorf("on the wire is %s", Describe(r.Bytes))
	}
	Transfer(t, a, b, "tcp4", "10.0.0.2", 8<<20)
}
