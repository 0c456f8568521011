package vswitch

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/port/porttest"
)

const msec = impair.Time(time.Millisecond)

// lineBench is a bench whose worker has the lines, and whose time the test
// turns.
type lineBench struct {
	*bench
	time impair.Time
}

func newLineBench(t testing.TB) *lineBench {
	b := &lineBench{bench: newBench(t), time: msec}
	b.w.nano = func() impair.Time { return b.time }
	return b
}

// add makes a port.
func (b *lineBench) add(cfg PortConfig) {
	b.Helper()
	b.bench.add(cfg)
	b.own()
}

// own gives the test's worker all lines.
func (b *lineBench) own() {
	for _, sw := range b.all() {
		for _, p := range sw.ports {
			for _, ln := range p.lines {
				if ln != nil {
					ln.owner = b.w
				}
			}
		}
	}
}

// at turns the time and has what is due arrive.
func (b *lineBench) at(ms float64) {
	b.time = impair.Time(ms * float64(msec))
	b.w.betweenBatches()
}

// expect counts what has left by a port since the last call.
func (b *lineBench) expect(name string, n int) []porttest.Wire {
	b.Helper()
	got := b.took(name)
	if len(got) != n {
		b.Errorf("at %v: %d frames have left by %s, want %d", time.Duration(b.time), len(got), name, n)
	}
	return got
}

// empty holds that nothing is under way, and no memory is taken.
func (b *lineBench) empty() {
	b.Helper()
	if b.w.wheel.n != 0 || b.w.octets != 0 {
		b.Errorf("%d frames and %d octets are still held", b.w.wheel.n, b.w.octets)
	}
}

func TestLineDelaysAtEgress(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: impair.Config{Delay: 20 * time.Millisecond}}})
	b.add(PortConfig{Name: "p3"})
	b.at(1)
	b.send("p1", untagged(frame.Broadcast, mac(1)), untagged(mac(2), mac(1)))
	b.expect("p3", 2) // is not impaired
	b.at(20.9)
	b.expect("p2", 0)
	b.at(21.1)
	got := b.expect("p2", 2)
	if len(got) == 2 && (got[0].Bytes[0] != 0xff || got[1].Bytes[0] != 0x02) {
		t.Error("the frames have left in another order than they came in")
	}
	// The other direction is not impaired.
	b.send("p2", untagged(mac(1), mac(2)))
	b.expect("p1", 1)
	b.empty()
}

// TestLineDelaysAtIngress holds that the switch sees a frame when it arrives,
// and not before.
func TestLineDelaysAtIngress(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1", Impair: Impairments{Ingress: impair.Config{Delay: 20 * time.Millisecond}}})
	b.add(PortConfig{Name: "p2"})
	b.at(1)
	b.send("p1", untagged(frame.Broadcast, mac(1)))
	if n := b.counters("p1").RxFrames; n != 1 {
		t.Errorf("%d frames have come in, want 1", n)
	}
	if entries, _ := b.FDB("sw0"); len(entries) != 0 {
		t.Errorf("the switch has learned from a frame under way: %v", entries)
	}
	b.at(20.9)
	b.expect("p2", 0)
	b.at(21.1)
	b.expect("p2", 1)
	if entries, _ := b.FDB("sw0"); len(entries) != 1 {
		t.Errorf("the switch has learned %v, want one entry", entries)
	}
	b.empty()
}

// TestLineOfAPatch delays each direction by itself: out of one end and into it.
func TestLineOfAPatch(t *testing.T) {
	b := newLineBench(t)
	b.must(b.AddSwitch(context.Background(), "sw1", DefaultSettings()))
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "up", Attach: patchTo("sw1", "up"), Impair: Impairments{
		Egress:  impair.Config{Delay: 10 * time.Millisecond},
		Ingress: impair.Config{Delay: 30 * time.Millisecond},
	}})
	b.add(PortConfig{Switch: "sw1", Name: "p2"})
	far := b.host.pair("sw1/p2")
	b.at(1)
	b.send("p1", untagged(frame.Broadcast, mac(1)))
	b.at(10.9)
	if n := len(far.Take()); n != 0 {
		t.Errorf("%d frames have crossed too early", n)
	}
	b.at(11.1)
	if n := len(far.Take()); n != 1 {
		t.Errorf("%d frames have crossed after 10 ms, want 1", n)
	}
	far.Send(untagged(mac(1), mac(2)))
	b.receive("sw1", "p2")
	b.at(41)
	b.expect("p1", 0)
	b.at(41.3)
	b.expect("p1", 1)
	b.empty()
}

