package e2e

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// However the daemon ends, what it made goes and what it only used is as it was
// before (issue 2, promise 7).

// household is a host with ports of every kind, in every state.
type household struct {
	h      *Host
	before string // what was there before the switch did anything
}

// household makes the devices and namespaces that are not the switch's.
func (h *Host) household() *household {
	h.t.Helper()
	for _, name := range []string{"web", "db"} {
		h.Namespace(name)
	}
	for _, command := range []string{
		// Nothing special about it.
		"ip link add plain type veth peer name plain1",
		// In use by others in many ways.
		"ip link add busy type veth peer name busy1",
		"sysctl -q net.ipv6.conf.busy.accept_dad=0 net.ipv6.conf.busy1.accept_dad=0", // it ends when it likes
		"ip link set busy alias mine",
		"ip link property add dev busy altname also-busy",
		"ip link set busy mtu 1400 promisc on group 7",
		"ip link set busy up",
		"ip link set busy1 up",
		"tc qdisc add dev busy clsact",
		"tc filter add dev busy ingress protocol ip prio 5 u32 match u32 0 0 flowid 1:1",
		"tc filter add dev busy egress protocol ip prio 5 u32 match u32 0 0 flowid 1:1",
		// Without IPv6.
		"ip link add six type veth peer name six1",
		"sysctl -q net.ipv6.conf.six.disable_ipv6=1 net.ipv6.conf.six.accept_ra=0",
		"ip tuntap add tap0 mode tap",
	} {
		h.Run(strings.Fields(command)...)
	}
	for _, dev := range []string{"plain", "six", "tap0"} {
		h.settle(dev)
	}
	return &household{h, h.inventory()}
}

// move brings the switch in.
func (hh *household) move() {
	h := hh.h
	h.t.Helper()
	h.VS("switch", "add", "sw1")
	gone := h.Namespace("gone")
	for _, port := range []string{
		"veth --veth --netns web --ip 10.0.0.1/24 --gateway 10.0.0.254",
		"tapin --tap --netns web",
		"tap --tap --ip 10.0.0.3/24",
		"vm --vm vm0 --queues 2",
		"vmlost --vm vm1 --owner nobody",
		"plain --dev plain",
		"busy --dev busy --mtu 1300",
		"six --dev six --mtu 9000",
		"tap0 --dev tap0",
		"patch --patch sw1/patch",
		"down --veth --netns db --down",
		"sw1/veth --veth --netns db",
		"hand --veth --netns db --ifname hand",
		"gone --veth --netns gone",
		"gonetap --tap --netns gone",
	} {
		h.VS(append([]string{"port", "add"}, strings.Fields(port)...)...)
	}
	m := h.Monitor("vm0", 2) // stays open
	h.onClose(m.Close)
	h.namespaceNamed("db").Run("ip", "link", "del", "hand")
	gone.Delete()
	for port, state := range map[string]string{"vm": "up", "vmlost": "lost", "hand": "lost", "gone": "lost", "gonetap": "lost", "busy": "up", "plain": "lost"} {
		h.AwaitState(port, state)
	}
	if hh.left() == "" {
		h.t.Fatal("the switch changed nothing, so this shows nothing")
	}
}

// left says how what is there differs from what was there before.
func (hh *household) left() string {
	hh.h.t.Helper()
	return differing(hh.before, hh.h.inventory())
}

// inventory describes all devices of the host and its namespaces, with all that
// a switch may change on them.
func (h *Host) inventory() string {
	h.t.Helper()
	var b strings.Builder
	b.WriteString(h.looks(slices.Sorted(maps.Keys(h.Links()))))
	for _, ns := range h.namespaces {
		if !ns.deleted {
			fmt.Fprintf(&b, "%s:\n%s", ns.Name, h.devices(ns.path))
		}
	}
	b.WriteString(h.Run("ip", "route", "show", "table", "all"))
	return strings.NewReplacer(" tentative", "", " optimistic", "").Replace(b.String())
}

// looks describes devices of the host.
func (h *Host) looks(ifnames []string) string {
	h.t.Helper()
	var b strings.Builder
	for _, name := range ifnames {
		b.WriteString(h.look(name))
		b.WriteString(h.Run("tc", "filter", "show", "dev", name, "egress"))
	}
	return b.String()
}

