package control

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"

	vswitch "github.com/vswitch/vswitch/switch"
)

var kinds = []port.Kind{port.Veth, port.Tap, port.Dev, port.VM, port.Patch}

// attachment reads what a port shall hang on. It judges the words; whether
// there is such a namespace, device or user, the machine says.
func attachment(spec api.PortSpec) (port.Config, error) {
	cfg := port.Config{
		Kind:      port.Kind(spec.Kind),
		Netns:     spec.Netns,
		Container: spec.Container,
		Device:    spec.Device,
		IfName:    spec.IfName,
		MTU:       spec.MTU,
		Owner:     spec.Owner,
		Queues:    spec.Queues,
	}
	if !slices.Contains(kinds, cfg.Kind) {
		return cfg, api.Errorf(api.Invalid, "%q is not a kind of port: use veth, tap, dev, vm or patch", spec.Kind)
	}
	if err := fitsKind(cfg.Kind, spec); err != nil {
		return cfg, err
	}
	for _, check := range []error{
		checkNetns(spec),
		checkIfName("ifname", spec.IfName),
		checkIfName("device", spec.Device),
		checkMTU(cfg.Kind, spec.MTU),
		checkRange("queues", spec.Queues, 256),
		checkText("container", spec.Container),
		checkText("owner", spec.Owner),
	} {
		if check != nil {
			return cfg, check
		}
	}
	var err error
	if spec.MAC != "" {
		if cfg.MAC, err = frame.ParseStation(spec.MAC); err != nil {
			return cfg, api.Errorf(api.Invalid, "%v", err)
		}
	}
	if cfg.Addresses, err = parseAddresses(spec.IPs); err != nil {
		return cfg, err
	}
	if cfg.Gateways, err = parseGateways(spec.Gateways); err != nil {
		return cfg, err
	}
	if cfg.Kind == port.Patch {
		if cfg.Peer, err = parsePeer(spec.Peer); err != nil {
			return cfg, err
		}
	}
	if err := cfg.Check(); err != nil {
		return cfg, api.Errorf(api.Invalid, "%v", err)
	}
	return cfg, nil
}

// fitsKind says which field does not fit the kind, and which is missing.
func fitsKind(kind port.Kind, spec api.PortSpec) error {
	ends := []port.Kind{port.Veth, port.Tap}
	for _, f := range []struct {
		name string
		said bool
		fits []port.Kind
	}{
		{"netns", spec.Netns != "", ends},
		{"container", spec.Container != "", ends},
		{"ifname", spec.IfName != "", ends},
		{"mac", spec.MAC != "", ends},
		{"ips", len(spec.IPs) > 0, ends},
		{"gateways", len(spec.Gateways) > 0, ends},
		{"mtu", spec.MTU != 0, []port.Kind{port.Veth, port.Tap, port.Dev, port.VM}},
		{"device", spec.Device != "", []port.Kind{port.Dev, port.VM}},
		{"owner", spec.Owner != "", []port.Kind{port.VM}},
		{"queues", spec.Queues != 0, []port.Kind{port.VM}},
		{"peer", spec.Peer != "", []port.Kind{port.Patch}},
	} {
		if f.said && !slices.Contains(f.fits, kind) {
			var names []string
			for _, k := range f.fits {
				names = append(names, string(k))
			}
			return api.Errorf(api.Invalid, "%s does not fit a port of kind %s: leave it out, or make the kind %s", f.name, kind, strings.Join(names, " or "))
		}
	}
	if spec.Device == "" && (kind == port.Dev || kind == port.VM) {
		return api.Errorf(api.Invalid, "a port of kind %s needs the name of its device: say it in device", kind)
	}
	return nil
}

// checkNetns judges NAME, /PATH and pid:N.
func checkNetns(spec api.PortSpec) error {
	ns := spec.Netns
	pid, isPID := strings.CutPrefix(ns, "pid:")
	n, err := strconv.ParseUint(pid, 10, 31)
	switch {
	case ns != "" && spec.Container != "":
		return api.Errorf(api.Invalid, "netns %q and container %q are two places: name one", ns, spec.Container)
	case isPID && (err != nil || n == 0):
		return api.Errorf(api.Invalid, "%q names no process: write pid: and its number, such as pid:4711", ns)
	case !isPID && !strings.HasPrefix(ns, "/") && (strings.Contains(ns, "/") || ns == "." || ns == ".."):
		return api.Errorf(api.Invalid, "%q names no namespace: write its name, a path from the root, or pid:N", ns)
	}
	return checkText("netns", ns)
}

