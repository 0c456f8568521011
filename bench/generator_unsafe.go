package main

import (
	"fmt"
	"net"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// burst is how many frames a generator sends with one system call, at most.
const burst = 32

// generator sends frames of 60 octets from a device.
type generator struct {
	fd       int
	frames   [burst][]byte
	messages [burst]mmsghdr
	write    func(n uint64, f []byte) // changes the n-th frame, which stands as one before it; nil: all are alike
	sent     uint64
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

func newGenerator(ns, device string, dst, src net.HardwareAddr) (*generator, error) {
	fd, err := packetSocket(ns, device)
	if err != nil {
		return nil, fmt.Errorf("a packet socket on %s in %s: %w", device, ns, err)
	}
	g := &generator{fd: fd}
	for i := range g.frames {
		g.frames[i] = frame(dst, src)
		vec := &unix.Iovec{Base: &g.frames[i][0]}
		vec.SetLen(len(g.frames[i]))
		g.messages[i].Iov, g.messages[i].Iovlen = vec, 1
	}
	return g, nil
}

// packetSocket opens one that only sends.
func packetSocket(ns, device string) (fd int, err error) {
	// The thread comes back: one that ended would end the programs that were
	// started from it (Pdeathsig).
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		return -1, err
	}
	defer here.Close()
	there, err := netns.GetFromName(ns)
	if err != nil {
		return -1, err
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return -1, err
	}
	fd, err = boundSocket(device)
	if err := netns.Set(here); err != nil {
		return -1, err // and the thread is not used again
	}
	runtime.UnlockOSThread()
	return fd, err
}

// boundSocket opens a packet socket on a device of this thread's namespace.
func boundSocket(device string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: int(req.Uint32())})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (g *generator) close() { unix.Close(g.fd) }

// burst sends up to n frames, and returns how many the device took.
func (g *generator) burst(n int) (uint64, error) {
	if g.write != nil {
		for i := range n {
			g.write(g.sent+uint64(i), g.frames[i])
		}
	}
	done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.messages[0])), uintptr(n), 0, 0, 0)
	switch errno {
	case 0:
		g.sent += uint64(done)
		return uint64(done), nil
	case unix.ENOBUFS, unix.EINTR, unix.EAGAIN: // what it is given is too much
		return 0, nil
	}
	return 0, fmt.Errorf("send frames: %w", errno)
}
