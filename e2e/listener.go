package e2e

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// listener counts, for each device of a namespace, the frames with a payload.
type listener struct {
	file *os.File
	done chan struct{}

	mu    sync.Mutex
	heard map[int]int // by ifindex
}

// listen hears what arrives on any device of the namespace.
func (ns *Namespace) listen(payload string) *listener {
	ns.h.t.Helper()
	l := &listener{heard: make(map[int]int), done: make(chan struct{})}
	var fd int
	ns.Do(func() (err error) {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		)
	})
	l.file = os.NewFile(uintptr(fd), "listener")
	raw, err := l.file.SyscallConn()
	if err != nil {
		ns.h.t.Fatal(err)
	}
	go func() { // until close
		defer close(l.done)
		buf := make([]byte, 2048)
		for {
			var n int
			var from unix.Sockaddr
			var opErr error
			err := raw.Read(func(fd uintptr) bool {
				n, from, opErr = unix.Recvfrom(int(fd), buf, 0)
				return !errors.Is(opErr, unix.EAGAIN)
			})
			if err != nil {
				return
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && opErr == nil && strings.HasSuffix(string(buf[:n]), payload) {
				l.mu.Lock()
				l.heard[ll.Ifindex]++
				l.mu.Unlock()
			}
		}
	}()
	ns.closers = append(ns.closers, func() { l.file.Close() })
	return l
}

// reached returns on how many devices something was heard.
func (l *listener) reached() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard)
}

// close ends l and returns how often the device that heard most heard it.
func (l *listener) close() (most int) {
	l.file.Close()
	<-l.done
	for _, n := range l.heard {
		most = max(most, n)
	}
	return most
}
