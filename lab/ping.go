package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/vswitch/vswitch/internal/stack"
)

// Reach is what became of one node's ping to another.
type Reach struct {
	From, To string
	Answered bool
	Took     time.Duration // there and back
	Reason   string        // why there was no answer, where it is known
}

// NoAnswer begins the reason where nothing is known but that.
const NoAnswer = "no answer"

// MarshalJSON writes a time in seconds.
func (r Reach) MarshalJSON() ([]byte, error) {
	type reach struct {
		From     string  `json:"from"`
		To       string  `json:"to"`
		Answered bool    `json:"answered"`
		Seconds  float64 `json:"seconds,omitempty"`
		Reason   string  `json:"reason,omitempty"`
	}
	return json.Marshal(reach{r.From, r.To, r.Answered, r.Took.Seconds(), r.Reason})
}

// Pingable returns the nodes that have a namespace and an address.
func (t *Topology) Pingable() (all []*Member) {
	for _, m := range t.Members {
		if m.hasNamespace() && m.addressed() {
			all = append(all, m)
		}
	}
	return all
}

// Targets returns the nodes that [Topology.PingAll] has pinged: those, and virtual
// machines with an address.
func (t *Topology) Targets() (all []*Member) {
	for _, m := range t.Members {
		if (m.hasNamespace() || m.Kind == VM) && m.addressed() {
			all = append(all, m)
		}
	}
	return all
}

// atOnce is how many nodes ping at once; one that pings is a thread.
const atOnce = 16

// mostNew is how many pings go out between two moments at which the nodes forget each
// other. Each makes two neighbours, of which the kernel knows 1024 at a time, of all
// namespaces together (gc_thresh3 of arp(7)).
const mostNew = 350

// row is what one node pings in one go.
type row struct {
	from    *Member
	targets []target
	reached []Reach
}

// PingAll has each node that can ping each other one, and returns what became of
// it, by the order of the nodes: all from the first, then from the second.
func (t *Topology) PingAll(ctx context.Context, patience time.Duration) (all []Reach, err error) {
	rows := t.rows()
	for len(rows) > 0 && ctx.Err() == nil {
		n, pings := 0, 0
		for n < len(rows) && (n == 0 || pings+len(rows[n].targets) <= mostNew) {
			pings += len(rows[n].targets)
			n++
		}
		var wg sync.WaitGroup
		turns := make(chan struct{}, atOnce)
		for _, r := range rows[:n] {
			wg.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				var err error
				r.reached, err = r.from.ping(ctx, t.Name, r.targets, patience)
				for i := range r.reached {
					if err != nil { // its namespace is gone, say, and the others' is not
						r.reached[i].Reason = err.Error()
					}
				}
			})
		}
		wg.Wait()
		for _, r := range rows[:n] {
			all = append(all, r.reached...)
		}
		if rows = rows[n:]; len(rows) > 0 {
			t.forgetEachOther()
		}
	}
	return all, ctx.Err()
}

// rows are all pings, none longer than what may go out in one go.
func (t *Topology) rows() (rows []*row) {
	targets := t.Targets()
	for _, from := range t.Pingable() {
		var to []target
		for _, m := range targets {
			if m != from {
				to = append(to, from.target(m))
			}
		}
		for part := range slices.Chunk(to, mostNew) {
			rows = append(rows, &row{from: from, targets: part})
		}
	}
	return rows
}

// forgetEachOther has the nodes forget where the others live.
func (t *Topology) forgetEachOther() {
	ours := make(map[netip.Addr]bool)
	for _, m := range t.Members {
		for _, p := range m.prefixes() {
			ours[p.Addr()] = true
		}
	}
	for _, m := range t.Pingable() {
		_ = m.in(t.Name, func() error { // one that is gone has nothing to forget
			return stack.ForgetNeighbours(func(ip net.IP) bool {
				addr, ok := netip.AddrFromSlice(ip)
				return ok && ours[addr.Unmap()]
			})
		})
	}
}

// Ping has a node ping another node, or an address.
func (t *Topology) Ping(ctx context.Context, from *Member, to string, patience time.Duration) (Reach, error) {
	aim := target{name: to}
	if m := t.Member(to); m != nil {
		aim = from.target(m)
	} else if addr, err := netip.ParseAddr(to); err == nil {
		aim.addr = addr
	}
	all, err := from.ping(ctx, t.Name, []target{aim}, patience)
	return all[0], err
}

