package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Every kind of port with devices of every size, and what a large one sends to
// a small one.

func TestMTUs(t *testing.T) {
	h := NewHost(t)
	bySize := map[int][]*Stack{}
	var all []*Stack
	for i, mtu := range []int{1280, 1500, 9000} {
		for j, kind := range deviceKinds {
			s := h.Stack(fmt.Sprintf("%s-%d", kind, mtu), kind, 1+10*i+j, "--mtu", strconv.Itoa(mtu))
			bySize[mtu], all = append(bySize[mtu], s), append(all, s)
		}
	}
	for _, s := range all {
		if got := h.Port(s.Port).MTU; got != s.MTU {
			t.Errorf("port %s has MTU %d, want %d", s.Port, got, s.MTU)
		}
	}
	check := h.checksums(all)
	c := h.Connect()
	next := func(list []*Stack, i int) *Stack { return list[(i+1)%len(list)] }

	for _, mtu := range []int{1280, 1500, 9000} {
		h.Case(fmt.Sprintf("%d on both sides", mtu), func(*testing.T) {
			for i, s := range bySize[mtu] {
				h.whole(c, s, next(bySize[mtu], i), networks...)
				h.whole(c, next(bySize[mtu], i), s, networks...)
			}
		})
	}
	for _, sizes := range [][2]int{{1280, 1500}, {1500, 9000}, {9000, 1280}} {
		h.Case(fmt.Sprintf("%d and %d", sizes[0], sizes[1]), func(*testing.T) {
			for i, s := range bySize[sizes[0]] {
				other := next(bySize[sizes[1]], i)
				h.whole(c, s, other, networks...)
				h.whole(c, other, s, networks...)
			}
		})
	}
	check()

	// What is too long for the receiver is dropped there, whole: a frame, and
	// a super-frame whose segments are too long.
	h.Case("too long", func(t *testing.T) {
		for i, large := range bySize[9000] {
			small := next(bySize[1500], i)
			for _, network := range []string{"udp4", "uso6"} {
				before := h.Port(small.Port).Counters
				if err := oversized(large, small, network, 4000); err != nil {
					t.Errorf("%s from %s to %s: %v", network, large.Name, small.Name, err)
					continue
				}
				h.AwaitDrops(small.Port, "too-big", before.Drops["too-big"]+1)
				if got := h.Port(small.Port).Counters.Drops["too-big"]; got != before.Drops["too-big"]+1 {
					t.Errorf("%s to %s: too-big went from %d to %d for one frame", network, small.Name, before.Drops["too-big"], got)
				}
			}
		}
	})

	// One octet decides, with a tag and without.
	h.Case("just as long as can be", func(t *testing.T) {
		for i, from := range bySize[9000] {
			to := next(bySize[1280], i)
			station := to.Station(to.IfName)
			station.Ignore(func(b []byte) bool { return !strings.Contains(string(b), "fits") })
			sender := from.Station(from.IfName)
			fits := Eth{Src: sender.Address, Dst: station.Address, Payload: "fits" + strings.Repeat("x", 1280-4)}
			sender.Send(fits.Saying(fits.Payload+"y"), fits)
			station.Expect(fits)
			h.AwaitDrops(to.Port, "too-big", 1)
			if n := h.Port(to.Port).Counters.Drops["too-big"]; n != 1 {
				t.Errorf("%s dropped %d frames as too-big, want 1", to.Port, n)
			}
		}
	})
}

// oversized sends one datagram of that many octets, or a super-datagram of
// such.
func oversized(from, to *Stack, network string, size int) error {
	udp := strings.Replace(network, "uso", "udp", 1)
	in, err := to.listenPacket(udp)
	if err != nil {
		return err
	}
	defer in.Close()
	conn, err := from.dial(udp, in.LocalAddr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	payload := make([]byte, size)
	if udp != network {
		if err := segmentBy(conn, size); err != nil {
			return err
		}
		payload = make([]byte, 5*size)
	}
	_, err = conn.Write(payload)
	return err
}
