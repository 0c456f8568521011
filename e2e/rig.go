package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Rig is a switch whose ports all end in the test's hands, in namespaces that
// say nothing by themselves. What one exchange causes is then known exactly:
// which frames come out where, and what is counted.
//
//	r := h.Rig()
//	r.Veth("p1", "--access", "10")
//	r.Tap("p2", "--trunk", "10,20")
//	r.Check(Exchange{From: "p1", Send: Frames(hello), Arrive: Arrive{"p2": Frames(hello.With(C(10)))}})
//
// To know that nothing else came, it sends marks from a port of its own, which
// is a trunk of all VLANs and teaches nothing, once the exchange has been
// counted. A port on which floods of all three kinds are off cannot be marked;
// switches other than sw0 and patches are left alone.
type Rig struct {
	h     *Host
	wires map[string]Wire
	marks *Station
}

// markPort is the port that marks come from.
const markPort = "rig-marks"

// countTime bounds the wait until an exchange is counted. Shorter than
// [Patience]: a table with many wrong rows should fail in time.
const countTime = 3 * time.Second

// Rig sets one up on sw0.
func (h *Host) Rig() *Rig {
	h.t.Helper()
	r := &Rig{h: h, wires: map[string]Wire{}}
	r.marks = r.inside(markPort, "--trunk", "all", "--no-learn")
	return r
}

// inside adds a port into a namespace of its name.
func (r *Rig) inside(port string, flags ...string) *Station {
	r.h.t.Helper()
	ns := r.h.Quiet(port)
	r.h.VS(append([]string{"port", "add", port, "--netns", port}, flags...)...)
	return ns.Station("eth0")
}

// Veth adds a port that is a packet socket on one end of a veth pair.
func (r *Rig) Veth(port string, flags ...string) *Station {
	r.h.t.Helper()
	st := r.inside(port, append([]string{"--veth"}, flags...)...)
	r.wires[port] = st
	return st
}

// Tap adds a port that is a TAP which the switch holds open.
func (r *Rig) Tap(port string, flags ...string) *Station {
	r.h.t.Helper()
	st := r.inside(port, append([]string{"--tap"}, flags...)...)
	r.wires[port] = st
	return st
}

// VM adds a port that is a packet socket on a TAP which a VM monitor opens.
func (r *Rig) VM(port string, flags ...string) *Monitor {
	r.h.t.Helper()
	r.h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	r.h.VS(append([]string{"port", "add", port, "--vm", "vm-" + port}, flags...)...)
	m := r.h.Monitor("vm-" + port)
	r.h.AwaitState(port, "up")
	r.wires[port] = m
	return m
}

// Wire returns what hangs on a port.
func (r *Rig) Wire(port string) Wire { return r.wires[port] }

// Frames lists frames: an [Eth] or bytes each.
func Frames(frames ...any) []any { return frames }

// Arrive says which frames come out of which port, in their order.
type Arrive map[string][]any

// Drops says what is counted, by "port/reason".
type Drops map[string]uint64

// Exchange is what goes in at one port, and all that it causes.
type Exchange struct {
	From   string
	Send   []any
	Arrive Arrive // nothing comes out of ports that are not named
	Drops  Drops  // nothing else is counted
}

// Check carries out an exchange and holds it against what should come of it:
// the frames to the last octet, the drops, and the counters of frames.
func (r *Rig) Check(e Exchange) {
	t := r.h.t
	t.Helper()
	before := r.counters()
	r.wires[e.From].Send(e.Send...)

	// What was received has been decided when it is all counted: received,
	// sent and dropped.
	err := poll(countTime, func() error {
		if problems := r.compare(e, before, r.counters()); len(problems) > 0 {
			return fmt.Errorf("the counters after %d frames into %s:\n    %s", len(e.Send), e.From, strings.Join(problems, "\n    "))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for port := range e.Arrive {
		if r.wires[port] == nil {
			t.Fatalf("the rig has no port %s", port)
		}
	}
	for _, port := range slices.Sorted(maps.Keys(r.wires)) {
		mark := r.mark(port)
		if problem := r.wires[port].until(mark, e.Arrive[port]); problem != "" {
			t.Error(problem)
		}
	}
}

// counters returns all ports' counters by name.
func (r *Rig) counters() map[string]Counters {
	r.h.t.Helper()
	all := map[string]Counters{}
	for _, p := range r.h.Ports() {
		if p.Switch == "sw0" && p.Name != markPort {
			all[p.Name] = p.Counters
		}
	}
	return all
}

// compare lists what differs from what the exchange should have counted.
func (r *Rig) compare(e Exchange, before, after map[string]Counters) (problems []string) {
	differ := func(port, what string, got, want uint64) {
		if got != want {
			problems = append(problems, fmt.Sprintf("%s: %s went up by %d, want %d", port, what, got, want))
		}
	}
	for _, port := range slices.Sorted(maps.Keys(after)) {
		was, is := before[port], after[port]
		received := uint64(0)
		if port == e.From {
			received = uint64(len(e.Send))
		}
		differ(port, "rx_frames", is.RxFrames-was.RxFrames, received)
		if r.wires[port] != nil {
			differ(port, "tx_frames", is.TxFrames-was.TxFrames, uint64(len(e.Arrive[port])))
		}
		reasons := maps.Clone(is.Drops)
		for key := range e.Drops {
			if p, reason, _ := strings.Cut(key, "/"); p == port {
				if reasons == nil {
					reasons = map[string]uint64{}
				}
				reasons[reason] += 0
			}
		}
		for _, reason := range slices.Sorted(maps.Keys(reasons)) {
			differ(port, reason, is.Drops[reason]-was.Drops[reason], e.Drops[port+"/"+reason])
		}
	}
	return problems
}

// mark sends a mark to a port, by every kind of flooding, and returns it.
func (r *Rig) mark(port string) string {
	r.h.t.Helper()
	mark := markWord + nextMark()
	e := Eth{Src: MAC(0xeeeeee), Payload: mark, Tags: r.tagsFor(port)}
	r.marks.Send(e, e.To("01:00:5e:7f:ff:fe"), e.To(MAC(0xeeeeef)))
	return mark
}

// tagsFor returns tags with which a frame leaves by a port: a VLAN of its, and
// behind it, for a tunnel with a list, one of the customer's.
func (r *Rig) tagsFor(port string) []Tag {
	r.h.t.Helper()
	v := r.h.Port(port).VLAN
	switch v.Mode {
	case "access":
		return Tags(C(uint16(v.Access)))
	case "tunnel":
		tags := Tags(C(uint16(v.Tunnel)))
		if c := firstVID(r.h.t, v.CVLANs); c != 0 {
			tags = append(tags, C(c))
		}
		return tags
	}
	if v.Native != 0 {
		return Tags(C(uint16(v.Native)))
	}
	return Tags(C(max(1, firstVID(r.h.t, v.Trunk))))
}

// firstVID reads the first of a list of VIDs or ranges; 0 for "all" and for
// no list.
func firstVID(t testing.TB, raw json.RawMessage) uint16 {
	t.Helper()
	var list []string
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(list[0], "-")
	vid, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		t.Fatalf("a list of VLANs begins with %q", list[0])
	}
	return uint16(vid)
}
