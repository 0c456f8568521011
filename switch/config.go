package vswitch

import (
	"fmt"
	"regexp"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/storm"
	"github.com/vswitch/vswitch/vlan"
)

// Settings are the options of one switch. Its zero value is not the default:
// see [DefaultSettings].
type Settings struct {
	Ageing       time.Duration     // of dynamic entries; 0: never
	FDBSize      int               // dynamic entries at the most
	DropBPDU     bool              // drop 01:80:C2:00:00:00 instead of forwarding it
	PassReserved frame.ReservedSet // for ports that have no list of their own
}

// DefaultSettings is what a switch gets that was asked for nothing special.
func DefaultSettings() Settings {
	return Settings{Ageing: 300 * time.Second, FDBSize: 16384}
}

// PortConfig is what somebody asked a port to be.
type PortConfig struct {
	Switch, Name string
	Attach       port.Config
	VLAN         vlan.Policy
	Options      Options
	Profile      string // of which VLAN and Options are; "": they are the port's own
	Impair       Impairments
	Down         bool // taken down by an administrator
	Description  string
}

// Options are a port's settings beside its VLAN policy.
type Options struct {
	NoFlood      bool               // withhold unknown unicast
	NoMcastFlood bool               // withhold multicast
	NoBcastFlood bool               // withhold broadcast
	NoLearn      bool               // learn nothing here
	Hairpin      bool               // send known unicast back where it came from
	Isolated     bool               // nothing to other isolated ports
	Sticky       bool               // what is learned here does not move away
	MaxMACs      int                // dynamic entries at the most; 0: no limit of its own
	PassReserved *frame.ReservedSet // nil: the switch's
	Storm        storm.Limits       // on what comes in for many ports
	LoopProtect  bool               // bar the port while there is a loop by it
}

// check says what is wrong with the values of options.
func (o *Options) check() error {
	if o.MaxMACs < 0 {
		return errorf(Invalid, "a limit of %d addresses is not possible: give 1 or more, or 0 for no limit", o.MaxMACs)
	}
	return nil
}

// equal reports whether two mean the same.
func (o *Options) equal(p *Options) bool {
	a, b := *o, *p
	a.PassReserved, b.PassReserved = nil, nil
	same := (o.PassReserved == nil) == (p.PassReserved == nil)
	if same && o.PassReserved != nil {
		same = *o.PassReserved == *p.PassReserved
	}
	return same && a == b
}

// Impairments say what the two directions of a port's line do to frames.
type Impairments struct {
	Egress  impair.Config // to the station
	Ingress impair.Config // from it
}

func (i *Impairments) of(d way) *impair.Config {
	if d == egress {
		return &i.Egress
	}
	return &i.Ingress
}

// State is whether a port takes part.
type State string

// The states of a port.
const (
	Up   State = "up"
	Down State = "down" // by an administrator
	Lost State = "lost" // the device is gone or has no carrier; the reason is said beside
)

// PortInfo is a port as it stands.
type PortInfo struct {
	PortConfig
	State    State
	Reason   string // of Lost
	Info     port.Info
	FarName  string // that the far end got when it was first made, and gets again
	Stations int    // dynamic entries of the forwarding database behind it
	Counters Counters
}

// SwitchInfo is a switch as it stands.
type SwitchInfo struct {
	Name     string
	Settings Settings
	Ports    int
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// CheckName says what is wrong with the name of a switch or a port.
func CheckName(what, name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return &Error{Invalid, fmt.Sprintf("%q cannot name a %s: use 1 to 32 of A-Z a-z 0-9 . _ -, the first a letter or digit", name, what)}
}
