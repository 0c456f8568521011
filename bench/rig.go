package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
)

// rig is a running switch with veth ports, whose far ends are devices p0, p1,
// ... of one namespace, without addresses: nothing is heard on them but what is
// sent.
type rig struct {
	*link
	api *client.Client
}

// newRig starts a switch with so many ports and room for so many stations (0:
// as it comes).
func newRig(ctx context.Context, own programs, ports, stations int, flags ...string) (*rig, error) {
	l, err := newLink(ctx)
	if err != nil {
		return nil, err
	}
	r := &rig{link: l}
	if err := r.setUp(ctx, own, ports, stations, flags); err != nil {
		l.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) setUp(ctx context.Context, own programs, ports, stations int, flags []string) error {
	err := command(ctx, "ip", "netns", "exec", r.a, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
	if err != nil {
		return err
	}
	d, err := own.start(ctx, r.link, flags...)
	if err != nil {
		return err
	}
	r.api = client.New(client.Config{Socket: d.socket})
	r.later(r.api.Close)
	if stations > 0 {
		if _, err := r.api.SetSwitch(ctx, api.DefaultSwitch, api.SwitchSpec{FDBSize: &stations}); err != nil {
			return err
		}
	}
	for i := range ports {
		spec := api.PortSpec{Name: device(i), Kind: "veth", Netns: r.a, IfName: device(i), MAC: hardware(i).String()}
		if _, err := r.api.AddPort(ctx, spec); err != nil {
			return err
		}
	}
	return r.carrier(ctx)
}

// carrier waits until all ports are up.
func (r *rig) carrier(ctx context.Context) error {
	return eventually(ctx, func() error {
		all, err := r.api.Ports(ctx, api.DefaultSwitch)
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.State != api.StateUp {
				return fmt.Errorf("port %s is %s", p.Name, p.State)
			}
		}
		return nil
	})
}

// device returns the name of the i-th port and of its far end.
func device(i int) string { return fmt.Sprintf("p%d", i) }

// hardware returns the address of the i-th far end.
func hardware(i int) net.HardwareAddr { return station(1<<32 + uint64(i)) }

// station returns the address of the n-th station behind a port. Neighbours in
// number are no neighbours in any table: the low octets change most.
func station(n uint64) net.HardwareAddr {
	a := make(net.HardwareAddr, 6)
	putStation(a, n)
	return a
}

func putStation(a []byte, n uint64) {
	a[0], a[1] = 0x02, byte(n>>32)
	binary.BigEndian.PutUint32(a[2:], uint32(n))
}

// generate returns a generator on the i-th far end.
func (r *rig) generate(i int, dst net.HardwareAddr) (*generator, error) {
	g, err := newGenerator(r.a, device(i), dst, hardware(i))
	if err == nil {
		r.later(g.close)
	}
	return g, err
}

// heard returns how many frames the far ends have received, all together.
func (r *rig) heard() (n uint64, err error) {
	return inside(r.a, func(h *netlink.Handle) (n uint64, err error) {
		links, err := h.LinkList()
		for _, l := range links {
			if l.Type() == "veth" {
				n += l.Attrs().Statistics.RxPackets
			}
		}
		return n, err
	})
}

// announce makes the switch know the far ends themselves.
func (r *rig) announce(ctx context.Context, ports ...int) error {
	for _, i := range ports {
		g, err := r.generate(i, hardware(i)) // to itself: the switch learns, and forwards to nobody
		if err != nil {
			return err
		}
		if _, _, err := (pace{frames: 1}).send(ctx, g); err != nil {
			return err
		}
	}
	return r.holds(ctx, len(ports))
}

// teach makes the switch learn so many stations behind a port, at a rate that
// loses none.
func (r *rig) teach(ctx context.Context, port int, stations uint64, rate float64) error {
	g, err := r.generate(port, hardware(port))
	if err != nil {
		return err
	}
	g.write = func(n uint64, f []byte) { putStation(f[6:12], n) }
	_, _, err = pace{rate: rate, frames: stations}.send(ctx, g)
	return err
}

// gentle is a rate at which no frame is lost on any machine worth measuring on.
const gentle = 50_000

// holds waits until the switch knows so many stations.
func (r *rig) holds(ctx context.Context, stations int) error {
	return eventually(ctx, func() error {
		n, err := r.known(ctx)
		if err == nil && n < stations {
			err = fmt.Errorf("of %d stations only %d were learned", stations, n)
		}
		return err
	})
}

// known returns how many stations the switch knows.
func (r *rig) known(ctx context.Context) (int, error) {
	stats, err := r.api.FDBStats(ctx, api.DefaultSwitch)
	return stats[api.DefaultSwitch].Dynamic, err
}
