package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stack is a namespace whose own stack speaks through one port of the switch,
// of any kind that has a device. Its address is 10.0.0.N and fd00::N.
type Stack struct {
	*Namespace
	Port   string // SWITCH/PORT
	Kind   string // veth, tap, dev or vm
	IfName string // inside the namespace
	MTU    int    // inside the namespace

	addr4, addr6 string
}

// deviceKinds are the kinds of ports that a device hangs on; a patch has none.
var deviceKinds = []string{"veth", "tap", "dev", "vm"}

// Stack adds a port of that kind, and behind it a namespace with the port's
// name and address N. Where the switch does not make the device inside, the
// test does: for dev it is the far end of a veth pair, for vm a TAP of the
// namespace that a monitor joins with the port's own. Of the flags, --mtu M is
// in force inside, too.
func (h *Host) Stack(port, kind string, n int, flags ...string) *Stack {
	h.t.Helper()
	sw, name, ok := strings.Cut(port, "/")
	if !ok {
		sw, name = "sw0", port
	}
	port = sw + "/" + name
	s := &Stack{Namespace: h.Namespace(name), Port: port, Kind: kind, IfName: "eth0", MTU: 1500,
		addr4: fmt.Sprintf("10.0.0.%d", n), addr6: fmt.Sprintf("fd00::%d", n)}
	if i := slices.Index(flags, "--mtu"); i >= 0 {
		var err error
		if s.MTU, err = strconv.Atoi(flags[i+1]); err != nil {
			h.t.Fatal(err)
		}
	}
	mtu := strconv.Itoa(s.MTU)
	add := []string{"port", "add", port, "--" + kind}
	switch kind {
	case "veth", "tap":
		add = append(add, "--netns", name, "--ip", s.addr4+"/24", "--ip", s.addr6+"/64")
	case "dev":
		h.Run("ip", "link", "add", "d-"+name, "mtu", mtu, "type", "veth", "peer", "name", s.IfName, "mtu", mtu, "netns", name)
		add = append(add, "d-"+name)
	case "vm":
		add = append(add, "v-"+name)
	default:
		h.t.Fatalf("a stack behind a port of kind %s: want one of %v", kind, deviceKinds)
	}
	h.VS(append(add, flags...)...)
	if kind == "vm" {
		s.Plug("v-"+name, s.IfName)
		s.Run("ip", "link", "set", s.IfName, "mtu", mtu)
	}
	if kind == "dev" || kind == "vm" {
		s.Run("ip", "addr", "add", s.addr4+"/24", "dev", s.IfName)
		s.Run("ip", "addr", "add", s.addr6+"/64", "dev", s.IfName, "nodad")
		s.Run("ip", "link", "set", s.IfName, "up")
	}
	h.AwaitState(port, "up")
	return s
}

// Addr returns the stack's address for a network such as "tcp6".
func (s *Stack) Addr(network string) string {
	if strings.HasSuffix(network, "6") {
		return s.addr6
	}
	return s.addr4
}

// Plug makes a device in the namespace that is the card of a virtual machine:
// what its stack sends, a monitor hands to the TAP of a --vm port, and back,
// with virtio-net headers as they are. No header is looked into, so both sides
// agree about offloads as a guest and its switch do.
func (ns *Namespace) Plug(tap, ifname string) {
	h := ns.h
	h.t.Helper()
	var fds [2]int
	err := h.main.do(func() (err error) {
		fds[0], err = openGuestTap(tap)
		return err
	})
	if err == nil {
		err = h.main.in(ns.path, func() (err error) {
			fds[1], err = openGuestTap(ifname)
			return err
		})
	}
	if err != nil {
		h.t.Fatalf("plug %s of %s into TAP %s: %v", ifname, ns.Name, tap, err)
	}
	port, card := os.NewFile(uintptr(fds[0]), "tap:"+tap), os.NewFile(uintptr(fds[1]), "tap:"+ifname)
	unplug := func() {
		_ = port.Close() // twice does no harm
		_ = card.Close()
	}
	ns.closers = append(ns.closers, unplug)
	h.onClose(unplug)
	go pump(port, card) // both until unplug
	go pump(card, port)
}

// pump hands frames on. One that the other side refuses is lost, as where a
// device is down.
func pump(from, to *os.File) {
	buf := make([]byte, vnetHdrLen+1<<17)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		_, _ = to.Write(buf[:n])
	}
}

// openGuestTap opens a TAP as a monitor does for a guest that takes all
// offloads; UDP's are known since Linux 6.2.
func openGuestTap(ifname string) (int, error) {
	fd, err := openTap(ifname, unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	if err != nil {
		return fd, err
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN |
		unix.TUN_F_USO4 | unix.TUN_F_USO6
	_ = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads) // else those that openTap asked for
	return fd, nil
}
