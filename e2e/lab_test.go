package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// office is a lab of two switches with a trunk between them, two VLANs, a cable
// without a switch, and a router.
const office = `
name: office
nodes:
  h1: {ip: 10.0.0.1/24, gateway: 10.0.0.254}
  h2: {ip: [10.0.0.2/24, "fd00::2/64"], gateway: 10.0.0.254, exec: ["echo started >/run/h2-$VSWITCH_NODE"]}
  other: {ip: 10.0.0.3/24}
  r1: {kind: router, ip: {eth0: 10.0.0.254/24, eth1: 10.1.0.254/24}, sysctls: {net.ipv4.ip_default_ttl: 77}}
  far: {ip: 10.1.0.1/24, routes: ["10.0.0.0/24 via 10.1.0.254"]}
  sw1: {kind: switch}
  sw2: {kind: switch, ageing: 60, pass_reserved: lldp}
links:
  - endpoints: [h1:eth0, sw1:p1]
    access: 10
  - endpoints: [h2:eth0, sw2:p1]
    access: 10
  - endpoints: [other, sw2]
    access: 20
  - endpoints: [r1, sw2]
    access: 10
  - endpoints: [r1, far:a-name-that-the-kernel-finds-long]
  - endpoints: [sw1:up, sw2:up]
    trunk: [10, 20]
    description: the trunk
`

