package vswitch

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"
)

// loop is a device that costs nothing: it hands up the same frames again and
// again, and takes all copies.
type loop struct {
	frames [][]byte // each with room for the offload header
	taken  uint64
}

func (d *loop) FD() int      { return -1 }
func (d *loop) Close() error { return nil }

func (d *loop) Receive(io *port.IO) ([]frame.Frame, error) {
	for i := range port.BatchFrames {
		io.Frame(i).Reset(d.frames[i%len(d.frames)], 0, frame.Offload{})
	}
	return io.Batch(port.BatchFrames), nil
}

func (d *loop) Transmit(_ *port.IO, copies []port.Copy) (s port.Sent, err error) {
	d.taken += uint64(len(copies))
	return port.Sent{Frames: uint64(len(copies)), Bytes: uint64(len(copies) * copies[0].Frame.Len())}, nil
}

// with replaces a port's device in the snapshot.
func (b *bench) with(sw, name string, d port.Device) *view {
	p, err := b.findPort(sw, name)
	b.must(err)
	v := *p.sw.snapshot.Load().view(p.id)
	v.device = d
	p.sw.snapshot.Store(p.sw.snapshot.Load().with(&v))
	return &v
}

// turn takes one batch of the port's device through the switch.
func (b *bench) turn(v *view) {
	frames, _ := v.device.Receive(b.w.io)
	b.w.take(v.core, frames)
}

func padded(b []byte) []byte { return append(make([]byte, frame.OffloadLen), b...) }

// TestFramePathAllocatesNothing holds that no frame costs an allocation,
// whatever becomes of it.
func TestFramePathAllocatesNothing(t *testing.T) {
	stations := func(n int) (frames [][]byte) {
		for i := range n {
			frames = append(frames, padded(ether(mac(5000), mac(6000+i), 46)))
		}
		return frames
	}
	for _, c := range []struct {
		name   string
		ports  int
		frames [][]byte
		setup  func(*bench)
	}{
		{"known unicast", 2, [][]byte{padded(ether(mac(2), mac(1), 46))}, func(b *bench) {
			b.must(b.AddFDB(context.Background(), "sw0", 1, mac(2), "p1"))
		}},
		{"flood to 100 ports", 101, [][]byte{padded(ether(frame.Broadcast, mac(1), 46))}, nil},
		{"new stations, with evictions", 2, stations(5000), func(b *bench) {
			b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.FDBSize = 1000; return nil }))
		}},
		{"stations that move", 2, stations(64), nil},
		{"dropped at ingress", 2, [][]byte{padded(ether(mac(2), mac(1), 46, frame.NewTag(frame.TPIDCustomer, 0, 7)))}, nil},
		{"over a patch", 2, [][]byte{padded(ether(frame.Broadcast, mac(1), 46))}, func(b *bench) {
			b.must(b.AddSwitch(context.Background(), "sw1", DefaultSettings()))
			b.add(PortConfig{Name: "up", Attach: patchTo("sw1", "down"), VLAN: vlan.Policy{Mode: vlan.Trunk}})
			b.add(PortConfig{Switch: "sw1", Name: "far"})
			b.with("sw1", "far", &loop{})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			for i := range c.ports {
				b.add(PortConfig{Name: fmt.Sprint("p", i)})
			}
			if c.setup != nil {
				c.setup(b)
			}
			for i := range c.ports {
				b.with("sw0", fmt.Sprint("p", i), &loop{frames: c.frames})
			}
			in, other := b.view("p0"), b.view("p1")
			moves := c.name == "stations that move"
			for range 200 { // tables grow to their size
				b.turn(in)
			}
			allocs := testing.AllocsPerRun(100, func() {
				b.turn(in)
				if moves {
					b.turn(other)
				}
			})
			if allocs != 0 {
				t.Errorf("a batch of %d frames: %v allocations, want 0", port.BatchFrames, allocs)
			}
		})
	}
}

func (b *bench) view(name string) *view {
	p, err := b.findPort("sw0", name)
	b.must(err)
	return p.sw.snapshot.Load().view(p.id)
}

// BenchmarkDecision measures parse, VLAN, learn, look up and egress check of
// known unicast between random stations, without any system call.
func BenchmarkDecision(bm *testing.B) {
	for _, stations := range []int{2, 1000, 100_000, 1_000_000} {
		bm.Run(fmt.Sprintf("stations=%d", stations), func(bm *testing.B) {
			b := newBench(bm)
			b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.FDBSize = max(stations, fdb.DefaultSize); return nil }))
			b.add(PortConfig{Name: "p0"})
			b.add(PortConfig{Name: "p1"})
			in, other := b.with("sw0", "p0", newWalk(0, stations)), b.with("sw0", "p1", newWalk(1, stations))
			for range 4*stations/port.BatchFrames + 1 {
				b.turn(in)
				b.turn(other)
			}
			bm.ReportAllocs()
			bm.ResetTimer()
			for range bm.N/port.BatchFrames + 1 {
				b.turn(in)
			}
		})
	}
}

