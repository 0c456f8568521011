package port

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// place is where a far end lives. It keeps no namespace alive.
type place struct {
	own  bool     // the daemon's namespace: nobody asked for another
	path string   // of the file that stands for the namespace
	id   netns.ID // of the namespace that was found there
	what string   // for people: "namespace web"
	lost string   // for people: why it is not there any more
	once bool     // it never comes back: pid:N
	name string   // of the container that it is of
	pid  int      // of the container's process

	unwatch []func()
}

// Place is where a far end is to live. It keeps the namespace alive that was
// found there: it is to be used and closed.
type Place struct {
	place
	ns *netns.NS // nil: the daemon's own
}

// Close gives the namespace back. Of nil it does nothing.
func (p *Place) Close() {
	if p != nil && p.ns != nil {
		p.ns.Close()
	}
}

// Find finds the place that cfg names where another program has to be asked
// for it, which may take seconds: see [Config.Asks]. It returns nil where there
// is nobody to ask. It changes nothing, and ends at once when ctx does. The
// place may be gone by the time it is used: Open looks again.
func (h *Host) Find(ctx context.Context, cfg Config) (*Place, error) {
	if !cfg.Asks() {
		return nil, nil
	}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	return h.locate(ctx, cfg)
}

// locate finds the place that cfg names.
func (h *Host) locate(ctx context.Context, cfg Config) (*Place, error) {
	switch {
	case cfg.Container != "":
		return h.containers.locate(ctx, cfg.Container, h.self.ID())
	case cfg.Netns == "":
		return &Place{place: place{own: true, what: "the host"}}, nil
	}
	var p place
	var err error
	if p.path, err = netns.Path(cfg.Netns); err != nil {
		return nil, namespaceError(err)
	}
	_, p.once = netns.PID(cfg.Netns)
	ns, err := netns.Open(cfg.Netns)
	if p.once && cfg.Namespace != (netns.ID{}) && (err != nil || ns.ID() != cfg.Namespace) {
		if err == nil {
			ns.Close()
		}
		return nil, wornOut(cfg)
	}
	if err != nil {
		if !p.once {
			h.mon.files.await(p.path)
		}
		return nil, namespaceError(err)
	}
	p.id = ns.ID()
	p.what = "namespace " + cfg.Netns
	p.lost = p.what + " was deleted"
	if pid, ok := netns.PID(cfg.Netns); ok {
		p.what = fmt.Sprintf("the namespace of process %d", pid)
		p.lost = p.what + " is gone"
	}
	return &Place{p, ns}, nil
}

// wornOut says that a process's number stands for its namespace no more.
func wornOut(cfg Config) error {
	return errorf(Refused, "the namespace that %s stood for is gone, and the number may be another process's: delete the port, and add it where it is to be now", cfg.Netns)
}

// watch tells of changes of the place from now on, until release.
func (p *place) watch(h *Host) {
	switch {
	case p.name != "":
		p.unwatch = append(p.unwatch, h.containers.hold(p.name))
		// The engine keeps the namespace for a while after the end.
		pidfd, err := unix.PidfdOpen(p.pid, 0)
		if err == nil {
			p.unwatch = append(p.unwatch, h.mon.files.exit(pidfd, containerKey(p.name)))
		}
		if !p.stands() {
			h.mon.post(containerKey(p.name)) // it ended meanwhile
		}
	case p.path != "" && !p.once:
		h.mon.files.hold(p.path, p.id)
		p.unwatch = append(p.unwatch, func() { h.mon.files.drop(p.path) })
	}
}

func (p *place) release() {
	for _, f := range p.unwatch {
		f()
	}
	p.unwatch = nil
}

func namespaceError(err error) error {
	var e *netns.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Invalid:
		return &Error{Invalid, e.Error(), err}
	case e.Missing:
		return &Error{NotFound, e.Error(), err}
	}
	return &Error{Refused, e.Error(), err}
}

// stands reports whether the namespace is still there under its name. That of
// a process has none: it lasts as long as it does, with or without the process.
func (p *place) stands() bool {
	if p.own || p.once {
		return true
	}
	id, ok := netns.Identify(p.path)
	return ok && id == p.id
}

// where names a device that is there, for people.
func (p *place) where(device string) string {
	if p.own {
		return device
	}
	return device + " in " + p.what
}

// left is the status of a port whose namespace is not there under its name.
func (p *place) left() Status { return Status{Gone: true, Manual: p.once, Reason: p.lost} }

// vanished is the status of a port whose device is no longer in the namespace,
// which was known here by a number.
func (p *place) vanished(h *Host, namespace int, id Identity, device string) Status {
	alive := p.stands()
	if p.once {
		_, err := h.conn.LinkIn(namespace, loopback)
		alive = err == nil
	}
	if !alive {
		return p.left()
	}
	return byHand(id, p.where(device))
}

// byHand is the status of a port whose device somebody deleted.
func byHand(id Identity, device string) Status {
	return Status{Gone: true, Manual: true, Reason: fmt.Sprintf(
		"%s was deleted by hand: to make it again, use vsctl port set %s up", device, id)}
}

// loopback is the index of lo, which every namespace has.
const loopback = 1

func (p *place) keys() []Key {
	switch {
	case p.name != "":
		return []Key{containerKey(p.name)}
	case p.path != "":
		return []Key{fileKey(p.path)}
	}
	return nil
}

