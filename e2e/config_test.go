package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestConfigApplyBesideTraffic changes a configuration around two stations that
// speak to each other: they lose no frame, and their devices and entries stay. Then
// it goes to a daemon that has nothing.
func TestConfigApplyBesideTraffic(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	h.Namespace("c")
	h.VS("profile", "add", "office", "--access", "10")
	h.VS("port", "add", "c", "--netns", "c", "--profile", "office", "--ip", "10.9.0.1/24")
	h.VS("switch", "add", "lab")
	h.VS("port", "add", "up", "--patch", "lab/up", "--trunk", "1,10")
	h.VS("fdb", "add", "02:00:00:00:00:99", "--vlan", "10", "--port", "c")
	before := map[string]int{"a": h.Port("a").Ifindex, "b": h.Port("b").Ifindex, "c": h.Port("c").Ifindex}
	shown := h.VS("config", "show")

	s := h.Stream(a.Station("eth0"), b.Station("eth0"))
	file := h.Path("net.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := strings.NewReplacer(
		"    access: 10\n", "    access: 20\n    max_macs: 7\n", // of the profile
		"vlan: 10", "vlan: 20",
		"  lab:\n", "  other: {}\n  lab:\n    ageing: 60s\n",
	).Replace(shown)
	for range 10 {
		for _, text := range []string{changed, shown} {
			write(text)
			h.VS("config", "apply", file)
			s.Check()
		}
	}
	for name, was := range before {
		if now := h.Port(name).Ifindex; now != was {
			t.Errorf("port %s was made anew: ifindex %d, now %d", name, was, now)
		}
	}
	if n := s.Stop(); n < 100 {
		t.Errorf("the stream had %d frames only", n)
	}
	if now := h.VS("config", "show"); now != shown {
		t.Errorf("after going there and back:\n%s\nwas\n%s", now, shown)
	}

	// Nothing is begun that cannot end well: the last port's namespace is none.
	write(strings.Replace(changed, "      c:\n", "      x:\n        tap: true\n      z:\n        netns: /proc/self/status\n      c:\n", 1))
	if r := h.TryVS("config", "apply", file); r.Code != 1 || !strings.Contains(r.Stderr, "nothing was changed") {
		t.Errorf("exit %d, %q", r.Code, r.Output())
	}
	// So is what was touched: a port goes into another namespace, and the last cannot
	// be made.
	h.Namespace("d")
	h.Run("ip", "-n", "d", "link", "set", "lo", "up")
	h.Run("ip", "-n", "d", "addr", "add", "fd00:9::1/128", "dev", "lo", "nodad") // which is no gateway then
	write(strings.NewReplacer("netns: c\n", "netns: d\n", "      c:\n", "      z:\n        netns: d\n        ip: fd00:9::2/64\n        gateway: fd00:9::1\n      c:\n").Replace(shown))
	if r := h.TryVS("config", "apply", file); r.Code != 1 || !strings.Contains(r.Stderr, "made again: sw0/c") {
		t.Errorf("exit %d, %q", r.Code, r.Output())
	}
	before["c"] = h.Port("c").Ifindex
	if now := h.VS("config", "show"); now != shown {
		t.Errorf("after one that failed:\n%s\nwas\n%s", now, shown)
	}
	for name, was := range before {
		if now := h.Port(name).Ifindex; now != was {
			t.Errorf("nothing was changed, and port %s had ifindex %d, now %d", name, was, now)
		}
	}

	// A daemon that has nothing.
	write(shown)
	h.MustCleanShutdown()
	h.Start()
	h.VS("config", "apply", file)
	if now := h.VS("config", "show"); now != shown {
		t.Errorf("on another daemon:\n%s\nwas\n%s", now, shown)
	}
}

// TestConfigApplyOfWhatIsAbsent applies a configuration whose namespace and device are
// not there: its ports are lost, with a warning, and come when these come.
func TestConfigApplyOfWhatIsAbsent(t *testing.T) {
	h := NewHost(t)
	file := h.Path("net.yaml")
	if err := os.WriteFile(file, []byte("switches: {sw0: {ports: {d: {dev: later0}, e: {netns: later, ip: 10.9.0.1/24}}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const warnings = "warning: port sw0/d is lost until it has what it hangs on: there is no device later0: ip link shows those that are there\n" +
		"warning: port sw0/e is lost until it has what it hangs on: there is no network namespace later: make it with: ip netns add later\n"
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"config", "diff", file}, 1},
		{[]string{"config", "apply", "--dry-run", file}, 0},
		{[]string{"config", "apply", file}, 0},
	} {
		if r := h.TryVS(c.args...); r.Code != c.code || r.Stderr != warnings {
			t.Errorf("%v: exit %d, %q", c.args, r.Code, r.Output())
		}
	}
	shown := h.VS("config", "show")
	for _, name := range []string{"d", "e"} {
		if p := h.AwaitState(name, "lost"); !strings.Contains(p.Reason, "later") {
			t.Errorf("port %s is lost for the reason %q", name, p.Reason)
		}
	}
	h.Run("ip", "netns", "add", "later")
	h.Run("ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1")
	h.Run("ip", "link", "set", "later1", "up")
	h.AwaitState("d", "up")
	h.AwaitState("e", "up")
	if now := h.VS("config", "show"); now != strings.Replace(shown, "netns: later\n", "netns: later\n        ifname: eth0\n", 1) {
		t.Errorf("with what was absent:\n%s\nwas\n%s", now, shown)
	}
	h.MustCleanShutdown()
	h.Run("ip", "netns", "del", "later")
	h.Run("ip", "link", "del", "later0")
}

