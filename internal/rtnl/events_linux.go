package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrOverrun is returned where more events came than the socket holds: some
// are lost, and anything may have changed.
var ErrOverrun = errors.New("events were lost")

// Event is a change of a link, or of a namespace's number.
type Event struct {
	Kind      uint16 // RTM_NEWLINK, RTM_DELLINK, RTM_NEWNSID, RTM_DELNSID
	Namespace int    // where it happened, by its number here; see [Conn.OwnNumber]
	Index     int    // of the link, or the number that a namespace got or lost
	Name      string // of the link
}

// Listener hears of every change of a link in the namespace where it was made,
// and in all that have a number there. It keeps none of them alive. It is used
// by one goroutine, but for Close.
type Listener struct {
	file   *os.File
	conn   syscall.RawConn
	closed atomic.Bool
	buf    []byte
	oob    []byte
}

// listenBuffer holds the events of some thousand links that change at once:
// one costs about 2 KiB.
const listenBuffer = 16 << 20

// Listen makes a listener in the namespace of the calling thread.
func Listen() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, listenBuffer)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, listenBuffer)
	}
	// Binding first: it clears memberships.
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	for _, o := range []struct{ name, value int }{
		{unix.NETLINK_LISTEN_ALL_NSID, 1},
		{unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_LINK},
		{unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NSID},
	} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, o.name, o.value)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to netlink events of all namespaces (takes CAP_NET_BROADCAST): %w", err)
	}
	l := &Listener{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 256<<10), oob: make([]byte, 256)}
	if l.conn, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("listen to netlink events: %w", err)
	}
	return l, nil
}

// Close ends the listener and a Receive that waits.
func (l *Listener) Close() error {
	l.closed.Store(true)
	return l.file.Close()
}

// Receive waits for events and appends them to dst. After [ErrOverrun] it may
// be called again; after Close it returns [os.ErrClosed].
func (l *Listener) Receive(dst []Event) ([]Event, error) {
	var n, oobn int
	var from unix.Sockaddr
	var errno error
	err := l.conn.Read(func(fd uintptr) bool {
		n, oobn, _, from, errno = unix.Recvmsg(int(fd), l.buf, l.oob, unix.MSG_DONTWAIT)
		return !errors.Is(errno, unix.EAGAIN) && !errors.Is(errno, unix.EINTR)
	})
	switch {
	case l.closed.Load():
		return dst, os.ErrClosed
	case err != nil:
		return dst, err
	case errors.Is(errno, unix.ENOBUFS):
		return dst, ErrOverrun
	case errno != nil:
		return dst, fmt.Errorf("receive netlink events: %w", errno)
	}
	if nla, ok := from.(*unix.SockaddrNetlink); !ok || nla.Pid != 0 {
		return dst, nil // not from the kernel
	}
	msgs, err := syscall.ParseNetlinkMessage(l.buf[:n])
	if err != nil {
		return dst, ErrOverrun
	}
	namespace := origin(l.oob[:oobn])
	for _, m := range msgs {
		if e, ok := event(m, namespace); ok {
			dst = append(dst, e)
		}
	}
	return dst, nil
}

// origin finds the number of the namespace that sent a message.
func origin(oob []byte) int {
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return Here
	}
	for _, c := range cmsgs {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(c.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(c.Data)))
		}
	}
	return Here
}

func event(m syscall.NetlinkMessage, namespace int) (e Event, ok bool) {
	e = Event{Kind: m.Header.Type, Namespace: namespace}
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) < unix.SizeofIfInfomsg {
			return e, false
		}
		msg := nl.DeserializeIfInfomsg(m.Data)
		// Bridges tell of their ports' own matters, too.
		if msg.Family != unix.AF_UNSPEC {
			return e, false
		}
		e.Index = int(msg.Index)
		e.Name = unix.ByteSliceToString(attr(m.Data[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME))
		return e, true
	case unix.RTM_NEWNSID, unix.RTM_DELNSID:
		// One octet of struct rtgenmsg and padding, then attributes.
		id := attr(m.Data[min(len(m.Data), unix.NLMSG_ALIGNTO):], unix.NETNSA_NSID)
		if len(id) < 4 {
			return e, false
		}
		e.Index = int(int32(binary.NativeEndian.Uint32(id)))
		return e, true
	}
	return e, false
}

// attr finds one attribute without taking all of them apart: a link's message
// has sixty.
func attr(b []byte, kind uint16) []byte {
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK == kind {
			return b[unix.SizeofRtAttr:length]
		}
		b = b[min(len(b), (length+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return nil
}

// OwnNumber returns the number by which the connection's namespace, which fd
// refers to, knows itself; Here if it has none. Its own events carry it then.
// (Not by the process's number: any of its threads may be elsewhere.)
func (c *Conn) OwnNumber(fd int) (int, error) {
	h, err := c.Handle()
	if err != nil {
		return Here, err
	}
	return h.GetNetNsIdByFd(fd)
}
