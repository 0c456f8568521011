package vswitch

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// guardBench is a bench whose guard the test turns by hand, as well as its time, and
// whose ports it joins by wires.
type guardBench struct {
	*bench
	g     *guard
	now   time.Time
	wires map[string]string // what leaves by a port comes in by

	noMulticast bool // is carried by the wires
}

func newGuardBench(t *testing.T) *guardBench {
	b := newBench(t)
	return &guardBench{bench: b, g: newGuard(b.Engine), now: time.Now(), wires: make(map[string]string)}
}

// wire joins ports, or one with itself.
func (b *guardBench) wire(p, q string) { b.wires[p], b.wires[q] = q, p }

// pass has time pass, in looks, and carries along the wires what has left.
func (b *guardBench) pass(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); b.now = b.now.Add(probeBack) {
		b.change.Lock()
		b.g.look(b.now)
		b.change.Unlock()
		b.carry()
	}
}

// carry carries along the wires what has left by ports whose carrier is on, once.
func (b *guardBench) carry() {
	for turns := 0; turns < 4; turns++ { // from wire to wire
		left := make(map[string][]porttest.Wire)
		for from := range b.wires {
			left[from] = b.took(from)
		}
		for from, frames := range left {
			if to := b.wires[from]; !b.dark(from) && !b.dark(to) {
				b.send(to, slices.DeleteFunc(frames, b.withholds)...)
			}
		}
	}
}

// withholds reports whether the wires, of bridges, do not carry a frame.
func (b *guardBench) withholds(w porttest.Wire) bool {
	dst := frame.Address(binary.BigEndian.Uint64(w.Bytes) >> 16)
	return b.noMulticast && dst.IsMulticast() && !dst.IsBroadcast()
}

func (b *guardBench) dark(name string) bool {
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	return b.host.dark["sw0/"+name]
}

func (b *guardBench) set(name string, raise bool, change func(*PortConfig)) {
	b.Helper()
	_, err := b.SetPort(context.Background(), "sw0", name, raise, func(c *PortConfig) error { change(c); return nil })
	b.must(err)
}

// states holds how ports are, and that the carrier of those which are not up is off.
func (b *guardBench) states(when string, want map[string]State) {
	b.Helper()
	for name, state := range want {
		info, err := b.Port("sw0", name)
		b.must(err)
		if info.State != state || b.dark(name) != (state != Up) {
			b.Errorf("%s: %s is %s (%s), its carrier off: %v; want %s", when, name, info.State, info.Reason, b.dark(name), state)
		}
	}
}

var protected = Options{LoopProtect: true}