// BenchmarkDecisionPorts measures it between two ports beside which others are
// there, and idle (RFC 2889 knows no such question; users do).
func BenchmarkDecisionPorts(bm *testing.B) {
	for _, ports := range []int{2, 64, 1000} {
		bm.Run(fmt.Sprintf("ports=%d", ports), func(bm *testing.B) {
			b := newBench(bm)
			for i := range ports {
				b.add(PortConfig{Name: fmt.Sprint("p", i)})
			}
			in, other := b.with("sw0", "p0", newWalk(0, 2)), b.with("sw0", "p1", newWalk(1, 2))
			b.turn(in)
			b.turn(other)
			bm.ReportAllocs()
			bm.ResetTimer()
			for range bm.N/port.BatchFrames + 1 {
				b.turn(in)
			}
		})
	}
}

// BenchmarkMesh measures it where each of some ports sends to each other (RFC
// 2889, section 5.1): a batch of one port's frames goes to all others in turns.
func BenchmarkMesh(bm *testing.B) {
	for _, ports := range []int{2, 8} {
		bm.Run(fmt.Sprintf("ports=%d", ports), func(bm *testing.B) {
			b := newBench(bm)
			for i := range ports {
				b.add(PortConfig{Name: fmt.Sprint("p", i)})
			}
			var ins []*view
			for i := range ports {
				d := new(loop)
				for k := 1; k < ports; k++ {
					d.frames = append(d.frames, padded(ether(mac((i+k)%ports), mac(i), 46)))
				}
				ins = append(ins, b.with("sw0", fmt.Sprint("p", i), d))
			}
			for _, in := range ins {
				b.turn(in)
			}
			bm.ReportAllocs()
			bm.ResetTimer()
			for n := range bm.N/port.BatchFrames + 1 {
				b.turn(ins[n%ports])
			}
		})
	}
}

// BenchmarkDecisionFrames measures what of [BenchmarkDecision] is no decision: to
// make its frames.
func BenchmarkDecisionFrames(b *testing.B) {
	for _, stations := range []int{2, 100_000} {
		b.Run(fmt.Sprintf("stations=%d", stations), func(b *testing.B) {
			d := newWalk(0, stations)
			for range b.N/port.BatchFrames + 1 {
				_, _ = d.Receive(nil)
			}
		})
	}
}

// walk is a device that hands up frames from its half of many stations to the
// other, in no order. The bytes are where a device would have put them just
// before: in the cache.
type walk struct {
	loop
	frames [port.BatchFrames]frame.Frame
	side   uint8
	half   uint64 // stations on either side
	random uint64
}

func newWalk(side uint8, stations int) *walk {
	d := &walk{side: side, half: uint64(stations / 2)}
	for i := range d.frames {
		d.frames[i].Reset(padded(ether(mac(0), mac(0), 46)), 0, frame.Offload{})
	}
	return d
}

func (d *walk) Receive(*port.IO) ([]frame.Frame, error) {
	for i := range d.frames {
		b := d.frames[i].Data()
		b[1], b[7] = 1-d.side, d.side
		d.random = d.random*6364136223846793005 + 1442695040888963407 // Knuth, MMIX
		binary.BigEndian.PutUint32(b[2:], uint32(d.random>>32*d.half>>32))
		binary.BigEndian.PutUint32(b[8:], uint32(d.random<<16>>32*d.half>>32))
	}
	return d.frames[:], nil
}

// BenchmarkFlood measures one copy of a flooded frame before the system call.
func BenchmarkFlood(bm *testing.B) {
	for _, ports := range []int{8, 64, 512} {
		bm.Run(fmt.Sprintf("ports=%d", ports), func(bm *testing.B) {
			b := newBench(bm)
			frames := [][]byte{padded(ether(frame.Broadcast, mac(1), 46))}
			for i := range ports + 1 {
				b.add(PortConfig{Name: fmt.Sprint("p", i)})
			}
			for i := range ports + 1 {
				b.with("sw0", fmt.Sprint("p", i), &loop{frames: frames})
			}
			in := b.view("p0")
			bm.ReportAllocs()
			bm.ResetTimer()
			for range bm.N/(port.BatchFrames*ports) + 1 {
				b.turn(in)
			}
		})
	}
}
