package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ports come and go (issue 2, promise 7): what happens to one is nothing to
// the others, it is said at once, and it mends itself.

// What the promise allows.
const (
	lostTime = time.Second
	backTime = 2 * time.Second
)

// bystanders are two ports with a stream between them, and one that must not
// see anything of it.
type bystanders struct {
	stream   *Stream
	observer *Station
}

func (h *Host) bystanders() *bystanders {
	h.t.Helper()
	st := make(map[string]*Station)
	for _, name := range []string{"left", "right", "observer"} {
		ns := h.Quiet(name)
		h.VS("port", "add", name, "--netns", name, "--access", "7")
		st[name] = ns.Station("eth0")
	}
	return &bystanders{h.Stream(st["left"], st["right"]), st["observer"]}
}

// check makes sure that no frame was lost, and that the switch never forgot
// where the receiver is: the stream was never flooded.
func (b *bystanders) check(h *Host) {
	h.t.Helper()
	if gap := b.stream.Check(); gap > 500*time.Millisecond {
		h.t.Logf("no frame of the stream arrived for %v", gap.Round(time.Millisecond))
	}
	for {
		r, ok, _, _ := b.observer.take()
		if !ok {
			return
		}
		if strings.Contains(string(r.Bytes), b.stream.frame.Payload) {
			h.t.Errorf("a third port got a frame of the stream between two others: %s", Describe(r.Bytes))
		}
	}
}

// story is what happens to a port.
type story struct {
	port  string
	away  func()   // takes from the port what it hangs on
	why   []string // words of the reason
	back  func()   // brings it back; nil: vsctl port set PORT up does
	again func()   // what is to be done by others after vsctl port set PORT up
	// fleeting: it may be back before one can look.
	fleeting bool
	ping     string // an address behind the port, asked from the namespace other
}

// tell lets it happen, and holds the switch to what it promised.
func (s *story) tell(h *Host, others *bystanders) {
	t := h.t
	t.Helper()
	ev := h.Events()
	before := h.states()
	was := h.Port(s.port)

	s.away()
	end := time.Now()
	lost := ev.AwaitPort(s.port, "lost")
	took := lost.Time.Sub(end)
	if took > lostTime {
		t.Errorf("the port was lost %v after its device, want at most %v", took, lostTime)
	}
	for _, w := range s.why {
		if !strings.Contains(lost.Reason, w) {
			t.Errorf("the reason %q does not say %q", lost.Reason, w)
		}
	}
	if !s.fleeting {
		if p := h.Port(s.port); p.State != "lost" || lost.Reason != p.Reason {
			t.Errorf("the event says %q, the port is %s (%q)", lost.Reason, p.State, p.Reason)
		}
		if left := h.FDB("--port", s.port, "--type", "dynamic"); len(left) > 0 {
			t.Errorf("the lost port still has %+v", left)
		}
	}
	others.check(h)
	h.alone(before, s.port)

	if s.back != nil {
		s.back()
		end = time.Now()
		up := ev.AwaitPort(s.port, "up")
		if back := up.Time.Sub(end); back > backTime {
			t.Errorf("the port came back %v after its device, want at most %v", back, backTime)
		} else {
			t.Logf("lost after %v, back after %v", took.Round(time.Millisecond), back.Round(time.Millisecond))
		}
	} else {
		for _, e := range ev.Heard() {
			if e.Port == s.port {
				t.Errorf("though it was taken away by hand, the port came to be %s", e.State)
			}
		}
		h.VS("port", "set", s.port, "up")
		if s.again != nil {
			s.again()
		}
		t.Logf("lost after %v", took.Round(time.Millisecond))
	}
	is := h.Port(s.port)
	if got, want := fmt.Sprintf("%+v", is.facts()), fmt.Sprintf("%+v", was.facts()); got != want {
		t.Errorf("the port came back as\n    %s\nwant\n    %s", got, want)
	}
	if s.ping != "" {
		h.namespaceNamed("other").Ping(s.ping)
	}
	others.check(h)
	h.alone(before, s.port)
}

// facts are what must be the same when a port is back.
func (p Port) facts() Port {
	p.Ifindex, p.Counters = 0, Counters{}
	return p
}

// states are all ports' states and reasons by name.
func (h *Host) states() map[string]string {
	h.t.Helper()
	states := make(map[string]string)
	for _, p := range h.Ports() {
		states[p.Name] = p.State + " " + p.Reason
	}
	return states
}

