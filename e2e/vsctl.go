package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Port is what `vsctl port show -j` tells of one.
type Port struct {
	Switch      string   `json:"switch"`
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	State       string   `json:"state"`
	Reason      string   `json:"reason"`
	Description string   `json:"description"`
	VLAN        VLAN     `json:"vlan"`
	Device      string   `json:"device"`
	Ifindex     int      `json:"ifindex"`
	Netns       string   `json:"netns"`
	IfName      string   `json:"ifname"`
	MTU         int      `json:"mtu"`
	Counters    Counters `json:"counters"`
}

// VLAN is a port's policy.
type VLAN struct {
	Mode   string          `json:"mode"`
	Access int             `json:"access"`
	Trunk  json.RawMessage `json:"trunk"` // "all" or a list of strings
	Native int             `json:"native"`
	Tunnel int             `json:"tunnel"`
	CVLANs json.RawMessage `json:"cvlans"`
}

// Counters are a port's; reasons that are zero are left out.
type Counters struct {
	RxFrames uint64            `json:"rx_frames"`
	RxBytes  uint64            `json:"rx_bytes"`
	TxFrames uint64            `json:"tx_frames"`
	TxBytes  uint64            `json:"tx_bytes"`
	Notices  map[string]uint64 `json:"notices"`
	Drops    map[string]uint64 `json:"drops"`
}

// Entry is one of the forwarding database.
type Entry struct {
	VLAN int      `json:"vlan"`
	MAC  string   `json:"mac"`
	Port string   `json:"port"`
	Type string   `json:"type"`
	Age  *float64 `json:"age_seconds"`
}

// vsctl runs vsctl against this daemon.
func (d *Daemon) vsctl(args ...string) Result {
	d.h.t.Helper()
	return d.h.try("", append([]string{vsctlPath(d.h.t), "--socket", d.Socket}, args...)...)
}

// TryVS runs vsctl, however it ends.
func (d *Daemon) TryVS(args ...string) Result {
	d.h.t.Helper()
	return d.vsctl(args...)
}

// VS runs vsctl, which must succeed, and returns what it printed.
func (d *Daemon) VS(args ...string) string {
	d.h.t.Helper()
	r := d.vsctl(args...)
	if r.Code != 0 {
		d.h.t.Fatalf("vsctl %s: exit %d\n%s", strings.Join(args, " "), r.Code, r.Output())
	}
	return r.Stdout
}

// JSON runs vsctl -j, which must succeed, and reads its output into v.
func (d *Daemon) JSON(v any, args ...string) {
	d.h.t.Helper()
	out := d.VS(append([]string{"-j"}, args...)...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		d.h.t.Fatalf("vsctl -j %s: %v in\n%s", strings.Join(args, " "), err, out)
	}
}

// Port shows a port.
func (d *Daemon) Port(name string) Port {
	d.h.t.Helper()
	var p Port
	d.JSON(&p, "port", "show", name)
	return p
}

// Ports shows all ports.
func (d *Daemon) Ports() []Port {
	d.h.t.Helper()
	var p []Port
	d.JSON(&p, "port", "list")
	return p
}

// FDB shows the entries of sw0, after filters such as "--port", "p1".
func (d *Daemon) FDB(filters ...string) []Entry {
	d.h.t.Helper()
	var all map[string][]Entry
	d.JSON(&all, append([]string{"fdb", "show", "sw0"}, filters...)...)
	return all["sw0"]
}

// AwaitState waits until a port is up, down or lost.
func (d *Daemon) AwaitState(port, state string) Port {
	d.h.t.Helper()
	var p Port
	d.h.Eventually(0, func() error {
		if p = d.Port(port); p.State != state {
			return fmt.Errorf("port %s is %s (%s), want %s", port, p.State, p.Reason, state)
		}
		return nil
	})
	return p
}

// AwaitDrops waits until a port has counted n drops for a reason.
func (d *Daemon) AwaitDrops(port, reason string, n uint64) {
	d.h.t.Helper()
	d.h.Eventually(0, func() error {
		if drops := d.Port(port).Counters.Drops; drops[reason] < n {
			return fmt.Errorf("port %s has drops %v, want %d of %s", port, drops, n, reason)
		}
		return nil
	})
}

// Refused runs vsctl, which must exit with code, say each of the words (why,
// and what would work), and leave the switch and all devices exactly as they
// were.
func (h *Host) Refused(code int, words []string, args ...string) {
	h.t.Helper()
	h.refused([]int{code}, words, args)
}

// RefusedAnyhow is [Host.Refused] where it is a matter of taste whether words
// or the state of things are at fault: exit status 1 or 2.
func (h *Host) RefusedAnyhow(words []string, args ...string) {
	h.t.Helper()
	h.refused([]int{1, 2}, words, args)
}

func (h *Host) refused(codes []int, words, args []string) {
	h.t.Helper()
	before := h.Snapshot()
	r := h.TryVS(args...)
	command := "vsctl " + strings.Join(args, " ")
	if !slices.Contains(codes, r.Code) {
		h.t.Errorf("%s: exit %d, want %d\n%s", command, r.Code, codes, indent(r.Output()))
	}
	if r.Stdout != "" {
		h.t.Errorf("%s: a refusal goes to stderr, but on stdout is\n%s", command, indent(r.Stdout))
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(r.Stderr), strings.ToLower(w)) {
			h.t.Errorf("%s: the message does not say %q:\n%s", command, w, indent(r.Stderr))
		}
	}
	if after := h.Snapshot(); after != before {
		h.t.Errorf("%s: was refused, but changed something\nbefore:\n%safter:\n%s", command, indent(before), indent(after))
	}
}

// Snapshot describes the configuration of the switch and the devices in the
// host and its namespaces, for comparing.
func (h *Host) Snapshot() string {
	h.t.Helper()
	var b strings.Builder
	for _, p := range h.Ports() {
		p.Counters = Counters{}
		fmt.Fprintf(&b, "port %+v\n", p)
	}
	fmt.Fprintf(&b, "host:\n%s", h.devices(""))
	for _, ns := range h.namespaces {
		if !ns.deleted {
			fmt.Fprintf(&b, "%s:\n%s", ns.Name, h.devices(ns.path))
		}
	}
	return b.String()
}
