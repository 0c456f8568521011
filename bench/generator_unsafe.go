package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// burst is how many frames a generator sends with one system call.
const burst = 32

// generator sends frames from a namespace, one after the other and again, at a
// rate or as fast as it can.
type generator struct {
	fd   int
	msgs []mmsghdr // all frames in a row, and the first of them once more
	n    int       // frames
	at   int       // the one that comes next
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

func newGenerator(ns, device string, frames [][]byte) (*generator, error) {
	fd, err := packetSocket(ns, device)
	if err != nil {
		return nil, fmt.Errorf("a packet socket on %s in %s: %w", device, ns, err)
	}
	g := &generator{fd: fd, n: len(frames)}
	for i := range len(frames) + burst {
		f := frames[i%len(frames)]
		vec := &unix.Iovec{Base: &f[0]}
		vec.SetLen(len(f))
		g.msgs = append(g.msgs, mmsghdr{Msghdr: unix.Msghdr{Iov: vec, Iovlen: 1}})
	}
	return g, nil
}

// packetSocket opens one that only sends.
func packetSocket(ns, device string) (fd int, err error) {
	// The thread ends with the goroutine, and with it its namespace.
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var there netns.NsHandle
		if there, err = netns.GetFromName(ns); err != nil {
			return
		}
		defer there.Close()
		if err = netns.Set(there); err != nil {
			return
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		var req *unix.Ifreq
		if req, err = unix.NewIfreq(device); err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: int(req.Uint32())})
		}
		if err != nil {
			unix.Close(fd)
		}
	}()
	<-done
	return fd, err
}

func (g *generator) close() { unix.Close(g.fd) }

// behind is what a generator that was held up catches up with, in time: as a
// queue on the way would.
const behind = time.Millisecond

// send sends for a while at a rate, in frames a second (0: as fast as it can),
// and returns how many frames it has sent in which time.
func (g *generator) send(ctx context.Context, length time.Duration, rate float64) (sent uint64, took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	due := begin // when the next frame is to go
	for now := begin; now.Sub(begin) < length && ctx.Err() == nil; now = time.Now() {
		n := burst
		if rate > 0 {
			if now.Sub(due) > behind {
				due = now.Add(-behind)
			}
			if n = min(int(now.Sub(due).Seconds()*rate), burst); n == 0 {
				continue // without sleeping, which would take too long
			}
			due = due.Add(time.Duration(float64(n) / rate * 1e9))
		}
		done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[g.at])), uintptr(n), 0, 0, 0)
		switch errno {
		case 0:
			sent += uint64(done)
			g.at = (g.at + int(done)) % g.n
		case unix.ENOBUFS, unix.EINTR, unix.EAGAIN: // what it is given is too much
		default:
			return sent, 0, fmt.Errorf("send frames: %w", errno)
		}
	}
	return sent, time.Since(begin), ctx.Err()
}
