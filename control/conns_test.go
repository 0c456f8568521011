package control

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stand puts n connections of a process into the room.
func (d *door) stand(t *testing.T, pid int32, n int, asking bool, since time.Time) (conns []*conn) {
	t.Helper()
	p := &peer{cred: unix.Ucred{Pid: pid}, conns: n}
	d.peers[pid] = p
	for range n {
		_, nc := net.Pipe()
		c := &conn{Conn: nc, door: d, peer: p, asking: asking, since: since}
		d.conns[c] = struct{}{}
		conns = append(conns, c)
	}
	return conns
}

func TestFullRoomLosesQuietConnectionOfGreediestProcess(t *testing.T) {
	d := newDoor(nil)
	now := time.Now()
	for pid := range int32(7) {
		d.stand(t, 100+pid, maxPerPeer, true, now.Add(-time.Hour)) // being answered
	}
	d.stand(t, 200, maxPerPeer-2, false, now)
	d.stand(t, 300, 1, false, now.Add(-time.Minute)) // the oldest, but modest
	oldest := d.stand(t, 200, 1, false, now.Add(-time.Second))[0]
	d.peers[200].conns = maxPerPeer - 1
	for c := range d.conns {
		if c.peer.cred.Pid == 200 {
			c.peer = d.peers[200]
		}
	}
	if len(d.conns) != maxConns {
		t.Fatalf("%d connections stand, want %d", len(d.conns), maxConns)
	}
	_, nc := net.Pipe()
	c, out := d.enter(nc)
	if c == nil || out != oldest {
		t.Fatalf("the newcomer got %v, and %+v went; want it to replace the oldest of process 200", c, out)
	}
}

func TestFullRoomOfBusyConnectionsTakesNobody(t *testing.T) {
	d := newDoor(nil)
	for pid := range int32(maxConns / maxPerPeer) {
		d.stand(t, 100+pid, maxPerPeer, true, time.Now())
	}
	_, nc := net.Pipe()
	if c, out := d.enter(nc); c != nil || out != nil {
		t.Fatalf("enter = %v, %v; want nobody to come or go", c, out)
	}
}

func TestFullRoomOfStreamsLosesOneOfGreediestProcess(t *testing.T) {
	d := newDoor(nil)
	now := time.Now()
	for pid := range int32(maxConns/maxPerPeer - 1) {
		d.stand(t, 100+pid, maxPerPeer, true, now)
	}
	for _, c := range d.stand(t, 200, maxPerPeer-1, true, now) {
		c.stream = true
	}
	oldest := d.stand(t, 300, 1, true, now.Add(-time.Hour))[0]
	oldest.stream = true // but it is its process's only one
	_, nc := net.Pipe()
	c, out := d.enter(nc)
	if c == nil || out == nil || out.peer.cred.Pid != 200 {
		t.Fatalf("the newcomer got %v, and %+v went; want it to replace a stream of process 200", c, out)
	}
}

func TestClosedConnectionGivesItsPlaceBackOnce(t *testing.T) {
	d := newDoor(nil)
	_, nc := net.Pipe()
	c, _ := d.enter(nc)
	c.Close()
	c.Close()
	if len(d.conns) != 0 || len(d.peers) != 0 || c.peer.conns != 0 {
		t.Fatalf("%d connections of %d processes stand, and %d of this; want none", len(d.conns), len(d.peers), c.peer.conns)
	}
}
