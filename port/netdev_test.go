package port

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pair makes a veth pair on the test's host; the ends are down.
func pair(t testing.TB, a, b string) {
	t.Helper()
	run(t, "ip", "link", "add", a, "type", "veth", "peer", "name", b)
	t.Cleanup(func() { exec.Command("ip", "link", "del", a).Run() })
}

// state shows what a port must put back.
func state(t testing.TB, device string) string {
	t.Helper()
	sysctl, err := exec.Command("cat", "/proc/sys/net/ipv6/conf/"+device+"/disable_ipv6").CombinedOutput()
	if err != nil {
		t.Fatalf("%s", sysctl)
	}
	link := run(t, "ip", "-details", "link", "show", device)
	return strings.ReplaceAll(link, "state LOWERLAYERDOWN", "state DOWN") +
		"disable_ipv6 " + string(sysctl) +
		run(t, "tc", "qdisc", "show", "dev", device) +
		run(t, "tc", "filter", "show", "dev", device, "ingress")
}

func TestDevIsPutBack(t *testing.T) {
	h := newTestHost(t)
	for _, test := range []struct {
		name  string
		setup []string
		mtu   int
	}{
		{name: "down"},
		{name: "up", setup: []string{"ip link set d1 up", "ip link set d2 up"}},
		{name: "mtu", mtu: 1400},
		{name: "noipv6", setup: []string{"sysctl -qw net.ipv6.conf.d1.disable_ipv6=1"}},
		{name: "clsact", setup: []string{"tc qdisc add dev d1 clsact"}},
		{name: "ingress", setup: []string{"tc qdisc add dev d1 ingress"}},
		{name: "filter", setup: []string{"tc qdisc add dev d1 clsact", "tc filter add dev d1 ingress pref 7 bpf bytecode 1,6:0:0:0, classid 1:1"}},
		{name: "filter in the way", setup: []string{"tc qdisc add dev d1 clsact", "tc filter add dev d1 ingress pref 1 handle 1 bpf bytecode 1,6:0:0:0, classid 1:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pair(t, "d1", "d2")
			run(t, "ip", "link", "set", "d1", "up") // gets its qdisc
			run(t, "ip", "link", "set", "d1", "down")
			for _, s := range test.setup {
				argv := strings.Fields(s)
				for i := range argv {
					argv[i] = strings.ReplaceAll(argv[i], "6:0:0:0", "6 0 0 0")
				}
				run(t, argv...)
			}
			before := state(t, "d1")
			a, err := h.Open(context.Background(), Identity{"sw0", "p-1.x"}, Config{Kind: Dev, Device: "d1", MTU: test.mtu}, nil)
			if err != nil {
				t.Fatal(err)
			}
			during := state(t, "d1")
			contains(t, "in use", during, "UP", "promiscuity 1", "vswitch-"+h.instance+"-u", "disable_ipv6 1")
			if test.mtu != 0 {
				contains(t, "in use", during, "mtu 1400")
			}
			if a.Info.Device != "d1" || a.Info.Ifindex == 0 || a.Info.MTU == 0 {
				t.Errorf("Info: got %+v", a.Info)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if test.name == "up" { // IPv6 comes back with the address that it makes of itself
				eventually(t, "the link-local address is back", func() bool {
					return strings.Contains(run(t, "ip", "addr", "show", "d1"), "inet6 fe80::")
				})
			}
			after := state(t, "d1")
			if after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

func TestDevRefusesWhatCannotBeAPort(t *testing.T) {
	h := newTestHost(t)
	run(t, "ip", "tuntap", "add", "tun9", "mode", "tun")
	defer run(t, "ip", "link", "del", "tun9")
	pair(t, "d1", "d2")
	run(t, "ip", "link", "add", "br9", "type", "bridge")
	defer run(t, "ip", "link", "del", "br9")
	run(t, "ip", "link", "set", "d1", "master", "br9")
	pair(t, "e1", "e2")
	run(t, "ip", "addr", "add", "192.0.2.7/24", "dev", "e1")
	run(t, "ip", "addr", "add", "2001:db8::7/64", "dev", "e1")
	run(t, "ip", "addr", "add", "fe80::77/64", "dev", "e2")
	h.open("v1", Config{Kind: Veth})

	refuse := func(device string, code Code, words ...string) {
		t.Helper()
		h.refused(Config{Kind: Dev, Device: device}, code, append(words, device)...)
	}
	refuse("nosuch", NotFound, "no device")
	refuse("tun9", Refused, "TUN", "IP without Ethernet headers", "a TAP would work")
	refuse("lo", Refused, "loopback", "--tap")
	refuse("br9", Refused, "bridge", "veth")
	refuse("d1", Refused, "port of br9 (bridge)", "nomaster")
	refuse("e1", Refused, "192.0.2.7/24, 2001:db8::7/64", "ip addr del")
	refuse("e2", Refused, "fe80::77/64")
	refuse("sw0-v1", Refused, "own side of port sw0/v1")
	refuse("v1", Refused, "far end of port sw0/v1")
	h.refused(Config{Kind: Dev, Device: "d2", MTU: 67}, Invalid, "MTU 67")
	h.refused(Config{Kind: Dev, Device: ""}, Invalid)

	h.open("p1", Config{Kind: Dev, Device: "d2"})
	refuse("d2", Refused, "in use by port sw0/p1")
	other := newInstance(t, "beef")
	other.refused(Config{Kind: Dev, Device: "d2"}, Refused, "in use by port sw0/p1 of another vswitchd")
	other.refused(Config{Kind: Dev, Device: "sw0-v1"}, Refused, "made for port sw0/v1 by another vswitchd")
}

func TestDevStatusSaysWhy(t *testing.T) {
	h := newTestHost(t)
	pair(t, "d1", "d2")
	a := h.open("p1", Config{Kind: Dev, Device: "d1"})
	want := func(what string, want Status) {
		t.Helper()
		if s := a.Status(); s != want {
			t.Errorf("%s: got %+v, want %+v", what, s, want)
		}
	}
	want("peer down", Status{MTU: 1500, Device: "d1", Reason: "the other end of d1 is down"})
	run(t, "ip", "link", "set", "d2", "up")
	want("both up", Status{MTU: 1500, Device: "d1", Carrier: true})
	run(t, "ip", "link", "set", "d1", "down")
	want("set down", Status{MTU: 1500, Device: "d1", Reason: "device d1 is down"})
	run(t, "ip", "link", "set", "d1", "name", "d9")
	want("renamed", Status{Gone: true, Reason: "device d1 was renamed to d9"})
	run(t, "ip", "link", "del", "d9")
	want("deleted", Status{Gone: true, Reason: "device d1 is gone"})
	if err := a.Close(); err != nil {
		t.Errorf("close when gone: %v", err)
	}
}

func TestVMIsMadeAsAsked(t *testing.T) {
	h := newTestHost(t)
	for _, queues := range []int{0, 4} {
		a := h.open("g1", Config{Kind: VM, Device: "vm9", Owner: "65534", Queues: queues, MTU: 1400})
		show := run(t, "ip", "-details", "link", "show", "vm9")
		contains(t, "link", show, "NOARP", "mtu 1400", "qdisc noqueue", "NO-CARRIER", "user nobody", "persist on", "vnet_hdr on", "alias vswitch:"+h.instance+":sw0/g1")
		if s := a.Status(); s != (Status{MTU: 1400, Device: "vm9", Reason: "nobody has opened the TAP vm9: a VM monitor would"}) {
			t.Errorf("Status: got %+v", s)
		}
		h.refused(Config{Kind: VM, Device: "vm9"}, Exists, "vm9", "--dev")
		_, quit, err := attachTun("vm9", queues > 1)
		if err != nil {
			t.Fatal(err)
		}
		if s := a.Status(); s != (Status{MTU: 1400, Device: "vm9", Carrier: true}) {
			t.Errorf("opened: Status: got %+v", s)
		}
		quit()
		if s := a.Status(); s.Carrier {
			t.Errorf("closed: Status: got %+v", s)
		}
		run(t, "ip", "link", "del", "vm9")
		if s := a.Status(); !s.Gone || !s.Manual {
			t.Errorf("deleted: Status: got %+v", s)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	h.refused(Config{Kind: VM, Device: "vm9", Owner: "nobody-of-this-name"}, Invalid, "nobody-of-this-name")
	h.refused(Config{Kind: VM, Device: "vm9", Queues: 300}, Invalid, "300")
}

// attachTun opens a TAP as a VM monitor does, and returns how to close it.
func attachTun(name string, multi bool) (fd int, quit func(), err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return -1, nil, err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return -1, nil, err
	}
	return fd, func() { unix.Close(fd) }, nil
}
