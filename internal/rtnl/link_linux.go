package rtnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Here is the number of the connection's own namespace, where numbers of
// namespaces are asked for.
const Here = -1

// extSkipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const extSkipStats = 1 << 3

// Link returns the link with that index.
func (c *Conn) Link(index int) (netlink.Link, error) { return c.LinkIn(Here, index) }

// LinkIn returns a link of another namespace, which is known here by a number:
// [Conn.NamespaceNumber], or the NetNsID of the other end of a pair.
func (c *Conn) LinkIn(namespace, index int) (netlink.Link, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	return c.getLink(namespace, msg, nil)
}

// LinkByName returns the link that has a name, or an alternative one.
func (c *Conn) LinkByName(name string) (netlink.Link, error) {
	kind := unix.IFLA_IFNAME
	if len(name) >= unix.IFNAMSIZ {
		kind = unix.IFLA_ALT_IFNAME
	}
	return c.getLink(Here, nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(kind, nl.ZeroTerminated(name)))
}

func (c *Conn) getLink(namespace int, msg *nl.IfInfomsg, name *nl.RtAttr) (netlink.Link, error) {
	answer, err := c.linkMessage(namespace, msg, name)
	if err != nil {
		return nil, err
	}
	return netlink.LinkDeserialize(nil, answer)
}

// linkMessage asks for a link, and returns its struct ifinfomsg and what follows.
func (c *Conn) linkMessage(namespace int, msg *nl.IfInfomsg, name *nl.RtAttr) ([]byte, error) {
	req := c.request(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(msg)
	if namespace != Here {
		req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(namespace))))
	}
	if name != nil {
		req.AddData(name)
	}
	// No statistics: they cost more than the rest.
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extSkipStats)))
	msgs, err := do(req, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 {
		return nil, ErrNotFound
	}
	return msgs[0], nil
}

// MaxMTU returns the largest MTU that the link can have; 0: it does not say.
func (c *Conn) MaxMTU(index int) (int, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	answer, err := c.linkMessage(Here, msg, nil)
	if err != nil {
		return 0, err
	}
	if most := attr(answer[unix.SizeofIfInfomsg:], unix.IFLA_MAX_MTU); len(most) == 4 {
		return int(binary.NativeEndian.Uint32(most)), nil
	}
	return 0, nil
}

// Links returns all links of the namespace.
func (c *Conn) Links() ([]netlink.Link, error) {
	// A dump that changes interfered with says so, and is asked for again.
	for range 10 {
		req := c.request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extSkipStats)))
		msgs, err := do(req, unix.RTM_NEWLINK)
		if errors.Is(err, nl.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		links := make([]netlink.Link, 0, len(msgs))
		for _, m := range msgs {
			l, err := netlink.LinkDeserialize(nil, m)
			if err != nil {
				return nil, fmt.Errorf("list devices: %w", err)
			}
			links = append(links, l)
		}
		return links, nil
	}
	return nil, fmt.Errorf("list devices: %w", nl.ErrDumpInterrupted)
}

// Change is what [Conn.Set] does to a link; zero fields leave things be.
type Change struct {
	Name  string
	Alias string
	MAC   []byte
	MTU   int
	Group *uint32
	// Flags that are in Mask are set (IFF_UP, IFF_NOARP).
	Flags, Mask uint32
	// Namespace is a descriptor of the namespace to move to; with Name, the
	// link is renamed on its way.
	Namespace *int
}

// Set changes a link in one request. The kernel applies the parts one after
// the other: after an error, earlier ones may stand.
func (c *Conn) Set(index int, ch Change) error {
	req := c.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	msg.Flags, msg.Change = ch.Flags, ch.Mask
	req.AddData(msg)
	if ch.Namespace != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(*ch.Namespace))))
	}
	if ch.Name != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(ch.Name)))
	}
	if ch.Alias != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(ch.Alias)))
	}
	if len(ch.MAC) > 0 && !bytes.Equal(ch.MAC, make([]byte, len(ch.MAC))) {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, ch.MAC))
	}
	if ch.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(ch.MTU))))
	}
	if ch.Group != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(*ch.Group)))
	}
	_, err := do(req, 0)
	return err
}

// Delete deletes a link.
func (c *Conn) Delete(index int) error {
	req := c.request(unix.RTM_DELLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	_, err := do(req, 0)
	return err
}

// DeleteGroup deletes all links of a group at once, which takes the kernel
// little longer than one of them. A group without links is none to it:
// [ErrNotFound].
func (c *Conn) DeleteGroup(group uint32) error {
	req := c.request(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := do(req, 0)
	return err
}

// NamespaceNumber returns the number by which the namespace that fd refers to
// is known here, and makes one where it has none. Events of a namespace
// without a number are not heard. A number does not keep a namespace alive.
func (c *Conn) NamespaceNumber(fd int) (int, error) {
	h, err := c.Handle()
	if err != nil {
		return 0, err
	}
	for range 3 {
		n, err := h.GetNetNsIdByFd(fd)
		if err != nil {
			return 0, fmt.Errorf("number of the namespace: %w", err)
		}
		if n >= 0 {
			return n, nil
		}
		// -1: the kernel picks. EEXIST: somebody else made one meanwhile.
		if err := h.SetNetNsIdByFd(fd, -1); err != nil && !errors.Is(err, unix.EEXIST) {
			return 0, fmt.Errorf("number the namespace: %w", err)
		}
	}
	return 0, errors.New("the kernel does not number the namespace")
}
