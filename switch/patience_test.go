package vswitch

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/port/porttest"
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
	if flooded == 0 || flooded*(ports-1) > 2*maxCopies {
		t.Errorf("the request waited for %d of %d frames to %d ports, want at most %d copies", flooded, len(frames), ports-1, 2*maxCopies)
	}
	if got := len(b.took("p2")); got != len(frames) {
		t.Errorf("a port that stayed got %d frames, want %d", got, len(frames))
	}
	if got := b.counters("p0").RxFrames; got != uint64(len(frames)) {
		t.Errorf("%d frames were counted, want %d", got, len(frames))
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