// lab writes a lab's file and returns its path.
func (h *Host) lab(text string) string {
	h.t.Helper()
	file := h.Path("lab.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return file
}

// noLabs holds that nothing is left of any lab.
func (h *Host) noLabs() {
	h.t.Helper()
	var left []string
	h.Do(func() error {
		for _, dir := range []string{"/run/netns", "/etc/netns", "/run/vswitch/labs"} {
			entries, _ := os.ReadDir(dir) // there may be none
			for _, e := range entries {
				if e.IsDir() || dir == "/run/netns" {
					left = append(left, dir+"/"+e.Name())
				}
			}
		}
		return nil
	})
	if len(left) > 0 {
		h.t.Errorf("left of labs: %v", left)
	}
	if links := h.Run("ip", "-br", "link"); strings.Count(links, "\n") > 1 {
		h.t.Errorf("devices are left:\n%s", links)
	}
}

func TestLabUpAndDown(t *testing.T) {
	h := NewHost(t)
	file := h.lab(office)
	h.VS("lab", "up", file)

	// Who reaches whom: h1 and h2 over the trunk, far over the router, other none.
	h.VS("lab", "exec", "office", "h1", "--", "ping", "-c1", "-w5", "h2")
	h.VS("lab", "exec", "office", "h1", "ping", "-c1", "-w5", "far")
	if r := h.TryVS("lab", "exec", "office", "other", "--", "ping", "-c1", "-W1", "h2"); r.Code != 1 {
		t.Errorf("a node of another VLAN pings h2: exit %d\n%s", r.Code, r.Output())
	}
	var pings []struct {
		From, To string
		Answered bool
		Seconds  float64
	}
	r := h.TryVS("-j", "lab", "ping", "office")
	if err := json.Unmarshal([]byte(r.Stdout), &pings); err != nil || r.Code != 1 {
		t.Fatalf("lab ping: exit %d, %v\n%s", r.Code, err, r.Output())
	}
	for _, p := range pings {
		if want := p.From != "other" && p.To != "other"; p.Answered != want || p.Answered && p.Seconds <= 0 {
			t.Errorf("%+v, want answered %t", p, want)
		}
	}

	// What the file says is so.
	if p := h.Port("office.sw2/up"); p.VLAN.Mode != "trunk" || p.Description != "the trunk" {
		t.Errorf("the trunk is %+v", p)
	}
	if ttl := h.VS("lab", "exec", "office", "r1", "cat", "/proc/sys/net/ipv4/ip_default_ttl"); strings.TrimSpace(ttl) != "77" {
		t.Errorf("a setting of r1 is %s, want 77", ttl)
	}
	if got := h.Run("cat", "/run/h2-h2"); got != "started\n" {
		t.Errorf("what h2 ran at its start has written %q", got)
	}
	if out := h.VS("lab", "exec", "office", "far", "ip", "addr", "show", "dev", "a-name-that-the-kernel-finds-long"); !strings.Contains(out, "10.1.0.1/24") {
		t.Errorf("the long name shows:\n%s", out)
	}
	if out := h.Run("ip", "netns", "exec", "office-h2", "getent", "hosts", "h1"); !strings.Contains(out, "10.0.0.1") {
		t.Errorf("with ip netns exec, h1 is %q", out)
	}

	// Both are the same twice.
	if out := h.VS("lab", "up", file); !strings.Contains(out, "is up already") {
		t.Errorf("up again says %q", out)
	}
	if out := h.VS("lab", "list"); !strings.Contains(out, file) {
		t.Errorf("lab list shows:\n%s", out)
	}
	h.VS("lab", "down", "office")
	h.noLabs()
	if out := h.VS("lab", "down", "office"); !strings.Contains(out, "nothing of it is there") {
		t.Errorf("down again says %q", out)
	}
	if left := h.VS("switch", "list"); strings.Contains(left, "office") {
		t.Errorf("the daemon still has:\n%s", left)
	}
}

// TestLabExecIsTheCommand holds that exit status, input, environment and signals
// are the command's own.
func TestLabExecIsTheCommand(t *testing.T) {
	h := NewHost(t)
	h.VS("lab", "up", h.lab("name: l\nnodes: {h1: {env: {COLOUR: red}}}\n"))
	if r := h.TryVS("lab", "exec", "l", "h1", "--", "sh", "-c", `echo "$COLOUR $VSWITCH_LAB $VSWITCH_NODE"; exit 42`); r.Code != 42 || r.Stdout != "red l h1\n" {
		t.Errorf("exit %d, %q", r.Code, r.Output())
	}
	piped := h.Run("sh", "-c", fmt.Sprintf("echo input | %s --socket %s lab exec l h1 -- tr a-z A-Z", vsctlPath(t), h.Socket))
	if piped != "INPUT\n" {
		t.Errorf("input comes out as %q", piped)
	}
	p := h.Go(vsctlPath(t), "--socket", h.Socket, "lab", "exec", "l", "h1", "--", "sh", "-c", `trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done`)
	p.Expect(t, "ready")
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(t, Patience); r.Code != 3 || !strings.Contains(r.Stdout, "caught") {
		t.Errorf("after SIGTERM: exit %d, %q", r.Code, r.Output())
	}
	for _, x := range []struct {
		code int
		args []string
		want string
	}{
		{127, []string{"l", "h1", "no-such-program"}, "there is no program no-such-program"},
		{1, []string{"l", "h2", "true"}, `has no node "h2"; did you mean "h1"?`},
		{1, []string{"m", "h1", "true"}, `no lab "m" is up`},
		{2, []string{"l", "h1"}, "COMMAND is missing"},
	} {
		r := h.TryVS(append([]string{"lab", "exec"}, x.args...)...)
		if r.Code != x.code || !strings.Contains(r.Stderr, x.want) {
			t.Errorf("lab exec %v: exit %d, %q; want %d, %q", x.args, r.Code, r.Stderr, x.code, x.want)
		}
	}
	h.VS("lab", "down", "l")
	h.noLabs()
}

// TestLabThatFailsIsTakenBack breaks a lab in each kind of step.
func TestLabThatFailsIsTakenBack(t *testing.T) {
	h := NewHost(t)
	h.Namespace("office-far") // somebody else's
	before := h.Snapshot()
	for _, x := range []struct{ name, text, want string }{
		{"a command", strings.Replace(office, `exec: ["echo`, `exec: ["false", "echo`, 1), `the command "false" has failed (exit 1)`},
		{"a namespace", office, "office-far already, which is not this lab's"},
		{"a device", office + "  - endpoints: [wan, sw1]\n", "no node"},
	} {
		text := x.text
		if x.name != "a namespace" {
			text = strings.ReplaceAll(text, "far", "away")
		}
		r := h.TryVS("lab", "up", h.lab(text))
		if r.Code == 0 || !strings.Contains(r.Stderr, x.want) {
			t.Errorf("%s: exit %d, %q; want %q", x.name, r.Code, r.Output(), x.want)
		}
		if now := h.Snapshot(); now != before {
			t.Errorf("%s: it was not taken back:\n%s", x.name, differing(before, now))
		}
	}
}

// TestLabInterrupted stops an up with Ctrl-C, which takes all back, and with kill
// -9, after which down does.
func TestLabInterrupted(t *testing.T) {
	h := NewHost(t)
	file := h.lab(strings.Replace(office, "echo started", "sleep 60; echo started", 1))
	up := func() *Process {
		p := h.Go(vsctlPath(t), "--socket", h.Socket, "lab", "up", file)
		h.Eventually(0, func() error {
			if r := h.Try("pgrep", "-xf", "sleep 60"); r.Code != 0 {
				return fmt.Errorf("the lab's command does not run yet")
			}
			return nil
		})
		return p
	}
	p := up()
	p.Signal(syscall.SIGINT)
	if r := p.Wait(t, Patience); r.Code != 130 {
		t.Errorf("after Ctrl-C: exit %d, %q", r.Code, r.Output())
	}
	h.noLabs()

	p = up()
	p.Signal(syscall.SIGKILL)
	p.Wait(t, Patience)
	if r := h.TryVS("lab", "up", file); r.Code != 1 || !strings.Contains(r.Stderr, "lab down office") {
		t.Errorf("up over what is left: exit %d, %q", r.Code, r.Output())
	}
	h.VS("lab", "down", "office")
	h.noLabs()
	if r := h.Try("pgrep", "-xf", "sleep 60"); r.Code == 0 {
		t.Errorf("the lab's command still runs: %s", r.Stdout)
	}
}

// TestLabAfterTheDaemonWasKilled takes down what no daemon knows of.
func TestLabAfterTheDaemonWasKilled(t *testing.T) {
	h := NewHost(t)
	h.VS("lab", "up", h.lab(office))
	h.Kill9()
	if out := h.VS("lab", "down", "office"); !strings.Contains(out, "when it runs again") {
		t.Errorf("without its daemon, lab down says %q", out)
	}
	h.Start() // sweeps what the killed one has left
	h.VS("lab", "down", "office")
	if left := h.VS("switch", "list"); strings.Contains(left, "office") {
		t.Errorf("the daemon still has:\n%s", left)
	}
	h.noLabs()
}

// TestLabStartsADaemonOfItsOwn, which ends with the last lab.
func TestLabStartsADaemonOfItsOwn(t *testing.T) {
	h := NewHost(t, NoDaemon)
	one := h.lab("name: one\nnodes: {h1: {ip: 10.0.0.1/24}, s: {kind: switch}}\nlinks: [{endpoints: [h1, s]}]\n")
	h.VS("lab", "up", one)
	two := h.lab("name: two\nnodes: {s: {kind: switch}}\n")
	h.VS("lab", "up", two)
	h.VS("lab", "down", "one")
	h.VS("switch", "show", "two.s")

	// A new version takes over, and is the labs' as well.
	first := h.answering()
	if err := syscall.Kill(first, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	h.Eventually(0, func() error {
		if h.answering() == first {
			return fmt.Errorf("process %d still answers", first)
		}
		return nil
	})
	// One that has something of somebody's own goes on.
	h.VS("switch", "add", "mine")
	if out := h.VS("lab", "down", "two"); !strings.Contains(out, "goes on") {
		t.Errorf("lab down says %s", out)
	}
	h.VS("switch", "del", "mine")
	h.VS("lab", "up", two)
	h.VS("lab", "down", "two")
	if r := h.TryVS("show"); r.Code != 3 {
		t.Errorf("after the last lab: vsctl show exits %d\n%s", r.Code, r.Output())
	}
	h.noLabs()
}

// TestLabApplyTouchesOnlyWhatDiffers holds interfaces, and what was learned on
// ports, over changes beside them.
func TestLabApplyTouchesOnlyWhatDiffers(t *testing.T) {
	h := NewHost(t)
	h.VS("lab", "up", h.lab(office))
	h.VS("lab", "exec", "office", "h1", "ping", "-c1", "-w5", "h2")
	before := h.Port("office.sw1/p1")
	text := strings.NewReplacer(
		"ageing: 60", "ageing: 90",
		"access: 20", "access: 10",
		"trunk: [10, 20]", "trunk: all\n    impair: {delay: 1ms}",
		"  far: {", "  new: {ip: 10.0.0.9/24}\n  far: {",
		"  - endpoints: [r1, sw2]", "  - endpoints: [new, sw1]\n    access: 10\n  - endpoints: [r1, sw2]",
	).Replace(office)
	file := h.lab(text)
	plan := h.VS("lab", "apply", "--dry-run", file)
	for _, want := range []string{"change switch office.sw2", "change port office.sw2/other: access VLAN 10", "change port office.sw1/up: trunk all VLANs, impairments", "add node new", "add port office.sw1/new"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	if strings.Contains(plan, "p1") || strings.Contains(plan, "h1") || strings.Contains(plan, "remove") {
		t.Errorf("the plan touches what does not differ:\n%s", plan)
	}
	if again := h.VS("lab", "apply", "--dry-run", file); again != plan {
		t.Errorf("the dry run has done something: it says then\n%s", again)
	}
	h.VS("lab", "apply", file)
	if after := h.Port("office.sw1/p1"); after.Ifindex != before.Ifindex {
		t.Errorf("h1's port was made anew: ifindex %d, then %d", before.Ifindex, after.Ifindex)
	}
	for _, to := range []string{"other", "new"} {
		h.VS("lab", "exec", "office", "h1", "ping", "-c1", "-w5", to)
	}
	if out := h.VS("lab", "apply", file); !strings.Contains(out, "nothing differs") {
		t.Errorf("apply again says:\n%s", out)
	}
	// And back again, which takes away.
	h.VS("lab", "apply", h.lab(office))
	if r := h.Try("ip", "netns", "exec", "office-new", "true"); r.Code == 0 {
		t.Error("the node new is still there")
	}
	h.VS("lab", "down", "office")
	h.noLabs()
}

// TestLabServices starts what runs as long as the lab, one that ends well, one
// that fails again and again, and has them changed and stopped.
func TestLabServices(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	text := `
name: serving
nodes:
  h1:
    ip: 10.0.0.1/24
    services:
      echo: {command: "echo up as $GREETING; exec sleep 1000", env: {GREETING: hello}}
      once: {command: ["true"]}
      never: {command: ["false"], restart: no}
      flaky: {command: "echo again; exit 5"}
  h2: {ip: 10.0.0.2/24}
links: [{endpoints: [h1, h2]}]
`
	h.VS("lab", "up", h.lab(text))
	type service struct {
		Name, State, Log    string
		PID, Exit, Restarts int
	}
	services := func() map[string]service {
		var o struct{ Services []service }
		h.JSON(&o, "lab", "show", "serving")
		all := make(map[string]service)
		for _, s := range o.Services {
			all[s.Name] = s
		}
		return all
	}
	h.Eventually(0, func() error {
		s := services()
		if s["echo"].State != "runs" || s["once"].State != "ended" || s["never"].State != "failed" || s["never"].Exit != 1 || s["flaky"].Restarts < 2 || s["flaky"].Exit != 5 {
			return fmt.Errorf("services: %+v", s)
		}
		return nil
	})
	if log := h.Run("cat", services()["echo"].Log); log != "up as hello\n" {
		t.Errorf("the log of echo has %q", log)
	}

	// One that is killed is started again.
	was := services()["echo"].PID
	h.Run("kill", "-9", fmt.Sprint(was))
	h.Eventually(0, func() error {
		if s := services()["echo"]; s.State != "runs" || s.PID == was || s.Restarts == 0 {
			return fmt.Errorf("echo: %+v", s)
		}
		return nil
	})

	// Others in their place; and one that cannot be started ends an up.
	h.VS("lab", "apply", h.lab(strings.Replace(text, "hello", "goodbye", 1)))
	h.Eventually(0, func() error {
		if log := h.Run("cat", services()["echo"].Log); !strings.HasSuffix(log, "up as goodbye\n") {
			return fmt.Errorf("the log of echo has %q", log)
		}
		return nil
	})
	h.VS("lab", "down", "serving")
	h.noLabs()
	if r := h.Try("pgrep", "-xf", "sleep 1000"); r.Code == 0 {
		t.Errorf("a service still runs: %s", r.Stdout)
	}
	r := h.TryVS("lab", "up", h.lab(strings.Replace(text, `["true"]`, `["/no/such/program"]`, 1)))
	if r.Code != 1 || !strings.Contains(r.Stderr, "h1/once cannot be started") {
		t.Errorf("a service that cannot be started: exit %d, %q", r.Code, r.Output())
	}
	h.noLabs()

	// Whose keeper was killed goes on, and down finds it.
	h.VS("lab", "up", h.lab(text))
	h.Run("pkill", "-9", "-f", "lab keep serving")
	h.VS("lab", "down", "serving")
	h.noLabs()
	if r := h.Try("pgrep", "-xf", "sleep 1000"); r.Code == 0 {
		t.Errorf("a service still runs: %s", r.Stdout)
	}
}

// TestLargeLab builds a hundred hosts on four switches. How long that takes is
// measured elsewhere; here it counts that all of them are joined. (All of them to
// each other would be more neighbours than the kernel knows at a time.)
func TestLargeLab(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t, Fast)
	h.VS("lab", "up", h.lab(`
name: large
nodes:
  "h[1-100]": {ip: "10.0.0.{i}/24"}
  "sw[1-4]": {kind: switch}
links:
  - endpoints: ["h[1-25]", sw1]
  - endpoints: ["h[26-50]", sw2]
  - endpoints: ["h[51-75]", sw3]
  - endpoints: ["h[76-100]", sw4]
  - endpoints: [sw1, "sw[2-4]"]
`))
	h.Eventually(0, func() error { // one may be lost on a machine that is busy
		if r := h.TryVS("lab", "ping", "large"); !strings.Contains(r.Output(), "9900 of 9900 pings were answered") {
			return fmt.Errorf("%.2000s", r.Output())
		}
		return nil
	})
	out := h.VS("lab", "show", "large")
	if n := strings.Count(out, " up "); n < 207 {
		t.Errorf("%d nodes and links are up, want 104 and 103:\n%s", n, out)
	}
	begin := time.Now()
	h.VS("lab", "down", "large")
	t.Logf("down in %v", time.Since(begin))
	h.noLabs()
}

// TestExamples builds each example and takes its tests. Guests get the kernel that
// is there for tests.
func TestExamples(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	Need(t, "qemu-system-x86_64", "busybox", "lldpd", "vtysh")
	kernel, _ := plainImage.build(t)
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		h.Case(name, func(t *testing.T) {
			h.VS("lab", "up", h.lab(strings.Replace(string(text), "/boot/vmlinuz-*", kernel, 1)))
			if r := h.TryVS("lab", "test", name); r.Code != 0 {
				t.Errorf("its tests: exit %d\n%s", r.Code, r.Output())
			}
			h.VS("lab", "down", name)
			h.noLabs()
		})
	}
}

// TestImportedExample builds what containerlab has a file of, and holds that all
// nodes reach each other that do there.
func TestImportedExample(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	file, err := filepath.Abs("../examples/pair.clab.yml")
	if err != nil {
		t.Fatal(err)
	}
	r := h.TryVS("lab", "import", file)
	if r.Code != 0 || !strings.Contains(r.Stderr, "image") {
		t.Fatalf("lab import: exit %d\n%s", r.Code, r.Output())
	}
	h.VS("lab", "up", h.lab(r.Stdout))
	h.VS("lab", "exec", "pair", "client", "ping", "-c1", "-w10", "server")
	h.VS("lab", "exec", "pair", "server", "ping", "-c1", "-w10", "client")
	h.VS("lab", "down", "pair")
	h.noLabs()
}