// superFrame returns TCP over IPv4 with a partial checksum, which stands for
// frames of 1000 octets of payload.
func superFrame(payload int) porttest.Wire {
	const head = frame.HeaderLen
	b := ether(mac(2), mac(1), 40+payload)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip, tcp := b[head:], b[head+20:]
	ip[0], ip[6], ip[7], ip[9] = 0x45, 0, 0, 6 // no fragment
	binary.BigEndian.PutUint16(ip[2:], uint16(40+payload))
	tcp[12] = 5 << 4
	return porttest.Wire{Bytes: b, Offload: frame.Offload{
		Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: head + 40, GSOSize: 1000, CsumStart: head + 20, CsumOffset: 16,
	}}
}

func TestLineKeepsSuperFramesThatItOnlyDelays(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: impair.Config{Delay: time.Millisecond}}})
	b.at(1)
	sent := superFrame(10_000)
	b.send("p1", sent)
	b.at(3)
	if got := b.expect("p2", 1); len(got) == 1 && (got[0].Offload != sent.Offload || len(got[0].Bytes) != len(sent.Bytes)) {
		t.Errorf("a super-frame of %d octets, %+v, has become %d, %+v", len(sent.Bytes), sent.Offload, len(got[0].Bytes), got[0].Offload)
	}
	b.empty()
}

// TestLineCutsSuperFrames has each segment take its time on the line: 1054
// octets at a megaoctet a second.
func TestLineCutsSuperFrames(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: impair.Config{Rate: 8_000_000}}})
	b.at(1)
	b.send("p1", superFrame(10_000))
	for i := range 10 {
		b.at(1 + 1.054*float64(i+1) - 0.01)
		b.expect("p2", 0)
		b.at(1 + 1.054*float64(i+1) + 0.1)
		for _, got := range b.expect("p2", 1) {
			if len(got.Bytes) != 1054 || got.Offload != (frame.Offload{}) || got.Bytes[14+20+16] == 0 && got.Bytes[14+20+17] == 0 {
				t.Errorf("segment %d: %d octets, %+v, checksum %x", i, len(got.Bytes), got.Offload, got.Bytes[50:52])
			}
		}
	}
	if c := b.counters("p2"); c.TxFrames != 10 || c.TxBytes != 10*1054 {
		t.Errorf("%d frames, %d octets have left, want 10, 10540", c.TxFrames, c.TxBytes)
	}
	b.empty()
}

func TestLineCountsWhatItDoes(t *testing.T) {
	const n = 1000
	for _, x := range []struct {
		cfg  impair.Config
		sent func(c Counters) uint64 // 0: as it should be
	}{
		{impair.Config{Loss: 0.5}, func(c Counters) uint64 { return n - c.Drops[frame.ImpairLoss] - c.TxFrames }},
		{impair.Config{Duplicate: 0.5}, func(c Counters) uint64 { return n + c.Notices[Duplicated] - c.TxFrames }},
		{impair.Config{Rate: 1_000_000, QueueFrames: 10}, func(c Counters) uint64 { return n - c.Drops[frame.ImpairQueue] - c.TxFrames }},
		{impair.Config{Corrupt: 1}, func(c Counters) uint64 { return n - c.Notices[Corrupted] }},
		{impair.Config{Delay: time.Second, Jitter: time.Second}, func(c Counters) uint64 { return n - c.TxFrames }},
	} {
		b := newLineBench(t)
		b.add(PortConfig{Name: "p1"})
		b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: x.cfg}})
		for range n {
			b.send("p1", untagged(mac(2), mac(1)))
		}
		b.at(20_000)
		c := b.counters("p2")
		if off := x.sent(c); off != 0 || c.TxFrames == 0 || int(c.TxFrames) != len(b.took("p2")) {
			t.Errorf("%+v: of %d frames the counters say %+v", x.cfg, n, c)
		}
		b.empty()
	}
}