// inside runs fn with a connection in ns, or in the daemon's namespace where
// ns is nil.
func (h *Host) inside(ns *netns.NS, fn func(c *rtnl.Conn) error) error {
	if ns == nil {
		return fn(h.conn)
	}
	return ns.Do(func() error {
		c, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return fn(c)
	})
}

// station gives the far end its addresses and routes and sets it up. It is
// called inside the far end's namespace.
func station(c *rtnl.Conn, index int, name string, p *place, cfg Config) error {
	for _, a := range cfg.Addresses {
		if a.Addr().Is6() {
			// Container engines turn IPv6 off where they do not use it;
			// who asks for an address here wants it on.
			_ = setIPv6(name, true)
			break
		}
	}
	for _, a := range cfg.Addresses {
		switch err := c.AddAddress(index, a); {
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
			return errorf(Refused, "address %s: IPv6 is turned off in %s: turn it on there, or leave the address out: %w", a, p.what, err)
		case err != nil:
			return errorf(Refused, "address %s: the kernel refuses it for %s in %s: %w", a, name, p.what, err)
		}
	}
	if err := c.Set(index, rtnl.Change{Flags: unix.IFF_UP, Mask: unix.IFF_UP}); err != nil {
		return fmt.Errorf("set %s in %s up: %w", name, p.what, err)
	}
	for _, g := range cfg.Gateways {
		switch err := c.AddDefaultRoute(index, g.WithZone("")); {
		case errors.Is(err, unix.EEXIST):
			return routeExists(g, p.what)
		case err != nil:
			return errorf(Refused, "gateway %s: the kernel refuses the default route in %s: %w", g, p.what, err)
		}
	}
	return nil
}

func routeExists(gateway netip.Addr, where string) error {
	return errorf(Refused, "gateway %s: %s has a default route already: delete that one, or leave the gateway out", gateway, where)
}

// Check finds what is wrong with a Config by itself: what no machine has an answer to.
func (c *Config) Check() error {
	if c.Netns != "" && c.Container != "" {
		return errorf(Invalid, "a port is in a namespace (%s) or in a container (%s): name one of both", c.Netns, c.Container)
	}
	if c.IfName != "" {
		if err := checkIfName(c.IfName); err != nil {
			return err
		}
	}
	if c.Kind == VM {
		if err := checkIfName(c.Device); err != nil {
			return err
		}
	}
	if c.MAC.IsMulticast() {
		return errorf(Invalid, "%s is a multicast address: a station has an even first octet, such as 02:00:00:00:00:01", c.MAC)
	}
	if err := checkMTU(c); err != nil {
		return err
	}
	seen := map[netip.Prefix]bool{}
	for _, a := range c.Addresses {
		ip := a.Addr()
		switch {
		case !a.IsValid() || ip.Is4In6() || ip.Zone() != "":
			return errorf(Invalid, "%q is not an address with the length of its prefix: write one such as 10.0.0.1/24", a)
		case ip.IsMulticast() || ip.IsUnspecified() || ip.IsLoopback() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return errorf(Invalid, "%s is not the address of a station: use one such as 10.0.0.1/24", a)
		case seen[a]:
			return errorf(Invalid, "address %s is given twice", a)
		}
		seen[a] = true
	}
	return checkGateways(c)
}

// Lengths that the kernel enforces, so that people read why.
const (
	minMTU     = 68    // ETH_MIN_MTU
	maxMTU     = 65535 // ETH_MAX_MTU
	minIPv6MTU = 1280  // RFC 8200, section 5
)

// MTUs returns the bounds of the MTU of such a port's far end. A TAP's has the header
// beside it in 64 KiB.
func (k Kind) MTUs() (least, most int) {
	if k == Tap || k == VM {
		return minMTU, maxMTU - frame.HeaderLen
	}
	return minMTU, maxMTU
}

func checkMTU(cfg *Config) error {
	least, most := cfg.Kind.MTUs()
	switch {
	case cfg.MTU == 0:
	case cfg.MTU < least || cfg.MTU > most:
		return errorf(Invalid, "MTU %d: use %d to %d", cfg.MTU, least, most)
	case cfg.MTU < minIPv6MTU:
		for _, a := range cfg.Addresses {
			if a.Addr().Is6() {
				return errorf(Invalid, "MTU %d is too small for the IPv6 address %s: use %d or more", cfg.MTU, a, minIPv6MTU)
			}
		}
	}
	return nil
}

// checkGateways wants each gateway to be a neighbour: the kernel needs a route
// to it.
func checkGateways(cfg *Config) error {
	var v4, v6 bool
	for _, g := range cfg.Gateways {
		family := &v4
		if g.Is6() {
			family = &v6
		}
		switch {
		case !g.IsValid() || g.Is4In6() || g.IsMulticast() || g.IsUnspecified() || g.IsLoopback():
			return errorf(Invalid, "%s cannot be a gateway: use the address of a neighbour", g)
		case *family:
			return errorf(Invalid, "gateway %s: there is another gateway of its family already", g)
		case slices.ContainsFunc(cfg.Addresses, func(a netip.Prefix) bool { return a.Addr() == g }):
			return errorf(Invalid, "gateway %s is the port's own address: use that of a neighbour", g)
		case !reachable(g, cfg.Addresses):
			return errorf(Invalid, "gateway %s is in none of the prefixes of the addresses given: add an address whose prefix holds it", g)
		}
		*family = true
	}
	return nil
}

func reachable(g netip.Addr, addresses []netip.Prefix) bool {
	if g.Is6() && g.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Contains(g) })
}
