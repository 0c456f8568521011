package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"

	vswitch "github.com/vswitch/vswitch/switch"
)

// isCode reports whether the engine refused with that code.
func isCode(err error, code vswitch.Code) bool {
	var e *vswitch.Error
	return errors.As(err, &e) && e.Code == code
}

// standsJustSo is nil when nothing differs between what stands and what was
// asked for.
func standsJustSo(what string, differences []string) error {
	if len(differences) == 0 {
		return nil
	}
	return api.Errorf(api.Exists, "%s stands, but not as asked: %s; change it with set, or delete it first",
		what, strings.Join(differences, "; "))
}

// differences gathers what differs.
type differences []string

func (d *differences) add(field string, have, want any) {
	if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
		*d = append(*d, fmt.Sprintf("%s: have %s, asked %s", field, orNone(h), orNone(w)))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func settingsDiff(have, want vswitch.Settings) []string {
	var d differences
	d.add("ageing", seconds(have.Ageing), seconds(want.Ageing))
	d.add("fdb-size", have.FDBSize, want.FDBSize)
	d.add("bpdu", bpdu(have.DropBPDU), bpdu(want.DropBPDU))
	d.add("pass-reserved", have.PassReserved, want.PassReserved)
	return d
}

// seconds writes a time as it is written everywhere.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// portDiff compares a port that stands with what was asked for. What the asker
// left to the system, the name of the far end and its MAC, may be anything.
func portDiff(have vswitch.PortInfo, want vswitch.PortConfig) []string {
	var d differences
	h, w := have.Attach, want.Attach
	d.add("kind", h.Kind, w.Kind)
	if h.Kind != w.Kind {
		return d // what it hangs on can only differ
	}
	d.add("netns", h.Netns, w.Netns)
	d.add("container", h.Container, w.Container)
	d.add("device", h.Device, w.Device)
	if w.IfName != "" {
		d.add("ifname", cmp.Or(have.Info.IfName, have.Info.Device, h.IfName), w.IfName)
	}
	if w.MAC != (frame.MAC{}) {
		d.add("mac", h.MAC, w.MAC)
	}
	d.add("ip", sortedText(h.Addresses), sortedText(w.Addresses))
	d.add("gateway", sortedText(h.Gateways), sortedText(w.Gateways))
	d.add("mtu", mtu(h), mtu(w))
	d.add("owner", h.Owner, w.Owner)
	d.add("queues", cmp.Or(h.Queues, 1), cmp.Or(w.Queues, 1))
	d.add("patch", peerName(h.Peer), peerName(w.Peer))
	d.add("profile", have.Profile, want.Profile)
	if want.Profile == "" { // which says the rest
		if !have.VLAN.Equal(&want.VLAN) {
			d.add("vlan", have.VLAN.String(), want.VLAN.String())
		}
		d = append(d, optionsDiff(have.Options, want.Options)...)
	}
	d = append(d, impairmentsDiff(have.Impair, want.Impair)...)
	d.add("down", have.Down, want.Down)
	d.add("description", fmt.Sprintf("%q", have.Description), fmt.Sprintf("%q", want.Description))
	return d
}

func optionsDiff(have, want vswitch.Options) []string {
	var d differences
	d.add("no-flood", have.NoFlood, want.NoFlood)
	d.add("no-mcast-flood", have.NoMcastFlood, want.NoMcastFlood)
	d.add("no-bcast-flood", have.NoBcastFlood, want.NoBcastFlood)
	d.add("no-learn", have.NoLearn, want.NoLearn)
	d.add("hairpin", have.Hairpin, want.Hairpin)
	d.add("isolated", have.Isolated, want.Isolated)
	d.add("sticky", have.Sticky, want.Sticky)
	d.add("loop-protect", have.LoopProtect, want.LoopProtect)
	d.add("max-macs", have.MaxMACs, want.MaxMACs)
	d.add("pass-reserved", passReserved(have.PassReserved), passReserved(want.PassReserved))
	d.add("storm-limit", have.Storm, want.Storm)
	return d
}

// mtu is what a port is given when it is told nothing; a device that exists
// keeps its own.
func mtu(c port.Config) int {
	if c.MTU == 0 && (c.Kind == port.Veth || c.Kind == port.Tap) {
		return 1500
	}
	return c.MTU
}

func sortedText[T fmt.Stringer](items []T) string {
	out := texts(items)
	slices.Sort(out)
	return strings.Join(out, " ")
}

// texts returns what each item says.
func texts[T fmt.Stringer](items []T) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.String())
	}
	return out
}