// TestConfigApplyOfManyPorts adds and removes hundreds of ports in one step each, and
// gives up in the middle: all are there then, or none. What their interfaces say at
// first, each to all others, delays nobody who speaks on another switch.
func TestConfigApplyOfManyPorts(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	a.Ping(b.Addr("tcp4"))
	few, links := h.VS("config", "show"), len(h.Links())
	const ports = 400
	var text strings.Builder
	text.WriteString(few + "  many:\n    ports:\n")
	for i := range ports {
		fmt.Fprintf(&text, "      m%d:\n        tap: true\n", i)
	}
	small, large := h.Path("few.yaml"), h.Path("many.yaml")
	for path, text := range map[string]string{small: few, large: text.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := h.Stream(a.Station("eth0"), b.Station("eth0"))
	for _, patience := range []string{"5ms", "20ms", "50ms", "100ms"} {
		r := h.TryVS("--timeout", patience, "config", "apply", large)
		// Who asks for a change after it finds it done, or taken back.
		h.VS("port", "set", "a", "--description", patience)
		h.VS("port", "set", "a", "--description", "")
		want := links
		if r.Code == 0 || h.TryVS("switch", "show", "many").Code == 0 {
			want += ports
		}
		h.Eventually(0, func() error {
			if now := len(h.Links()); now != want {
				return fmt.Errorf("given up after %s: %d devices, expected %d", patience, now, want)
			}
			return nil
		})
		h.VS("config", "apply", small)
	}
	h.VS("config", "apply", large)
	if now := len(h.Links()); now != links+ports {
		t.Errorf("%d devices with %d ports more, %d before", now, ports, links)
	}
	h.Eventually(0, func() error {
		for _, name := range []string{"many/m0", "many/m399"} {
			if n := h.Port(name).Counters.RxFrames; n < 6 {
				return fmt.Errorf("%s has said %d frames", name, n)
			}
		}
		return nil
	})
	s.Check()
	h.VS("config", "apply", small)
	if now := len(h.Links()); now != links {
		t.Errorf("%d devices are there, and %d were", now, links)
	}
	if now := h.VS("config", "show"); now != few {
		t.Errorf("after going there and back:\n%s\nwas\n%s", now, few)
	}
	s.Check()
}

// TestConfigApplyOfWhatCannotBe applies configurations with a port that the machine
// cannot have, beside a change for which another port would be made anew: it is refused
// before anything is touched, and a dry run says so as well.
func TestConfigApplyOfWhatCannotBe(t *testing.T) {
	h := NewHost(t)
	h.Namespace("x")
	h.VS("port", "add", "a", "--netns", "x", "--ip", "10.0.0.1/24")
	h.VS("port", "add", "m", "--vm", "mine0")
	h.Run("ip", "tuntap", "add", "tu0", "mode", "tun")
	h.Run("ip", "link", "add", "br0", "type", "bridge")
	h.Run("ip", "link", "add", "in0", "master", "br0", "type", "veth", "peer", "name", "in1")
	h.Run("ip", "-n", "x", "link", "add", "taken", "type", "veth", "peer", "name", "other")
	h.Namespace("routed")
	h.Run("ip", "link", "add", "way0", "type", "veth", "peer", "name", "way", "netns", "routed")
	h.Run("ip", "-n", "routed", "addr", "add", "10.9.0.1/24", "dev", "way")
	h.Run("ip", "-n", "routed", "link", "set", "way", "up")
	h.Run("ip", "-n", "routed", "route", "add", "default", "via", "10.9.0.2")
	h.Namespace("routed6") // by IPv6, and by IPv4 with another metric
	h.Run("ip", "link", "add", "way1", "type", "veth", "peer", "name", "way", "netns", "routed6")
	h.Run("ip", "-n", "routed6", "addr", "add", "10.9.0.1/24", "dev", "way")
	h.Run("ip", "-n", "routed6", "addr", "add", "fd00:9::1/64", "dev", "way", "nodad")
	h.Run("ip", "-n", "routed6", "link", "set", "way", "up")
	h.Run("ip", "-n", "routed6", "route", "add", "default", "via", "10.9.0.2", "metric", "100")
	h.Run("ip", "-n", "routed6", "route", "add", "default", "via", "fd00:9::2")
	h.Run("ip", "tuntap", "add", "ta0", "mode", "tap")
	was, shown := h.Port("a").Ifindex, h.VS("config", "show")
	file := h.Path("net.yaml")
	apply := func(ports string, args ...string) Result {
		text := "switches:\n  sw0:\n    ports:\n" + ports
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return h.TryVS(append([]string{"config", "apply", file}, args...)...)
	}
	const anew = "      a: {netns: x, ip: 10.0.0.2/24}\n"
	for _, c := range []struct {
		ports string
		code  int
		words []string
	}{
		{"      a: {vm: q1, owner: nosuchuser}\n", 2, []string{"net.yaml:4:", "there is no user nosuchuser", "owner: nosuchuser}"}},
		{anew + "    fdb_size: 0\n", 2, []string{"net.yaml:5:15: fdb_size 0", "    fdb_size: 0"}},
		{anew + "    fdb_size: 1048577\n", 2, []string{"net.yaml:5:15: fdb_size 1048577"}},
		{anew + "    ageing: -1s\n", 2, []string{"net.yaml:5:13: \"-1s\" is not a time"}},
		{anew + "      b: {netns: routed, ip: 10.0.0.3/24, gateway: 10.0.0.9}\n", 1, []string{"sw0/b: gateway 10.0.0.9: namespace routed has a default route already", "nothing was changed"}},
		{anew + "      b: {netns: routed6, ip: [10.0.0.3/24, fd00::3/64], gateway: [10.0.0.9, 'fd00::9']}\n", 1, []string{"sw0/b: gateway fd00::9: namespace routed6 has a default route already", "nothing was changed"}},
		{anew + "      b: {netns: x, ip: 10.0.0.3/24, gateway: 10.0.0.9}\n      c: {netns: x, ip: 10.0.0.4/24, gateway: 10.0.0.9}\n", 2, []string{"net.yaml:6:47: the port sw0/b has an IPv4 gateway in namespace x already"}},
		{anew + "      b: {dev: ta0, mtu: 65535}\n", 1, []string{"sw0/b: device ta0 cannot have an MTU of 65535: the most is 65521", "nothing was changed"}},
		{anew + "      b: {dev: " + h.Port("a").Device + "}\n", 1, []string{"is the switch's own side of port sw0/a", "nothing was changed"}},
		{anew + "      b: {dev: tu0}\n", 1, []string{"sw0/b: device tu0 is a TUN", "nothing was changed"}},
		{anew + "      b: {dev: in0}\n", 1, []string{"sw0/b: device in0 is a port of br0", "nothing was changed"}},
		{anew + "      b: {vm: in1}\n", 1, []string{"sw0/b: there is a device in1 already", "nothing was changed"}},
		{anew + "      b: {tap: true, ifname: in1}\n", 1, []string{"sw0/b: there is an interface in1", "nothing was changed"}},
		{anew + "      b: {netns: x, ifname: taken}\n", 1, []string{"sw0/b: there is an interface taken in namespace x", "nothing was changed"}},
	} {
		for _, args := range [][]string{{"--dry-run"}, nil} {
			r := apply(c.ports, args...)
			if r.Code != c.code {
				t.Errorf("%s%q: exit %d, want %d: %s", c.ports, args, r.Code, c.code, r.Output())
			}
			for _, word := range c.words {
				if !strings.Contains(r.Stderr, word) {
					t.Errorf("%s%q: it says %q, want %q", c.ports, args, r.Stderr, word)
				}
			}
			if now := h.Port("a").Ifindex; now != was || h.VS("config", "show") != shown {
				t.Fatalf("%s%q: refused, and port a had ifindex %d, now %d", c.ports, args, was, now)
			}
		}
	}
	// What a port has that goes is no hindrance.
	for _, ports := range []string{
		"      b: {netns: x, ifname: eth0}\n      c: {vm: mine0}\n",
		"      b: {netns: x, tap: true, ifname: eth0}\n      c: {tap: true, ifname: mine0}\n",
		"      c: {netns: x, ifname: eth0}\n      b: {vm: mine0}\n",
		"      c: {netns: routed6, ip: 10.0.0.3/24, gateway: 10.0.0.9}\n",
		"      b: {netns: routed6, ip: 10.0.0.4/24, gateway: 10.0.0.9}\n",
	} {
		if r := apply(ports); r.Code != 0 {
			t.Errorf("%s: exit %d: %s", ports, r.Code, r.Output())
		}
	}
}
