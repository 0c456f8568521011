package port

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/netns"
)

// hostAddress is one of the test's host, which frames ask for.
const hostAddress = "10.9.0.1"

// questions are frames that a host with that address answers: who has it
// (ARP), and an echo request to it at the station mac.
func questions(mac frame.MAC) [][]byte {
	arp := make([]byte, 42)
	copy(arp, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x99\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x99\x0a\x09\x00\x63")
	copy(arp[38:], "\x0a\x09\x00\x01")
	echo := make([]byte, 14+20+8)
	copy(echo, mac[:])
	copy(echo[6:], "\x02\x00\x00\x00\x00\x99\x08\x00\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x01\x00\x00\x0a\x09\x00\x63\x0a\x09\x00\x01\x08\x00\x00\x00\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(echo[24:], checksum(echo[14:34]))
	binary.BigEndian.PutUint16(echo[36:], checksum(echo[34:]))
	return [][]byte{arp, echo}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// ipReceived is how many packets the host's stack has taken in.
func ipReceived(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(strings.Split(string(b), "\n")[1])[3]
}

// send transmits frames on a device of a namespace; "" is the test's host.
func send(t *testing.T, ns, device string, frames [][]byte) {
	t.Helper()
	work := func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		index, err := deviceIndex(fd, device)
		if err != nil {
			return err
		}
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
				return err
			}
		}
		return nil
	}
	err := error(nil)
	if ns == "" {
		err = work()
	} else {
		n, openErr := netns.Open(ns)
		if openErr != nil {
			t.Fatal(openErr)
		}
		defer n.Close()
		err = n.Do(work)
	}
	if err != nil {
		t.Fatalf("send on %s: %v", device, err)
	}
}

func deviceIndex(fd int, device string) (int, error) {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	return int(req.Uint32()), err
}

func deviceMAC(t *testing.T, h *testHost, device string) frame.MAC {
	t.Helper()
	link, err := h.conn.LinkByName(device)
	if err != nil {
		t.Fatal(err)
	}
	return frame.MAC(link.Attrs().HardwareAddr)
}

// receiveAll receives until the device has had n frames.
func receiveAll(t *testing.T, d Device, n int) {
	t.Helper()
	io := NewIO()
	got := 0
	eventually(t, "the port has received all frames", func() bool {
		frames, err := d.Receive(io)
		if err != nil {
			t.Fatal(err)
		}
		got += len(frames)
		return got >= n
	})
}

func TestHostStackSeesNothingOfAPort(t *testing.T) {
	h := newTestHost(t)
	run(t, "ip", "addr", "add", hostAddress+"/32", "dev", "lo")
	defer run(t, "ip", "addr", "del", hostAddress+"/32", "dev", "lo")
	run(t, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
	ns := namespace(t, "web")

	// What is told from nothing: without a port, the stack sees them.
	run(t, "ip", "link", "add", "c1", "type", "veth", "peer", "name", "c2", "netns", ns)
	run(t, "ip", "link", "set", "c1", "up")
	run(t, "sysctl", "-qw", "net.ipv4.conf.c1.rp_filter=0")
	in(t, ns, "ip", "link", "set", "c2", "up")
	before := ipReceived(t)
	send(t, ns, "c2", questions(deviceMAC(t, h, "c1")))
	eventually(t, "the stack receives what no port takes", func() bool { return ipReceived(t) != before })
	run(t, "ip", "link", "del", "c1")

	for _, mode := range []string{"clsact", "tcx"} {
		h.drop.tcx = mode == "tcx"
		t.Run(mode, func(t *testing.T) {
			t.Run("veth", func(t *testing.T) {
				a := h.open("p1", Config{Kind: Veth, Netns: ns, IfName: "eth0"})
				defer a.Close()
				silent(t, ns, "eth0", a, func() { send(t, ns, "eth0", questions(deviceMAC(t, h, a.Info.Device))) })
			})
			t.Run("dev", func(t *testing.T) {
				run(t, "ip", "link", "add", "d1", "type", "veth", "peer", "name", "d2", "netns", ns)
				in(t, ns, "ip", "link", "set", "d2", "up")
				a := h.open("p1", Config{Kind: Dev, Device: "d1"})
				defer run(t, "ip", "link", "del", "d1")
				defer a.Close()
				silent(t, ns, "d2", a, func() { send(t, ns, "d2", questions(deviceMAC(t, h, "d1"))) })
			})
			t.Run("vm", func(t *testing.T) {
				a := h.open("p1", Config{Kind: VM, Device: "vm9"})
				defer a.Close()
				fd, quit, err := attachTun("vm9", false)
				if err != nil {
					t.Fatal(err)
				}
				defer quit()
				before := ipReceived(t)
				q := questions(deviceMAC(t, h, "vm9"))
				for _, f := range q {
					if _, err := unix.Write(fd, append(make([]byte, frame.OffloadLen), f...)); err != nil {
						t.Fatal(err)
					}
				}
				receiveAll(t, a.Device, len(q))
				if after := ipReceived(t); after != before {
					t.Errorf("the host's stack received packets: %s, before %s", after, before)
				}
				if n, err := unix.Read(fd, make([]byte, 2048)); err != unix.EAGAIN {
					t.Errorf("the guest got an answer of %d octets (%v)", n, err)
				}
			})
		})
	}
}

// silent checks that nothing answers what ask asks from a device inside.
func silent(t *testing.T, ns, device string, a *Attachment, ask func()) {
	t.Helper()
	before := ipReceived(t)
	heard := in(t, ns, "cat", "/sys/class/net/"+device+"/statistics/rx_packets")
	ask()
	receiveAll(t, a.Device, 2)
	if after := ipReceived(t); after != before {
		t.Errorf("the host's stack received packets: %s, before %s", after, before)
	}
	if now := in(t, ns, "cat", "/sys/class/net/"+device+"/statistics/rx_packets"); now != heard {
		t.Errorf("answers arrived: %s frames received, before %s", now, heard)
	}
}

// A full queue of a TAP that nobody reads is told to the sender.
func TestVMQueueIsFull(t *testing.T) {
	h := newTestHost(t)
	a := h.open("g1", Config{Kind: VM, Device: "vm9"})
	_, quit, err := attachTun("vm9", false)
	if err != nil {
		t.Fatal(err)
	}
	defer quit()
	eventually(t, "the TAP has carrier and a queue", func() bool { return a.Status().Carrier })
	io := NewIO()
	var f frame.Frame
	buf := make([]byte, frame.OffloadLen+60)
	copy(buf[frame.OffloadLen:], "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	f.Reset(buf, 0, frame.Offload{})
	var sum Sent
	for range 1500 {
		sent, err := a.Device.Transmit(io, []Copy{{Frame: &f}})
		if err != nil {
			t.Fatal(err)
		}
		sum.Frames += sent.Frames
		sum.Full += sent.Full
		sum.Failed += sent.Failed
	}
	// The TAP's queue has the length of the device's (ptr_ring_init in
	// drivers/net/tun.c).
	if want := (Sent{Frames: 1000, Full: 500}); sum != want {
		t.Errorf("of 1500 frames to a TAP that nobody reads: got %+v, want %+v", sum, want)
	}
}
