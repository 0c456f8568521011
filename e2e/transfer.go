package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Place is where programs run and a stack lives: a [Namespace], the [Host]
// itself, a [Guest], a [Container].
type Place interface {
	// Agent starts the agent with these arguments.
	Agent(args ...string) Running
	// Ping waits until an address answers.
	Ping(addr string)
	String() string
}

// Running is a program that was started in a [Place].
type Running interface {
	// End waits for it, at most d; then it is killed.
	End(d time.Duration) (Result, error)
}

var _, _, _, _ Place = (*Namespace)(nil), (*Host)(nil), (*Guest)(nil), (*Container)(nil)

// End waits for a process, at most d; then it is killed.
func (p *Process) End(d time.Duration) (Result, error) { return p.wait(d) }

// Agent starts the agent in the namespace.
func (ns *Namespace) Agent(args ...string) Running {
	ns.h.t.Helper()
	return ns.Go(append([]string{agentPath(ns.h.t)}, args...)...)
}

// Agent starts the agent on the host.
func (h *Host) Agent(args ...string) Running {
	h.t.Helper()
	return h.Go(append([]string{agentPath(h.t)}, args...)...)
}

func (ns *Namespace) String() string { return ns.Name }
func (h *Host) String() string       { return "host" }

// Moved is what a transfer took.
type Moved struct {
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Seconds float64 `json:"seconds"`
	Resent  int     `json:"resent"`
}

// Gbps is the speed, in Gbit/s.
func (m Moved) Gbps() float64 { return float64(m.Bytes) * 8 / m.Seconds / 1e9 }

var lastPort atomic.Int32

// Transfer sends size octets of a stream that nobody can guess from one place
// to another, whose address is addr, and makes sure that just these octets
// arrive and that neither stack saw a wrong checksum. Network is tcp4, tcp6,
// udp4 or udp6. How may hold, for UDP, the payload of a datagram: "1400",
// "gso" for super-datagrams of 1400, "8000gso".
func Transfer(t testing.TB, from, to Place, network, addr string, size int64, how ...string) Moved {
	t.Helper()
	what := fmt.Sprintf("%s from %s to %s", network, from, to)
	before := []map[string]uint64{ChecksumErrors(t, from), ChecksumErrors(t, to)}
	port := strconv.Itoa(20000 + int(lastPort.Add(1)))
	receiver := to.Agent("receive", network, port)
	sender := from.Agent(append([]string{
		"send", network, net.JoinHostPort(addr, port), strconv.FormatInt(size, 10), port,
	}, how...)...)
	sent, err := sender.End(4 * time.Minute)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if sent.Code != 0 {
		t.Fatalf("%s: the sender says:\n%s", what, indent(sent.Output()))
	}
	got, err := receiver.End(time.Minute)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var out, in Moved
	for _, r := range []struct {
		r Result
		m *Moved
	}{{sent, &out}, {got, &in}} {
		if err := json.Unmarshal([]byte(r.r.Stdout), r.m); err != nil || r.r.Code != 0 {
			t.Fatalf("%s: exit %d, %v:\n%s", what, r.r.Code, err, indent(r.r.Output()))
		}
	}
	if out.SHA256 != in.SHA256 || in.Bytes != size {
		t.Errorf("%s: sent %d octets with hash %s, got %d with %s", what, size, out.SHA256, in.Bytes, in.SHA256)
	}
	for i, place := range []Place{from, to} {
		for name, n := range ChecksumErrors(t, place) {
			if n != before[i][name] {
				t.Errorf("%s: %s of %s went from %d to %d", what, name, place, before[i][name], n)
			}
		}
	}
	return in
}

// ChecksumErrors returns the stack's counters of wrong checksums by name, such
// as "TcpExt.TCPCsumErrors" or "Udp6InCsumErrors".
func ChecksumErrors(t testing.TB, p Place) map[string]uint64 {
	t.Helper()
	r, err := p.Agent("counters").End(Patience * 2)
	var found map[string]uint64
	if err == nil {
		err = json.Unmarshal([]byte(r.Stdout), &found)
	}
	if err != nil || r.Code != 0 {
		t.Fatalf("read counters of %s: exit %d, %v\n%s", p, r.Code, err, indent(r.Output()))
	}
	return found
}

// Offloads switches features of a device, as `ethtool -K` does, also where
// there is no ethtool: tx, rx, sg, tso, gso, gro.
func Offloads(t testing.TB, p Place, ifname string, on bool, features ...string) {
	t.Helper()
	word := "off"
	if on {
		word = "on"
	}
	for _, f := range features {
		r, err := p.Agent("offload", ifname, f, word).End(Patience * 2)
		if err != nil || r.Code != 0 {
			t.Fatalf("turn %s of %s in %s %s: %v\n%s", f, ifname, p, word, err, indent(r.Output()))
		}
	}
}

// Ping waits until an address answers.
func (ns *Namespace) Ping(addr string) {
	ns.h.t.Helper()
	ns.h.Eventually(0, func() error {
		if r := ns.Try("ping", "-c", "1", "-W", "1", addr); r.Code != 0 {
			return fmt.Errorf("ping %s from %s: exit %d\n%s", addr, ns.Name, r.Code, indent(r.Output()))
		}
		return nil
	})
}

// NoPing makes sure that an address does not answer to requests for a second.
func (ns *Namespace) NoPing(addr string) {
	ns.h.t.Helper()
	if r := ns.Try("ping", "-c", "3", "-i", "0.2", "-w", "1", addr); r.Code == 0 {
		ns.h.t.Errorf("ping %s from %s is answered, and should not be:\n%s", addr, ns.Name, indent(r.Stdout))
	}
}

// Ping waits until an address answers to the host.
func (h *Host) Ping(addr string) {
	h.t.Helper()
	h.Eventually(0, func() error {
		if r := h.Try("ping", "-c", "1", "-W", "1", addr); r.Code != 0 {
			return fmt.Errorf("ping %s from the host: exit %d\n%s", addr, r.Code, indent(r.Output()))
		}
		return nil
	})
}
