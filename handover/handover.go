// Package handover carries what a daemon hands over to the one that takes its place:
// a text and descriptors, over a Unix socket or by the store that systemd keeps for
// a service (sd_notify(3), FDSTORE=1).
package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// most is how many descriptors go in one message: SCM_MAX_FD of the kernel.
const most = 253

// Bounds of what is believed: a million stations and ten thousand ports need less.
const (
	maxText  = 256 << 20
	maxFiles = 1 << 16
)

// Send sends a text and descriptors, which stay the caller's.
func Send(c *net.UnixConn, text []byte, fds []int) error {
	var head [12]byte
	binary.BigEndian.PutUint64(head[:], uint64(len(text)))
	binary.BigEndian.PutUint32(head[8:], uint32(len(fds)))
	if _, err := c.Write(append(head[:], text...)); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	for len(fds) > 0 {
		n := min(len(fds), most)
		// One octet goes along: of nothing, no rights are sent.
		if _, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(fds[:n]...), nil); err != nil {
			return fmt.Errorf("hand over descriptors: %w", err)
		}
		fds = fds[n:]
	}
	return nil
}

// Receive receives what Send has sent. The descriptors are the caller's, and closed
// in programs that it starts.
func Receive(c *net.UnixConn) (text []byte, fds []int, err error) {
	defer func() {
		if err != nil {
			Close(fds)
			fds = nil
		}
	}()
	var head [12]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, nil, fmt.Errorf("take over: %w", err)
	}
	length, files := binary.BigEndian.Uint64(head[:]), int(binary.BigEndian.Uint32(head[8:]))
	if length > maxText || files > maxFiles {
		return nil, nil, fmt.Errorf("take over: %d octets and %d descriptors are too many", length, files)
	}
	text = make([]byte, length)
	if _, err := io.ReadFull(c, text); err != nil {
		return nil, nil, fmt.Errorf("take over: %w", err)
	}
	room := make([]byte, unix.CmsgSpace(most*4))
	for len(fds) < files {
		var one [1]byte
		n, rights, flags, _, err := c.ReadMsgUnix(one[:], room)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fds, fmt.Errorf("take over descriptors: %w", err)
		}
		got, err := parse(room[:rights])
		fds = append(fds, got...)
		if err == nil && (flags&unix.MSG_CTRUNC != 0 || len(got) == 0) {
			err = errors.New("the kernel has left some out: is RLIMIT_NOFILE too small?")
		}
		if err != nil {
			return nil, fds, fmt.Errorf("take over descriptors: %w", err)
		}
	}
	return text, fds, nil
}

func parse(b []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		for _, fd := range got {
			unix.CloseOnExec(fd)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// Close closes descriptors.
func Close(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
