// Package rtnl speaks rtnetlink where github.com/vishvananda/netlink has no
// words: several changes of a link in one request, links in other namespaces
// by number, deletion by group, events of all namespaces; and the ethtool
// features that go with them.
//
// It knows nothing of ports. A [Conn] may be used by many goroutines at once.
package rtnl

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNotFound is returned, possibly wrapped, for a link that does not exist.
var ErrNotFound = errors.New("no such device")

// Conn is a connection to one network namespace.
type Conn struct {
	sockets map[int]*nl.SocketHandle

	once sync.Once
	h    *netlink.Handle
	err  error
}

// Dial connects to the namespace of the calling thread.
func Dial() (*Conn, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Answers are immediate. One that does not come is the kernel's trouble,
	// and must not hold a port for the library's minute.
	wait := unix.NsecToTimeval((20 * time.Second).Nanoseconds())
	s.SetSendTimeout(&wait)
	s.SetReceiveTimeout(&wait)
	s.SetExtAck(true) // best effort: it makes refusals readable
	return &Conn{sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	for _, s := range c.sockets {
		s.Close()
	}
	c.once.Do(func() { c.err = errors.New("closed") })
	if c.h != nil {
		c.h.Close()
	}
}

// Handle returns the library's handle on the same namespace. The first call
// must be made by a thread that is inside.
func (c *Conn) Handle() (*netlink.Handle, error) {
	c.once.Do(func() {
		if c.h, c.err = netlink.NewHandle(unix.NETLINK_ROUTE); c.err != nil {
			c.err = fmt.Errorf("open a netlink socket: %w", c.err)
		}
	})
	return c.h, c.err
}

// request starts a message; it is executed with do.
func (c *Conn) request(kind, flags int) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{
			Len:   unix.SizeofNlMsghdr,
			Type:  uint16(kind),
			Flags: uint16(unix.NLM_F_REQUEST | flags),
		},
		Sockets: c.sockets,
	}
}

// do executes a request and returns the answers of that kind (0: any).
func do(req *nl.NetlinkRequest, answer uint16) ([][]byte, error) {
	msgs, err := req.Execute(unix.NETLINK_ROUTE, answer)
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return msgs, err
}
