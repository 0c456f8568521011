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