// alone makes sure that no other port's state has changed.
func (h *Host) alone(before map[string]string, port string) {
	h.t.Helper()
	for name, is := range h.states() {
		if was := before[name]; name != port && is != was {
			h.t.Errorf("port %s was %q and is %q: what happened to %s should not concern it", name, was, is, port)
		}
	}
}

// namespaceNamed returns a namespace that the test made.
func (h *Host) namespaceNamed(name string) *Namespace {
	h.t.Helper()
	i := slices.IndexFunc(h.namespaces, func(ns *Namespace) bool { return ns.Name == name })
	if i < 0 {
		h.t.Fatalf("no namespace %s was made", name)
	}
	return h.namespaces[i]
}

// interior describes a device inside a namespace by what the switch gave it.
func (ns *Namespace) interior(ifname string) string {
	ns.h.t.Helper()
	l, ok := ns.Links()[ifname]
	if !ok {
		return "no " + ifname
	}
	s := fmt.Sprintf("%s, MTU %d", l.Address, l.MTU)
	for _, a := range l.Addrs {
		if a.Scope == "global" {
			s += fmt.Sprintf(", %s/%d", a.Local, a.Len)
		}
	}
	return s + ", via " + strings.TrimSpace(ns.Run("ip", "route", "show", "default"))
}

func TestNamespacesComeAndGo(t *testing.T) {
	h := NewHost(t)
	others := h.bystanders()
	peer(h, "other", 1)
	n := 10
	for _, kind := range []string{"veth", "tap"} {
		for _, how := range []string{"deleted", "deleted while a process lives in it", "at a path", "deleted and made again at once"} {
			n++
			h.Case(kind+" in a namespace "+how, func(t *testing.T) {
				port := fmt.Sprintf("%s%d", kind, n)
				var ns *Namespace
				if how == "at a path" {
					ns = h.NamespaceAt(port)
				} else {
					ns = h.Namespace(port)
				}
				h.VS(append([]string{"port", "add", port, "--" + kind, "--netns", ns.Name, "--mtu", "1400", "--gateway", "10.0.0.1"}, addresses(n)...)...)
				looked := ns.interior("eth0")

				var inside *Process
				s := story{port: port, why: []string{ns.Name, "deleted"}, fleeting: strings.Contains(how, "at once"), ping: fmt.Sprintf("10.0.0.%d", n)}
				s.away = func() {
					switch how {
					case "deleted":
						ns.Delete()
					case "deleted while a process lives in it":
						inside = h.launch(ns.path, "sleep", "infinity")
						ns.Delete()
					case "at a path":
						ns.release()
						h.Run("umount", ns.path)
						h.Run("rm", ns.path)
					default:
						ns.Delete()
						ns.Again()
					}
				}
				s.back = func() {
					switch how {
					case "deleted", "deleted while a process lives in it":
						ns.Again()
					case "at a path":
						h.Run("sh", "-c", "> "+ns.path+" && unshare --net="+ns.path+" true")
						ns.deleted = false
					}
				}
				s.tell(h, others)
				if got := ns.interior("eth0"); got != looked {
					t.Errorf("eth0 came back as\n    %s\nwant\n    %s", got, looked)
				}
				if inside != nil {
					if r := h.try(fmt.Sprintf("/proc/%d/ns/net", inside.Pid), "ip", "link", "show", "eth0"); r.Code == 0 {
						t.Errorf("eth0 is left in the namespace that lost its name:\n%s", r.Stdout)
					}
				}
				h.VS("port", "del", port)
				if got := ns.Links(); len(got) > 1 {
					t.Errorf("after port del the namespace still has %v", got)
				}
			})
		}
	}
	h.Case("several in one namespace", func(t *testing.T) {
		shared := h.Namespace("shared")
		was := make(map[string]Port)
		names := []string{"first", "second", "third", "fourth"}
		for i, name := range names {
			kind := []string{"--veth", "--tap"}[i%2]
			h.VS("port", "add", name, kind, "--netns", "shared")
			was[name] = h.Port(name)
		}
		ev := h.Events()
		shared.Delete()
		for range names {
			ev.AwaitAny("lost")
		}
		shared.Again()
		for range names {
			ev.AwaitAny("up")
		}
		for _, name := range names {
			if is := h.Port(name); fmt.Sprintf("%+v", is.facts()) != fmt.Sprintf("%+v", was[name].facts()) {
				t.Errorf("port %s came back as\n    %+v\nwant\n    %+v", name, is.facts(), was[name].facts())
			}
		}
		others.check(h)
	})
	t.Logf("%d frames of the stream", others.stream.Stop())
}

