package port

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// boosted boosts a device, and returns the descriptor to poll beside its own.
func boosted(t *testing.T, d Device) (b Booster, fd int) {
	t.Helper()
	b = d.(Booster)
	fd, err := b.Boost()
	if err != nil {
		t.Fatal(err)
	}
	return b, fd
}

// TestBoostedDevice holds that frames come by a ring as they come without one:
// with tags and offload headers, long ones too, and without allocations.
func TestBoostedDevice(t *testing.T) {
	a, b := wires(t)
	boost, fd := boosted(t, b)
	if err := boost.Shift(); err != nil {
		t.Fatal(err)
	}
	out, in := NewIO(), NewIO()
	tag := frame.NewTag(frame.TPIDService, 5, 10)
	for _, length := range []int{18, 60, 1514, 1900, 2100, 9000, 60_000} {
		for _, tag := range []frame.Tag{0, tag, frame.NewTag(frame.TPIDCustomer, 0, 0)} {
			t.Run(fmt.Sprintf("%d octets, tag %v", length, tag), func(t *testing.T) {
				buf := testFrame(length)
				var off frame.Offload
				if length > 9000 {
					off = frame.Offload{Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
					binary.BigEndian.PutUint16(buf[frame.OffloadLen+12:], 0x0800)
					buf[frame.OffloadLen+14], buf[frame.OffloadLen+23] = 0x45, unix.IPPROTO_TCP
					buf[frame.OffloadLen+46] = 5 << 4
				}
				f := new(frame.Frame)
				pass := func() {
					f.Reset(buf, 0, off)
					copies := []Copy{{f, tag}, {f, tag}, {f, tag}}
					if sent, err := a.Transmit(out, copies); err != nil || sent.Frames != 3 {
						t.Fatalf("transmit: got %+v, %v; want 3 frames", sent, err)
					}
					for n := 0; n < 3; {
						poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
						if ready, err := unix.Poll(poll, 10_000); ready == 0 && err == nil {
							t.Fatalf("%d frames after 10 s, want 3", n)
						}
						frames, err := b.Receive(in)
						if err != nil {
							t.Fatal(err)
						}
						for i := range frames {
							got, ok := frames[i].Outer()
							if !ok || got != tag || !bytes.Equal(frames[i].Data(), buf[frame.OffloadLen:]) || frames[i].Offload().GSOType != off.GSOType {
								t.Fatalf("received tag %v, %+v and %x, want %v, %+v and the frame", got, frames[i].Offload(), frames[i].Data(), tag, off)
							}
						}
						n += len(frames)
						in.Release()
					}
				}
				if n := testing.AllocsPerRun(ringSlots/3/5, pass); n > 2 { // the poll's
					t.Errorf("three frames out and in: %v allocations, want those of this test alone", n)
				}
			})
		}
	}
}

// TestBoostedDeviceGoesDown holds that what is said of it is taken note of once:
// its descriptors do not poll readable for good.
func TestBoostedDeviceGoesDown(t *testing.T) {
	a, b := wires(t)
	boost, fd := boosted(t, b)
	if err := boost.Shift(); err != nil {
		t.Fatal(err)
	}
	polls := []unix.PollFd{{Fd: int32(b.FD()), Events: unix.POLLIN}, {Fd: int32(fd), Events: unix.POLLIN}}
	readable := func() bool {
		n, err := unix.Poll(polls, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	out, in := NewIO(), NewIO()
	if sent, err := a.Transmit(out, batch(testFrame(60), 0)[:1]); err != nil || sent.Frames != 1 {
		t.Fatalf("transmit: %+v, %v", sent, err)
	}
	eventually(t, "a frame comes by the ring", func() bool {
		frames, err := b.Receive(in)
		return len(frames) == 1 && err == nil
	})
	run(t, "ip", "link", "set", "wire1", "down")
	eventually(t, "the device's end is told", readable)
	for range 2 { // a descriptor each
		if frames, err := b.Receive(in); len(frames) != 0 || err != nil {
			t.Fatalf("of a device that is down: %d frames, %v", len(frames), err)
		}
	}
	if readable() {
		t.Errorf("descriptors still poll readable: %+v", polls)
	}
}

// TestBoostLosesNothing holds that frames go on in their order, each once, while
// a device gets a ring and gives it back.
func TestBoostLosesNothing(t *testing.T) {
	a, b := wires(t)
	done := make(chan error, 1)
	begin := time.Now()
	turns := make(chan func()) // run between two batches
	stop := make(chan struct{})
	sent := make(chan uint64, 1)
	go func() {
		out, n := NewIO(), uint64(0)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			// Of lengths that go by the ring, and by its queue.
			for uint64(time.Since(begin).Microseconds()/100) > n {
				buf := testFrame([]int{60, 60, 60, 1514, 60, 3000}[n%6])
				binary.BigEndian.PutUint64(buf[frame.OffloadLen+14:], n)
				f := new(frame.Frame)
				f.Reset(buf, 0, frame.Offload{})
				if s, err := a.Transmit(out, []Copy{{f, 0}}); err != nil || s.Frames != 1 {
					t.Errorf("transmit: %+v, %v", s, err)
				}
				n++
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	ended := make(chan uint64)
	fds := []unix.PollFd{{Fd: int32(b.FD()), Events: unix.POLLIN}}
	go func() {
		in, want := NewIO(), uint64(0)
		for {
			select {
			case turn := <-turns:
				turn()
			case n := <-sent:
				sent <- n
				if want == n {
					done <- nil
					return
				}
			case <-ended:
				done <- fmt.Errorf("%d frames came", want)
				return
			default:
			}
			if _, err := unix.Poll(fds, 10); err != nil && err != unix.EINTR {
				done <- err
				return
			}
			frames, err := b.Receive(in)
			if err != nil {
				done <- err
				return
			}
			for i := range frames {
				if got := binary.BigEndian.Uint64(frames[i].Data()[14:]); got != want {
					done <- fmt.Errorf("frame %d came, want %d", got, want)
					return
				}
				want++
			}
			in.Release()
		}
	}()
	turn := func(fn func()) {
		passed := make(chan struct{})
		select {
		case turns <- func() { fn(); close(passed) }:
			<-passed
		case err := <-done:
			t.Fatal(err)
		}
	}
	for range 10 {
		boost, fd := boosted(t, b)
		turn(func() { fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) })
		if err := boost.Shift(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // of traffic
		if err := boost.Calm(); err != nil {
			t.Fatal(err)
		}
		var giveBack func() error
		for giveBack == nil {
			turn(func() {
				if giveBack = boost.Unboost(); giveBack != nil {
					fds = fds[:1]
				}
			})
		}
		if err := giveBack(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		close(ended)
		t.Error(<-done)
	}
	if n := b.(RxDropCounter).RxDrops(); n != 0 {
		t.Errorf("%d frames were dropped for want of room", n)
	}
	t.Logf("%d frames", <-sent)
}