// TestLoopProtect bars one of two ports that a wire joins, tries it again, and has it
// back once the wire is gone.
func TestLoopProtect(t *testing.T) {
	for name, c := range map[string]struct {
		a, b   PortConfig
		barred string // of the two; "": none is
	}{
		"tunnels for some customers": {PortConfig{VLAN: tunnelOf(t, "8,20-30"), Options: protected}, PortConfig{VLAN: tunnelOf(t, "9-20")}, "p2"},
		"neither is protected":       {PortConfig{}, PortConfig{}, ""},
		"one is":                     {PortConfig{Options: protected}, PortConfig{}, "p2"},
		"the other is":               {PortConfig{}, PortConfig{Options: protected}, "p10"},
		"both are, so the last":      {PortConfig{Options: protected}, PortConfig{Options: protected}, "p10"},
		"trunks":                     {PortConfig{VLAN: trunkOf(t, "30-60"), Options: protected}, PortConfig{VLAN: trunkOf(t, "55")}, "p2"},
		"other VLANs":                {PortConfig{Options: protected}, PortConfig{VLAN: vlan.Policy{VLAN: 7}}, ""},
		"tunnels":                    {PortConfig{VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 5}, Options: protected}, PortConfig{VLAN: vlan.Policy{Mode: vlan.Tunnel, VLAN: 5}}, "p2"},
		"trunk and its native":       {PortConfig{VLAN: vlan.Policy{Mode: vlan.NativeUntagged, VLAN: 9}, Options: protected}, PortConfig{VLAN: vlan.Policy{VLAN: 9}}, "p2"},
		"every untagged one tagged":  {PortConfig{VLAN: vlan.Policy{VLAN: 1, PriorityTags: vlan.Always}, Options: protected}, PortConfig{}, "p2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGuardBench(t)
			events := b.Events(t.Context())
			c.a.Name, c.b.Name = "p2", "p10"
			b.add(c.a)
			b.add(c.b)
			b.wire("p2", "p10")
			b.pass(5 * time.Second)
			free := map[string]State{"p2": Up, "p10": Up}
			if c.barred == "" {
				b.states("at last", free)
				if loops := b.Loops("sw0"); len(loops) > 0 {
					t.Errorf("loops: %v", loops)
				}
				return
			}
			cut := map[string]State{"p2": Up, "p10": Up, c.barred: Lost}
			b.states("after 5 s", cut)
			info, err := b.Port("sw0", c.barred)
			b.must(err)
			if !strings.Contains(info.Reason, "loop-protect: what leaves by sw0/p") || !strings.Contains(info.Reason, "tried again at ") {
				t.Errorf("reason: %s", info.Reason)
			}
			if ev := awaitKind(t, events, LoopBegan); ev.Port != "p10" || ev.From != "p2" {
				t.Errorf("event: %+v", ev)
			}
			b.pass(2 * firstBar) // in which it was tried once or twice, and is barred for longer
			b.states("after a trial", cut)
			if loops := b.Loops("sw0"); len(loops) != 1 || !loops[0].Cut {
				t.Errorf("loops: %v", loops)
			}
			b.wires = nil
			b.pass(3*firstBar + 2*trialTime)
			b.states("without the wire", free)
		})
	}
}

func trunkOf(t *testing.T, list string) vlan.Policy {
	set, err := vlan.ParseSet(list, uint16(vlan.MinID))
	if err != nil {
		t.Fatal(err)
	}
	return vlan.Policy{Mode: vlan.Trunk, Trunk: &set}
}

func tunnelOf(t *testing.T, list string) vlan.Policy {
	set, err := vlan.ParseSet(list, 0)
	if err != nil {
		t.Fatal(err)
	}
	return vlan.Policy{Mode: vlan.Tunnel, VLAN: 5, CVLANs: &set}
}

func awaitKind(t *testing.T, events <-chan Event, kind EventKind) Event {
	t.Helper()
	for limit := time.After(10 * time.Second); ; {
		select {
		case ev := <-events:
			if ev.Kind == kind {
				return ev
			}
		case <-limit:
			t.Fatalf("no event %q", kind)
		}
	}
}

// TestBarGrows has each trial that is of no use be followed by a longer bar.
func TestBarGrows(t *testing.T) {
	b := newGuardBench(t)
	b.add(PortConfig{Name: "p1", Options: protected})
	b.wire("p1", "p1") // a plug that sends back
	var delays []time.Duration
	for range 8 {
		b.pass(2 * time.Second)
		p, err := b.findPort("sw0", "p1")
		b.must(err)
		delays = append(delays, p.bar.delay)
		b.pass(p.bar.until.Sub(b.now))
	}
	want := []time.Duration{5, 10, 20, 40, 80, 160, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(delays, want) {
		t.Errorf("barred for %v, want %v", delays, want)
	}
	if loops := b.Loops("sw0"); len(loops) != 1 || loops[0].Ports != [2]string{"p1", "p1"} {
		t.Errorf("loops: %v", loops)
	}
}

// TestBarIsLifted by whoever sets the port up or down, or takes its protection away.
func TestBarIsLifted(t *testing.T) {
	for name, c := range map[string]struct {
		lift func(b *guardBench)
		want State
	}{
		"up":   {func(b *guardBench) { b.set("p1", true, func(c *PortConfig) { c.Down = false }) }, Up},
		"down": {func(b *guardBench) { b.set("p1", false, func(c *PortConfig) { c.Down = true }) }, Down},
		"down and up": {func(b *guardBench) {
			b.set("p1", false, func(c *PortConfig) { c.Down = true })
			b.set("p1", true, func(c *PortConfig) { c.Down = false })
		}, Up},
		"no protection": {func(b *guardBench) { b.set("p1", false, func(c *PortConfig) { c.Options.LoopProtect = false }) }, Up},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGuardBench(t)
			b.add(PortConfig{Name: "p1", Options: protected})
			b.wire("p1", "p1")
			b.pass(time.Second)
			b.states("at first", map[string]State{"p1": Lost})
			b.wires = nil
			c.lift(b)
			b.pass(guardTick)
			b.states("then", map[string]State{"p1": c.want})
		})
	}
}

