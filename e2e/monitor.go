package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Monitor does what a VM monitor does: it opens the TAP of a --vm port by name
// and speaks virtio-net headers. Frames have their tags in the bytes.
type Monitor struct {
	*inbox
	Queues []*os.File
}

// Monitor opens a TAP of the host, with one queue unless said otherwise.
func (h *Host) Monitor(ifname string, queues ...int) *Monitor {
	h.t.Helper()
	n, flags := 1, uint16(unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	if len(queues) > 0 && queues[0] > 1 {
		n, flags = queues[0], flags|unix.IFF_MULTI_QUEUE
	}
	m := &Monitor{inbox: &inbox{h: h, name: "monitor of " + ifname}}
	h.onClose(m.Close)
	for range n {
		var fd int
		h.Do(func() (err error) {
			fd, err = openTap(ifname, flags)
			return err
		})
		f := os.NewFile(uintptr(fd), "tap:"+ifname)
		m.Queues = append(m.Queues, f)
		go m.receive(f)
	}
	return m
}

func openTap(ifname string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(ifname)
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return -1, errors.Join(fmt.Errorf("attach to TAP %s: %w", ifname, err), unix.Close(fd))
	}
	// What a guest with checksum offload, TSO and USO asks for.
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return -1, errors.Join(fmt.Errorf("set offloads of TAP %s: %w", ifname, err), unix.Close(fd))
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetHdrLen); err != nil {
		return -1, errors.Join(fmt.Errorf("set vnet header of TAP %s: %w", ifname, err), unix.Close(fd))
	}
	return fd, nil
}

// receive ends when the queue is closed.
func (m *Monitor) receive(f *os.File) {
	buf := make([]byte, vnetHdrLen+1<<17)
	for {
		n, err := f.Read(buf)
		if err != nil {
			m.put(Received{}, err)
			return
		}
		if n >= vnetHdrLen {
			m.put(Received{Bytes: bytes.Clone(buf[vnetHdrLen:n]), Offload: readOffload(buf)}, nil)
		}
	}
}

// Close lets go of the TAP, as a guest that was killed does.
func (m *Monitor) Close() {
	for _, f := range m.Queues {
		_ = f.Close() // twice does no harm
	}
}

// Send puts frames on the wire, on the first queue.
func (m *Monitor) Send(frames ...any) {
	m.h.t.Helper()
	for _, f := range frames {
		if err := m.SendOffload(Offload{}, wireBytes(f)); err != nil {
			m.h.t.Fatalf("%s: send %s: %v", m.name, Describe(wireBytes(f)), err)
		}
	}
}

// TrySend sends a frame that the kernel may refuse.
func (m *Monitor) TrySend(f any) error { return m.SendOffload(Offload{}, wireBytes(f)) }

// SendOffload sends a frame with offload metadata.
func (m *Monitor) SendOffload(off Offload, frame []byte) error {
	_, err := m.Queues[0].Write(append(off.bytes(), frame...))
	return err
}
