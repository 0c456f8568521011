package port

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// devState is what a device was before the switch took it.
type devState struct {
	up     bool
	ipv6   byte // what disable_ipv6 said: '0' or '1'; 'x' without IPv6
	clsact bool // somebody has a clsact or ingress qdisc on it
	mtu    int
	set    int // the MTU that the switch sets; 0: none
}

// suits reports whether the device is as a port wants it.
func (st devState) suits(cfg Config) bool {
	set := cfg.MTU
	if set == st.mtu {
		set = 0
	}
	return st.set == set
}

// devMark is what an alternative name of a device in use tells.
type devMark struct {
	instance string
	state    devState
	id       Identity
}

const devMarkPrefix = "vswitch-"

// stateForm is how the state is written.
const stateForm = "u%dv%cq%dm%ds%d"

// String is the alternative name: vswitch-INSTANCE-u1v0q0m1500s0-SWITCH:PORT,
// at most 127 characters (ALTIFNAMSIZ).
func (m devMark) String() string {
	st := m.state
	return devMarkPrefix + m.instance + "-" +
		fmt.Sprintf(stateForm, digit(st.up), st.ipv6, digit(st.clsact), st.mtu, st.set) +
		"-" + m.id.Switch + ":" + m.id.Port
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parseDevMark reads the mark of any instance.
func parseDevMark(s string) (m devMark, ok bool) {
	rest, ok := strings.CutPrefix(s, devMarkPrefix)
	parts := strings.SplitN(rest, "-", 3)
	if !ok || len(parts) != 3 {
		return devMark{}, false
	}
	var up, clsact int
	st := &m.state
	if _, err := fmt.Sscanf(parts[1], stateForm, &up, &st.ipv6, &clsact, &st.mtu, &st.set); err != nil {
		return devMark{}, false
	}
	st.up, st.clsact = up == 1, clsact == 1
	m.instance = parts[0]
	m.id.Switch, m.id.Port, ok = strings.Cut(parts[2], ":")
	return m, ok
}

// markDev writes on the device whose it is and what it was. Two daemons that
// come for it at once both see both marks, and both stay away.
func (h *Host) markDev(link netlink.Link, id Identity, before devState) error {
	handle, err := h.conn.Handle()
	if err != nil {
		return err
	}
	name := link.Attrs().Name
	mark := devMark{h.instance, before, id}.String()
	if err := handle.LinkAddAltName(link, mark); err != nil {
		return fmt.Errorf("mark device %s with an alternative name: %w", name, err)
	}
	again, err := h.conn.Link(link.Attrs().Index)
	if err == nil {
		for _, alt := range again.Attrs().AltNames {
			if m, ok := parseDevMark(alt); ok && m.instance != h.instance {
				err = errorf(Refused, "device %s is in use by port %s of another vswitchd: remove that port there first", name, m.id)
			}
		}
	}
	if err != nil {
		handle.LinkDelAltName(link, mark)
		return err
	}
	return nil
}

// readIPv6 returns what disable_ipv6 says of a device.
func readIPv6(device string) byte {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6")
	if err != nil || len(b) == 0 {
		return 'x'
	}
	return b[0]
}

// setIPv6 turns IPv6 on or off on a device of the calling thread's namespace.
// Only /proc can do it. A kernel without IPv6 has it off.
func setIPv6(device string, on bool) error {
	value := []byte("1")
	if on {
		value = []byte("0")
	}
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+device+"/disable_ipv6", value, 0)
	if errors.Is(err, os.ErrNotExist) && !on {
		return nil
	}
	return err
}

// vanished reports whether what was to be removed was not there any more.
func vanished(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, rtnl.ErrNotFound)
}