// TestPortThatIsDownHearsNoProbe, though its device goes on: there is no loop by it.
func TestPortThatIsDownHearsNoProbe(t *testing.T) {
	b := newGuardBench(t)
	b.add(PortConfig{Name: "p1", Options: protected})
	b.add(PortConfig{Name: "p2", Down: true})
	for range 10 {
		b.pass(probeEvery / 2)
		b.send("p2", b.took("p1")...)
	}
	b.states("always", map[string]State{"p1": Up})
	if loops := b.Loops("sw0"); len(loops) > 0 {
		t.Errorf("loops: %v", loops)
	}
	if drops := b.counters("p2").Drops; drops[frame.LoopProbe] > 0 || drops[frame.PortDown] == 0 {
		t.Errorf("dropped: %v", drops)
	}
}

// TestSuspicionIsProbed: between ports of which a station moves back and forth probes
// tell a loop from two stations with one address.
func TestSuspicionIsProbed(t *testing.T) {
	for _, wired := range []bool{true, false} {
		b := newGuardBench(t)
		b.add(PortConfig{Name: "p1"})
		b.add(PortConfig{Name: "p2"})
		if wired {
			b.wire("p1", "p2")
		}
		sw, err := b.find("sw0")
		b.must(err)
		sw.loops[pairOf("p1", "p2")] = &standing{Loop: Loop{Ports: pairOf("p1", "p2"), VLAN: 1, Since: b.now}, seen: b.now, fast: true}
		b.pass(time.Second)
		b.states("always", map[string]State{"p1": Up, "p2": Up})
		if loops := b.Loops("sw0"); len(loops) != 1 || loops[0].Probed != wired {
			t.Errorf("a wire: %v; loops: %v", wired, loops)
		}
		if n := b.counters("p2").Drops[frame.LoopProbe]; n > 0 != wired {
			t.Errorf("a wire: %v; %d probes have come in", wired, n)
		}
	}
}

// TestProbesOfOthers: what a station invents does nothing, what another switch sends is
// a multicast, and what has changed VLANs says nothing.
func TestProbesOfOthers(t *testing.T) {
	b := newGuardBench(t)
	b.add(PortConfig{Name: "p1", Options: protected})
	b.add(PortConfig{Name: "p2"})
	b.add(PortConfig{Name: "p3", VLAN: vlan.Policy{VLAN: 3}, Options: protected})
	b.pass(guardTick)
	sent := b.took("p1")
	if len(sent) != 2 {
		t.Fatalf("%d probes were sent, want one to the group and one to all", len(sent))
	}
	probe := sent[0].Bytes
	if len(probe) != 60 {
		t.Errorf("a probe has %d octets, want 60", len(probe))
	}
	with := func(at int, octet byte) porttest.Wire {
		other := slices.Clone(probe)
		other[at] ^= octet
		return porttest.Wire{Bytes: other}
	}
	const token, nonce = 22, 30
	b.send("p2", with(token, 1))
	if n := len(b.took("p1")); n != 1 {
		t.Errorf("of another switch's probe %d copies have left, want 1", n)
	}
	b.send("p2", with(nonce, 1), porttest.Wire{Bytes: probe[:37]})
	if n := len(b.took("p1")); n != 1 {
		t.Errorf("of what is cut off %d copies have left, want 1", n)
	}
	b.send("p3", sent[0])
	b.pass(time.Second)
	b.states("with what is invented", map[string]State{"p1": Up, "p2": Up, "p3": Up})
	if n := b.counters("p2").Drops[frame.LoopProbe]; n != 1 {
		t.Errorf("%d were dropped as probes, want 1", n)
	}
	// Inventing many does not hide those that come back.
	for range 1000 {
		b.pass(probeBack)
		for _, w := range b.took("p1") {
			b.send("p2", w)
		}
		for i := range byte(20) {
			b.send("p2", with(nonce+1, 1+i))
		}
	}
	b.states("with what was sent", map[string]State{"p1": Lost, "p2": Up, "p3": Up})
}

