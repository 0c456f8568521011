package e2e

import (
	"strconv"
	"testing"
	"time"
)

// Bad clients of the socket disturb neither frames nor other clients.

func TestBadClientsDisturbNobody(t *testing.T) {
	for _, kind := range []string{"silent", "half", "flood", "deaf", "deaf to events", "garbage"} {
		t.Run(kind, func(t *testing.T) {
			h := NewHost(t, Fast)
			a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
			stream := h.Stream(a.Station("eth0"), b.Station("eth0"))
			descriptors := h.descriptors()

			// Each has more connections than the daemon grants to one process,
			// and together they have more than it grants to all.
			var pests []*Process
			for range 8 {
				pests = append(pests, h.Go(agentPath(t), "pester", kind, h.Socket, strconv.Itoa(80)))
			}
			for _, p := range pests {
				p.Expect(t, "pestering")
			}
			stream.Check()

			h.answersInTime()
			// Who changes something is served, too; vsctl is a client as any.
			h.VS("port", "add", "new", "--tap")
			h.VS("port", "set", "new", "--access", "7")
			h.VS("port", "del", "new")
			for _, network := range []string{"tcp4", "uso6"} {
				if err := Flow(a, b, network, flowSize); err != nil {
					t.Error(err)
				}
			}
			h.AtMost(time.Second, stream.Check(), "frames stood still for")
			h.answersInTime()

			for _, p := range pests {
				if !p.Running() {
					t.Errorf("a client ended: %s", p.Output())
				}
				p.Kill()
			}
			h.Eventually(0, func() error {
				return noMore(h.descriptors(), descriptors)
			})
			stream.Stop()
		})
	}
}
