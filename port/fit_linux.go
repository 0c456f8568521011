package port

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// Missing returns an error for what cfg names and is not there, or could not be a port
// as it is there, as far as that can be told without asking another program. It changes
// nothing. What a port of this daemon made or holds is not judged: that port may go
// before.
func (h *Host) Missing(cfg Config) error {
	if err := cfg.Check(); err != nil || cfg.Asks() {
		return err
	}
	at, err := h.locate(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer at.Close()
	switch cfg.Kind {
	case Dev:
		return h.devFits(cfg)
	case VM:
		if _, err := checkVM(cfg); err != nil {
			return err
		}
		return h.free(h.conn, cfg.Device, func() error { return deviceExists(cfg.Device) })
	case Veth, Tap:
		if cfg.IfName == "" && len(cfg.Gateways) == 0 {
			return nil // a name is chosen that is free
		}
		return h.inside(at.ns, func(c *rtnl.Conn) error {
			if cfg.IfName != "" {
				if err := h.free(c, cfg.IfName, func() error { return nameExists(cfg, at.what, nil) }); err != nil {
					return err
				}
			}
			return h.routesFree(c, cfg.Gateways, at.what)
		})
	}
	return nil
}

// devFits returns an error where a device is not there, or cannot be a port. The switch's
// own side of a port goes with it, and is never another's.
func (h *Host) devFits(cfg Config) error {
	link, err := h.device(cfg.Device)
	if err != nil {
		return err
	}
	if h.goesWithPort(h.conn, link) {
		if _, _, made := aliasOwner(link.Attrs().Alias); made {
			return h.unused(link, cfg.Device)
		}
		return nil
	}
	_, _, err = h.usable(link, cfg)
	return err
}

// routesFree returns an error where somebody else's route is in the place of the default
// route by a gateway.
func (h *Host) routesFree(c *rtnl.Conn, gateways []netip.Addr, where string) error {
	for _, g := range gateways {
		index, found, err := c.DefaultRoute(g)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if link, err := c.Link(index); err != nil || !h.goesWithPort(c, link) {
			return routeExists(g, where)
		}
	}
	return nil
}

// free returns what taken does where somebody else's interface has the name.
func (h *Host) free(c *rtnl.Conn, name string, taken func() error) error {
	link, err := c.LinkByName(name)
	switch {
	case errors.Is(err, rtnl.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look whether the name %s is free: %w", name, err)
	case h.goesWithPort(c, link):
		return nil
	}
	return taken()
}

// goesWithPort reports whether a device that c has found goes with a port of this daemon: as
// it was made for the port, is the far end of its pair, or hangs on it.
func (h *Host) goesWithPort(c *rtnl.Conn, link netlink.Link) bool {
	a := link.Attrs()
	mine := func(a *netlink.LinkAttrs) bool {
		instance, _, ok := aliasOwner(a.Alias)
		return ok && instance == h.instance
	}
	if mine(a) || a.ParentIndex == 0 {
		return mine(a)
	}
	if link.Type() == "veth" { // our side of it is here
		near, err := h.conn.Link(a.ParentIndex)
		return err == nil && near.Attrs().ParentIndex == a.Index && mine(near.Attrs())
	}
	below, err := c.Link(a.ParentIndex)
	return err == nil && mine(below.Attrs())
}