// TestLoopsOfOtherKinds: they are found, whatever they carry and whoever learns.
func TestLoopsOfOtherKinds(t *testing.T) {
	t.Run("bridges that forward no multicast", func(t *testing.T) {
		b := newGuardBench(t)
		b.noMulticast = true
		b.add(PortConfig{Name: "p1", Options: protected})
		b.add(PortConfig{Name: "p2"})
		b.wire("p1", "p2")
		b.pass(5 * time.Second)
		b.states("at last", map[string]State{"p1": Lost, "p2": Up})
	})
	t.Run("bridges that forward no multicast, and another port in turn", func(t *testing.T) {
		b := newGuardBench(t)
		b.noMulticast = true
		b.add(PortConfig{Name: "p1", Options: protected})
		b.pass(probeEvery / 2)
		b.add(PortConfig{Name: "p3", Options: protected}) // probes half a second later
		b.pass(probeEvery)
		b.add(PortConfig{Name: "p2"})
		b.wire("p1", "p2")
		b.pass(5 * time.Second)
		b.states("at last", map[string]State{"p1": Lost, "p2": Up, "p3": Up})
	})
	t.Run("two wires from VLAN to VLAN", func(t *testing.T) {
		b := newGuardBench(t)
		for name, vid := range map[string]vlan.ID{"p1": 10, "p2": 20, "p3": 10, "p4": 20} {
			b.add(PortConfig{Name: name, VLAN: vlan.Policy{VLAN: vid}, Options: protected})
		}
		b.wire("p1", "p2")
		b.pass(3 * time.Second)
		b.states("one wire", map[string]State{"p1": Up, "p2": Up, "p3": Up, "p4": Up})
		b.wire("p3", "p4")
		b.pass(3 * time.Second)
		cut := 0
		for _, name := range []string{"p1", "p2", "p3", "p4"} {
			if info, err := b.Port("sw0", name); err == nil && info.State != Up {
				cut++
			}
		}
		if cut != 1 {
			t.Errorf("%d ports are barred, want 1", cut)
		}
	})
	t.Run("nothing is learned", func(t *testing.T) {
		b := newGuardBench(t)
		for _, name := range []string{"p1", "p2", "p3"} {
			b.add(PortConfig{Name: name, Options: Options{NoLearn: true}})
		}
		b.wire("p1", "p2")
		sw, err := b.find("sw0")
		b.must(err)
		b.watchLoops(sw, b.now)
		b.send("p3", untagged(frame.Broadcast, mac(1)))
		for range floodRate {
			b.carry()
		}
		b.watchLoops(sw, b.now.Add(time.Second))
		b.pass(time.Second)
		if loops := b.Loops("sw0"); len(loops) != 1 || !loops[0].Probed {
			t.Errorf("loops: %v", loops)
		}
	})
}

