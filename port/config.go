package port

import (
	"net/netip"
	"strings"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/netns"
)

// Kind is how a port is attached.
type Kind string

// The kinds of ports.
const (
	Veth  Kind = "veth"  // a pair, one end inside a namespace
	Tap   Kind = "tap"   // a TAP that the switch holds open
	Dev   Kind = "dev"   // an Ethernet device that exists
	VM    Kind = "vm"    // a persistent TAP that a VM monitor opens; the switch works on its network side
	Patch Kind = "patch" // a port of another switch of this daemon
)

// Config says what a port is attached to. Which fields a kind knows is said
// at each; the others are zero.
type Config struct {
	Kind Kind

	// Netns is where the far end lives (veth, tap): NAME (below
	// /run/netns), /PATH or pid:N. Empty, with Container empty, is the
	// namespace of the daemon.
	Netns string
	// Namespace is, with pid:N, the one that the process was in when it was
	// first asked for, as Info has it: in another one the port is not made
	// again. Zero: whichever it is in.
	Namespace netns.ID
	// Container is podman's or docker's name or ID, in place of Netns.
	Container string

	// Device is the name of the device (dev, vm).
	Device string
	// IfName is the name of the far end (veth, tap); empty: the first free
	// ethN in another namespace, else the port's name.
	IfName string

	MAC       frame.MAC      // of the far end (veth, tap); zero: the kernel's choice
	Addresses []netip.Prefix // of the far end (veth, tap)
	Gateways  []netip.Addr   // default routes of the far end (veth, tap)
	MTU       int            // of the far end (veth, tap), of the device (vm, dev: 0 leaves it); 0: 1500
	Owner     string         // who may open the TAP (vm): user name or number
	Queues    int            // that the VM monitor may open (vm); 0: 1

	// Peer is the other end of a patch.
	Peer PeerName
}

// Asks reports whether another program has to be asked where the port is to be
// attached.
func (c *Config) Asks() bool { return c.Container != "" }

// Once reports whether the port's namespace is that of a process, which is looked for
// once: later, another process may have the number.
func (c *Config) Once() bool {
	_, once := netns.PID(c.Netns)
	return once
}

// Where says in which place the far end is, such as "in namespace web"; two ways to
// write a namespace are one.
func (c *Config) Where() string {
	if c.Container != "" {
		return "in container " + c.Container
	}
	if path, err := netns.Path(c.Netns); err == nil {
		return "in namespace " + strings.TrimPrefix(path, netns.Dir+"/")
	}
	return "on the host"
}

// PeerName names a port of a switch.
type PeerName struct{ Switch, Port string }

// Info is what a port's attachment turned out to be: facts, handed over once.
type Info struct {
	Device    string   // kernel name of the switch's side
	Ifindex   int      // of Device, in the daemon's namespace (0: a tap in another namespace, a patch)
	Netns     string   // as given; "" for the daemon's own
	Namespace netns.ID // of Netns, as long as it lives
	IfName    string   // kernel name of the far end, where it is another device
	MTU       int      // of the far end: what it takes in
	TagRoom   int      // octets of tags that the kind carries on top of MTU and header
}
