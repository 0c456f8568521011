package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// before and after are two files of a lab that differ in all that its nodes have.
const before = `
name: turn
nodes:
  h1:
    ip: {eth0: 10.0.0.1/24, eth1: 10.5.0.1/24}
    routes: [10.8.0.0/16 via 10.0.0.3, 10.7.0.0/16 via 10.0.0.3]
    sysctls: {net.ipv4.ip_default_ttl: 33, net.ipv4.conf.eth0.rp_filter: 1}
  h2: {kind: router, ip: 10.0.0.2/24, exec: [ip route add 10.9.0.0/16 via 10.0.0.1], services: {clock: sleep 1000}}
  h3: {ip: 10.0.0.3/24, exec: [touch /run/turn.one]}
  gone: {ip: 10.0.0.4/24}
  r1: {kind: router, ip: {eth0.10: 10.1.0.1/24, eth0.20: 10.2.0.1/24}}
  sw: {kind: switch, ageing: 60}
links:
  - endpoints: [h1, sw]
  - endpoints: [h2, sw]
  - endpoints: [h3, sw]
  - endpoints: [gone, sw]
  - endpoints: [h1:eth1, h3:eth1]
  - endpoints: [r1, sw]
    trunk: [10, 20]
    impair: {delay: 5ms}
`

const after = `
name: turn
nodes:
  h1: {ip: 10.0.0.11/24, routes: [10.8.0.0/16 via 10.0.0.4]}
  h2: {ip: 10.0.0.2/24, exec: [ip route add 10.9.0.0/16 via 10.0.0.11], services: {clock: sleep 1000}}
  h3: {ip: 10.0.0.4/24, exec: [touch /run/turn.two]}
  new: {ip: 10.0.0.3/24}
  r1: {kind: router, ip: {eth0.10: 10.1.0.9/24}}
  sw: {kind: switch, pass_reserved: lldp}
links:
  - endpoints: [h1, sw]
    mtu: 1400
  - endpoints: [h2, sw]
    mtu: 1300
    isolated: true
  - endpoints: [h3, sw]
  - endpoints: [new, sw]
  - endpoints: [r1, sw]
    trunk: all
`

// nodesOf describes what the nodes of a lab have, but for what differs each time.
func (h *Host) nodesOf(lab string) string {
	h.t.Helper()
	var b strings.Builder
	for _, ns := range strings.Fields(h.Run("sh", "-c", "ls /run/netns")) {
		script := "ip -o addr | sed 's/^[0-9]*: //; s/@if[0-9]*//; /fe80/d' | sort; ip -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/link.*//' | sort; ip route; ip -6 route | sed '/fe80/d'; cat /etc/hosts; " +
			"cd /proc/sys/net; grep -H . ipv4/ip_default_ttl ipv4/ip_forward ipv6/conf/all/forwarding ipv4/conf/eth0/rp_filter"
		fmt.Fprintf(&b, "== %s\n%s", ns, h.Run("ip", "netns", "exec", ns, "sh", "-c", script))
	}
	return b.String() + h.labLinks(lab) + h.VS("config", "show")
}

// TestLabApplyEqualsAFreshLab holds that a lab that was changed is as one that is
// built so, there and back.
func TestLabApplyEqualsAFreshLab(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	fresh := make(map[string]string)
	for _, text := range []string{before, after} {
		h.VS("lab", "up", h.lab(text))
		fresh[text] = h.nodesOf("turn")
		h.VS("lab", "down", "turn")
		h.noLabs()
	}
	h.VS("lab", "up", h.lab(before))
	for _, text := range []string{after, before, after} {
		file := h.lab(text)
		plan := h.VS("lab", "apply", file, "--dry-run")
		if done := h.VS("lab", "apply", file); done != plan {
			t.Errorf("planned\n%s\nand done\n%s", plan, done)
		}
		if now := h.nodesOf("turn"); now != fresh[text] {
			t.Errorf("a lab that was changed is not as a fresh one:\n%s", differing(fresh[text], now))
		}
		if again := h.VS("lab", "apply", file); !strings.Contains(again, "nothing differs") {
			t.Errorf("apply again says\n%s", again)
		}
	}
	// An address that has moved is found at once.
	h.VS("lab", "exec", "turn", "h1", "ping", "-c1", "-W1", "10.0.0.3")
	h.VS("lab", "down", "turn")
	h.noLabs()
}