// target is who is pinged.
type target struct {
	name string
	addr netip.Addr // zero: there is none that could be
}

// target returns the address of another node that this one can speak to: one on
// the same network if there is one, else the first of a family that both have.
func (m *Member) target(to *Member) target {
	var first netip.Addr
	for _, theirs := range to.prefixes() {
		for _, ours := range m.prefixes() {
			if ours.Contains(theirs.Addr()) {
				return target{to.Name, theirs.Addr()}
			}
			if !first.IsValid() && ours.Addr().Is4() == theirs.Addr().Is4() {
				first = theirs.Addr()
			}
		}
	}
	return target{to.Name, first}
}

// ping pings all targets from inside the node.
func (m *Member) ping(ctx context.Context, lab string, targets []target, patience time.Duration) ([]Reach, error) {
	p := &pinger{id: os.Getpid() & 0xffff, reached: make([]Reach, len(targets)), sent: make([]time.Time, len(targets))}
	for i, to := range targets {
		p.reached[i] = Reach{From: m.Name, To: to.name}
	}
	err := m.in(lab, func() (err error) { // sockets belong to the namespace for good
		p.four, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		if err == nil {
			p.six, err = icmp.ListenPacket("ip6:ipv6-icmp", "::")
		}
		return err
	})
	if p.four != nil {
		defer p.four.Close()
	}
	if err != nil {
		return p.reached, fmt.Errorf("ping from %s: %w", m.Name, err)
	}
	defer p.six.Close()
	p.run(ctx, targets, patience)
	return p.reached, nil
}

// pinger waits for the answers to one node's pings.
type pinger struct {
	id        int
	four, six *icmp.PacketConn

	mu      sync.Mutex
	reached []Reach
	sent    []time.Time
	left    int // unanswered
}

// gap is left between two pings, so that a node that asks a thousand others does
// not make a burst of it.
const gap = 200 * time.Microsecond

func (p *pinger) run(ctx context.Context, targets []target, patience time.Duration) {
	done := make(chan struct{})
	p.left = len(targets)
	for _, conn := range []*icmp.PacketConn{p.four, p.six} {
		go p.receive(conn, done) // until it is closed
	}
	for i, to := range targets {
		p.send(i, to, done)
		time.Sleep(gap)
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(patience):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.reached {
		if r := &p.reached[i]; !r.Answered && r.Reason == "" {
			r.Reason = fmt.Sprintf("%s in %v", NoAnswer, patience)
		}
	}
}

func (p *pinger) send(i int, to target, done chan struct{}) {
	conn, kind := p.four, icmp.Type(ipv4.ICMPTypeEcho)
	if to.addr.Is6() {
		conn, kind = p.six, ipv6.ICMPTypeEchoRequest
	}
	err := errors.New("they have no addresses of one family")
	if to.addr.IsValid() {
		echo := icmp.Message{Type: kind, Body: &icmp.Echo{ID: p.id, Seq: i & 0xffff, Data: make([]byte, 56)}}
		var b []byte
		if b, err = echo.Marshal(nil); err == nil {
			p.mu.Lock()
			p.sent[i] = time.Now()
			p.mu.Unlock()
			_, err = conn.WriteTo(b, &net.IPAddr{IP: to.addr.AsSlice(), Zone: to.addr.Zone()})
		}
	}
	if err != nil {
		var sys *os.SyscallError
		if errors.As(err, &sys) {
			err = sys.Err
		}
		p.settle(i, func(r *Reach) { r.Reason = err.Error() }, done)
	}
}

// settle notes what became of a ping, once.
func (p *pinger) settle(i int, note func(*Reach), done chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := &p.reached[i]; !r.Answered && r.Reason == "" {
		note(r)
		if p.left--; p.left == 0 {
			close(done)
		}
	}
}

func (p *pinger) receive(conn *icmp.PacketConn, done chan struct{}) {
	protocol := 1
	if conn == p.six {
		protocol = 58
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			return
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if !ok || echo.ID != p.id || echo.Seq >= len(p.reached) {
			continue
		}
		p.settle(echo.Seq, func(r *Reach) { r.Answered, r.Took = true, now.Sub(p.sent[echo.Seq]) }, done)
	}
}
