package control

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/ucred"
)

const (
	maxConns   = 512 // connections at once
	maxPerPeer = 64  // of one process
	maxWork    = 32  // requests of one process that are under way, but for streams
)

// door is a listener that knows who came in by it, and keeps the room from
// being filled by one process, or by those that only stand there.
type door struct {
	net.Listener
	admin Group

	mu    sync.Mutex
	conns map[*conn]struct{}
	peers map[peerKey]*peer
}

// peerKey tells processes apart. Those of other PID namespaces have no number here, but
// a user; and a process may become another user's.
type peerKey struct {
	pid int32
	uid uint32
}

func keyOf(cred unix.Ucred) peerKey { return peerKey{cred.Pid, cred.Uid} }

// peer is a process with connections.
type peer struct {
	conns int // guarded by door.mu

	work     queue // of all its requests under way
	looks    queue // of those that show something: see gate
	compares queue // of those that compare a document
	changes  queue // of those that change something
}

func newPeer() *peer {
	return &peer{work: newQueue(maxWork), looks: newQueue(1), compares: newQueue(1), changes: newQueue(1)}
}

// conn is a connection whose other end is known.
type conn struct {
	net.Conn
	door    *door
	peer    *peer
	cred    unix.Ucred // of who connected
	changes bool       // it may change things

	// Guarded by door.mu.
	since  time.Time // when it came, or when its last request ended
	asking bool      // a whole request has arrived and is being answered
	stream bool      // by a stream, which has no end of its own
	closed bool
}

func newDoor(l net.Listener) *door {
	return &door{Listener: l, conns: make(map[*conn]struct{}), peers: make(map[peerKey]*peer)}
}

// Accept returns the next connection that may stay.
func (d *door) Accept() (net.Conn, error) {
	for {
		nc, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, out := d.enter(nc)
		if out != nil {
			out.Close()
		}
		if c != nil {
			return c, nil
		}
		turnAway(nc)
	}
}

// enter gives nc a place, if there is one; out has to make room for it.
func (d *door) enter(nc net.Conn) (c, out *conn) {
	cred := ucred.Of(nc)
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.peers[keyOf(cred)]
	if p == nil {
		p = newPeer()
	}
	if p.conns >= maxPerPeer {
		return nil, nil
	}
	if len(d.conns) >= maxConns {
		if out = d.quietestLocked(); out == nil {
			return nil, nil
		}
	}
	c = &conn{Conn: nc, door: d, peer: p, cred: cred, changes: mayChange(cred, d.admin, nc), since: time.Now()}
	d.conns[c] = struct{}{}
	d.peers[keyOf(cred)] = p
	p.conns++
	return c, out
}

// Group is a group of users. The zero Group has no members.
type Group struct {
	Name string
	ID   uint32
}

// FindGroup returns the group of a name or number.
func FindGroup(name string) (Group, error) {
	if name == "" {
		return Group{}, nil
	}
	id, err := groupID(name)
	return Group{name, uint32(id)}, err
}

// mayChange reports whether who connected may change things. That of a process may
// differ from one of its connections to the next, as it gives up what it may.
func mayChange(cred unix.Ucred, admin Group, nc net.Conn) bool {
	if cred.Uid == 0 || int(cred.Uid) == os.Geteuid() {
		return true
	}
	return admin.Name != "" && (cred.Gid == admin.ID || slices.Contains(ucred.Groups(nc), admin.ID))
}

// quietestLocked returns the connection that can best be done without: of the
// process that has most, the one that has asked nothing for the longest time.
// Where all are being answered it is a stream of a process that has others, so
// that listeners cannot fill the room for good. It returns nil where there is
// none of those either.
func (d *door) quietestLocked() (out *conn) {
	for c := range d.conns {
		if rank := c.spareLocked(); rank > 0 && (out == nil || cmp.Or(
			cmp.Compare(rank, out.spareLocked()),
			cmp.Compare(c.peer.conns, out.peer.conns),
			out.since.Compare(c.since),
		) > 0) {
			out = c
		}
	}
	return out
}

// spareLocked says how well the connection can be done without; 0: not at all.
func (c *conn) spareLocked() int {
	switch {
	case !c.asking:
		return 2
	case c.stream && c.peer.conns > 1:
		return 1
	}
	return 0
}

// closeQuiet closes all connections that are not being answered.
func (d *door) closeQuiet() {
	d.mu.Lock()
	var quiet []*conn
	for c := range d.conns {
		if !c.asking {
			quiet = append(quiet, c)
		}
	}
	d.mu.Unlock()
	for _, c := range quiet {
		c.Close()
	}
}

// Close ends the connection and gives its place back.
func (c *conn) Close() error {
	c.door.mu.Lock()
	if !c.closed {
		c.closed = true
		delete(c.door.conns, c)
		if c.peer.conns--; c.peer.conns == 0 {
			delete(c.door.peers, keyOf(c.cred))
		}
	}
	c.door.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) setAsking(asking bool) {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.asking, c.stream = asking, false
	c.since = time.Now()
}

// setStreaming says that the answer goes on until somebody ends it.
func (c *conn) setStreaming() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.asking, c.stream = true, true
	c.since = time.Now()
}

// turnAway says why there is no place. The answer fits the socket's empty
// buffer, so nobody is waited for.
func turnAway(nc net.Conn) {
	const body = `{"error":{"code":"busy","message":"too many connections to the daemon at once: close some, or ask again later"}}` + "\n"
	nc.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(nc, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+body)
	nc.Close()
}

type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// connOf returns the connection that a request came by. One that came by none
// of a door's, but from a test, has one of its own.
func connOf(ctx context.Context) *conn {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c
	}
	return &conn{door: newDoor(nil), peer: newPeer(), changes: true}
}

// queue lets one request after another through, in the order in which they came.
type queue chan struct{}

func newQueue(at int) queue { return make(queue, at) }

func (q queue) enter(ctx context.Context) error {
	select {
	case q <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q queue) leave() { <-q }

// gate is held while an answer is put into bytes: the workers that move frames
// need the processors, too. Who wants to hold it stands in the queue of its
// process first, so that a process that asks for much at once waits for itself.
// It is not held while somebody is waited for.
type gate struct{ own, all queue }

func newGate() queue { return newQueue(max(1, runtime.GOMAXPROCS(0)/2)) }

func (g gate) enter(ctx context.Context) error {
	if err := g.own.enter(ctx); err != nil {
		return err
	}
	if err := g.all.enter(ctx); err != nil {
		g.own.leave()
		return err
	}
	return nil
}

func (g gate) leave() {
	g.all.leave()
	g.own.leave()
}

// outside is a ResponseWriter that writes without holding the gate, which the
// caller holds.
type outside struct {
	http.ResponseWriter
	gate gate
}

func (o outside) Write(b []byte) (int, error) {
	o.gate.leave()
	defer o.gate.enter(context.Background())
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o outside) Unwrap() http.ResponseWriter { return o.ResponseWriter }
