package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Offloads are kept whole: what a stack leaves to the device (checksums,
// cutting super-frames) crosses the switch undone, and still right.

// networks are what every pair of stacks exchanges.
var networks = []string{"tcp4", "tcp6", "udp4", "udp6", "uso4", "uso6"}

// flowSize is enough for super-frames: a stream begins with small ones.
const flowSize = 600 << 10

// stacks adds one port of every kind to a switch, numbered from n: untagged in
// VLAN 10, or a trunk on which the stack speaks in VLAN 10.
func (h *Host) stacks(sw string, n int, tagged bool, flags ...string) (all []*Stack) {
	h.t.Helper()
	word, vlan := "u", []string{"--access", "10"}
	if tagged {
		word, vlan = "t", []string{"--trunk", "10"}
	}
	for i, kind := range deviceKinds {
		s := h.Stack(sw+"/"+sw+"-"+kind+"-"+word, kind, n+i, append(vlan, flags...)...)
		if tagged {
			s.Tag(s.IfName, 10)
		}
		all = append(all, s)
	}
	return all
}

// checksums has check make sure that the stacks have seen no wrong checksum
// meanwhile.
func (h *Host) checksums(stacks []*Stack) (check func()) {
	h.t.Helper()
	var before []map[string]uint64
	for _, s := range stacks {
		before = append(before, ChecksumErrors(h.t, s))
	}
	return func() {
		h.t.Helper()
		for i, s := range stacks {
			for name, n := range ChecksumErrors(h.t, s) {
				if n != before[i][name] {
					h.t.Errorf("%s of %s went from %d to %d", name, s.Name, before[i][name], n)
				}
			}
		}
	}
}

// traffic is what crossed two ports during a flow from one to the other.
type traffic struct{ rxFrames, rxBytes, txFrames, txBytes uint64 }

func (t traffic) String() string {
	return fmt.Sprintf("%d octets in %d frames came in, %d in %d went out", t.rxBytes, t.rxFrames, t.txBytes, t.txFrames)
}

// unsegmented reports whether the frames of a flow were well above an MTU on
// both sides. How long a stack makes TCP's super-frames depends on how fast it
// finds the way to be, and that on what else the machine does; but two segments
// are the least. A super-datagram is as long as the program makes it.
func (t traffic) unsegmented(network string, mtu int) bool {
	least := uint64(mtu) * 3 / 2
	if strings.HasPrefix(network, "uso") {
		least = superOctets / 2
	}
	return t.rxBytes > least*t.rxFrames && t.txBytes > least*t.txFrames
}

// exchange sends one flow and returns what crossed the switch.
func (h *Host) exchange(c *Connection, from, to *Stack, network string, size int) (traffic, error) {
	h.t.Helper()
	look := func() (t traffic) {
		var in, out Port
		c.MustDo("GET /v1/ports/"+from.Port, nil, &in)
		c.MustDo("GET /v1/ports/"+to.Port, nil, &out)
		return traffic{in.Counters.RxFrames, in.Counters.RxBytes, out.Counters.TxFrames, out.Counters.TxBytes}
	}
	before := look()
	err := Flow(from, to, network, size)
	now := look()
	return traffic{
		now.rxFrames - before.rxFrames, now.rxBytes - before.rxBytes,
		now.txFrames - before.txFrames, now.txBytes - before.txBytes,
	}, err
}

// whole sends flows of many kinds from one stack to another: all must arrive,
// and super-frames cross in one piece.
func (h *Host) whole(c *Connection, from, to *Stack, networks ...string) {
	h.t.Helper()
	for _, network := range networks {
		crossed, err := h.exchange(c, from, to, network, flowSize)
		if err != nil {
			h.t.Error(err)
		} else if !strings.HasPrefix(network, "udp") && !crossed.unsegmented(network, min(from.MTU, to.MTU)) {
			h.t.Errorf("%s from %s to %s: super-frames did not stay whole: %v", network, from.Name, to.Name, crossed)
		}
	}
}

func TestOffloadsBetweenEveryPairOfKinds(t *testing.T) {
	h := NewHost(t)
	h.VS("switch", "add", "sw1")
	h.VS("port", "add", "up", "--patch", "sw1/down", "--trunk", "all")
	near := slices.Concat(h.stacks("sw0", 1, false), h.stacks("sw0", 11, true))
	far := slices.Concat(h.stacks("sw1", 21, false), h.stacks("sw1", 31, true))
	check := h.checksums(slices.Concat(near, far))
	c := h.Connect()
	for i, from := range near {
		for j, to := range near {
			if i != j {
				h.whole(c, from, to, networks...)
			}
		}
	}
	// Across the patch, each kind with each: tags on neither side, on one, on
	// the other, on both; there and back.
	kinds := len(deviceKinds)
	for i := range kinds {
		for j := range kinds {
			a, b := near[i+kinds*(j%2)], far[j+kinds*(j/2%2)]
			if (i+j)%2 == 1 {
				a, b = b, a
			}
			h.whole(c, a, b, networks...)
		}
	}
	check()
}

// Whatever a stack leaves to the device or does itself is the same to others.
func TestOffloadsTurnedOffChangeNothingButSpeed(t *testing.T) {
	h := NewHost(t)
	peer := h.Stack("peer", "veth", 100)
	all := h.stacks("sw0", 1, false)
	check := h.checksums(append(all, peer))
	h.VS("port", "set", "peer", "--access", "10")
	for _, s := range all {
		type side struct {
			what   string
			place  Place
			device string
		}
		sides := []side{{"the stack's side", s, s.IfName}}
		if device := h.Port(s.Port).Device; s.Kind != "tap" { // a TAP has no other side
			sides = append(sides, side{"the switch's side", h, device})
		}
		for _, side := range sides {
			for _, feature := range []string{"tx", "tso", "gso"} {
				Offloads(t, side.place, side.device, false, feature)
				for _, pair := range [][2]*Stack{{s, peer}, {peer, s}} {
					for _, network := range networks {
						if err := Flow(pair[0], pair[1], network, flowSize/2); err != nil {
							t.Errorf("with %s off on %s of %s: %v", feature, side.what, s.Name, err)
						}
					}
				}
				Offloads(t, side.place, side.device, true, feature)
			}
		}
	}
	check()
}

// Two tags, the outer one beside the frame and the inner one in it, on both
// sides of a wire between two switches.
func TestOffloadsInsideAProvidersNetwork(t *testing.T) {
	h := NewHost(t)
	h.VS("switch", "add", "sw1")
	// The kernel grants none of the four octets of an S-tag.
	h.Run("ip", "link", "add", "w0", "mtu", "1508", "type", "veth", "peer", "name", "w1", "mtu", "1508")
	h.VS("port", "add", "wire", "--dev", "w0", "--trunk", "100", "--tpid", "0x88a8")
	h.VS("port", "add", "sw1/wire", "--dev", "w1", "--trunk", "100", "--tpid", "0x88a8")
	h.AwaitState("sw1/wire", "up")
	c := h.Connect()
	var near, far []*Stack
	for i, kind := range deviceKinds {
		near = append(near, h.Stack("sw0/near-"+kind, kind, 1+i, "--tunnel", "100"))
		far = append(far, h.Stack("sw1/far-"+kind, kind, 11+i, "--tunnel", "100"))
	}
	all := slices.Concat(near, far)
	for _, s := range all {
		s.Tag(s.IfName, 10)
	}
	check := h.checksums(all)
	for i, a := range near {
		for _, network := range networks {
			// The kernel sends no super-frame whole that has two tags on the
			// wire, but that is nothing to the stacks.
			err := errors.Join(Flow(a, far[i], network, flowSize), Flow(far[i], near[(i+1)%len(near)], network, flowSize))
			if err != nil {
				t.Error(err)
			}
		}
		// Behind the same switch it has one.
		h.whole(c, a, near[(i+1)%len(near)], "tcp4", "uso6")
	}
	check()
}