// checkIfName judges the name of an interface as the kernel would
// (dev_valid_name in net/core/dev.c).
func checkIfName(field, name string) error {
	const longest = 15 // IFNAMSIZ less the zero octet
	if name == "" {
		return nil
	}
	if len(name) > longest || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\v\f\r") {
		return api.Errorf(api.Invalid, "%s %q is no name of an interface: use 1 to %d characters, none of them a slash, colon or space", field, name, longest)
	}
	if name == "all" || name == "default" {
		return api.Errorf(api.Invalid, "%s %q is no name of an interface: the kernel keeps that word; choose another", field, name)
	}
	return checkText(field, name)
}

func checkMTU(kind port.Kind, mtu int) error {
	least, most := kind.MTUs()
	if mtu != 0 && (mtu < least || mtu > most) {
		return api.Errorf(api.Invalid, "mtu %d is not possible: give %d to %d, or leave it out", mtu, least, most)
	}
	return nil
}

func checkRange(field string, n, most int) error {
	if n < 0 || n > most {
		return api.Errorf(api.Invalid, "%s %d is not possible: give 1 to %d, or leave it out", field, n, most)
	}
	return nil
}

// checkText refuses what cannot be shown, and what ends a string of the
// kernel's.
func checkText(field, s string) error {
	const longest = 4096 // PATH_MAX
	if len(s) > longest {
		return api.Errorf(api.Invalid, "%s is over %d characters: shorten it", field, longest)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return api.Errorf(api.Invalid, "%s has the character %U, which does not belong in a name: leave it out", field, r)
		}
	}
	return nil
}

func parseAddresses(words []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if a, aErr := netip.ParseAddr(w); err != nil && aErr == nil {
			return nil, api.Errorf(api.Invalid, "the address %s has no prefix length: write it behind a slash, such as %s/%d", w, w, usualBits(a))
		}
		switch {
		case err != nil:
			return nil, api.Errorf(api.Invalid, "%q is no address: write one with its prefix length, such as 10.0.0.1/24 or fd00::1/64", w)
		case p.Addr().Is4In6(), p.Addr().IsMulticast(), p.Addr().IsUnspecified(), p.Bits() == 0:
			return nil, api.Errorf(api.Invalid, "%s is no address for a station: write one such as 10.0.0.1/24 or fd00::1/64", w)
		case slices.ContainsFunc(all, func(q netip.Prefix) bool { return q.Addr() == p.Addr() }):
			return nil, api.Errorf(api.Invalid, "the address %s is named twice: name it once", p.Addr())
		}
		all = append(all, p)
	}
	return all, nil
}

func usualBits(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 64
}

func parseGateways(words []string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, w := range words {
		a, err := netip.ParseAddr(w)
		switch {
		case err != nil:
			return nil, api.Errorf(api.Invalid, "the gateway %q is no address: write one without a prefix length, such as 10.0.0.254", w)
		case a.Zone() != "", a.Is4In6(), a.IsMulticast(), a.IsUnspecified():
			return nil, api.Errorf(api.Invalid, "%s cannot be a gateway: write the address of a router, such as 10.0.0.254", w)
		case slices.ContainsFunc(all, func(b netip.Addr) bool { return a.Is4() == b.Is4() }):
			return nil, api.Errorf(api.Invalid, "the gateway %s is the second of its family: name one for IPv4 and one for IPv6 at most", w)
		}
		all = append(all, a)
	}
	return all, nil
}

// parsePeer reads SWITCH/PORT.
func parsePeer(s string) (port.PeerName, error) {
	sw, name, ok := strings.Cut(s, "/")
	if !ok {
		return port.PeerName{}, api.Errorf(api.Invalid, "the peer %q of a patch is not SWITCH/PORT: write such as sw1/p1", s)
	}
	for _, err := range []error{vswitch.CheckName("switch", sw), vswitch.CheckName("port", name)} {
		if err != nil {
			return port.PeerName{}, err
		}
	}
	return port.PeerName{Switch: sw, Port: name}, nil
}
