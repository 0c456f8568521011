package port

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// victimEnv makes the test binary a daemon that opens ports and waits to be
// killed.
const victimEnv = "VSWITCH_PORT_TEST_VICTIM"

// victims are the ports of a daemon that is killed.
func victims(instance string) []Config {
	name := instance[:1]
	return []Config{
		{Kind: Veth, Netns: "web"},
		{Kind: Tap, Netns: "web"},
		{Kind: Tap, IfName: name + "host"},
		{Kind: VM, Device: name + "vm"},
		{Kind: Dev, Device: name + "dev", MTU: 1400},
	}
}

// The kernel's part of kill -9 is what matters: descriptors close, everything
// else stays.
func TestVictim(t *testing.T) {
	instance := os.Getenv(victimEnv)
	if instance == "" {
		t.Skip("this is the daemon that is killed, not a test")
	}
	h, err := NewHost(HostConfig{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	h.drop.tcx = os.Getenv("VSWITCH_PORT_TEST_TCX") != ""
	name := instance[:1]
	for i, cfg := range victims(instance) {
		if _, err := h.Open(context.Background(), Identity{"sw" + name, fmt.Sprintf("p%d", i)}, cfg, nil); err != nil {
			t.Fatal(err)
		}
	}
	// A daemon may die between the two marks of a device, too.
	link, err := h.conn.LinkByName("sw" + name + "-p0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "set", link.Attrs().Name, "alias", "")
	fmt.Println("ready")
	select {}
}

// kill runs a daemon, and kills it once its ports are open.
func kill(t *testing.T, instance string, env ...string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestVictim$")
	cmd.Env = append(append(os.Environ(), victimEnv+"="+instance), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "ready") {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("the daemon did not come up: %v\n%s", err, said.String())
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}

func none(Identity) bool { return false }
func all(Identity) bool  { return true }

// TestInheritance has a daemon come that has the ports of one that was killed, left
// all as it is, and was killed again.
func TestInheritance(t *testing.T) {
	namespace(t, "web")
	pair(t, "adev", "adev2")
	before := stations(t)
	kill(t, "a11ce")
	// What is inside is other people's, and stays.
	run(t, "ip", "-n", "web", "addr", "add", "10.9.9.9/24", "dev", "eth1")
	run(t, "ip", "-n", "web", "link", "set", "eth1", "name", "lan")
	there := stations(t)
	h := newInstance(t, "a11ce")
	if n, err := h.Inherit(context.Background(), all); n != 1 || err != nil {
		t.Errorf("removed %d, %v, want 1: the pair that has lost its mark", n, err)
	}
	there = without(there, "swa-p0", "eth0")
	for round := range 3 {
		var ports []*Attachment
		for i, cfg := range victims("a11ce") {
			a, err := h.Open(context.Background(), Identity{"swa", fmt.Sprintf("p%d", i)}, cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, a)
		}
		now := stations(t)
		if round == 0 {
			if without(now, "swa-p0", "eth0") != there {
				t.Errorf("before\n%s\nafter\n%s", there, now)
			}
			there = now // with the pair
		}
		if now != there {
			t.Errorf("round %d: before\n%s\nafter\n%s", round, there, now)
		}
		for _, a := range ports {
			if s := a.Status(); s.Gone {
				t.Errorf("port %s: %s", a.id, s.Reason)
			}
		}
		if round == 2 {
			if err := h.CloseAll(context.Background(), ports); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := h.LeaveAll(ports); err != nil {
			t.Error(err)
		}
		h = newInstance(t, "a11ce")
		if n, err := h.Inherit(context.Background(), all); n != 0 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
	}
	if now := stations(t); now != before {
		t.Errorf("at last, before\n%s\nafter\n%s", before, now)
	}
}

// TestInheritanceThatDoesNotFit has ports hang on something else than before.
func TestInheritanceThatDoesNotFit(t *testing.T) {
	namespace(t, "web")
	namespace(t, "db")
	h := newInstance(t, "a11ce")
	at := func(cfg Config) *Attachment {
		t.Helper()
		a, err := h.Open(context.Background(), Identity{"sw0", "p"}, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := stations(t)
	for _, cfgs := range [][2]Config{
		{{Kind: Veth, Netns: "web"}, {Kind: Veth, Netns: "db"}},
		{{Kind: Veth, Netns: "web"}, {Kind: Tap, Netns: "web"}},
		{{Kind: Tap, Netns: "web"}, {Kind: Tap, Netns: "db"}},
		{{Kind: Tap, Netns: "web"}, {Kind: VM, Device: "avm"}},
		{{Kind: Veth, Netns: "web", MTU: 1400}, {Kind: Veth, Netns: "web", MTU: 1300}},
	} {
		for range 2 {
			a := at(cfgs[0])
			if err := h.LeaveAll([]*Attachment{a}); err != nil {
				t.Fatal(err)
			}
			h = newInstance(t, "a11ce")
			if n, err := h.Inherit(context.Background(), all); n != 0 || err != nil {
				t.Errorf("removed %d, %v", n, err)
			}
			cfgs[0], cfgs[1] = cfgs[1], cfgs[0]
		}
		// Nobody comes for it.
		if n, err := h.Disinherit(); n != 1 || err != nil {
			t.Errorf("removed %d, %v, want 1", n, err)
		}
		if now := stations(t); now != before {
			t.Errorf("%v: before\n%s\nafter\n%s", cfgs, before, now)
		}
	}
}

// TestInheritanceThatIsHeld is a TAP whose daemon is not quite dead: it is not made
// anew, but taken once it is free.
func TestInheritanceThatIsHeld(t *testing.T) {
	namespace(t, "web")
	id, cfg := Identity{"sw0", "p"}, Config{Kind: Tap, Netns: "web"}
	dying := newInstance(t, "a11ce")
	a, err := dying.Open(context.Background(), id, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	there := stations(t)
	h := newInstance(t, "a11ce")
	if n, err := h.Inherit(context.Background(), all); n != 0 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	for range 2 {
		if _, err := h.Open(context.Background(), id, cfg, nil); err == nil || !strings.Contains(err.Error(), "still held") {
			t.Fatalf("Open: %v", err)
		}
		if n, err := h.Disinherit(); n != 0 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
	}
	if err := dying.LeaveAll([]*Attachment{a}); err != nil {
		t.Fatal(err)
	}
	b, err := h.Open(context.Background(), id, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if now := stations(t); now != there {
		t.Errorf("before\n%s\nafter\n%s", there, now)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// stations returns what there is of devices and addresses, here and in namespaces.
func stations(t *testing.T) string {
	t.Helper()
	const show = "ip -o link | sed -E 's/ qdisc .*//; s/,(M-DOWN|LOWER_UP|UP)|NO-CARRIER,//g'; ip -o addr | grep -v fe80 | sed 's/ valid_lft.*//'"
	return run(t, "sh", "-c", show+"; for n in $(ls /run/netns); do ip netns exec $n sh -c \""+strings.ReplaceAll(show, "$", "\\$")+"\"; done")
}

// without takes lines that name some devices out of a text.
func without(text string, names ...string) string {
	var left []string
	for _, line := range strings.Split(text, "\n") {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(line, n) }) {
			left = append(left, line)
		}
	}
	return strings.Join(left, "\n")
}

func TestRemovalAfterKill(t *testing.T) {
	for _, mode := range []string{"clsact", "tcx"} {
		t.Run(mode, func(t *testing.T) {
			h := newInstance(t, "a11ce")
			ns := namespace(t, "web")
			pair(t, "adev", "adev2")
			pair(t, "bdev", "bdev2")
			run(t, "ip", "link", "set", "adev", "up") // gets its qdisc
			run(t, "ip", "link", "set", "adev", "down")
			before, dev, inside := devices(t), state(t, "adev"), in(t, ns, "ip", "-o", "link")
			var env []string
			if mode == "tcx" {
				env = append(env, "VSWITCH_PORT_TEST_TCX=1")
			}
			kill(t, "a11ce", env...)
			if devices(t) == before {
				t.Fatal("the killed daemon left nothing: this test tests nothing")
			}
			kill(t, "b0b", env...)

			n, err := h.Inherit(context.Background(), none)
			if err != nil || n != 5 {
				t.Errorf("removed %d, %v, want 5 (a veth, two TAPs, a vm, a dev)", n, err)
			}
			left := devices(t)
			for _, name := range []string{"swa-p0", "avm", "ahost", h.instance} {
				if strings.Contains(left, name) {
					t.Errorf("left %s:\n%s", name, left)
				}
			}
			for _, name := range []string{"swb-p0", "bvm", "vswitch-" + newMarker("b0b", h.home).instance + "-"} {
				if !strings.Contains(left, name) {
					t.Errorf("took %s, of another instance; there is\n%s", name, left)
				}
			}
			if now := state(t, "adev"); now != dev {
				t.Errorf("device in use: before\n%s\nafter\n%s", dev, now)
			}
			h.open("again", Config{Kind: Dev, Device: "adev"}).Close()

			if n, err := h.Inherit(context.Background(), none); n != 0 || err != nil {
				t.Errorf("removed another %d, %v", n, err)
			}
			if n, err := newInstance(t, "b0b").Inherit(context.Background(), none); n != 5 || err != nil {
				t.Errorf("of the other: removed %d, %v, want 5", n, err)
			}
			after := strings.ReplaceAll(devices(t), "qdisc noqueue", "qdisc noop")
			if want := strings.ReplaceAll(before, "qdisc noqueue", "qdisc noop"); after != want {
				t.Errorf("before\n%s\nafter\n%s", want, after)
			}
			if now := in(t, ns, "ip", "-o", "link"); now != inside {
				t.Errorf("inside, before\n%s\nafter\n%s", inside, now)
			}
		})
	}
}
