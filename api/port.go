package api

import "cmp"

// Port is a port as it stands.
type Port struct {
	Switch string `json:"switch"`
	Name   string `json:"name"`
	Kind   string `json:"kind"`   // one of the kinds below
	State  string `json:"state"`  // one of the states below
	Reason string `json:"reason"` // of StateLost
	VLAN   VLAN   `json:"vlan"`

	Profile string `json:"profile,omitempty"` // whose VLANs and options the port has

	Device  string `json:"device"`  // kernel name of the switch's side, or the one that was asked for
	Ifindex int    `json:"ifindex"` // of Device; 0 where it is not in the daemon's namespace
	Netns   string `json:"netns"`   // of the far end, as it was given; "" for the daemon's own
	IfName  string `json:"ifname"`  // kernel name of the far end, where it is another device; or as above, while there was none yet
	MTU     int    `json:"mtu"`

	Counters    Counters    `json:"counters"`
	Options     Options     `json:"options"`
	Impair      Impairments `json:"impair,omitzero"`
	Description string      `json:"description"`

	// What was asked for, where the kind knows it.
	Container string   `json:"container,omitempty"`
	MAC       string   `json:"mac,omitempty"`
	IPs       []string `json:"ips,omitempty"`
	Gateways  []string `json:"gateways,omitempty"`
	Owner     string   `json:"owner,omitempty"`
	Queues    int      `json:"queues,omitempty"`
	Peer      string   `json:"peer,omitempty"` // SWITCH/PORT
}

// The kinds of ports.
const (
	KindVeth  = "veth"  // a pair, one end inside a namespace
	KindTap   = "tap"   // a TAP that the switch holds open
	KindDev   = "dev"   // an Ethernet device that exists
	KindVM    = "vm"    // a persistent TAP that a VM monitor opens
	KindPatch = "patch" // a port of another switch of this daemon
)

// The states of a port.
const (
	StateUp   = "up"
	StateDown = "down" // by an administrator
	StateLost = "lost" // the device is gone or has no carrier
)

// FullName returns SWITCH/PORT.
func (p *Port) FullName() string { return p.Switch + "/" + p.Name }

// Where says in words what the port is attached to: "veth to netns web (eth0)".
func (p *Port) Where() string {
	where := "the host"
	switch {
	case p.Kind == KindPatch:
		return "patch to " + p.Peer
	case p.Kind != KindVeth && p.Kind != KindTap:
		return p.Kind + " " + p.Device
	case p.Container != "":
		where = "container " + p.Container
	case p.Netns != "":
		where = "netns " + p.Netns
	}
	if far := cmp.Or(p.IfName, p.Device); far != "" { // else it has had none yet
		where += " (" + far + ")"
	}
	return p.Kind + " to " + where
}

// Counters are a port's totals since it was added. They say frames, never
// segments.
type Counters struct {
	RxFrames uint64            `json:"rx_frames"` // into the switch, dropped at ingress or not
	RxBytes  uint64            `json:"rx_bytes"`
	TxFrames uint64            `json:"tx_frames"` // out of it
	TxBytes  uint64            `json:"tx_bytes"`
	Drops    map[string]uint64 `json:"drops"`             // by reason; those that are zero are left out
	Notices  map[string]uint64 `json:"notices,omitempty"` // "move-refused", "mac-limit", "impair-duplicate", "impair-corrupt"; likewise
}

