package port

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Boost implements [Booster]. The ring belongs to a socket of its own, as to
// give one to the device's socket would lose frames meanwhile. Both are in one
// fanout group, whose BPF program says which of them gets the next frame, and is
// replaced between two frames.
func (d *packetDevice) Boost() (fd int, err error) {
	d.rings.Lock()
	defer d.rings.Unlock()
	if d.group == 0 {
		if d.group, err = newFanout(d.fd); err != nil {
			return -1, fmt.Errorf("a fanout group (needs Linux 5.18): %w", err)
		}
	}
	r, err := d.newRing()
	if err != nil {
		return -1, fmt.Errorf("a receive ring: %w", err)
	}
	d.ring.Store(r)
	return r.fd, nil
}

// newRing opens a socket with a ring that gets no frames yet.
func (d *packetDevice) newRing() (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	var r *ring
	if err = setOptions(fd, receiveOptions); err == nil {
		r, err = mapRing(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Between these two it would get every frame, too.
	err = errors.Join(filterAll(fd), bindTo(fd, d.ifindex), joinFanout(fd, d.group))
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// Shift implements [Booster].
func (d *packetDevice) Shift() error {
	d.rings.Lock()
	defer d.rings.Unlock()
	r := d.ring.Load()
	if r == nil {
		return ErrGone
	}
	if err := steer(d.fd, toRing); err != nil {
		return err
	}
	r.shifted.Store(true)
	return nil
}

// Stuck implements [Booster]. Linux (6.18 at least) marks the slot for a frame
// before it finds that it cannot describe the frame, and drops that and all
// that follow, because the slot is marked: tpacket_rcv in net/packet/af_packet.c.
// See [IO.indescribable] for who sends such.
func (d *packetDevice) Stuck() bool {
	d.rings.Lock()
	defer d.rings.Unlock()
	r := d.ring.Load()
	if r == nil {
		return false
	}
	n := r.drops()
	d.drops += n
	return n > 0 && r.waiting() == 0
}

// Calm implements [Booster].
func (d *packetDevice) Calm() error {
	d.rings.Lock()
	defer d.rings.Unlock()
	r := d.ring.Load()
	if r == nil || r.leaving.Load() {
		return nil
	}
	// When it returns, nobody reads the old program any more.
	if err := steer(d.fd, toQueue); err != nil {
		return err
	}
	r.leaving.Store(true)
	return nil
}

// Unboost implements [Booster].
func (d *packetDevice) Unboost() (closeRing func() error) {
	r := d.ring.Load()
	if r == nil || !r.leaving.Load() || !r.idle() {
		return nil
	}
	d.ring.Store(nil)
	return func() error {
		d.rings.Lock()
		defer d.rings.Unlock()
		d.drops += r.drops()
		return r.close()
	}
}

// Which socket of a group gets a frame: by the order in which they joined.
const (
	toQueue = 0
	toRing  = 1
)

// newFanout makes a group of which fd, which is bound, is the first member, and
// which leaves out what the host transmits. On a kernel that does not know this,
// own transmissions would come back.
func newFanout(fd int) (group int, err error) {
	if !atLeast(5, 18) {
		return 0, errors.ErrUnsupported
	}
	const flags = unix.PACKET_FANOUT_CBPF | unix.PACKET_FANOUT_FLAG_UNIQUEID | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, flags<<16); err != nil {
		return 0, err
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, err
	}
	return v & 0xffff, nil
}

// joinFanout makes fd, which is bound alike, a member of a group. Its program
// must be steered towards others before.
func joinFanout(fd, group int) error {
	const flags = unix.PACKET_FANOUT_CBPF | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, flags<<16|group); err != nil {
		return fmt.Errorf("join the fanout group: %w", err)
	}
	return nil
}

// steer says which member of the group that fd belongs to gets the frames.
func steer(fd int, member uint32) error {
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, constantly(member)); err != nil {
		return fmt.Errorf("steer the fanout group: %w", err)
	}
	return nil
}

// filterAll keeps every frame from a socket.
func filterAll(fd int) error {
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, constantly(0)); err != nil {
		return fmt.Errorf("attach a filter: %w", err)
	}
	return nil
}

// constantly returns the classic BPF program that returns value.
func constantly(value uint32) *unix.SockFprog {
	return &unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}}
}

// atLeast reports whether the kernel is of that version or a later one.
func atLeast(major, minor int) bool {
	var u unix.Utsname
	var a, b int
	if unix.Uname(&u) != nil {
		return false
	}
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
