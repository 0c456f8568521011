package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// tunnel is one end of a VXLAN tunnel between two hosts, and what lives at the
// other.
type tunnel struct {
	ifname        string
	vni           int
	local, remote string
	addr4, addr6  string // with prefix lengths
	peerMAC       string
	peer4, peer6  string
}

// vxlan makes the device: busybox has no words for it. What it sends over IPv6
// has a checksum, what it takes need not (RFC 6936).
func vxlan(t tunnel) (any, error) {
	dev := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: t.ifname}, VxlanId: t.vni, Port: 4789, Learning: true,
		SrcAddr: net.ParseIP(t.local), Group: net.ParseIP(t.remote), UDP6ZeroCSumRx: true,
	}
	if err := netlink.LinkAdd(dev); err != nil {
		return nil, fmt.Errorf("add %s: %w", t.ifname, err)
	}
	link, err := netlink.LinkByName(t.ifname)
	if err != nil {
		return nil, err
	}
	mac, err := net.ParseMAC(t.peerMAC)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, text := range []string{t.addr4, t.addr6} {
		addr, err := netlink.ParseAddr(text)
		if err == nil {
			addr.Flags = 0x02 // IFA_F_NODAD: in force at once
			err = netlink.AddrAdd(link, addr)
		}
		errs = append(errs, err)
	}
	errs = append(errs, netlink.LinkSetUp(link))
	for _, peer := range []string{t.peer4, t.peer6} {
		errs = append(errs, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(peer), HardwareAddr: mac,
		}))
	}
	return map[string]string{"mac": link.Attrs().HardwareAddr.String()}, errors.Join(errs...)
}
