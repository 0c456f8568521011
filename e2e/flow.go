package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Flows are transfers between the stacks of namespaces without a program in
// each: the sockets belong to the test. That makes one cost milliseconds, so
// that there can be many; [Transfer] reaches every [Place].

// flowTime bounds a flow.
const flowTime = 2 * Patience

// seeds tells the bytes of one flow from those of all others.
var seeds atomic.Uint64

// unguessable returns octets that no other flow carries.
func unguessable(size int) []byte {
	var seed [32]byte
	for i, n := 0, seeds.Add(1); i < 8; i++ {
		seed[i] = byte(n >> (8 * i))
	}
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b) // it never fails
	return b
}

// Flow sends octets from one stack to another and reports what became of them:
// nil when just these arrived. Network is
//
//	tcp4, tcp6  one stream of size octets
//	udp4, udp6  datagrams of many lengths, up to what fits one frame
//	uso4, uso6  super-datagrams, which the stack leaves to the device to cut
//
// Datagrams come in bursts that every buffer on the way has room for, each
// awaited before the next: none may be lost.
func Flow(from, to *Stack, network string, size int) error {
	from.h.t.Helper()
	var err error
	if strings.HasPrefix(network, "tcp") {
		err = flowTCP(from, to, network, unguessable(size))
	} else {
		err = flowUDP(from, to, network, unguessable(size))
	}
	if err != nil {
		return fmt.Errorf("%s from %s to %s: %w", network, from.Name, to.Name, err)
	}
	return nil
}

func flowTCP(from, to *Stack, network string, data []byte) error {
	l, err := to.listen(network)
	if err != nil {
		return err
	}
	defer l.Close()
	type outcome struct {
		hash [sha256.Size]byte
		n    int
		err  error
	}
	received := make(chan outcome, 1)
	go func() {
		var o outcome
		o.hash, o.n, o.err = drain(l)
		received <- o
	}()
	conn, err := from.dial(network, l.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.SetDeadline(time.Now().Add(flowTime))
	if err == nil {
		_, err = conn.Write(data)
	}
	if err == nil {
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		return err
	}
	o := <-received
	if o.err != nil || o.n != len(data) || o.hash != sha256.Sum256(data) {
		return fmt.Errorf("sent %d octets with hash %x, got %d with %x, %v", len(data), sha256.Sum256(data), o.n, o.hash, o.err)
	}
	return nil
}

// drain takes one stream to its end.
func drain(l net.Listener) (hash [sha256.Size]byte, n int, err error) {
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(flowTime)); err != nil {
		return hash, 0, err
	}
	conn, err := l.Accept()
	if err != nil {
		return hash, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(flowTime)); err != nil {
		return hash, 0, err
	}
	sum := sha256.New()
	// Not io.Copy: it would splice where it can, and look at nothing.
	buf := make([]byte, 256<<10)
	for {
		m, err := conn.Read(buf)
		sum.Write(buf[:m])
		n += m
		if m == 0 || err != nil {
			copy(hash[:], sum.Sum(nil))
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return hash, n, err
		}
	}
}

const (
	burstOctets = 256 << 10 // at a time, on the way
	superOctets = 60000     // of a super-datagram, at the most
)

// lengths are those of the datagrams that fit a frame, in their order, again
// and again. One octet is the shortest that a checksum can be wrong for.
func lengths(fits int) []int { return []int{fits, 1, fits - 1, 2, 46, 47, fits, 512, 3, fits, 999} }

func flowUDP(from, to *Stack, network string, data []byte) error {
	udp := strings.Replace(network, "uso", "udp", 1)
	in, err := to.listenPacket(udp)
	if err != nil {
		return err
	}
	defer in.Close()
	conn, err := from.dial(udp, in.LocalAddr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(flowTime)), in.SetReadDeadline(time.Now().Add(flowTime))); err != nil {
		return err
	}
	const headers = 40 + 8 // IPv6 and UDP; IPv4's are shorter
	fits := min(from.MTU, to.MTU) - headers
	sizes := lengths(fits)
	if udp != network {
		if err := segmentBy(conn, fits); err != nil {
			return err
		}
		sizes = []int{superOctets}
	}
	buf := make([]byte, 1<<16)
	for at, i := 0, 0; at < len(data); {
		begin := at
		// The first waits for the neighbour's address, where the stack would
		// not keep many.
		for ; at < len(data) && at-begin < burstOctets && (i == 0 || begin > 0); i++ {
			end := min(at+sizes[i%len(sizes)], len(data))
			if _, err := conn.Write(data[at:end]); err != nil {
				return fmt.Errorf("send %d octets: %w", end-at, err)
			}
			at = end
		}
		// In order: one flow takes one way.
		for got := begin; got < at; {
			n, _, err := in.ReadFromUDP(buf)
			if err != nil {
				return fmt.Errorf("after %d of %d octets, with %d sent: %w", got, len(data), at, err)
			}
			if got+n > at || sha256.Sum256(buf[:n]) != sha256.Sum256(data[got:got+n]) {
				return fmt.Errorf("at %d of %d octets came a datagram of %d others", got, len(data), n)
			}
			got += n
		}
	}
	return nil
}

// segmentBy has the stack make super-datagrams of what is written (UDP_SEGMENT,
// udp(7)).
func segmentBy(conn net.Conn, size int) error {
	return control(conn.(*net.UDPConn), func(fd int) error {
		return os.NewSyscallError("UDP_SEGMENT", unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, size))
	})
}

// control calls fn with a socket's descriptor.
func control(conn syscall.Conn, fn func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	return errors.Join(raw.Control(func(fd uintptr) { opErr = fn(int(fd)) }), opErr)
}

// listen opens a socket that belongs to the namespace, wherever it is used.
func (s *Stack) listen(network string) (l net.Listener, err error) {
	// In the thread that is there: a listener is made by whoever asks.
	err = s.h.main.in(s.path, func() (err error) {
		l, err = net.Listen(network, net.JoinHostPort(s.Addr(network), "0"))
		return err
	})
	return l, err
}

func (s *Stack) listenPacket(network string) (conn *net.UDPConn, err error) {
	err = s.h.main.in(s.path, func() (err error) {
		conn, err = net.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(s.Addr(network))})
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, control(conn, func(fd int) error {
		return os.NewSyscallError("SO_RCVBUFFORCE", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	})
}

// dial connects a socket that belongs to the namespace.
func (s *Stack) dial(network, addr string) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), flowTime)
	defer cancel()
	// One address: no other goroutine, thus no other thread, takes part.
	err = s.h.main.in(s.path, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
