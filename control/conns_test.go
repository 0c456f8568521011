package control

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stand puts n connections of a process into the room.
func (d *door) stand(t *testing.T, pid int32, n int, asking bool, since time.Time) (conns []*conn) {
	t.Helper()
	cred := unix.Ucred{Pid: pid}
	p := &peer{conns: n}
	d.peers[keyOf(cred)] = p
	for range n {
		_, nc := net.Pipe()
		c := &conn{Conn: nc, door: d, peer: p, cred: cred, asking: asking, since: since}
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
	greediest := d.peers[peerKey{pid: 200}]
	greediest.conns = maxPerPeer - 1
	for c := range d.conns {
		if c.cred.Pid == 200 {
			c.peer = greediest
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
	if c == nil || out == nil || out.cred.Pid != 200 {
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

// TestUsersOfOneProcess holds that a connection is whose it was when it was made,
// though its process had others as another user.
func TestUsersOfOneProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to be another user for a moment takes root")
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, open := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	d := newDoor(l)
	for _, uid := range []int{0, 7101, 0} {
		done := make(chan error)
		go func() { // on a thread that ends with it
			runtime.LockOSThread()
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				defer unix.Close(c)
				// Of this thread alone: os.Setuid would be of all.
				if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
					err = errno
				}
			}
			if err == nil {
				err = unix.Connect(c, &unix.SockaddrUnix{Name: path})
			}
			done <- err
			<-done
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		nc, err := d.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if c := nc.(*conn); int(c.cred.Uid) != uid || c.changes != (uid == 0) {
			t.Errorf("a connection of user %d is taken for one of %d, which may change things: %v", uid, c.cred.Uid, c.changes)
		}
		done <- nil
	}
	if len(d.peers) != 2 {
		t.Errorf("one process as two users counts as %d", len(d.peers))
	}
}