// TestLabsBesideEachOther builds labs at once where no daemon runs, and one at
// another socket: with the last of each ends its daemon.
func TestLabsBesideEachOther(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t, NoDaemon)
	text := "nodes: {h1: {ip: 10.0.0.1/24}, s: {kind: switch}}\nlinks: [{endpoints: [h1, s]}]\n"
	files := make(map[string]string)
	for i := range 4 {
		name := fmt.Sprintf("lab%d", i)
		files[name] = h.Path(name + ".yaml")
		if err := os.WriteFile(files[name], []byte("name: "+name+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		var all sync.WaitGroup
		for _, file := range files {
			all.Go(func() {
				if r := h.TryVS("lab", "up", file); r.Code != 0 {
					t.Errorf("lab up beside others: exit %d\n%s", r.Code, r.Output())
				}
			})
		}
		all.Wait()
		for name := range files {
			h.VS("switch", "show", name+".s")
			all.Go(func() { h.VS("lab", "down", name) })
		}
		all.Wait()
		if r := h.TryVS("show"); r.Code != 3 {
			t.Fatalf("after the last lab: vsctl show exits %d\n%s", r.Code, r.Output())
		}
		h.noLabs()
	}

	// A lab is asked for where its daemon is, whatever the socket of who asks.
	other := h.Path("other")
	h.Run(vsctlPath(t), "--socket", other, "lab", "up", files["lab1"])
	h.VS("lab", "up", files["lab2"])
	for _, lab := range []string{"lab1", "lab2"} {
		if out := h.VS("lab", "show", lab); strings.Contains(out, "lost") {
			t.Errorf("%s is not all up:\n%s", lab, out)
		}
	}
	h.VS("lab", "down", "lab1", "lab2")
	if r := h.Try(vsctlPath(t), "--socket", other, "show"); r.Code != 3 {
		t.Errorf("the daemon at the other socket still runs: exit %d\n%s", r.Code, r.Output())
	}
	h.noLabs()
	if left := h.Run("sh", "-c", "ls -A /run/vswitch/labs"); strings.TrimSpace(left) != ".daemon.lock" {
		t.Errorf("files are left: %s", left)
	}
}

// TestLabWhoseDaemonWasKilled is whole again by up, with guests that are plugged
// in; and is taken down to the last mark on a device of the machine.
func TestLabWhoseDaemonWasKilled(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t, NoDaemon)
	h.Run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1")
	h.settle("wan0")
	look := h.look("wan0")
	file := h.machineLab(`
name: killed
nodes:
  h1: {ip: 10.0.0.1/24}
  vm1: {kind: vm, kernel: KERNEL, ip: 10.0.0.3/24}
  wan: {kind: external, device: wan0}
  sw: {kind: switch}
links:
  - endpoints: [h1, sw]
  - endpoints: [vm1, sw]
  - endpoints: [wan, sw]
tests:
  - ping: {from: h1, to: vm1, within: 10s}
`, "")
	kill := func() { h.Run("pkill", "-9", "-f", "^[^ ]*vswitchd --socket "+h.Socket) }
	h.VS("lab", "up", file)
	h.VS("lab", "test", "killed")
	kill()
	if out := h.VS("lab", "show", "killed"); !strings.Contains(out, "no daemon runs") {
		t.Errorf("without its daemon the lab shows:\n%s", out)
	}
	h.VS("lab", "up", file)
	if out := h.VS("lab", "test", "killed"); !strings.Contains(out, "1 of 1") {
		t.Errorf("after up again:\n%s", out)
	}
	kill()
	h.VS("lab", "down", "killed")
	if now := h.look("wan0"); now != look {
		t.Errorf("a device of the machine was\n%s\nand is\n%s", look, now)
	}
	h.Run("ip", "link", "del", "wan0")
	h.noLabs()
}

