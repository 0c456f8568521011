//go:build linux

package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// auxdata is struct tpacket_auxdata of packet(7).
type auxdata struct {
	status, length, snaplen uint32
	mac, net                uint16
	vlanTCI, vlanTPID       uint16
}

// controlLen holds one control message with an auxdata.
const controlLen = unix.SizeofCmsghdr + (unsafe.Sizeof(auxdata{})+7)&^7

// messages are the arguments of recvmmsg and sendmmsg. Only typed pointers
// point into them, so that the garbage collector knows what the kernel uses.
type messages struct {
	rx      [BatchFrames]mmsghdr
	rxVec   [BatchFrames]unix.Iovec
	control [BatchFrames][controlLen]byte
	tx      [BatchFrames]mmsghdr
	txVec   [2 * BatchFrames]unix.Iovec
}

func (m *messages) init(buffers *[BatchFrames][]byte) {
	for i := range m.rx {
		m.rxVec[i].Base = &buffers[i][0]
		m.rxVec[i].SetLen(len(buffers[i]))
		m.rx[i].Iov = &m.rxVec[i]
		m.rx[i].Iovlen = 1
		m.rx[i].Control = &m.control[i][0]
		m.rx[i].SetControllen(int(controlLen))
	}
}

// recvmmsg receives up to n messages without waiting. It goes past the
// scheduler (RawSyscall): with MSG_DONTWAIT the call cannot block, and entering
// and leaving a blocking system call costs more than a small frame does.
func (m *messages) recvmmsg(fd, n int) (int, syscall.Errno) {
	got, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.rx[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(got), 0
}

// received returns the length of the i-th message and the tag that the kernel
// took off it (0: none), and readies the message for the next call.
func (m *messages) received(i int) (n int, tag frame.Tag, truncated bool) {
	h := &m.rx[i]
	if h.Controllen >= uint64(controlLen) {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[i][0]))
		if c.Level == unix.SOL_PACKET && c.Type == unix.PACKET_AUXDATA {
			tag = (*auxdata)(unsafe.Pointer(&m.control[i][unix.SizeofCmsghdr])).tag()
		}
	}
	truncated = h.Flags&unix.MSG_TRUNC != 0
	h.Controllen = uint64(controlLen)
	h.Flags = 0
	return int(h.n), tag, truncated
}

// tag returns the tag that was taken off. One with VID 0 and no priority has
// TCI 0, so only the status tells it from none (linux/if_packet.h).
func (a *auxdata) tag() frame.Tag {
	if a.status&unix.TP_STATUS_VLAN_VALID == 0 {
		return 0
	}
	tpid := frame.TPIDCustomer
	if a.status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = a.vlanTPID
	}
	return frame.TagFromTCI(tpid, a.vlanTCI)
}

// gather sets the i-th message to transmit to one copy: in one piece where it
// lies so in the receive buffer, else a head of its own and the shared rest.
func (m *messages) gather(i int, c Copy, head *[frame.HeadLen]byte) {
	vec := m.txVec[2*i : 2*i+2]
	h := &m.tx[i]
	h.Iov, h.Iovlen = &vec[0], 1
	if whole := c.Frame.Whole(c.Tag); whole != nil {
		vec[0].Base = &whole[0]
		vec[0].SetLen(len(whole))
		return
	}
	n := c.Frame.Head(head, c.Tag)
	vec[0].Base = &head[0]
	vec[0].SetLen(n)
	if rest := c.Frame.Rest(); len(rest) > 0 {
		vec[1].Base = &rest[0]
		vec[1].SetLen(len(rest))
		h.Iovlen = 2
	}
}

// sendmmsg sends messages from the first up to end, without waiting.
func (m *messages) sendmmsg(fd, first, end int) (int, syscall.Errno) {
	sent, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.tx[first])), uintptr(end-first), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

// write writes the i-th message to fd, which is non-blocking. What lies in one
// piece goes by the call that has no list to look at.
func (m *messages) write(fd, i int) syscall.Errno {
	h := &m.tx[i]
	if h.Iovlen == 1 {
		_, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len))
		return errno
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(h.Iov)), uintptr(h.Iovlen))
	return errno
}

// read reads one frame from fd, which is non-blocking.
func read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
