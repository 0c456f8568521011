package port

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// packetBuffer is the receive buffer of a packet socket in octets. A 64 KiB
// super-frame is charged with some 70 KiB; this holds what arrives while the
// worker serves other ports, and no more than a few milliseconds of it.
const packetBuffer = 8 << 20

// packetDevice is the network side of a device: a packet socket. See packet(7)
// and net/packet/af_packet.c.
type packetDevice struct {
	fd      int // -1 once closed
	ifindex int

	ring atomic.Pointer[ring] // nil unless boosted

	rings sync.Mutex // one Boost, Shift, Calm, RxDrops at a time
	group int        // the fanout group, once there was a ring
	drops uint64     // of rings that were given back
}

// newPacketDevice opens the device with that ifindex in the namespace of the
// calling thread. promisc asks for frames to any address, which a veth or TAP
// delivers unasked.
func newPacketDevice(ifindex int, promisc bool) (Device, error) {
	// Protocol 0 receives nothing until bind, so that no frame of another
	// device slips in.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	d := &packetDevice{fd: fd, ifindex: ifindex}
	if err := d.setup(promisc); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up the packet socket on device %d: %w", ifindex, err)
	}
	return d, nil
}

// option is one of a socket, for setsockopt(2).
type option struct{ level, name, value int }

var receiveOptions = []option{
	{unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},               // before bind: sizes the link header
	{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},                // the tag that the kernel took off
	{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},        // not our own transmissions
	{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetBuffer / 2}, // the kernel doubles it
}

func setOptions(fd int, options []option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("socket option %d: %w", o.name, err)
		}
	}
	return nil
}

// bindTo makes a packet socket receive from a device.
func bindTo(fd, ifindex int) error {
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
}

func (d *packetDevice) setup(promisc bool) error {
	if err := setOptions(d.fd, receiveOptions); err != nil {
		return err
	}
	if promisc {
		// A membership ends with the socket, so that a crash leaves no
		// device promiscuous.
		mreq := unix.PacketMreq{Ifindex: int32(d.ifindex), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(d.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
			return fmt.Errorf("promiscuous mode: %w", err)
		}
	}
	return bindTo(d.fd, d.ifindex)
}

func (d *packetDevice) FD() int { return d.fd }

func (d *packetDevice) Receive(io *IO) ([]frame.Frame, error) {
	if d.fd < 0 {
		return nil, ErrGone
	}
	r := d.ring.Load()
	if r == nil {
		return io.fromQueue(d.fd, io.Most)
	}
	// What came first is received first: the queue when the ring is new, the
	// ring when it is about to go.
	io.Release()
	if !r.alone && !r.leaving.Load() {
		shifted := r.shifted.Load() // asked before the queue is found empty
		if frames, err := io.fromQueue(d.fd, io.Most); len(frames) > 0 || err != nil {
			return frames, err
		}
		r.alone = shifted
	}
	frames, err := io.fromRing(r)
	if len(frames) > 0 || err != nil {
		return frames, err
	}
	if r.leaving.Load() {
		return io.fromQueue(d.fd, io.Most)
	}
	return nil, d.event()
}

// event takes note of what happened to a device whose queue is not asked, as no
// frame comes by it any more. It would poll readable for good.
func (d *packetDevice) event() error {
	switch errno := pending(d.fd); errno {
	case 0, unix.ENETDOWN: // see IO.fromQueue
		return nil
	default:
		return gone(errno)
	}
}

// pending returns the error that waits at a socket, which has none then.
func pending(fd int) syscall.Errno {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return 0
	}
	return syscall.Errno(errno)
}

// fromRing receives from a ring, and from behind it what is too long for it.
func (io *IO) fromRing(r *ring) ([]frame.Frame, error) {
	frames, queued := r.receive(io)
	switch {
	case len(frames) > 0:
		io.ring = r
		return frames, nil
	case queued > 0:
		return io.fromQueue(r.fd, queued)
	}
	r.release()
	// What happened to the device is told by the other socket, too; here it
	// would only keep the descriptor readable.
	pending(r.fd)
	return nil, nil
}