// TestLabTestIsTakenBack when its terminal goes, or who reads its output.
func TestLabTestIsTakenBack(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	h.VS("lab", "up", h.lab(strings.Replace(tested, "  - down: sw1:up\n", "  - down: sw1:up\n  - exec: {node: h1, command: \"echo waits >/run/waits; sleep 60\"}\n", 1)))
	links := h.labLinks("tested")
	// The tests themselves may run with nohup.
	p := h.Go("env", "--default-signal=HUP", vsctlPath(t), "--socket", h.Socket, "lab", "test", "tested")
	h.Eventually(0, func() error {
		if r := h.Try("cat", "/run/waits"); r.Code != 0 {
			return fmt.Errorf("the test is not there yet")
		}
		return nil
	})
	p.Signal(syscall.SIGHUP)
	if r := p.Wait(t, Patience); r.Code != 130 {
		t.Errorf("after SIGHUP: exit %d\n%s", r.Code, r.Output())
	}
	if now := h.labLinks("tested"); now != links {
		t.Errorf("after SIGHUP:\n%s", differing(links, now))
	}
	h.VS("lab", "apply", h.lab(tested))
	h.Run("sh", "-c", fmt.Sprintf("%s --socket %s lab test tested | head -1", vsctlPath(t), h.Socket))
	if now := h.labLinks("tested"); now != links {
		t.Errorf("after its reader went:\n%s", differing(links, now))
	}
	h.VS("lab", "down", "tested")
	h.noLabs()
}

// TestLabIsMended where its daemon was started again, a namespace or an interface
// was removed: what apply leaves is as a fresh lab is.
func TestLabIsMended(t *testing.T) {
	h := NewHost(t)
	const text = `
name: mended
nodes:
  h1: {ip: 10.0.0.1/24, routes: [10.9.0.0/16 via 10.0.0.2], exec: [ip addr add 10.77.0.1/24 dev eth0, ip link set eth0 mtu 1400]}
  h2: {ip: [10.0.0.2/24, "fd00::2/64"], gateway: 10.0.0.1, sysctls: {net.ipv4.conf.eth0.proxy_arp: 1}, services: {clock: setsid sleep 1002 & exec sleep 1001}}
  sw1: {kind: switch}
links:
  - endpoints: [h1, sw1]
  - endpoints: [h2, sw1]
`
	file := h.lab(text)
	look := func() string {
		return h.nodesOf("mended") + h.VS("lab", "exec", "mended", "h2", "cat", "/proc/sys/net/ipv4/conf/eth0/proxy_arp") +
			h.VS("lab", "exec", "mended", "h2", "pgrep", "-cxf", "sleep 1001")
	}
	h.VS("lab", "up", file)
	fresh := look()
	inside := func() string {
		pid := strings.TrimSpace(h.Run("pgrep", "-xf", "sleep 1001"))
		return h.Run("readlink", "/proc/"+pid+"/ns/net")
	}
	for what, spoil := range map[string]func(){
		"the daemon was killed":      func() { h.Kill9(); h.Start() },
		"the daemon was ended":       func() { h.MustCleanShutdown(); h.Start() },
		"a namespace is gone":        func() { h.Run("ip", "netns", "del", "mended-h1") },
		"that of a service is gone":  func() { h.Run("ip", "netns", "del", "mended-h2") },
		"an interface was removed":   func() { h.Run("ip", "-n", "mended-h1", "link", "del", "eth0") },
		"that of a service was, too": func() { h.Run("ip", "-n", "mended-h2", "link", "del", "eth0") },
		"an address was taken":       func() { h.Run("ip", "-n", "mended-h1", "addr", "del", "10.0.0.1/24", "dev", "eth0") },
		"addresses were flushed":     func() { h.Run("ip", "-n", "mended-h2", "addr", "flush", "dev", "eth0") },
		"an interface was set down":  func() { h.Run("ip", "-n", "mended-h2", "link", "set", "eth0", "down") },
		"an MTU is another":          func() { h.Run("ip", "-n", "mended-h2", "link", "set", "eth0", "mtu", "1300") },
		"a setting is another":       func() { h.Run("ip", "netns", "exec", "mended-h2", "sysctl", "-w", "net.ipv4.conf.eth0.proxy_arp=0") },
	} {
		for _, mend := range []string{"apply", "up"} {
			spoil()
			h.VS("lab", mend, file)
			if now := look(); now != fresh {
				t.Errorf("%s, then %s:\n%s", what, mend, differing(fresh, now))
			}
			if got, want := inside(), h.VS("lab", "exec", "mended", "h2", "readlink", "/proc/self/ns/net"); got != want {
				t.Errorf("%s, then %s: the service is in %s, and its node is %s", what, mend, got, want)
			}
			h.VS("lab", "exec", "mended", "h1", "ping", "-c1", "-w5", "h2")
			if again := h.VS("lab", "apply", file); !strings.Contains(again, "nothing differs") {
				t.Errorf("%s, then %s, and apply again:\n%s", what, mend, again)
			}
		}
	}
	h.VS("profile", "add", "guests", "--access", "7", "--isolated")
	h.VS("port", "set", "mended.sw1/h2", "--profile", "guests")
	h.VS("lab", "apply", file)
	h.VS("profile", "del", "guests") // which no port refers to
	if now := look(); now != fresh {
		t.Errorf("a port had a profile:\n%s", differing(fresh, now))
	}
	h.Run("ip", "netns", "del", "mended-h2") // and its programs go on
	h.VS("lab", "down", "mended")
	h.noLabs()
	if left, err := exec.Command("pgrep", "-axf", "sleep 100[12]").Output(); err == nil {
		t.Errorf("after the lab is down, there runs:\n%s", left)
	}
}

