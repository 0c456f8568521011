package vswitch

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// posted waits until somebody waits for the worker.
func (w *worker) posted() {
	for w.tasks.Load() == nil {
		runtime.Gosched()
	}
}

// TestRequestsDoNotWaitForAFlood holds that a request waits for some of a
// batch's copies, however many ports there are to flood to, and that frames
// after it are decided by what it changed.
func TestRequestsDoNotWaitForAFlood(t *testing.T) {
	const ports = 400
	b := newBench(t)
	for i := range ports {
		b.add(PortConfig{Name: fmt.Sprintf("p%d", i)})
	}
	p, err := b.findPort("sw0", "p0")
	b.must(err)
	var wires []porttest.Wire
	for range port.BatchFrames {
		wires = append(wires, untagged(frame.Broadcast, mac(1)))
	}
	b.host.pair("sw0/p0").Send(wires...)
	frames, err := p.attached.Device().Receive(b.w.io)
	b.must(err)

	var flooded int // when the request had its turn
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.w.do(func() {
			flooded = len(b.took("p1"))
			b.must(b.DeletePort(context.Background(), "sw0", "p1"))
		})
	}()
	b.w.posted()
	b.w.take(p.core, frames)
	<-done
	if flooded == 0 || flooded*(ports-1) > 2*enoughWork {
		t.Errorf("the request waited for %d of %d frames to %d ports, want at most %d copies", flooded, len(frames), ports-1, 2*enoughWork)
	}
	if got := len(b.took("p2")); got != len(frames) {
		t.Errorf("a port that stayed got %d frames, want %d", got, len(frames))
	}
	if got := b.counters("p0").RxFrames; got != uint64(len(frames)) {
		t.Errorf("%d frames were counted, want %d", got, len(frames))
	}
}

// TestFramesThatEndABatchKeepTheirTags holds that frames which were looked at,
// and then had to wait for the next batch, are decided there by the tags that
// they came with.
func TestFramesThatEndABatchKeepTheirTags(t *testing.T) {
	const ports = 400
	b := newBench(t)
	b.add(PortConfig{Name: "p0", VLAN: vlan.Policy{Mode: vlan.Trunk}})
	for i := range ports - 1 {
		b.add(PortConfig{Name: fmt.Sprintf("p%d", i+1), VLAN: vlan.Policy{VLAN: 7}})
	}
	p, err := b.findPort("sw0", "p0")
	b.must(err)
	tag := frame.NewTag(frame.TPIDCustomer, 0, 7)
	inBytes, beside := untagged(frame.Broadcast, mac(1)), untagged(frame.Broadcast, mac(1))
	inBytes.Bytes = ether(frame.Broadcast, mac(1), 46, tag)
	beside.Tag = tag
	want := untagged(frame.Broadcast, mac(1)).Bytes
	for range port.BatchFrames / 2 {
		b.host.pair("sw0/p0").Send(inBytes, beside)
	}
	frames, err := p.attached.Device().Receive(b.w.io)
	b.must(err)
	b.w.take(p.core, frames)
	got := b.took("p1")
	if len(got) != port.BatchFrames {
		t.Errorf("got %d frames, want %d", len(got), port.BatchFrames)
	}
	for i, w := range got {
		if w.Tag != 0 || !bytes.Equal(w.Bytes, want) {
			t.Fatalf("frame %d left with tag %v as %x, want %x", i, w.Tag, w.Bytes, want)
		}
	}
	c := b.counters("p0")
	if n := uint64(port.BatchFrames * (len(want) + frame.TagLen)); c.RxFrames != port.BatchFrames || c.RxBytes != n {
		t.Errorf("counted %d frames of %d octets, want %d of %d", c.RxFrames, c.RxBytes, port.BatchFrames, n)
	}
}

// TestFramesOfADeletedPortEnd holds that the rest of a batch goes nowhere once
// its port is deleted.
func TestFramesOfADeletedPortEnd(t *testing.T) {
	const ports = 400
	b := newBench(t)
	for i := range ports {
		b.add(PortConfig{Name: fmt.Sprintf("p%d", i)})
	}
	p, err := b.findPort("sw0", "p0")
	b.must(err)
	for range port.BatchFrames {
		b.host.pair("sw0/p0").Send(untagged(frame.Broadcast, mac(1)))
	}
	frames, err := p.attached.Device().Receive(b.w.io)
	b.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.w.do(func() { b.must(b.DeletePort(context.Background(), "sw0", "p0")) })
	}()
	b.w.posted()
	b.w.take(p.core, frames)
	<-done
	if got := len(b.took("p1")); got == 0 || got == len(frames) {
		t.Errorf("%d of %d frames were flooded, want those before the port was deleted", got, len(frames))
	}
}

// TestAFrameMakesBoundedWork holds that no frame keeps a worker for longer than
// [maxWork] takes, whatever it makes of itself, and that what is not sent is
// counted.
func TestAFrameMakesBoundedWork(t *testing.T) {
	const ports = 300
	patch := func(b *bench, n int) {
		for i := range n {
			name := fmt.Sprintf("to%d", i)
			b.add(PortConfig{Name: name, Attach: patchTo("sw1", name)})
		}
	}
	for _, c := range []struct {
		name    string
		patches int
		wire    porttest.Wire
		each    int // devices' frames a copy
		most    int // devices' frames in all
	}{
		{"patches side by side", 3, untagged(frame.Broadcast, mac(1)), 1, maxWork},
		{"segments in a tunnel", 0, tunnelled(60_000, 64), 938, maxWork/segmentWork + 938},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.AddSwitch(context.Background(), "sw1", DefaultSettings()))
			for i := range ports {
				b.add(PortConfig{Name: fmt.Sprintf("p%d", i)})
			}
			patch(b, c.patches)
			b.send("p0", c.wire)
			var sent, full, left uint64
			for i := range ports {
				name := fmt.Sprintf("p%d", i)
				counts := b.counters(name)
				sent += counts.TxFrames
				full += counts.Drops[frame.TxFull]
				left += uint64(len(b.took(name)))
			}
			if left != sent*uint64(c.each) {
				t.Errorf("%d frames left for %d copies, want %d each", left, sent, c.each)
			}
			if left < uint64(c.most/2) || left > uint64(c.most) {
				t.Errorf("%d frames left, want up to %d", left, c.most)
			}
			if full == 0 {
				t.Error("none was counted as tx-full")
			}
			b.send("p0", untagged(frame.Broadcast, mac(1)))
			if got := len(b.took("p1")); got == 0 {
				t.Error("the next frame goes nowhere")
			}
		})
	}
}

// tunnelled returns TCP in VXLAN as one super-frame, with segments of size.
func tunnelled(payload int, size uint16) porttest.Wire {
	inner := packetOf(0x0800, 6, 40+payload)
	vxlan := []byte{8, 0, 0, 0, 0, 0, 42, 0}
	b := packetOf(0x0800, 17, 20+8+len(vxlan)+len(inner))
	udp := b[frame.HeaderLen+20:]
	binary.BigEndian.PutUint16(udp[2:], 4789)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(udp[8:], vxlan)
	copy(udp[8+len(vxlan):], inner)
	start := uint16(len(b) - payload - 20)
	return porttest.Wire{Bytes: b, Offload: frame.Offload{
		Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: start + 20, GSOSize: size, CsumStart: start, CsumOffset: 16,
	}}
}
