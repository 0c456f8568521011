package port

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// wires makes two packet sockets, one on each end of a veth pair that is
// nobody's.
func wires(t *testing.T) (a, b Device) {
	t.Helper()
	needKernel(t)
	run(t, "ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
	t.Cleanup(func() { run(t, "ip", "link", "del", "wire0") })
	ends := make([]Device, 2)
	for i, name := range []string{"wire0", "wire1"} {
		run(t, "sysctl", "-qw", "net.ipv6.conf."+name+".disable_ipv6=1")
		run(t, "ip", "link", "set", name, "arp", "off", "mtu", "65535", "up")
		link, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if ends[i], err = newPacketDevice(link.Index, false); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	eventually(t, "both ends have carrier, and queues that take frames", func() bool {
		return strings.Count(run(t, "ip", "link", "show", "type", "veth"), "state UP") >= 2
	})
	return ends[0], ends[1]
}

// testFrame returns a buffer with a frame of n octets behind the offload header.
func testFrame(n int, tags ...frame.Tag) []byte {
	b := make([]byte, frame.OffloadLen, frame.OffloadLen+n)
	b = append(b, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)
	for _, t := range tags {
		b = append(b, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	}
	b = append(b, 0x88, 0xb5)
	for len(b) < frame.OffloadLen+n {
		b = append(b, byte(len(b)))
	}
	return b
}

// batch returns BatchFrames copies of a frame, with a tag to put on.
func batch(buf []byte, tag frame.Tag) []Copy {
	f := new(frame.Frame)
	f.Reset(buf, 0, frame.Offload{})
	copies := make([]Copy, BatchFrames)
	for i := range copies {
		copies[i] = Copy{Frame: f, Tag: tag}
	}
	return copies
}

// tagged returns the bytes of a frame with a tag put in.
func tagged(buf []byte, tag frame.Tag) []byte {
	b := bytes.Clone(buf[frame.OffloadLen:])
	return slices.Insert(b, frame.AddrLen, byte(tag>>24), byte(tag>>16), byte(tag>>8), byte(tag))
}

// readable waits for frames; it reports false after 10 s.
func readable(d Device) bool {
	poll := []unix.PollFd{{Fd: int32(d.FD()), Events: unix.POLLIN}}
	ready, err := unix.Poll(poll, 10_000)
	return ready > 0 || err != nil
}

// receive takes n frames, as they come, and returns the first of them.
func receive(t *testing.T, d Device, io *IO, n int) (first *frame.Frame) {
	for got := 0; got < n; {
		if !readable(d) {
			t.Fatalf("%d frames after 10 s, want %d", got, n)
		}
		frames, err := d.Receive(io)
		if err != nil {
			t.Fatal(err)
		}
		got += len(frames)
		if len(frames) > 0 {
			first = &frames[0]
		}
	}
	return first
}

// TestPacketDeviceBatches holds that packet sockets move whole batches in and
// out, deliver tags beside the bytes, and allocate nothing for it.
func TestPacketDeviceBatches(t *testing.T) {
	a, b := wires(t)
	out, in := NewIO(), NewIO()
	tag := frame.NewTag(frame.TPIDCustomer, 5, 10)
	for _, c := range []struct {
		name string
		tag  frame.Tag
	}{{"untagged", 0}, {"tagged", tag}, {"priority tag with no priority", frame.NewTag(frame.TPIDCustomer, 0, 0)}} {
		t.Run(c.name, func(t *testing.T) {
			buf := testFrame(60)
			copies := batch(buf, c.tag)
			pass := func() {
				sent, err := a.Transmit(out, copies)
				if err != nil || sent.Frames != BatchFrames {
					t.Fatalf("transmit: got %+v, %v; want %d frames", sent, err, BatchFrames)
				}
				first := receive(t, b, in, BatchFrames)
				got, ok := first.Outer()
				if !ok || got != c.tag || !bytes.Equal(first.Data(), buf[frame.OffloadLen:]) {
					t.Fatalf("received tag %v and %x, want %v and the frame", got, first.Data(), c.tag)
				}
			}
			if n := testing.AllocsPerRun(20, pass); n != 0 {
				t.Errorf("a batch out and in: %v allocations, want 0", n)
			}
		})
	}
}

// tapAndStack makes a TAP, and a packet socket that sends and receives as the
// stack behind it does.
func tapAndStack(t *testing.T) (tap, stack Device) {
	t.Helper()
	h := newTestHost(t)
	tap = h.open("p1", Config{Kind: Tap, IfName: "tap9"}).Device
	run(t, "sysctl", "-qw", "net.ipv6.conf.tap9.disable_ipv6=1")
	link, err := net.InterfaceByName("tap9")
	if err != nil {
		t.Fatal(err)
	}
	stack, err = newPacketDevice(link.Index, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	return tap, stack
}

// TestTapDeviceMovesFrames holds that a TAP delivers tags in the bytes, and
// that a batch costs no allocation.
func TestTapDeviceMovesFrames(t *testing.T) {
	a, stack := tapAndStack(t)
	tag := frame.NewTag(frame.TPIDCustomer, 5, 10)
	out, in := NewIO(), NewIO()
	buf := testFrame(60)
	copies := batch(buf, tag)
	want := tagged(buf, tag)

	// What the stack says of its own accord comes first, if at all.
	for {
		frames, err := a.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) == 0 {
			break
		}
	}
	fromStack := func() {
		if sent, err := stack.Transmit(out, copies[:8]); err != nil || sent.Frames != 8 {
			t.Fatalf("the stack sent %+v, %v; want 8 frames", sent, err)
		}
		if first := receive(t, a, in, 8); !bytes.Equal(first.Data(), want) {
			t.Fatalf("received %x, want %x", first.Data(), want)
		}
	}
	toStack := func() {
		if sent, err := a.Transmit(out, copies[:8]); err != nil || sent.Frames != 8 {
			t.Fatalf("transmit: got %+v, %v; want 8 frames", sent, err)
		}
		if got, _ := receive(t, stack, in, 8).Outer(); got != tag {
			t.Fatalf("the stack got tag %v, want %v", got, tag)
		}
	}
	for name, pass := range map[string]func(){"from the stack": fromStack, "to the stack": toStack} {
		if n := testing.AllocsPerRun(20, pass); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// TestDeviceGone holds that a device that vanishes says so, and nothing else
// does.
func TestDeviceGone(t *testing.T) {
	h := newTestHost(t)
	a := h.open("p1", Config{Kind: Tap, IfName: "tap9"})
	io := NewIO()
	run(t, "ip", "link", "set", "tap9", "down")
	if sent, err := a.Device.Transmit(io, batch(testFrame(60), 0)[:1]); err != nil || sent.Failed != 1 {
		t.Errorf("while the TAP is down: got %+v, %v; want one failed and no error", sent, err)
	}
	run(t, "ip", "link", "del", "tap9")
	if _, err := a.Device.Receive(io); !errors.Is(err, ErrGone) {
		t.Errorf("receive from a TAP that is gone: got %v", err)
	}
	if sent, err := a.Device.Transmit(io, batch(testFrame(60), 0)[:1]); !errors.Is(err, ErrGone) || sent.Failed != 1 {
		t.Errorf("transmit to a TAP that is gone: got %+v, %v", sent, err)
	}
}
