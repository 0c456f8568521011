package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigurationIsKept over SIGTERM and over kill -9 the moment after a change was
// answered: ports stand again and forward, and what is absent comes when it comes.
func TestConfigurationIsKept(t *testing.T) {
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	h.Namespace("c")
	h.VS("profile", "add", "office", "--access", "10", "--max-macs", "9")
	h.VS("port", "add", "c", "--netns", "c", "--profile", "office", "--ip", "10.9.0.1/24")
	h.VS("switch", "add", "lab", "--ageing", "60s")
	h.VS("port", "add", "up", "--patch", "lab/up", "--trunk", "1,10")
	h.VS("fdb", "add", "02:00:00:00:00:99", "--vlan", "10", "--port", "c")
	for i := range 4 {
		h.VS("port", "set", "up", "--description", fmt.Sprint("change ", i))
		want := h.VS("config", "show")
		if i%2 == 0 {
			h.Kill9()
		} else {
			h.MustCleanShutdown()
		}
		h.Start()
		if now := h.VS("config", "show"); now != want {
			t.Fatalf("after the restart:\n%s\nwas\n%s", now, want)
		}
		for _, p := range []string{"a", "b", "c", "up"} {
			h.AwaitState(p, "up")
		}
		talk(t, a.Namespace, 1, b.Namespace, 2)
	}

	// What is absent at the start is lost, and comes when it comes.
	h.Kill9()
	h.Run("ip", "netns", "del", "c")
	h.Start()
	if p := h.AwaitState("c", "lost"); !strings.Contains(p.Reason, "c") {
		t.Errorf("the port of a namespace that is absent is lost for the reason %q", p.Reason)
	}
	if !strings.Contains(h.Log(), "port is lost") {
		t.Errorf("the log does not warn of it:\n%s", h.Log())
	}
	h.Run("ip", "netns", "add", "c")
	h.AwaitState("c", "up")
	h.Run("ip", "netns", "exec", "c", "ip", "addr", "show", "to", "10.9.0.1")
	h.Run("ip", "netns", "del", "c")
}

// TestConfigurationThatIsDamaged is kept aside, and the daemon starts.
func TestConfigurationThatIsDamaged(t *testing.T) {
	h := NewHost(t)
	h.Namespace("a")
	h.VS("port", "add", "a", "--netns", "a", "--access", "7")
	want := h.VS("config", "show")
	h.MustCleanShutdown()
	file := filepath.Join(h.StateDir, "config.json")
	for _, text := range []string{"", "not ours\n", `{"vswitch_state":99}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.Start()
		if now := h.VS("config", "show"); now != want {
			t.Errorf("with %q in the way there is\n%s\nwant, from the journal,\n%s", text, now, want)
		}
		if !strings.Contains(h.Log(), "It is kept as") {
			t.Errorf("the log does not tell of %q:\n%s", text, h.Log())
		}
		h.MustCleanShutdown()
	}
	aside, err := filepath.Glob(file + ".aside-*")
	if err != nil || len(aside) != 3 {
		t.Errorf("kept aside are %v, %v", aside, err)
	}

	// A file that people keep themselves.
	own := h.Path("own.yaml")
	if err := os.WriteFile(own, []byte("switches: {office: {ports: {a: {netns: a, access: 9}, z: {netns: nowhere}}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Start("--config", own)
	h.AwaitState("office/a", "up")
	h.AwaitState("office/z", "lost")
	h.VS("port", "set", "office/a", "--access", "10")
	h.MustCleanShutdown()
	h.Start("--config", own)
	if p := h.Port("office/a"); p.VLAN.Access != 9 {
		t.Errorf("the file says VLAN 9, and the port has %d", p.VLAN.Access)
	}
	h.MustCleanShutdown()
	if err := os.WriteFile(own, []byte("switches: {office: {prots: {}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := h.Launch("--config", own)
	if r := p.Wait(t, Patience); r.Code != 1 || !strings.Contains(r.Stderr, `did you mean "ports"?`) {
		t.Errorf("a file that is wrong: exit %d, %q", r.Code, r.Output())
	}
	if err := os.WriteFile(own, []byte("switches: {office: {ports: {a: {tap: true, access: 5000}}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.Launch("--config", own).Wait(t, Patience); r.Code != 1 || !strings.Contains(r.Stderr, "5000 is not a VLAN") {
		t.Errorf("a VLAN that is wrong: exit %d, %q", r.Code, r.Output())
	}
	h.Start()
	if now := h.VS("config", "show"); now != want {
		t.Errorf("without the file there is\n%s\nwant\n%s", now, want)
	}
}

// TestInterfaceThatIsTaken has others have the name of a kept port's interface when the
// daemon starts: the port stands, lost, and comes up when the name is free.
func TestInterfaceThatIsTaken(t *testing.T) {
	h := NewHost(t, NoDaemon)
	web := h.Namespace("web")
	h.Start("--keep-ports")
	h.VS("port", "add", "mon", "--tap", "--ifname", "mon0", "--trunk", "1,10")
	h.VS("port", "add", "far", "--netns", "web", "--ifname", "far0")
	h.VS("fdb", "add", "02:00:00:00:00:99", "--vlan", "10", "--port", "mon")
	want := h.VS("config", "show")
	same := func() {
		t.Helper()
		if now := h.VS("config", "show"); now != want {
			t.Errorf("the configuration is another:\n%s", differing(want, now))
		}
	}
	for _, end := range []func(){h.Kill9, h.EndAndLeave} {
		end()
		h.Run("ip", "link", "del", "mon0")
		h.Run("ip", "link", "add", "mon0", "type", "veth", "peer", "name", "other0")
		web.Run("ip", "link", "del", "far0")
		web.Run("ip", "link", "add", "far0", "type", "veth", "peer", "name", "other0")
		h.Start("--keep-ports")
		for port, dev := range map[string]string{"mon": "mon0", "far": "far0"} {
			p := h.AwaitState(port, "lost")
			if !strings.Contains(p.Reason, "there is an interface "+dev) || p.IfName != dev {
				t.Errorf("%s, whose interface is to be %q, is lost for the reason %q", port, p.IfName, p.Reason)
			}
		}
		same()
		h.TakeOver("--keep-ports")
		same()
		h.Run("ip", "link", "del", "mon0")
		web.Run("ip", "link", "del", "far0")
		h.AwaitState("mon", "up")
		h.AwaitState("far", "up")
		same()
	}
	h.VS("shutdown", "--remove")
}
