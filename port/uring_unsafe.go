//go:build linux

package port

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring is an io_uring (io_uring(7)) through which many frames go to or from a
// device that has no call for more than one: entering the kernel is a fifth of
// what a small frame costs, and it is entered once.
//
// Nothing is ever under way between two calls: each request says that it must
// not wait, so the kernel does all that it is asked for at once, in order. (That
// a descriptor is non-blocking does not say so: io_uring waits there, too.)
type uring struct {
	fd             int
	queues, entry  []byte // memory that is shared with the kernel
	tail           *atomic.Uint32
	cqHead, cqTail *atomic.Uint32
	sqMask, cqMask uint32
	sqes           *[uringEntries]sqe
	cqes           *[2 * uringEntries]cqe

	asked   uint32              // entries filled since the last run
	results [uringEntries]int32 // by order of asking: what the system call would have returned, or -errno
	broken  bool                // the kernel did not do as above
}

const uringEntries = BatchFrames

// sqe is struct io_uring_sqe, as far as it is used here.
type sqe struct {
	opcode   uint8
	_        uint8  // flags
	_        uint16 // priority
	fd       int32
	_        uint64 // offset
	addr     uint64
	length   uint32
	opFlags  uint32
	userData uint64
	_        [3]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	_        uint32
}

// uringParams is struct io_uring_params.
type uringParams struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, wqFD uint32
	_                                                                  [3]uint32
	sq                                                                 struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// From linux/io_uring.h.
const (
	uringOpWritev = 2
	uringOpRead   = 22
	uringOpWrite  = 23

	uringOffSQRing = 0
	uringOffSQEs   = 0x10000000

	uringEnterGetevents = 1
	uringFeatSingleMmap = 1
)

// newUring returns one, or why the kernel has none for us: it is old, or an
// administrator has turned it off (kernel.io_uring_disabled).
func newUring() (*uring, error) {
	var p uringParams
	fd, _, errno := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, uringEntries, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring: %w", errno)
	}
	u := &uring{fd: int(fd)}
	if err := u.mapQueues(&p); err != nil {
		u.close()
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	return u, nil
}

func (u *uring) mapQueues(p *uringParams) (err error) {
	if p.features&uringFeatSingleMmap == 0 || p.sqEntries != uringEntries || p.cqEntries != 2*uringEntries {
		return unix.ENOSYS
	}
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	const protection, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if u.queues, err = unix.Mmap(u.fd, uringOffSQRing, int(size), protection, flags); err != nil {
		return err
	}
	if u.entry, err = unix.Mmap(u.fd, uringOffSQEs, int(unsafe.Sizeof(*u.sqes)), protection, flags); err != nil {
		return err
	}
	word := func(at uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&u.queues[at])) }
	u.tail, u.cqHead, u.cqTail = word(p.sq.tail), word(p.cq.head), word(p.cq.tail)
	u.sqMask, u.cqMask = word(p.sq.ringMask).Load(), word(p.cq.ringMask).Load()
	u.sqes = (*[uringEntries]sqe)(unsafe.Pointer(&u.entry[0]))
	u.cqes = (*[2 * uringEntries]cqe)(unsafe.Pointer(&u.queues[p.cq.cqes]))
	for i := range p.sqEntries {
		word(p.sq.array + 4*i).Store(i) // entries are used in their order
	}
	return nil
}

func (u *uring) close() {
	if u.queues != nil {
		unix.Munmap(u.queues)
	}
	if u.entry != nil {
		unix.Munmap(u.entry)
	}
	unix.Close(u.fd)
}

// ask adds a request to those of the next run. What it points to must be held
// elsewhere until then.
func (u *uring) ask(op uint8, fd int, addr unsafe.Pointer, length int) {
	at := u.tail.Load() + u.asked
	u.sqes[at&u.sqMask] = sqe{opcode: op, fd: int32(fd), addr: uint64(uintptr(addr)), length: uint32(length), opFlags: unix.RWF_NOWAIT, userData: uint64(u.asked)}
	u.asked++
}

// read asks for one frame from fd.
func (u *uring) read(fd int, b []byte) { u.ask(uringOpRead, fd, unsafe.Pointer(&b[0]), len(b)) }

// write asks for the i-th message to be written to fd.
func (u *uring) write(fd int, m *messages, i int) {
	h := &m.tx[i]
	if h.Iovlen == 1 {
		u.ask(uringOpWrite, fd, unsafe.Pointer(h.Iov.Base), int(h.Iov.Len))
		return
	}
	u.ask(uringOpWritev, fd, unsafe.Pointer(h.Iov), int(h.Iovlen))
}

// run has the kernel do what it was asked for, and returns the results in that
// order: -EAGAIN where it would have to wait, or did not come to it.
func (u *uring) run() []int32 {
	n := u.asked
	u.asked = 0
	results := u.results[:n]
	for i := range results {
		results[i] = -int32(unix.EAGAIN)
	}
	u.tail.Store(u.tail.Load() + n)
	for left := n; left > 0; {
		done, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), uintptr(left), 0, uringEnterGetevents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			u.broken = true
			break
		}
		left -= uint32(done)
	}
	head := u.cqHead.Load()
	for at := head; at != u.cqTail.Load(); at++ {
		c := &u.cqes[at&u.cqMask]
		results[c.userData] = c.res
		n--
	}
	u.cqHead.Store(u.cqTail.Load())
	if n != 0 {
		u.broken = true // something is under way
	}
	return results
}