// What was taken away by hand comes back when somebody asks for it.
func TestDevicesTakenAwayByHand(t *testing.T) {
	h := NewHost(t)
	others := h.bystanders()
	peer(h, "other", 1)
	elsewhere := h.Namespace("elsewhere")
	web := h.Namespace("web")
	for i, c := range []struct {
		name string
		add  string // flags of the port
		away func(p Port)
	}{
		{"the far end of a veth", "--veth --netns web --ifname far", func(p Port) { web.Run("ip", "link", "del", "far") }},
		{"our end of a veth", "--veth --netns web --ifname far", func(p Port) { h.Run("ip", "link", "del", p.Device) }},
		{"a TAP of the host", "--tap", func(p Port) { h.Run("ip", "link", "del", p.Device) }},
		{"a TAP in a namespace", "--tap --netns web --ifname far", func(p Port) { web.Run("ip", "link", "del", "far") }},
		{"a TAP moved out of its namespace", "--tap --netns web --ifname far", func(p Port) { web.Run("ip", "link", "set", "far", "netns", "elsewhere") }},
	} {
		h.Case(c.name, func(t *testing.T) {
			n := 10 + i
			port := fmt.Sprintf("hand%d", n)
			h.VS(append(append([]string{"port", "add", port}, strings.Fields(c.add)...), addresses(n)...)...)
			p := h.Port(port)
			s := story{port: port, why: []string{p.IfName, "vsctl port set"}, ping: fmt.Sprintf("10.0.0.%d", n)}
			if p.Netns != "" {
				s.why = append(s.why, "web")
			}
			s.away = func() { c.away(p) }
			s.tell(h, others)
			h.VS("port", "del", port)
			for _, ns := range []*Namespace{web, elsewhere} {
				if got := ns.Links(); len(got) > 1 {
					t.Errorf("after port del namespace %s still has %v", ns.Name, got)
				}
			}
			if _, ok := h.Links()[p.Device]; ok {
				t.Errorf("after port del the host still has %s", p.Device)
			}
		})
	}
	h.Case("the TAP of a VM", func(t *testing.T) {
		h.VS("port", "add", "vm", "--vm", "vm0", "--queues", "2")
		m := h.Monitor("vm0", 2)
		h.AwaitState("vm", "up")
		s := story{port: "vm", why: []string{"vm0", "vsctl port set"}}
		s.away = func() { h.Run("ip", "link", "del", "vm0") }
		s.again = func() {
			m.Close()
			h.Monitor("vm0", 2)
			h.AwaitState("vm", "up")
		}
		s.tell(h, others)
	})
	t.Logf("%d frames of the stream", others.stream.Stop())
}

// A device that the switch only uses comes back when one of its name is there.
func TestUsedDevicesComeAndGo(t *testing.T) {
	h := NewHost(t)
	others := h.bystanders()
	peer(h, "other", 1)
	elsewhere := h.Namespace("elsewhere")
	box := h.Namespace("box")
	wire := func() {
		h.Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "eth0", "address", MAC(5), "netns", "box")
		box.Run("ip", "addr", "add", "10.0.0.5/24", "dev", "eth0")
		box.Run("ip", "link", "set", "eth0", "up")
	}
	wire()
	h.settle("d0")
	before := h.look("d0")
	h.VS("port", "add", "d", "--dev", "d0")
	h.AwaitState("d", "up")
	for _, c := range []struct {
		name       string
		away, back func()
		why        []string
	}{
		{"renamed", func() {
			h.Run("ip", "link", "set", "d0", "name", "d9")
		}, func() {
			renamed := strings.NewReplacer(" d9@", " d0@", ".d9.", ".d0.")
			h.Eventually(0, func() error { // that it is lost is said before
				if got := renamed.Replace(h.look("d9")); got != before {
					return fmt.Errorf("under its new name the device is not as it was\nbefore:\n%safter:\n%s", indent(before), indent(got))
				}
				return nil
			})
			h.Run("ip", "link", "set", "d9", "name", "d0")
		}, []string{"d0", "d9"}},
		{"deleted", func() { h.Run("ip", "link", "del", "d0") }, wire, []string{"d0", "gone"}},
		{"renamed, and another one takes the name", func() {
			h.Run("ip", "link", "set", "d0", "name", "d9")
		}, func() {
			h.Run("ip", "link", "del", "d9")
			wire()
		}, []string{"d0", "d9"}},
		{"moved to another namespace", func() {
			h.Run("ip", "link", "set", "d0", "netns", "elsewhere")
		}, func() {
			elsewhere.Run("ip", "link", "set", "d0", "netns", fmt.Sprint(h.Pid()))
		}, []string{"d0", "gone"}},
		{"down", func() {
			h.Run("ip", "link", "set", "d0", "down")
		}, func() {
			h.Run("ip", "link", "set", "d0", "up")
		}, []string{"d0", "down"}},
		{"its other end is down", func() {
			box.Run("ip", "link", "set", "eth0", "down")
		}, func() {
			box.Run("ip", "link", "set", "eth0", "up")
		}, []string{"d0"}},
	} {
		h.Case(c.name, func(t *testing.T) {
			s := story{port: "d", away: c.away, back: c.back, why: c.why, ping: "10.0.0.5"}
			s.tell(h, others)
		})
	}
	h.VS("port", "del", "d")
	t.Logf("%d frames of the stream", others.stream.Stop())
}

