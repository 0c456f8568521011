package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// patience bounds how long either side waits for the other.
const patience = 30 * time.Second

// summary is what both sides print.
type summary struct {
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Seconds float64 `json:"seconds"`
	Resent  int     `json:"resent"` // datagrams sent more than once
}

// stream is what is to be sent: size octets that seed determines.
type stream struct {
	network, addr string
	size          int64
	seed          uint64
	datagram      string
}

// source returns the stream's octets.
func (s stream) source() io.Reader {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(s.seed >> (8 * (i % 8)))
	}
	return io.LimitReader(rand.NewChaCha8(seed), s.size)
}

func (s stream) send() (any, error) {
	if strings.HasPrefix(s.network, "udp") {
		return s.sendUDP()
	}
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	hash := sha256.New()
	begin := time.Now()
	// A large buffer, so that the stack makes super-frames of it.
	n, err := io.CopyBuffer(struct{ io.Writer }{conn}, io.TeeReader(s.source(), hash), make([]byte, 256<<10))
	if err != nil {
		return nil, fmt.Errorf("after %d octets: %w", n, err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	// The receiver answers with the hash of what it got.
	theirs, err := io.ReadAll(conn)
	if err != nil {
		return nil, fmt.Errorf("wait for the receiver's hash: %w", err)
	}
	return verify(n, hash.Sum(nil), theirs, begin, 0)
}

// dial waits until the receiver listens.
func (s stream) dial() (net.Conn, error) {
	deadline := time.Now().Add(patience)
	for {
		// Each try is short: a SYN lost before the path stood would be sent
		// again only after a second, then three.
		d := net.Dialer{Timeout: 3 * time.Second}
		conn, err := d.Dial(s.network, s.addr)
		if err == nil {
			return conn, conn.SetDeadline(time.Now().Add(patience * 4))
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func verify(n int64, ours, theirs []byte, begin time.Time, resent int) (any, error) {
	sum := summary{Bytes: n, SHA256: hex.EncodeToString(ours), Seconds: time.Since(begin).Seconds(), Resent: resent}
	if got := hex.EncodeToString(theirs); got != sum.SHA256 {
		return nil, fmt.Errorf("the receiver's hash is %q, want %s", got, sum.SHA256)
	}
	return sum, nil
}

func receive(network, port string) (any, error) {
	if strings.HasPrefix(network, "udp") {
		return receiveUDP(network, port)
	}
	l, err := net.Listen(network, ":"+port)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience * 2)); err != nil {
		return nil, err
	}
	conn, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience * 4)); err != nil {
		return nil, err
	}
	begin := time.Now()
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, struct{ io.Reader }{conn}, make([]byte, 256<<10))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("after %d octets", n), err)
	}
	if _, err := conn.Write(hash.Sum(nil)); err != nil {
		return nil, err
	}
	return summary{Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil)), Seconds: time.Since(begin).Seconds()}, nil
}
