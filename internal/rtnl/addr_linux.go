package rtnl

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddAddress gives a link an address that is in force at once: no duplicate
// address detection.
func (c *Conn) AddAddress(index int, a netip.Prefix) error {
	h, err := c.Handle()
	if err != nil {
		return err
	}
	addr := netlink.Addr{IPNet: ipNet(a), LinkIndex: index}
	if a.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return h.AddrAdd(nil, &addr)
}

// AddDefaultRoute makes gateway, behind the link, the default route of its
// family.
func (c *Conn) AddDefaultRoute(index int, gateway netip.Addr) error {
	h, err := c.Handle()
	if err != nil {
		return err
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if gateway.Is6() {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: ipNet(all), Gw: gateway.AsSlice()})
}

// DefaultRoute returns the link of the route in whose place [Conn.AddDefaultRoute] would
// add one of the gateway's family; 0: of none. found is false where there is no such
// route. Those of other metrics are none.
func (c *Conn) DefaultRoute(gateway netip.Addr) (index int, found bool, err error) {
	family, metric := netlink.FAMILY_V4, 0
	if gateway.Is6() {
		family, metric = netlink.FAMILY_V6, 1024 // IP6_RT_PRIO_USER
	}
	h, err := c.Handle()
	if err != nil {
		return 0, false, err
	}
	routes, err := h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return 0, false, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones > 0 {
				continue
			}
		}
		if r.Priority == metric && r.Tos == 0 {
			return r.LinkIndex, true, nil
		}
	}
	return 0, false, nil
}

// Address is an address of a link.
type Address struct {
	netip.Prefix
	// Auto says that the kernel made it of itself: a link-local one, that
	// comes back when IPv6 does.
	Auto bool
}

// Values of IFA_PROTO (linux/if_addr.h), which the kernel tells since 5.18.
const (
	ifaProto   = 11
	protoLocal = 3 // IFAPROT_KERNEL_LL
)

// Addresses returns the addresses of a link.
func (c *Conn) Addresses(index int) ([]Address, error) {
	req := c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	msgs, err := do(req, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []Address
	for _, m := range msgs {
		msg := nl.DeserializeIfAddrmsg(m)
		if int(msg.Index) != index {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[msg.Len():])
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		out = append(out, address(int(msg.Prefixlen), attrs))
	}
	return out, nil
}

func address(bits int, attrs []syscall.NetlinkRouteAttr) Address {
	var a Address
	proto := 0
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_LOCAL: // IPv4; IPv6 only with a peer
			ip, _ := netip.AddrFromSlice(attr.Value)
			a.Prefix = netip.PrefixFrom(ip, bits)
		case unix.IFA_ADDRESS:
			if ip, _ := netip.AddrFromSlice(attr.Value); !a.IsValid() {
				a.Prefix = netip.PrefixFrom(ip, bits)
			}
		case ifaProto:
			proto = int(attr.Value[0])
		}
	}
	a.Auto = a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() &&
		(proto == protoLocal || KernelBefore(5, 18))
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
