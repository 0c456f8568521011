package port

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// TestPacketDeviceOutlivesWhatItCannotDescribe has a VM's monitor send what the
// kernel takes, but cannot hand on to a packet socket: the frame is bad, and the
// device is not gone.
func TestPacketDeviceOutlivesWhatItCannotDescribe(t *testing.T) {
	h := newTestHost(t)
	a := h.open("vm", Config{Kind: VM, Device: "vm9"})
	fd, err := openMonitor("vm9")
	if err != nil {
		t.Fatal(err)
	}
	monitor := os.NewFile(uintptr(fd), "vm9")
	defer monitor.Close()
	eventually(t, "the TAP has carrier", func() bool { return a.Status().Carrier })

	good := testFrame(60)
	// UDP fragmentation offload: the type is known to TAPs, and to no
	// packet socket.
	ufo := testFrame(3000)
	ufo[0], ufo[1] = frame.NeedsCsum, 3
	binary.NativeEndian.PutUint16(ufo[4:], 1000)
	binary.NativeEndian.PutUint16(ufo[6:], 34)
	binary.NativeEndian.PutUint16(ufo[8:], 6)
	sent := [][]byte{good, ufo, ufo, good, ufo, good}
	for _, b := range sent {
		if _, err := monitor.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	var whole, bad int
	io := NewIO()
	eventually(t, "all is received", func() bool {
		frames, err := a.Device.Receive(io)
		if err != nil {
			t.Fatalf("after %d frames: %v", whole+bad, err)
		}
		for i := range frames {
			switch r := frames[i].Check(); r {
			case frame.Pass:
				whole++
			case frame.BadOffload:
				bad++
			default:
				t.Errorf("a frame is %s", r)
			}
		}
		return whole+bad == len(sent)
	})
	if whole != 3 || bad != 3 {
		t.Errorf("%d frames came whole and %d bad, want 3 and 3", whole, bad)
	}
}

// TestPacketDeviceTellsRefusedFromFull holds that a super-frame which the kernel
// cannot cut, because it is none, does not count as a queue that is full.
func TestPacketDeviceTellsRefusedFromFull(t *testing.T) {
	h := newTestHost(t)
	a := h.open("vm", Config{Kind: VM, Device: "vm9"})
	fd, err := openMonitor("vm9") // wants no offloads, so the kernel must cut
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	eventually(t, "the TAP has carrier", func() bool { return a.Status().Carrier })
	var f frame.Frame
	f.Reset(testFrame(3000), 0, frame.Offload{
		Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, GSOSize: 1000, HdrLen: 54, CsumStart: 34, CsumOffset: 16,
	})
	if r := f.Check(); r != frame.Pass {
		t.Fatalf("the frame is %s already", r)
	}
	sent, err := a.Device.Transmit(NewIO(), []Copy{{Frame: &f}})
	if err != nil || sent != (Sent{Failed: 1}) {
		t.Errorf("transmit: got %+v, %v; want one failed", sent, err)
	}
}

// openMonitor opens a TAP that exists, as a VM's monitor does.
func openMonitor(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}
