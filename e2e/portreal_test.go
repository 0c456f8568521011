package e2e

import (
	"fmt"
	"testing"
	"time"
)

// Ports with real programs behind them: a guest, a container, DHCP, LLDP.

func TestGuestOnAVMPort(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	h.VS("port", "add", "vm", "--vm", "vm0")
	h.VS("port", "add", "vm-queues", "--vm", "vm1", "--queues", "2")
	// It boots while the rest is made.
	g := h.BootGuest("g", NIC{Tap: "vm0", MAC: MAC(0x99)}, NIC{Tap: "vm1", Queues: 2})
	a := peer(h, "a", 1)
	b := peer(h, "b", 2, "--access", "20")
	h.AwaitState("vm", "up")
	g.AwaitUp()

	h.Case("untagged", func(t *testing.T) {
		g.Run("ip link set eth0 up && ip addr add 10.0.0.9/24 dev eth0 && ip -6 addr add fd00::9/64 dev eth0")
		before := h.Port("vm").Counters
		talk(t, a, 1, g, 9)
		after := h.Port("vm").Counters
		frames, bytes := after.TxFrames-before.TxFrames, after.TxBytes-before.TxBytes
		t.Logf("to the guest: %d octets in %d frames", bytes, frames)
		if bytes < 1600*frames {
			t.Errorf("to the guest went %d octets in %d frames: super-frames did not stay whole", bytes, frames)
		}
		if r := g.Try("ping -c 2 -w 1 10.0.0.2"); r.Code == 0 {
			t.Errorf("the guest reaches another VLAN:\n%s", r.Stdout)
		}
	})

	h.Case("as a trunk, with tags made in the guest", func(t *testing.T) {
		h.VS("port", "set", "vm", "--trunk", "1,20")
		g.Run("ip addr flush dev eth0; ip link set eth0 up")
		for vid, n := range map[int]int{1: 11, 20: 12} {
			g.Run(fmt.Sprintf("ip link add link eth0 name eth0.%d type vlan id %d && ip link set eth0.%d up && "+
				"ip addr add 10.0.0.%d/32 dev eth0.%d && ip -6 addr add fd00::%d/128 dev eth0.%d", vid, vid, vid, n, vid, n, vid))
		}
		// Host routes, because both VLANs use the same network.
		g.Run("ip route add 10.0.0.1 dev eth0.1 src 10.0.0.11 && ip route add 10.0.0.2 dev eth0.20 src 10.0.0.12")
		g.Run("ip -6 route add fd00::1 dev eth0.1 src fd00::11 && ip -6 route add fd00::2 dev eth0.20 src fd00::12")
		talk(t, a, 1, g, 11)
		talk(t, b, 2, g, 12)
		for dev, other := range map[string]string{"eth0.1": "10.0.0.2", "eth0.20": "10.0.0.1"} {
			if r := g.Try("ping -c 2 -w 1 -I " + dev + " " + other); r.Code == 0 {
				t.Errorf("out of %s the guest reaches another VLAN:\n%s", dev, r.Stdout)
			}
		}
	})

	h.Case("with two queues", func(t *testing.T) {
		g.Run("ip addr flush dev eth0; ip link del eth0.1; ip link del eth0.20; " +
			"ip link set eth1 up; ip addr add 10.0.0.19/24 dev eth1; ip -6 addr add fd00::19/64 dev eth1")
		talk(t, a, 1, g, 19)
	})

	h.Case("killed, and its TAP opened again", func(t *testing.T) {
		g.Kill()
		begin := time.Now()
		p := h.AwaitState("vm", "lost")
		h.Within(time.Second, begin, "losing the port of a guest that was killed")
		if p.Reason == "" {
			t.Error("the port is lost without a reason")
		}
		h.VS("port", "set", "vm", "--access", "20")
		m, st := h.Monitor("vm0"), b.Station("eth0")
		h.AwaitState("vm", "up")
		hello := Eth{Payload: "the next guest says hello"}
		m.Send(hello)
		st.Await(hello)
	})
}

func TestContainer(t *testing.T) {
	h := NewHost(t)
	a := peer(h, "a", 1)
	c := h.Container("web")
	h.VS(append([]string{"port", "add", "web", "--container", "web"}, addresses(3)...)...)
	if p := h.Port("web"); p.State != "up" || p.IfName != "eth0" {
		t.Errorf("port show tells %+v", p)
	}
	talk(t, a, 1, c, 3)

	c.Stop()
	if p := h.AwaitState("web", "lost"); p.Reason == "" {
		t.Error("the port of a container that was stopped is lost without a reason")
	}
	c.Start()
	h.AwaitState("web", "up")
	talk(t, a, 1, c, 3)

	h.VS("port", "add", "byid", "--container", c.ID[:12])
	if got := h.Port("byid").IfName; got != "eth1" {
		t.Errorf("the second device in the container is %s, want eth1", got)
	}
	h.VS("port", "del", "web")
	h.VS("port", "del", "byid")
	if r := c.Try("ip", "link", "show", "eth0"); r.Code == 0 {
		t.Errorf("eth0 is left in the container after port del:\n%s", r.Stdout)
	}
}

func TestDHCPLeaseOverTheSwitch(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	server, client := h.Namespace("server"), h.Namespace("client")
	h.VS("port", "add", "server", "--netns", "server", "--ip", "192.168.7.1/24", "--access", "70")
	h.VS("port", "add", "client", "--netns", "client", "--access", "70")
	server.DHCPServer("eth0", "192.168.7.100", "192.168.7.109")
	ip := client.DHCPClient("eth0")
	client.Ping("192.168.7.1")
	server.Ping(ip)
}

func TestLLDPPassesOnlyWhenAsked(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	a, b := h.Namespace("a"), h.Namespace("b")
	h.VS("port", "add", "pa", "--netns", "a")
	h.VS("port", "add", "pb", "--netns", "b")
	la, lb := a.LLDP("eth0"), b.LLDP("eth0")
	// Both have spoken, and the switch has kept it to itself.
	for _, p := range []string{"pa", "pb"} {
		h.AwaitDrops(p, "reserved", 2)
	}
	if n := append(la.Neighbours(), lb.Neighbours()...); len(n) > 0 {
		t.Errorf("without --pass-reserved they hear each other: %q", n)
	}
	h.VS("switch", "set", "sw0", "--pass-reserved", "lldp")
	la.AwaitNeighbour("b")
	lb.AwaitNeighbour("a")
	// A port's list goes before the switch's.
	h.VS("port", "set", "pa", "--pass-reserved", "none")
	stopped := h.Port("pa").Counters.Drops["reserved"]
	h.AwaitDrops("pa", "reserved", stopped+2)
	la.AwaitNeighbour("b")
}