// fromQueue receives up to most frames from the queue of a packet socket.
func (io *IO) fromQueue(fd, most int) ([]frame.Frame, error) {
	n, errno := io.mmsg.recvmmsg(fd, most)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ENETDOWN:
		// ENETDOWN is said once when the device goes down or away. Which
		// of both, netlink tells.
		return nil, nil
	case unix.EINVAL:
		return io.indescribable(), nil
	default:
		return nil, gone(errno)
	}
	super := false
	for i := range n {
		length, tag, cut := io.mmsg.received(i)
		b := io.buffers[i][:max(length, frame.OffloadLen)]
		off := frame.GetOffload(b)
		if cut {
			// Longer than 64 KiB, which no offload header can describe.
			off = frame.Unusable
		}
		io.frames[i].Reset(b, tag, off)
		super = super || off.IsGSO()
	}
	if super {
		frame.Resequence(io.frames[:n])
	}
	return io.frames[:n], nil
}

// indescribable stands for a super-frame of a type that the kernel moves but
// cannot write into an offload header: it has dropped the frame and tells of it
// in this way (virtio_net_hdr_from_skb in linux/virtio_net.h). A VM's monitor
// can send such (UFO), and a stack (SCTP). Behind other frames in a batch it is
// told by the next call, which may be one that transmits: [Sent.Undescribed].
func (io *IO) indescribable() []frame.Frame {
	b := io.buffers[0][:frame.OffloadLen+UndescribedLen]
	clear(b)
	io.frames[0].Reset(b, 0, frame.Unusable)
	return io.frames[:1]
}

func (d *packetDevice) Transmit(io *IO, copies []Copy) (sent Sent, err error) {
	if d.fd < 0 {
		return Sent{Failed: uint64(len(copies))}, ErrGone
	}
	for i, c := range copies {
		io.mmsg.gather(i, c, &io.heads[i])
	}
	// A call ends at the first message that is refused; the next call starts
	// with that one and says why.
	for at := 0; at < len(copies); {
		n, errno := io.mmsg.sendmmsg(d.fd, at, len(copies))
		if errno == unix.EINVAL || errno == unix.ENETDOWN {
			// It may be the message's, or the socket's: what happened to it
			// meanwhile is told to whoever calls next, once.
			first := errno
			n, errno = io.mmsg.sendmmsg(d.fd, at, len(copies))
			if errno == 0 && first == unix.EINVAL {
				sent.Undescribed++ // see IO.indescribable
			}
		}
		for _, c := range copies[at : at+n] {
			sent.taken(c)
		}
		at += n
		if errno == 0 && n > 0 {
			continue
		}
		if e := sent.refused(errno); e != nil {
			err = e
		}
		at++
	}
	return sent, err
}

func (d *packetDevice) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	err := unix.Close(fd)
	d.rings.Lock()
	defer d.rings.Unlock()
	if r := d.ring.Swap(nil); r != nil {
		err = errors.Join(err, r.close())
	}
	return err
}

// RxDrops implements [RxDropCounter]. The kernel sets its count to zero when
// it is read.
func (d *packetDevice) RxDrops() uint64 {
	if d.fd < 0 {
		return 0
	}
	d.rings.Lock()
	defer d.rings.Unlock()
	n := d.drops + socketDrops(d.fd)
	d.drops = 0
	if r := d.ring.Load(); r != nil {
		n += r.drops()
	}
	return n
}

// socketDrops returns how many frames a packet socket has dropped since the
// last call.
func socketDrops(fd int) uint64 {
	st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(st.Drops)
}

// taken counts a copy that the device took.
func (s *Sent) taken(c Copy) {
	s.Frames++
	s.Bytes += uint64(c.Frame.Len())
	if c.Tag != 0 {
		s.Bytes += frame.TagLen
	}
}

// refused counts a copy that the kernel did not take. It returns an error when
// the kernel would take no other one either.
func (s *Sent) refused(errno syscall.Errno) error {
	switch errno {
	case unix.EMSGSIZE, unix.E2BIG:
		s.TooBig++
	case unix.ENOBUFS, unix.EAGAIN:
		s.Full++
	case unix.ENXIO, unix.ENODEV, unix.EBADFD, unix.EBADF:
		s.Failed++
		return gone(errno)
	default:
		// ENETDOWN and EIO while the device is down; EINVAL; ENOMEM, which
		// is also what the kernel says of a frame that it cannot segment or
		// sum (validate_xmit_skb in net/core/dev.c).
		s.Failed++
	}
	return nil
}

func gone(errno syscall.Errno) error { return fmt.Errorf("%w: %w", ErrGone, errno) }
