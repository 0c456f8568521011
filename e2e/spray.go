package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Spray is a paced stream of UDP super-datagrams from one stack to another that
// waits for nobody: what is not taken in time is lost, and counted.
type Spray struct {
	h        *Host
	out      net.Conn
	arrived  atomic.Int64 // super-datagrams of this burst
	lastMark atomic.Uint64
	marks    chan struct{}
}

const (
	// sprayBehind bounds what a sender that was held up catches up with, in
	// octets: less than any buffer on the way has room for.
	sprayBehind = 1 << 20
	// sprayRoom is the receiver's buffer in octets: what it does not read in
	// time is not the switch's loss.
	sprayRoom = 128 << 20
)

// Spray makes one ready.
func (h *Host) Spray(from, to *Stack) *Spray {
	h.t.Helper()
	in, err := to.listenPacket("udp4")
	if err != nil {
		h.t.Fatal(err)
	}
	err = control(in, func(fd int) error {
		return errors.Join(
			os.NewSyscallError("SO_RCVBUFFORCE", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sprayRoom)),
			os.NewSyscallError("UDP_GRO", unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)),
		)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	s := &Spray{h: h, marks: make(chan struct{}, 1)}
	if s.out, err = from.dial("udp4", in.LocalAddr().String()); err != nil {
		h.t.Fatal(err)
	}
	if err := segmentBy(s.out, from.MTU-28); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.receive(in)
	}()
	h.onClose(func() {
		_ = s.out.Close()
		_ = in.Close()
		<-done
	})
	return s
}

// receive ends when the socket is closed. A short datagram is a mark.
func (s *Spray) receive(in *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := in.Read(buf)
		switch {
		case err != nil:
			return
		case n == superOctets:
			s.arrived.Add(1)
		case n == 8:
			s.lastMark.Store(binary.BigEndian.Uint64(buf))
			select {
			case s.marks <- struct{}{}:
			default:
			}
		}
	}
}

// Burst is what became of a part of the stream.
type Burst struct {
	Rate       float64 // octets a second that were sent
	Sent, Lost int     // super-datagrams
}

func (b Burst) String() string {
	return fmt.Sprintf("%.2f Gbit/s, %d of %d lost", b.Rate*8e-9, b.Lost, b.Sent)
}

// For sends so many octets a second for a while, and finds out how much of it
// arrived.
func (s *Spray) For(d time.Duration, rate int) Burst {
	s.h.t.Helper()
	s.arrived.Store(0)
	data := unguessable(superOctets)
	sent, skipped := 0, 0.0
	begin := time.Now()
	for since := time.Duration(0); since < d; since = time.Since(begin) {
		due := since.Seconds()*float64(rate) - skipped
		if behind := due - float64(sent*superOctets); behind > sprayBehind {
			skipped += behind - sprayBehind
		}
		for float64((sent+1)*superOctets) <= since.Seconds()*float64(rate)-skipped {
			if _, err := s.out.Write(data); err != nil {
				s.h.t.Fatalf("spray: %v", err)
			}
			sent++
		}
		<-time.After(500 * time.Microsecond)
	}
	b := Burst{Rate: float64(sent*superOctets) / time.Since(begin).Seconds(), Sent: sent}
	s.mark()
	b.Lost = sent - int(s.arrived.Load())
	return b
}

// mark waits until all that will arrive has: until something arrives that was
// sent behind it, for one way keeps its order.
func (s *Spray) mark() {
	s.h.t.Helper()
	n := seeds.Add(1)
	deadline := time.After(Patience)
	for s.lastMark.Load() != n {
		// It may be lost itself, where there was no room; then again.
		if _, err := s.out.Write(binary.BigEndian.AppendUint64(nil, n)); err != nil {
			s.h.t.Fatalf("spray: %v", err)
		}
		select {
		case <-s.marks:
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			s.h.t.Fatal("spray: nothing arrives")
		}
	}
}

// Favour gives processes precedence over others of the machine, until the test
// ends: what those do is not what is measured.
func (h *Host) Favour(pids ...int) {
	h.t.Helper()
	const niceness = -15
	set := func(to int) error {
		for _, pid := range pids {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
			if err != nil {
				return err
			}
			for _, path := range threads {
				tid, err := strconv.Atoi(filepath.Base(path))
				if err != nil {
					return err
				}
				err = unix.Setpriority(unix.PRIO_PROCESS, tid, to)
				if err != nil && !errors.Is(err, unix.ESRCH) { // ended meanwhile
					return fmt.Errorf("set the priority of %d: %w", tid, err)
				}
			}
		}
		return nil
	}
	if err := set(niceness); err != nil {
		h.t.Fatal(err)
	}
	h.onClose(func() {
		if err := set(0); err != nil {
			h.t.Error(err)
		}
	})
}