// TestLoopThroughAnotherSwitch finds one that two patches make, and bars one of them.
func TestLoopThroughAnotherSwitch(t *testing.T) {
	b := newGuardBench(t)
	b.must(b.AddSwitch(context.Background(), "sw1", DefaultSettings()))
	for _, name := range []string{"a", "b"} {
		b.add(PortConfig{Name: name, Attach: patchTo("sw1", name), Options: protected})
	}
	b.pass(time.Second)
	for name, want := range map[string]State{"sw0/a": Up, "sw0/b": Lost, "sw1/a": Up, "sw1/b": Lost} {
		sw, port, _ := strings.Cut(name, "/")
		if info, err := b.Port(sw, port); err != nil || info.State != want {
			t.Errorf("%s is %s (%s), want %s", name, info.State, info.Reason, want)
		}
	}
}

// TestBarOfAPortThatIsLost outlasts its device.
func TestBarOfAPortThatIsLost(t *testing.T) {
	b := newGuardBench(t)
	b.add(PortConfig{Name: "p1", Options: protected})
	b.wire("p1", "p1")
	b.pass(time.Second)
	p, err := b.findPort("sw0", "p1")
	b.must(err)
	b.change.Lock()
	b.detach(context.Background(), []loss{{p, port.Status{Gone: true, Reason: "gone"}}})
	if p.reason != "gone" {
		t.Errorf("reason: %s", p.reason)
	}
	b.comeBack(context.Background(), []*Port{p})
	b.change.Unlock()
	b.states("come back", map[string]State{"p1": Lost})
}

// TestLoopIsOneWorkersWork gives the ports of a loop to one worker while it stands,
// and loses nothing of what comes by them meanwhile, nor its order.
func TestLoopIsOneWorkersWork(t *testing.T) {
	e, host := startEngine(t, 2)
	for _, name := range []string{"p1", "p2", "p3"} {
		mustAdd(t, e, name)
	}
	const frames, pause = 2000, 100 * time.Microsecond
	sent := make(chan bool)
	go func() { // ends when it has sent them all
		defer close(sent)
		for n := range uint64(frames) {
			host.pair("sw0/p2").Send(porttest.Wire{Bytes: binary.BigEndian.AppendUint64(ether(frame.Broadcast, mac(1), 0), n)})
			time.Sleep(pause)
		}
	}()
	sw, err := e.find("sw0")
	if err != nil {
		t.Fatal(err)
	}
	for moves := 0; ; moves++ {
		select {
		case <-sent:
			checkOrder(t, host.pair("sw0/p3"), frames)
			if moves < 4 {
				t.Errorf("the ports have moved %d times only", moves)
			}
			return
		default:
		}
		e.mu.Lock()
		clear(sw.loops)
		if moves%2 == 0 {
			sw.loops[pairOf("p1", "p2")] = &standing{Loop: Loop{Ports: pairOf("p1", "p2"), VLAN: 1, Since: time.Now()}, seen: time.Now()}
		}
		e.mu.Unlock()
		e.raiseAlarm()
		awaitTogether(t, e, "p1", "p2", moves%2 == 0)
	}
}

// awaitTogether waits until two ports are one worker's, or are not.
func awaitTogether(t *testing.T, e *Engine, p, q string, want bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var workers []*worker
		for _, name := range []string{p, q} {
			port, err := e.findPort("sw0", name)
			if err != nil {
				t.Fatal(err)
			}
			e.mu.RLock()
			workers = append(workers, port.worker)
			e.mu.RUnlock()
		}
		if (workers[0] == workers[1]) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s and %s are one worker's: %v", p, q, !want)
		}
	}
}

// checkOrder waits for frames that bear numbers.
func checkOrder(t *testing.T, p *porttest.Pair, n int) {
	t.Helper()
	next := uint64(0)
	for deadline := time.Now().Add(10 * time.Second); next < uint64(n); time.Sleep(time.Millisecond) {
		for _, w := range p.Take() {
			if frame.Address(binary.BigEndian.Uint64(w.Bytes)>>16) == probeGroup {
				continue
			}
			if got := binary.BigEndian.Uint64(w.Bytes[14:]); got != next {
				t.Fatalf("frame %d arrived, %d was due", got, next)
			}
			next++
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames have arrived", next, n)
		}
	}
}