// TestLabAfterTheMachineStarts has all that a start of the machine leaves of a lab be
// gone: namespaces, and what is in /run. The daemon still knows its switches.
func TestLabAfterTheMachineStarts(t *testing.T) {
	h := NewHost(t)
	file := h.lab("name: reboot\nnodes: {h1: {ip: 10.0.0.1/24}, h2: {ip: 10.0.0.2/24}, sw1: {kind: switch}, sw2: {kind: switch}}\nlinks: [{endpoints: [h1, sw1]}, {endpoints: [h2, sw2]}, {endpoints: [sw1, sw2]}]")
	h.VS("lab", "up", file)
	h.Kill9()
	h.Run("ip", "netns", "del", "reboot-h1")
	h.Run("ip", "netns", "del", "reboot-h2")
	h.Run("rm", "-r", "/run/vswitch/labs/reboot", "/etc/netns/reboot-h1", "/etc/netns/reboot-h2")
	h.Start()
	h.VS("lab", "up", file)
	if out := h.VS("lab", "ping", "reboot"); !strings.Contains(out, "2 of 2") {
		t.Errorf("pings: %s", out)
	}
	h.VS("lab", "down", "reboot")
	h.noLabs()

	// What somebody else has made is left alone.
	h.VS("switch", "add", "reboot.sw1")
	if r := h.TryVS("lab", "up", file); r.Code != 1 || !strings.Contains(r.Stderr, "is left") {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	h.VS("switch", "del", "reboot.sw1")
}

// TestLabWhoseDaemonGoes has the daemon killed while a lab is built.
func TestLabWhoseDaemonGoes(t *testing.T) {
	h := NewHost(t)
	file := h.lab("name: gone\nnodes: {h1: {exec: [\"sh -c 'touch began; read x <go'\"]}, sw1: {kind: switch}}\nlinks: [{endpoints: [h1, sw1]}]")
	fifo := filepath.Join(filepath.Dir(file), "go")
	h.Run("mkfifo", fifo)
	done := make(chan Result, 1)
	go func() { done <- h.TryVS("lab", "up", file) }()
	h.Eventually(10*time.Second, func() error {
		_, err := os.Stat(filepath.Join(filepath.Dir(file), "began"))
		return err
	})
	h.Kill9()
	if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Code == 0 || !strings.Contains(r.Stderr, "the daemon has gone meanwhile") {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	h.Start()
	h.Run("sh", "-c", "rm "+fifo+"; echo >"+fifo)
	h.VS("lab", "up", file)
	h.VS("lab", "down", "gone")
	h.noLabs()
}

// TestLabUpKilled kills the program at moments while it builds a lab: down finds all
// there is of it, and it can be built again.
func TestLabUpKilled(t *testing.T) {
	h := NewHost(t, Fast)
	file := h.lab("name: cut\nnodes: {\"h[1-60]\": {}, sw: {kind: switch}}\nlinks: [{endpoints: [\"h*\", sw]}]")
	for i := range 12 {
		p := h.Go(vsctlPath(t), "--socket", h.Socket, "lab", "up", file)
		time.Sleep(time.Duration(10+12*i) * time.Millisecond)
		p.Kill()
		h.VS("lab", "down", "cut")
		if left := h.Run("sh", "-c", "ls /run/netns"); left != "" {
			t.Fatalf("killed after %d ms, and down has left %s", 10+12*i, left)
		}
	}
	h.VS("lab", "up", file)
	h.VS("lab", "down", "cut")
	h.noLabs()
}