func TestLineDamagesOneBitBehindTheType(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1"})
	b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: impair.Config{Corrupt: 1}}})
	sent := untagged(mac(2), mac(1))
	for range 200 {
		b.send("p1", sent)
		b.at(float64(b.time)/float64(msec) + 1)
		got := b.expect("p2", 1)[0].Bytes
		bits := 0
		for i := range got {
			for d := got[i] ^ sent.Bytes[i]; d != 0; d &= d - 1 {
				if bits++; i < frame.HeaderLen {
					t.Fatalf("octet %d is damaged", i)
				}
			}
		}
		if bits != 1 {
			t.Fatalf("%d bits are damaged, want 1", bits)
		}
	}
}

// TestFramesUnderWayAndTheirPort holds what becomes of frames whose port changes
// while they are under way.
func TestFramesUnderWayAndTheirPort(t *testing.T) {
	cfg := PortConfig{Name: "p2", Impair: Impairments{Egress: impair.Config{Delay: 10 * time.Millisecond}}}
	for _, x := range []struct {
		name    string
		change  func(b *lineBench) error
		arrives int
		drops   uint64
	}{
		{"goes down", func(b *lineBench) error { return b.setPort("p2", func(c *PortConfig) { c.Down = true }) }, 0, 1},
		{"is no longer impaired", func(b *lineBench) error { return b.setPort("p2", func(c *PortConfig) { c.Impair = Impairments{} }) }, 1, 0},
		{"is impaired otherwise", func(b *lineBench) error {
			return b.setPort("p2", func(c *PortConfig) { c.Impair.Egress.Delay = time.Hour / 60 })
		}, 1, 0},
		{"is made anew", func(b *lineBench) error {
			if err := b.DeletePort(context.Background(), "sw0", "p2"); err != nil {
				return err
			}
			b.add(cfg)
			return nil
		}, 0, 0},
	} {
		b := newLineBench(t)
		b.add(PortConfig{Name: "p1"})
		b.add(cfg)
		b.at(1)
		b.send("p1", untagged(mac(2), mac(1)))
		b.must(x.change(b))
		b.at(11.1)
		if n := len(b.took("p2")); n != x.arrives {
			t.Errorf("the port %s: %d frames have left, want %d", x.name, n, x.arrives)
		}
		if n := b.counters("p2").Drops[frame.PortDown]; n != x.drops {
			t.Errorf("the port %s: %d frames are dropped, want %d", x.name, n, x.drops)
		}
		b.empty()
	}
}

// TestLinesOfAnUnchangedDirection holds that its queue outlives other changes.
func TestLinesOfAnUnchangedDirection(t *testing.T) {
	b := newLineBench(t)
	b.add(PortConfig{Name: "p1", Impair: Impairments{Egress: impair.Config{Delay: 1}, Ingress: impair.Config{Delay: 1}}})
	before := b.view("p1").lines
	b.must(b.setPort("p1", func(c *PortConfig) { c.Description = "x"; c.Impair.Ingress.Delay = 2 }))
	after := b.view("p1").lines
	if before[egress] != after[egress] || before[ingress] == after[ingress] {
		t.Error("not just the direction that was changed is another line")
	}
}

