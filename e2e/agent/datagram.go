package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol over UDP is go-back-N, just enough that a lost datagram is not
// taken for a spoilt one. A datagram is the octets' offset, the size of the
// whole, and payload; an answer is the offset that is wanted next and, when
// all is there, the hash.
const (
	datagramHeader = 16
	window         = 64 // datagrams in flight
	receiveBuffer  = 8 << 20
	resendAfter    = 100 * time.Millisecond
)

// datagrams says how large a datagram's payload is, and how many go to the
// kernel at a time.
func (s stream) datagrams() (payload, batch int, err error) {
	size, gso := strings.CutSuffix(s.datagram, "gso")
	payload, batch = 1400, 1
	if gso {
		batch = 32
	}
	if size != "" {
		if payload, err = strconv.Atoi(size); err != nil {
			return 0, 0, err
		}
	}
	if gso {
		// A super-datagram is at most 64 KiB.
		batch = max(1, min(batch, 65000/payload))
	}
	return payload, batch, nil
}

func (s stream) sendUDP() (any, error) {
	payload, batch, err := s.datagrams()
	if err != nil {
		return nil, err
	}
	dialled, err := net.Dial(s.network, s.addr)
	if err != nil {
		return nil, err
	}
	conn := dialled.(*net.UDPConn)
	defer conn.Close()
	if batch > 1 {
		if err := segmentInKernel(conn, payload); err != nil {
			return nil, err
		}
	}
	body := payload - datagramHeader
	data, err := io.ReadAll(s.source())
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(data)

	var acked, next, resent int
	answer := make([]byte, 64)
	begin, progress := time.Now(), time.Now()
	for {
		for next < len(data) && (next-acked)/body+batch <= window {
			var out []byte
			for i := 0; i < batch && next < len(data); i++ {
				end := min(next+body, len(data))
				out = binary.BigEndian.AppendUint64(out, uint64(next))
				out = binary.BigEndian.AppendUint64(out, uint64(len(data)))
				out = append(out, data[next:end]...)
				next = end
			}
			// Refused while nobody listens yet; the answer's absence has it
			// sent again.
			if _, err := conn.Write(out); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return nil, fmt.Errorf("send at %d: %w", next, err)
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(resendAfter)); err != nil {
			return nil, err
		}
		n, err := conn.Read(answer)
		switch {
		case err == nil && n >= 8:
			if at := int(binary.BigEndian.Uint64(answer)); at > acked {
				acked, progress = at, time.Now()
			}
			if n == 8+sha256.Size {
				return verify(int64(len(data)), hash[:], answer[8:n], begin, resent)
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			resent += (next - acked + body - 1) / body
			next = acked
			if next == len(data) { // only the hash is missing: ask for it
				next = max(0, next-body)
			}
		case err != nil && !errors.Is(err, unix.ECONNREFUSED):
			return nil, err
		}
		if time.Since(progress) > patience {
			return nil, fmt.Errorf("no answer for %v; %d of %d octets arrived", patience, acked, len(data))
		}
	}
}

// segmentInKernel has one write become many datagrams, which leave the stack as
// one super-frame (UDP_SEGMENT, udp(7)).
func segmentInKernel(conn *net.UDPConn, size int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	err = raw.Control(func(fd uintptr) {
		opErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size)
	})
	return errors.Join(err, opErr)
}

func setReceiveBuffer(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	err = raw.Control(func(fd uintptr) {
		if opErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); opErr != nil {
			opErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
	return errors.Join(err, opErr)
}

func receiveUDP(network, port string) (any, error) {
	addr, err := net.ResolveUDPAddr(network, ":"+port)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The switch is under test, not the receiver's buffer: room for all that
	// is in flight, however the kernel reckons. Without root the limit of
	// net.core.rmem_max holds.
	if err := setReceiveBuffer(conn); err != nil {
		return nil, err
	}
	hash := sha256.New()
	in := make([]byte, 1<<16)
	var got, total int64 = 0, -1
	begin := time.Now()
	var took time.Duration
	wait := patience * 2
	for {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		n, from, err := conn.ReadFromUDP(in)
		if total >= 0 && got == total && errors.Is(err, os.ErrDeadlineExceeded) {
			// The sender has the hash, or will never have it.
			return summary{Bytes: got, SHA256: hex.EncodeToString(hash.Sum(nil)), Seconds: took.Seconds()}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("after %d octets: %w", got, err)
		}
		if n < datagramHeader {
			return nil, fmt.Errorf("a datagram of %d octets, want at least %d", n, datagramHeader)
		}
		wait = patience
		if at := int64(binary.BigEndian.Uint64(in)); at == got {
			hash.Write(in[datagramHeader:n])
			got += int64(n - datagramHeader)
			took = time.Since(begin)
			total = int64(binary.BigEndian.Uint64(in[8:]))
		}
		answer := binary.BigEndian.AppendUint64(nil, uint64(got))
		if got == total {
			answer = hash.Sum(answer)
			// The answer may be lost: listen a little longer for the question.
			wait = 2 * resendAfter
		}
		if _, err := conn.WriteToUDP(answer, from); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
	}
}
