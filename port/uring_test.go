package port

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// urings returns two IOs that move many frames of a TAP at once.
func urings(t *testing.T) (out, in *IO) {
	t.Helper()
	out, in = NewIO(), NewIO()
	for _, io := range []*IO{out, in} {
		if err := io.UseURing(); err != nil {
			t.Skip("this kernel has no io_uring for us: ", err)
		}
		t.Cleanup(io.Close)
	}
	return out, in
}

// TestTapMovesManyAtOnce holds that frames keep their number and order when
// they cross into the kernel together, whether as many come as were asked for
// or fewer, and that it costs no allocation.
func TestTapMovesManyAtOnce(t *testing.T) {
	out, in := urings(t)
	a, stack := tapAndStack(t)

	sent, received := uint32(0), uint32(0)
	buffers := make([][]byte, BatchFrames)
	frames := make([]frame.Frame, BatchFrames)
	copies := make([]Copy, BatchFrames)
	for i := range buffers {
		buffers[i] = testFrame(60)
	}
	send := func(d Device, n int) {
		for i := range n {
			binary.BigEndian.PutUint32(buffers[i][frame.OffloadLen+20:], sent)
			frames[i].Reset(buffers[i], 0, frame.Offload{})
			copies[i] = Copy{Frame: &frames[i]}
			if i%3 == 2 {
				copies[i].Tag = frame.NewTag(frame.TPIDCustomer, 0, 10) // in two pieces
			}
			sent++
		}
		if got, err := d.Transmit(out, copies[:n]); err != nil || got.Frames != uint64(n) {
			t.Fatalf("sent %+v, %v; want %d frames", got, err, n)
		}
	}
	take := func(d Device) {
		for received < sent {
			got, err := d.Receive(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 && !readable(d) {
				t.Fatalf("%d frames of %d after 10 s", received, sent)
			}
			for i := range got {
				data := got[i].Data()
				at := 20 + len(data) - 60
				if n := binary.BigEndian.Uint32(data[at:]); n != received {
					t.Fatalf("frame %d came as the %dth", n, received)
				}
				received++
			}
		}
	}
	both := func(from, to Device, n ...int) func() {
		return func() {
			for _, n := range n {
				send(from, n)
			}
			take(to)
		}
	}
	for name, pass := range map[string]func(){
		"from the stack, full batches":     both(stack, a, BatchFrames, BatchFrames, BatchFrames),
		"from the stack, a full one, some": both(stack, a, BatchFrames, 7),
		"from the stack, few":              both(stack, a, 1),
		"to the stack, a full batch":       both(a, stack, BatchFrames),
		"to the stack, some":               both(a, stack, minTogether),
		"to the stack, few":                both(a, stack, 1),
	} {
		if n := testing.AllocsPerRun(50, pass); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	if in.uring == nil || out.uring == nil {
		t.Error("the io_uring was given up")
	}
}

// TestTapGoneManyAtOnce is TestDeviceGone for frames that go together.
func TestTapGoneManyAtOnce(t *testing.T) {
	io, _ := urings(t)
	h := newTestHost(t)
	a := h.open("p1", Config{Kind: Tap, IfName: "tap9"})
	copies := batch(testFrame(60), 0)
	run(t, "ip", "link", "set", "tap9", "down")
	if sent, err := a.Device.Transmit(io, copies); err != nil || sent.Failed != BatchFrames {
		t.Errorf("while the TAP is down: got %+v, %v; want %d failed and no error", sent, err, BatchFrames)
	}
	run(t, "ip", "link", "del", "tap9")
	a.Device.(*tapDevice).busy = true
	if _, err := a.Device.Receive(io); !errors.Is(err, ErrGone) {
		t.Errorf("receive from a TAP that is gone: got %v", err)
	}
	if sent, err := a.Device.Transmit(io, copies); !errors.Is(err, ErrGone) || sent.Failed != BatchFrames {
		t.Errorf("transmit to a TAP that is gone: got %+v, %v", sent, err)
	}
}

// TestTapGoesOnWithoutURing holds that no frame is lost where an io_uring fails
// at work.
func TestTapGoesOnWithoutURing(t *testing.T) {
	out, in := urings(t)
	a, stack := tapAndStack(t)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, io := range []*IO{out, in} {
		if err := unix.Dup3(null, io.uring.fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	copies := batch(testFrame(60), 0)
	if sent, err := a.Transmit(out, copies); err != nil || sent.Frames != BatchFrames {
		t.Errorf("transmit: got %+v, %v; want %d frames", sent, err, BatchFrames)
	}
	receive(t, stack, NewIO(), BatchFrames)
	if sent, err := stack.Transmit(NewIO(), copies); err != nil || sent.Frames != BatchFrames {
		t.Fatalf("the stack sent %+v, %v; want %d frames", sent, err, BatchFrames)
	}
	a.(*tapDevice).busy = true
	receive(t, a, in, BatchFrames)
	if in.uring != nil || out.uring != nil {
		t.Error("an io_uring that fails is still in use")
	}
}