func TestImpairmentsAreChecked(t *testing.T) {
	b := newLineBench(t)
	_, err := b.AddPort(context.Background(), PortConfig{Switch: "sw0", Name: "p1", Impair: Impairments{Ingress: impair.Config{Loss: 2}}})
	if want := "impairment at ingress: loss 200% is not possible: give 0% to 100%"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestLinesOfSeveralWorkers has frames come in by ports of every worker, for
// one impaired port; none is lost, or overtakes another of its flow.
func TestLinesOfSeveralWorkers(t *testing.T) {
	e, host := startEngine(t, 3)
	const flows, n = 6, 200
	if _, err := e.AddPort(context.Background(), PortConfig{
		Switch: "sw0", Name: "out", Impair: Impairments{Egress: impair.Config{Delay: time.Millisecond, Duplicate: 1e-9}},
	}); err != nil {
		t.Fatal(err)
	}
	for i := range flows {
		mustAdd(t, e, fmt.Sprint("p", i))
	}
	for i := range n {
		for p := range flows {
			w := untagged(frame.Broadcast, mac(p))
			binary.BigEndian.PutUint32(w.Bytes[14:], uint32(i))
			host.pair(fmt.Sprint("sw0/p", p)).Send(w)
		}
	}
	var next [flows]uint32
	for _, w := range awaitFrames(t, host.pair("sw0/out").Take, flows*n) {
		flow := w.Bytes[11]
		if i := binary.BigEndian.Uint32(w.Bytes[14:]); i != next[flow] {
			t.Fatalf("flow %d: frame %d comes, want %d", flow, i, next[flow])
		}
		next[flow]++
	}
}

// TestHandedOverFramesTakeTheirTime hands frames to a worker that was asleep for
// long: they are delayed from then on, and whatever becomes of their port's line
// meanwhile.
func TestHandedOverFramesTakeTheirTime(t *testing.T) {
	for _, cfg := range []impair.Config{{Delay: 20 * time.Millisecond}, {Delay: 20 * time.Millisecond, Rate: 100_000_000_000}} {
		b := newLineBench(t)
		b.add(PortConfig{Name: "p1", Impair: Impairments{Egress: cfg}})
		other, err := newWorker(0, b.workerConfig(0))
		b.must(err)
		defer other.poll.close()
		var f frame.Frame
		f.Reset(padded(ether(mac(2), mac(1), 46)), 0, frame.Offload{})
		v := b.view("p1")
		b.at(1)
		b.w.instant() // of a batch long ago
		b.time = 100 * msec
		other.carry(v.core, v.lines[egress], egress, &f, 0)
		b.at(100)
		b.at(119.9)
		b.expect("p1", 0)
		b.at(120.2)
		b.expect("p1", 1)
		b.empty()

		other.carry(v.core, v.lines[egress], egress, &f, 0)
		b.must(b.setPort("p1", func(c *PortConfig) { c.Impair = Impairments{} }))
		b.at(121)
		b.at(122)
		b.expect("p1", 1)
		b.empty()

		other.handOver(v.core, b.w, egress, &f, 0)
		b.must(b.DeletePort(context.Background(), "sw0", "p1"))
		b.at(123)
		b.empty()
	}
}

// TestDelayInTime has the engine's own workers and timers deliver.
func TestDelayInTime(t *testing.T) {
	e, host := startEngine(t, 1)
	mustAdd(t, e, "p1")
	const delay = 30 * time.Millisecond
	if _, err := e.AddPort(context.Background(), PortConfig{Switch: "sw0", Name: "p2", Impair: Impairments{Egress: impair.Config{Delay: delay}}}); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the timer is set anew
		begin := time.Now()
		host.pair("sw0/p1").Send(untagged(frame.Broadcast, mac(1)))
		awaitFrames(t, host.pair("sw0/p2").Take, 1)
		if took := time.Since(begin); took < delay {
			t.Errorf("the frame took %v, want %v or more", took, delay)
		}
	}
}

// TestLinesAllocateNothing covers all that a line may do, once memory for as
// many frames as are under way is there.
func TestLinesAllocateNothing(t *testing.T) {
	b := newLineBench(t)
	all := impair.Config{Delay: time.Millisecond, Jitter: 100 * time.Microsecond, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Rate: 1_000_000_000}
	b.add(PortConfig{Name: "p1", Impair: Impairments{Ingress: impair.Config{Delay: time.Millisecond}}})
	b.add(PortConfig{Name: "p2", Impair: Impairments{Egress: all}})
	b.with("sw0", "p2", &loop{})
	in := b.view("p1")
	frames := make([]frame.Frame, 8)
	for i := range frames {
		frames[i].Reset(padded(ether(mac(2), mac(1), 1000)), 0, frame.Offload{})
	}
	turn := func() {
		for i := range frames {
			frames[i].Rewind()
		}
		b.w.take(in.core, frames)
		b.time += msec
		b.w.betweenBatches()
	}
	for range 1000 {
		turn()
	}
	// The collector may empty the pools that free frames lie in.
	if n := testing.AllocsPerRun(1000, turn); n > 0.1 && !racing {
		t.Errorf("%v allocations for 8 frames", n)
	}
}
