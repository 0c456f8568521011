package e2e

import (
	"strings"
	"testing"
)

// What cannot be a port is refused with the reason and what would work, and
// nothing is changed by it.
func TestRefusedDevices(t *testing.T) {
	h := NewHost(t)
	for _, command := range []string{
		"link add br0 type bridge",
		"link add x0 type veth peer name x1",
		"link set x0 master br0",
		"link add used type veth peer name used1",
		"link add addressed type veth peer name addressed1",
		"addr add 192.0.2.7/24 dev addressed",
		"tuntap add tun0 mode tun",
		"tuntap add tap0 mode tap",
	} {
		h.Run(append([]string{"ip"}, strings.Fields(command)...)...)
	}
	h.Namespace("web")
	h.VS("port", "add", "first", "--dev", "used")
	h.VS("port", "add", "vm", "--vm", "vm0")

	for _, c := range []struct {
		name  string
		args  string
		words []string // why, and what would work
	}{
		{"a TUN", "--dev tun0", []string{"tun0", "TUN", "without Ethernet headers", "TAP"}},
		{"a TUN as a VM's", "--vm tun0", []string{"tun0"}},
		{"the loopback", "--dev lo", []string{"lo", "loopback"}},
		{"a bridge", "--dev br0", []string{"br0", "bridge"}},
		{"a bridge's port", "--dev x0", []string{"x0", "br0"}},
		{"a device in use", "--dev used", []string{"used", "sw0/first"}},
		{"a VM's device in use", "--dev vm0", []string{"vm0", "sw0/vm"}},
		{"a device with addresses", "--dev addressed", []string{"addressed", "192.0.2.7/24"}},
		{"a device that is absent", "--dev absent", []string{"absent"}},
		{"a VM's TAP whose name is taken", "--vm x1", []string{"x1"}},
		{"a TAP whose name is taken", "--tap --ifname br0", []string{"br0"}},
		{"a TAP whose name is taken inside", "--tap --netns web --ifname lo", []string{"lo"}},
		{"a veth whose name is taken inside", "--netns web --ifname lo", []string{"lo"}},
		{"a namespace that is absent", "--netns absent", []string{"absent"}},
		{"a path that is absent", "--netns /nowhere", []string{"/nowhere", "lsns"}},
		{"a path that is no namespace", "--netns /dev/null", []string{"/dev/null"}},
		{"a process that is absent", "--netns pid:4194303", []string{"4194303", "lsns"}},
		{"an owner that is absent", "--vm vm9 --owner nosuchuser", []string{"nosuchuser"}},
		{"a patch to a switch that is absent", "--patch nowhere/p", []string{"nowhere"}},
		{"a patch to a port that is there", "--patch sw0/first", []string{"first"}},
		{"an MTU that the kernel refuses", "--netns web --mtu 70000", []string{"70000"}},
		{"an MTU that the kernel refuses a TAP", "--tap --mtu 70000", []string{"70000"}},
		{"an address twice", "--netns web --ip 10.0.0.1/24 --ip 10.0.0.1/24", []string{"10.0.0.1"}},
		{"a gateway that cannot be reached", "--netns web --ip 10.0.0.1/24 --gateway 10.9.9.9", []string{"10.9.9.9"}},
	} {
		h.Case(c.name, func(t *testing.T) {
			h.RefusedAnyhow(c.words, append([]string{"port", "add", "p"}, strings.Fields(c.args)...)...)
		})
	}
}

// Words that mean nothing are wrong usage: exit status 2, and the switch is
// not even asked.
func TestMalformedPorts(t *testing.T) {
	h := NewHost(t)
	h.Namespace("web")
	for _, c := range []struct {
		name  string
		args  string
		words []string
	}{
		{"neither kind nor namespace", "p", []string{"--netns", "--tap"}},
		{"two kinds", "p --tap --vm vm0", []string{"--tap", "--vm"}},
		{"a MAC that is multicast", "p --netns web --mac 03:00:00:00:00:01", []string{"03:00:00:00:00:01", "multicast"}},
		{"a MAC that is none", "p --netns web --mac 02:00:00", []string{"02:00:00"}},
		{"an address without a length", "p --netns web --ip 10.0.0.1", []string{"10.0.0.1", "/24"}},
		{"an address that is none", "p --netns web --ip 10.0.0.256/24", []string{"10.0.0.256/24"}},
		{"a gateway that is none", "p --netns web --gateway ten", []string{"ten"}},
		{"VLAN 0", "p --netns web --access 0", []string{"0", "4094"}},
		{"VLAN 4095", "p --netns web --access 4095", []string{"4095", "4094"}},
		{"a reversed range", "p --netns web --trunk 20-10", []string{"20-10"}},
		{"an overlapping range", "p --netns web --trunk 10-20,15", []string{"15"}},
		{"a name that begins with a dash", "-p --netns web", nil},
		{"a name with a slash too many", "sw0/p/q --netns web", []string{"sw0/p/q"}},
		{"a name that is too long", strings.Repeat("p", 33) + " --netns web", []string{"32"}},
		{"a device name that is too long", "p --netns web --ifname " + strings.Repeat("e", 16), []string{"15"}},
		{"queues of a tap", "p --tap --queues 2", []string{"--queues"}},
	} {
		h.Case(c.name, func(t *testing.T) {
			h.Refused(2, c.words, append([]string{"port", "add"}, strings.Fields(c.args)...)...)
		})
	}
}

func TestPortsThatStandAlready(t *testing.T) {
	h := NewHost(t)
	h.Namespace("web")
	h.VS("port", "add", "p", "--netns", "web", "--access", "10")
	h.Refused(1, []string{"sw0/p"}, "port", "add", "p", "--netns", "web", "--access", "10")
	h.Refused(1, []string{"sw0/p", "10", "11"}, "port", "add", "p", "--netns", "web", "--access", "11", "--may-exist")
	h.VS("port", "add", "p", "--netns", "web", "--access", "10", "--may-exist")
	h.Refused(1, []string{`"q"`, "sw0"}, "port", "del", "q")
	h.VS("port", "del", "q", "--if-exists")
	h.Refused(1, []string{"sw9"}, "port", "add", "sw9/p", "--netns", "web")
}

// Without the rights that it needs the daemon does not start, and says what
// would work; doctor says which rights are missing.
func TestDaemonWithoutRights(t *testing.T) {
	h := NewHost(t, NoDaemon)
	powerless := func(argv ...string) Result {
		return h.Try(append([]string{"setpriv", "--bounding-set", "-all"}, argv...)...)
	}
	r := powerless(vswitchdPath(t, true), "--socket", h.Socket, "--state-dir", h.StateDir)
	for _, w := range []string{"not permitted", "as root", "vsctl doctor"} {
		if r.Code != 1 || !strings.Contains(r.Stderr, w) {
			t.Errorf("vswitchd: exit %d, want 1 and %q:\n%s", r.Code, w, indent(r.Output()))
		}
	}
	r = powerless(vsctlPath(t), "doctor")
	for _, w := range []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_NET_BROADCAST"} {
		if r.Code != 1 || !strings.Contains(r.Stdout, w) {
			t.Errorf("vsctl doctor: exit %d, want 1 and that %s is missing:\n%s", r.Code, w, indent(r.Output()))
		}
	}
}
