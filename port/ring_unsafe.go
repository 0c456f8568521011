//go:build linux

package port

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

const (
	// ringSlot holds a frame of an ordinary MTU with its offload header and
	// tags, behind the kernel's own header.
	ringSlot = 2048
	// ringSlots is how many frames wait: some 10 ms of small ones.
	ringSlots = 4096
	// ringBlock is what the kernel allocates in one piece.
	ringBlock = 32 << 10
	// RingFrame is the longest frame that comes by a ring, in octets.
	RingFrame = 1900
	// RingBytes is the memory that a ring takes.
	RingBytes = ringSlot * ringSlots
)

// ring is a receive ring of a packet socket, version 2 (Documentation/networking/
// packet_mmap.rst in Linux): the kernel writes frames to slots in memory that
// both see, in order, and says of each slot whose it is. Receiving takes no
// system call, no buffer of the kernel, and none of its locks, which is most of
// what a small frame costs. Version 3, with slots of any size, would hold frames
// back until a block is full or a timer ends.
//
// A frame that is longer than a slot waits at the socket, as without a ring; its
// slot says so.
type ring struct {
	fd   int
	mem  []byte
	next int // the slot that comes next
	held int // slots before it that frames lie in

	shifted atomic.Bool   // no frame comes by the queue of the device's own socket any more
	leaving atomic.Bool   // none comes by the ring any more
	cut     atomic.Uint64 // frames that neither fit a slot nor found room at the socket

	// alone says that what came before the ring has been received.
	alone bool
}

// slot is struct tpacket2_hdr, at the beginning of a slot.
type slot struct {
	status  uint32
	length  uint32 // of the frame, without what the kernel puts before it
	stored  uint32 // of that, what fits
	mac     uint16 // where the frame begins, in the slot; before it is the offload header
	_       uint16
	_, _    uint32
	tagTCI  uint16
	tagTPID uint16
	_       uint32
}

// mapRing gives the packet socket fd, which is not bound yet, a ring.
func mapRing(fd int) (*ring, error) {
	for _, o := range []struct{ name, value int }{
		{unix.PACKET_VERSION, unix.TPACKET_V2},
		{unix.PACKET_COPY_THRESH, 1}, // queue what is longer than a slot
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.name, o.value); err != nil {
			return nil, fmt.Errorf("socket option %d: %w", o.name, err)
		}
	}
	req := unix.TpacketReq{Block_size: ringBlock, Block_nr: RingBytes / ringBlock, Frame_size: ringSlot, Frame_nr: ringSlots}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("make a receive ring of %d KiB: %w", RingBytes>>10, err)
	}
	mem, err := unix.Mmap(fd, 0, RingBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map a receive ring: %w", err)
	}
	return &ring{fd: fd, mem: mem}, nil
}

// drops returns how many frames found no room since the last call.
func (r *ring) drops() uint64 { return r.cut.Swap(0) + socketDrops(r.fd) }

func (r *ring) close() error {
	unix.Munmap(r.mem)
	return unix.Close(r.fd)
}

func (r *ring) at(i int) *slot {
	return (*slot)(unsafe.Pointer(&r.mem[i%ringSlots*ringSlot]))
}

// peek returns the status of the next slot: 0 while it is the kernel's.
func (r *ring) peek() uint32 {
	return atomic.LoadUint32(&r.at(r.next).status)
}

// pass takes the next slot, to be given back by release.
func (r *ring) pass() {
	r.next = (r.next + 1) % ringSlots
	r.held++
}

// release gives slots back to the kernel, the oldest first.
func (r *ring) release() {
	for ; r.held > 0; r.held-- {
		atomic.StoreUint32(&r.at(r.next-r.held+ringSlots).status, unix.TP_STATUS_KERNEL)
	}
}

// idle reports whether no frame waits, and none is in use. It is for who
// receives; waiting is for others, too.
func (r *ring) idle() bool { return r.held == 0 && r.peek()&unix.TP_STATUS_USER == 0 }

// waiting counts slots that frames lie in.
func (r *ring) waiting() (n int) {
	for i := range ringSlots {
		if atomic.LoadUint32(&r.at(i).status)&unix.TP_STATUS_USER != 0 {
			n++
		}
	}
	return n
}

// receive takes frames that wait in slots, where they stay until release. Where
// it comes first to frames that wait at the socket, it returns their number,
// and takes none.
func (r *ring) receive(io *IO) (frames []frame.Frame, queued int) {
	n := 0
	for n < io.Most {
		status := r.peek()
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		s := r.at(r.next)
		switch {
		case status&unix.TP_STATUS_COPY != 0:
			if n > 0 {
				return io.frames[:n], 0
			}
			return nil, r.queued(io.Most)
		case s.stored < s.length:
			r.cut.Add(1)
		default:
			start := r.next*ringSlot + int(s.mac)
			b := r.mem[start-frame.OffloadLen : start+int(s.stored)]
			io.frames[n].Reset(b, s.tag(status), frame.GetOffload(b))
			n++
		}
		r.pass()
	}
	return io.frames[:n], 0
}

// queued counts, up to most, frames in a row that wait at the socket, and gives
// back their slots.
func (r *ring) queued(most int) (n int) {
	for n < most && r.peek()&(unix.TP_STATUS_USER|unix.TP_STATUS_COPY) == unix.TP_STATUS_USER|unix.TP_STATUS_COPY {
		r.pass()
		n++
	}
	r.release()
	return n
}

// tag returns the tag that the kernel took off.
func (s *slot) tag(status uint32) frame.Tag {
	a := auxdata{status: status, vlanTCI: s.tagTCI, vlanTPID: s.tagTPID}
	return a.tag()
}
