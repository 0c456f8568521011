package port

import (
	"encoding/binary"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// stream returns super-frames of one TCP connection with these sequence
// numbers.
func stream(numbers ...uint32) (copies []Copy) {
	const length = 20_000
	for _, n := range numbers {
		buf := testFrame(length)
		data := buf[frame.OffloadLen:]
		binary.BigEndian.PutUint16(data[12:], 0x0800)
		data[14], data[23] = 0x45, unix.IPPROTO_TCP
		binary.BigEndian.PutUint32(data[38:], n)
		data[46] = 5 << 4
		f := new(frame.Frame)
		f.Reset(buf, 0, frame.Offload{Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16})
		copies = append(copies, Copy{Frame: f})
	}
	return copies
}

// queued returns how many octets of memory wait at a socket.
func queued(t *testing.T, fd int) int {
	t.Helper()
	var info [16]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return int(info[unix.SK_MEMINFO_RMEM_ALLOC])
}

// TestOvertakenSuperFrames holds that super-frames of a connection that wait
// together are received in the order of their sequence numbers, by either way.
func TestOvertakenSuperFrames(t *testing.T) {
	a, b := wires(t)
	out, in := NewIO(), NewIO()
	for _, way := range []string{"queue", "ring"} {
		fd := b.FD()
		if way == "ring" {
			var boost Booster
			if boost, fd = boosted(t, b); boost.Shift() != nil {
				t.Fatal("the ring cannot be used")
			}
		}
		copies := stream(1, 4, 2, 3, 5)
		if sent, err := a.Transmit(out, copies); err != nil || sent.Frames != uint64(len(copies)) {
			t.Fatalf("transmit: got %+v, %v; want %d frames", sent, err, len(copies))
		}
		eventually(t, "all frames wait", func() bool { return queued(t, fd) >= len(copies)*copies[0].Frame.Len() })
		frames, err := b.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint32
		for i := range frames {
			got = append(got, binary.BigEndian.Uint32(frames[i].Data()[38:]))
		}
		if want := []uint32{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
			t.Errorf("%s: sequence numbers %v, want %v", way, got, want)
		}
	}
}