// Options are a port's settings beside its VLAN policy.
type Options struct {
	NoFlood      bool   `json:"no_flood"`               // withhold unknown unicast
	NoMcastFlood bool   `json:"no_mcast_flood"`         // withhold multicast
	NoBcastFlood bool   `json:"no_bcast_flood"`         // withhold broadcast
	NoLearn      bool   `json:"no_learn"`               // learn nothing here
	Hairpin      bool   `json:"hairpin"`                // send known unicast back where it came from
	Isolated     bool   `json:"isolated"`               // nothing to other isolated ports
	Sticky       bool   `json:"sticky"`                 // what is learned here does not move away
	MaxMACs      int    `json:"max_macs"`               // dynamic entries at the most; 0: no limit of its own
	PassReserved string `json:"pass_reserved"`          // "none", "all", names: "lldp,4"; or PassAsSwitch
	StormLimit   string `json:"storm_limit,omitempty"`  // "bcast=1000pps,mcast=10mbit"; "": none
	LoopProtect  bool   `json:"loop_protect,omitempty"` // barred while there is a loop by it
}

// PassAsSwitch is the pass_reserved of a port that has no list of its own.
const PassAsSwitch = "switch"

// OptionsSpec is [Options] as asked for.
type OptionsSpec struct {
	NoFlood      *bool   `json:"no_flood,omitempty"`
	NoMcastFlood *bool   `json:"no_mcast_flood,omitempty"`
	NoBcastFlood *bool   `json:"no_bcast_flood,omitempty"`
	NoLearn      *bool   `json:"no_learn,omitempty"`
	Hairpin      *bool   `json:"hairpin,omitempty"`
	Isolated     *bool   `json:"isolated,omitempty"`
	Sticky       *bool   `json:"sticky,omitempty"`
	MaxMACs      *int    `json:"max_macs,omitempty"`
	PassReserved *string `json:"pass_reserved,omitempty"`
	StormLimit   *string `json:"storm_limit,omitempty"` // "none" and "" are none
	LoopProtect  *bool   `json:"loop_protect,omitempty"`
}

// PortSpec is the body of POST /v1/ports. A field that does not fit the kind
// is refused.
type PortSpec struct {
	Switch   string `json:"switch,omitempty"` // empty: DefaultSwitch
	Name     string `json:"name"`
	MayExist bool   `json:"may_exist,omitempty"` // a port that stands just so is no error

	Kind      string   `json:"kind"`
	Netns     string   `json:"netns,omitempty"`     // veth, tap: NAME, /PATH or pid:N
	Container string   `json:"container,omitempty"` // veth, tap: podman's or docker's name or ID
	IfName    string   `json:"ifname,omitempty"`    // veth, tap: of the far end
	MAC       string   `json:"mac,omitempty"`       // veth, tap: of the far end
	IPs       []string `json:"ips,omitempty"`       // veth, tap: ADDR/LEN, of the far end
	Gateways  []string `json:"gateways,omitempty"`  // veth, tap: default routes of the far end
	MTU       int      `json:"mtu,omitempty"`       // veth, tap, dev, vm
	Device    string   `json:"device,omitempty"`    // dev, vm: the device
	Owner     string   `json:"owner,omitempty"`     // vm: who may open it
	Queues    int      `json:"queues,omitempty"`    // vm: that the monitor may open
	Peer      string   `json:"peer,omitempty"`      // patch: SWITCH/PORT, made along with this one

	VLAN        *VLANSpec        `json:"vlan,omitempty"` // nil: access VLAN 1
	Options     *OptionsSpec     `json:"options,omitempty"`
	Profile     string           `json:"profile,omitempty"` // in place of VLAN and Options
	Impair      *ImpairmentsSpec `json:"impair,omitempty"`
	Down        bool             `json:"down,omitempty"`
	Description string           `json:"description,omitempty"`
}

// PortChange is the body of PATCH /v1/ports/SWITCH/PORT: it replaces what it
// names and leaves the rest.
type PortChange struct {
	VLAN        *VLANSpec        `json:"vlan,omitempty"`
	Options     *OptionsSpec     `json:"options,omitempty"`
	Profile     *string          `json:"profile,omitempty"` // "": none; the port keeps what it had
	Impair      *ImpairmentsSpec `json:"impair,omitempty"`
	Down        *bool            `json:"down,omitempty"`
	Description *string          `json:"description,omitempty"`
}
