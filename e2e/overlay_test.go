package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TCP inside a tunnel: a virtio-net header cannot describe a super-frame with
// headers in front of the one that the kernel will cut. The far ends of pairs
// that the switch makes leave it none; of others' devices it cuts them itself.
func TestOffloadsInsideVXLAN(t *testing.T) {
	h := NewHost(t)
	n := 0
	stack := func(name, kind string) *Stack {
		n++
		return h.Stack(name, kind, n)
	}
	for _, kinds := range [][2]string{
		{"veth", "veth"}, {"dev", "dev"}, {"veth", "dev"}, {"dev", "tap"}, {"dev", "vm"},
	} {
		h.Case(kinds[0]+" and "+kinds[1], func(t *testing.T) {
			from := stack("a-"+kinds[0]+"-"+kinds[1], kinds[0])
			to := stack("b-"+kinds[0]+"-"+kinds[1], kinds[1])
			check := h.checksums([]*Stack{from, to})
			c := h.Connect()
			for _, outer := range []string{"udp4", "udp6"} {
				a, b := h.Tunnel(from, to, outer)
				for _, inner := range networks {
					crossed, err := h.exchange(c, a, b, inner, flowSize)
					// Else this shows nothing of who cuts.
					if err == nil && a.Kind == "dev" && !strings.HasPrefix(inner, "udp") && !crossed.unsegmented(inner, a.MTU) {
						err = fmt.Errorf("%s: no super-frames came: %v", inner, crossed)
					}
					if err = errors.Join(err, Flow(b, a, inner, flowSize)); err != nil {
						t.Errorf("over %s: %v", outer, err)
					}
				}
			}
			check()
		})
	}
}

// A guest has other devices and another kernel, whose VXLAN is the real one: so
// what the tests above make of a frame is right, too.
func TestOffloadsOfAGuest(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	const size = 1 << 20
	h := NewHost(t)
	h.VS("port", "add", "vm", "--vm", "vm0", "--mtu", "9000")
	g := h.BootGuest("g", NIC{Tap: "vm0", MAC: MAC(9)}) // boots while the rest is made
	veth, dev := h.Stack("a", "veth", 1), h.Stack("b", "dev", 2, "--mtu", "9000")
	g.AwaitUp()
	g.Run("ip link set eth0 mtu 9000; ip link set eth0 up; ip addr add 10.0.0.9/24 dev eth0; ip -6 addr add fd00::9/64 dev eth0")
	check := h.checksums([]*Stack{veth, dev})
	both := func(s *Stack, network, guest string) {
		Transfer(t, s, g, network, guest, size)
		Transfer(t, g, s, network, s.Addr(network), size)
	}
	for _, feature := range []string{"tx", "tso", "gso"} {
		h.Case("without "+feature, func(*testing.T) {
			Offloads(t, g, "eth0", false, feature)
			both(veth, "tcp4", "10.0.0.9")
			both(dev, "tcp6", "fd00::9")
			Offloads(t, g, "eth0", true, feature)
		})
	}
	for _, s := range []*Stack{veth, dev} {
		for outer, guest := range map[string]string{"udp4": "10.0.0.9", "udp6": "fd00::9"} {
			// The devices stay, for what is on its way when a transfer ends.
			h.Case("in a tunnel over "+outer+" to a port of kind "+s.Kind, func(*testing.T) {
				end, far := s.TunnelTo(g, guest, MAC(9), outer)
				both(end, "tcp4", far.Addr("tcp4"))
				both(end, "tcp6", far.Addr("tcp6"))
			})
		}
	}
	check()
}
