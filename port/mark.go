package port

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/frame"
)

// What the daemon makes carries two marks, so that it is found again after a
// crash and told from what another daemon made: a link group, which is there
// from the moment the kernel makes the device, and an alias, which says whose
// it is. A device that the daemon only uses keeps its alias and group; its mark
// is an alternative name, that also holds what to put back.

// Identity names the port that something is made for.
type Identity struct{ Switch, Port string }

func (id Identity) String() string { return id.Switch + "/" + id.Port }

// identity reads what String has written.
func identity(s string) (id Identity) {
	id.Switch, id.Port, _ = strings.Cut(s, "/")
	return id
}

// marker makes the marks of one instance of the daemon.
type marker struct {
	instance string // and its namespace: daemons in containers may have sockets of one name
	group    uint32 // of what is made
	doomed   uint32 // of what is about to be deleted, all at once
	home     uint64 // inode of the daemon's namespace
}

func newMarker(instance string, home uint64) marker {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s in %d", instance, home))
	// People's groups are small numbers; negative ones show badly.
	group := binary.BigEndian.Uint32(sum[:])&0x3ffffffe | 0x40000000
	return marker{hex.EncodeToString(sum[:6]), group, group | 1, home}
}

const aliasPrefix = "vswitch:"

// alias returns the mark of a device that is being made for a port.
func (m marker) alias(id Identity) string {
	return aliasPrefix + m.instance + ":" + id.String()
}

// doneAlias returns its mark once it is made, which also says as what: a daemon that
// starts takes only what is whole, and what its port is still to hang on.
func (m marker) doneAlias(id Identity, cfg Config) string {
	addresses, gateways := slices.Clone(cfg.Addresses), slices.Clone(cfg.Gateways)
	slices.SortFunc(addresses, func(a, b netip.Prefix) int { return cmp.Compare(a.String(), b.String()) })
	slices.SortFunc(gateways, netip.Addr.Compare)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q %q %s %v %v %d %q %d", cfg.Kind, cfg.Netns, cfg.Container, cfg.Device,
		cfg.MAC, addresses, gateways, cmp.Or(cfg.MTU, defaultMTU), cfg.Owner, max(cfg.Queues, 1)))
	return m.alias(id) + ":" + hex.EncodeToString(sum[:6])
}

// owned reports whether an alias says that a device is that of a port.
func (m marker) owned(alias string, id Identity) bool {
	return alias == m.alias(id) || strings.HasPrefix(alias, m.alias(id)+":")
}

// made reports whether a device with that group and alias was made by this
// instance. A daemon that was killed may not have come to set the alias.
func (m marker) made(group uint32, alias string) bool {
	if strings.HasPrefix(alias, aliasPrefix) {
		return strings.HasPrefix(alias, aliasPrefix+m.instance+":")
	}
	return alias == "" && (group == m.group || group == m.doomed)
}

// aliasOwner returns the instance and the port that an alias of any daemon
// tells of.
func aliasOwner(alias string) (instance, port string, ok bool) {
	rest, ok := strings.CutPrefix(alias, aliasPrefix)
	if !ok {
		return "", "", false
	}
	instance, port, ok = strings.Cut(rest, ":")
	port, _, _ = strings.Cut(port, ":")
	return instance, port, ok
}

// filterName names the filter that this instance puts on devices.
func (m marker) filterName() string { return "vswitch-" + m.instance }

// ifNameSize is IFNAMSIZ less the terminating zero.
const ifNameSize = 15

// kernelNames returns names for a device of a port, the best first. name is
// taken where the kernel allows it.
func (m marker) kernelNames(name string, id Identity) []string {
	var names []string
	if checkIfName(name) == nil {
		names = append(names, name)
	}
	for salt := range 4 {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", m.instance, id, salt))
		names = append(names, "vs"+hex.EncodeToString(sum[:6]))
	}
	return names
}

// checkIfName says why the kernel would not call a device so (dev_valid_name;
// a % makes a pattern of it; all and default are folders of sysctl).
func checkIfName(name string) error {
	switch {
	case name == "", len(name) > ifNameSize:
		return errorf(Invalid, "%q cannot name an interface: use 1 to %d characters", name, ifNameSize)
	case name == ".", name == "..", name == "all", name == "default":
		return errorf(Invalid, "%q cannot name an interface: the kernel keeps that word; choose another", name)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == '/' || c == ':' || c == '%' || c == '"' || c == '\'' || c == '\\' {
			return errorf(Invalid, "%q cannot name an interface: use A-Z a-z 0-9 . _ -", name)
		}
	}
	return nil
}

// stationMAC returns an address for the far end of a port for which none was
// asked: the same whenever the port is made again on this machine, as systemd
// does it for the devices that it names (MACAddressPolicy=persistent), so that
// neighbours and DHCP servers know it again. Daemons in two containers of one
// machine may share all but their namespace.
func (m marker) stationMAC(id Identity) frame.MAC {
	sum := sha256.Sum256(fmt.Appendf(nil, "vswitch/%s/%d/%s/%s", machine(), m.home, m.instance, id))
	mac := frame.MAC(sum[:6])
	mac[0] = mac[0]&^0x01 | 0x02 // a locally administered station
	return mac
}

// machine returns what tells this machine from others.
func machine() string {
	for _, path := range []string{"/etc/machine-id", "/proc/sys/kernel/random/boot_id"} {
		if b, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}