func TestMonitorsComeAndGo(t *testing.T) {
	h := NewHost(t)
	others := h.bystanders()
	h.Run("ip", "tuntap", "add", "tap0", "mode", "tap")
	h.VS("port", "add", "made", "--vm", "vm0", "--queues", "2")
	h.VS("port", "add", "used", "--dev", "tap0")
	for _, c := range []struct {
		port, tap string
		queues    int
	}{{"made", "vm0", 2}, {"used", "tap0", 1}} {
		h.Case(c.port, func(t *testing.T) {
			m := h.Monitor(c.tap, c.queues)
			h.AwaitState(c.port, "up")
			s := story{port: c.port, why: []string{c.tap}}
			s.away = m.Close
			s.back = func() { m = h.Monitor(c.tap, c.queues) }
			s.tell(h, others)
			hello := Eth{Src: MAC(0x77), Payload: "hello from a guest"}
			m.Send(hello)
			h.Eventually(0, func() error {
				if got := h.FDB("--port", c.port); len(got) != 1 {
					return fmt.Errorf("the port has the stations %+v, want the guest", got)
				}
				return nil
			})
		})
	}
	t.Logf("%d frames of the stream", others.stream.Stop())
}

// Ports that are lost cost nothing while nothing happens.
func TestLostPortsDoNotSpin(t *testing.T) {
	h := NewHost(t)
	web := h.Namespace("web")
	for i := range 10 {
		name := fmt.Sprintf("gone%d", i)
		ns := h.Namespace(name)
		h.VS("port", "add", fmt.Sprintf("veth%d", i), "--veth", "--netns", name)
		h.VS("port", "add", fmt.Sprintf("tap%d", i), "--tap", "--netns", name)
		ns.Delete()
	}
	h.Run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
	h.VS("port", "add", "dev", "--dev", "d0")
	h.Run("ip", "link", "del", "d0")
	h.VS("port", "add", "vm", "--vm", "vm0") // nobody opens it
	h.VS("port", "add", "vm1", "--vm", "vm1")
	h.Run("ip", "link", "del", "vm1")
	h.VS("port", "add", "hand", "--netns", "web")
	web.Run("ip", "link", "del", "eth0")
	h.VS("port", "add", "hand1", "--tap", "--netns", "web")
	web.Run("ip", "link", "del", "eth0")
	h.VS("port", "add", "host", "--tap")
	h.Run("ip", "link", "del", "host")
	process, sleeper := h.NamespaceOfProcess()
	h.VS("port", "add", "pid", "--tap", "--netns", process.Name)
	process.release()
	sleeper.Kill()
	h.Eventually(0, func() error {
		for _, p := range h.Ports() {
			if p.State != "lost" {
				return fmt.Errorf("port %s is %s, want lost", p.Name, p.State)
			}
		}
		return nil
	})
	used := h.cpuTime(time.Second)
	t.Logf("%d lost ports cost %v of processor time in a second", len(h.Ports()), used)
	limit := 50 * time.Millisecond
	if used > limit {
		t.Errorf("%d lost ports cost %v of processor time in a second, want at most %v", len(h.Ports()), used, limit)
	}
}

// cpuTime returns how much processor time the daemon uses while d passes.
func (d *Daemon) cpuTime(of time.Duration) time.Duration {
	d.h.t.Helper()
	before := d.cpuClock()
	time.Sleep(of) // it is the time that is measured
	return d.cpuClock() - before
}

// cpuClock reads the daemon's processor time: clockid_t of another process, see
// clock_getcpuclockid(3).
func (d *Daemon) cpuClock() time.Duration {
	d.h.t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^d.Pid())<<3|2, &ts); err != nil {
		d.h.t.Fatalf("processor time of vswitchd: %v", err)
	}
	return time.Duration(ts.Nano())
}