func TestSignalsEndItAndNothingIsLeft(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			h := NewHost(t)
			hh := h.household()
			hh.move()
			// Clients do not hold it up: one that listens, one that has not
			// said all, and one that says nothing.
			h.Events()
			h.says("POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
			h.says("")

			begin := time.Now()
			h.Process().Signal(sig)
			r := h.Process().Wait(t, Patience)
			took := time.Since(begin)
			t.Logf("ended within %v", took.Round(time.Millisecond))
			if took > ShutdownTime {
				t.Errorf("it took %v to end, want at most %v", took, ShutdownTime)
			}
			if r.Code != 0 {
				t.Errorf("exit status %d, want 0:\n%s", r.Code, indent(tail(r.Stderr, 2000)))
			}
			if left := hh.left(); left != "" {
				t.Errorf("not all is as it was before:\n%s", indent(left))
			}
			if _, err := os.Stat(h.Socket); err == nil {
				t.Error("the socket is left")
			}
		})
	}
}

// says opens a connection to the socket that stays open, and says something.
func (h *Host) says(text string) {
	h.t.Helper()
	c, err := net.Dial("unix", h.Socket)
	if err == nil {
		_, err = c.Write([]byte(text))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.onClose(func() { c.Close() })
}

// After kill -9 the next start of the same instance tidies up, and does not
// touch what another one has, whether that one runs or was killed, too.
func TestNextStartTidiesUpAfterKill9(t *testing.T) {
	h := NewHost(t)
	hh := h.household()

	second := h.Second("second")
	second.Start()
	st := make(map[string]*Station)
	for _, name := range []string{"left", "right"} {
		ns := h.Quiet(name)
		second.VS("port", "add", name, "--netns", name)
		st[name] = ns.Station("eth0")
	}
	h.Run("ip", "link", "add", "theirs", "type", "veth", "peer", "name", "theirs1")
	second.VS("port", "add", "vm", "--vm", "vm9")
	second.VS("port", "add", "dev", "--dev", "theirs")
	to := st["right"]
	to.Learn(to.Address)
	h.Eventually(0, func() error {
		if len(second.FDB()) == 0 {
			return fmt.Errorf("the second switch has learned nothing")
		}
		return nil
	})
	stream := h.stream(st["left"], to)
	hh.before = h.inventory()

	again := func(d *Daemon, what string) {
		t.Helper()
		d.Forget() // what it made is found without that
		begin := time.Now()
		d.Start()
		took := time.Since(begin)
		t.Logf("%s answers %v after its start", what, took.Round(time.Millisecond))
		if took > 2*time.Second {
			t.Errorf("%s took %v to start, want at most 2 s", what, took)
		}
	}
	hh.move()
	h.Kill9()
	again(&h.Daemon, "the one that was killed")
	if left := hh.left(); left != "" {
		t.Errorf("not all is as it was before:\n%s", indent(left))
	}
	if ports := h.Ports(); len(ports) > 0 {
		t.Errorf("it has the ports %+v", ports)
	}
	stream.Check()

	// Both are killed; each tidies up its own.
	h.VS("port", "add", "veth", "--netns", "web")
	h.VS("port", "add", "plain", "--dev", "plain")
	h.Kill9()
	stream.Stop()
	second.Kill9()
	seconds := []string{"vm9", "theirs", "sw0-left", "sw0-right"}
	with := h.looks(seconds)
	again(&h.Daemon, "the first")
	if changed := differing(with, h.looks(seconds)); changed != "" {
		t.Errorf("the first has changed what is the second's:\n%s", indent(changed))
	}
	if _, ok := h.Links()["sw0-veth"]; ok || len(h.Links()["plain"].AltNames) > 0 {
		t.Error("the first has left its own behind")
	}
	again(second, "the second")
	for _, dev := range []string{"vm9", "sw0-left", "sw0-right"} {
		if _, ok := h.Links()[dev]; ok {
			t.Errorf("%s is left", dev)
		}
	}
	if alt := h.Links()["theirs"].AltNames; len(alt) > 0 {
		t.Errorf("the second's device still has the names %q", alt)
	}
}

// TestShutdownFromOutsideOfTheContainer ends a daemon whose process has another number in
// its own PID namespace than for who asks.
func TestShutdownFromOutsideOfTheContainer(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.Wrap = []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}
	h.Start()
	h.VS("port", "add", "p", "--tap")
	h.VS("shutdown")
	if r := h.p.Wait(t, Patience); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	if links := h.Links(); len(links) > 1 {
		t.Errorf("left are %v", links)
	}
}
