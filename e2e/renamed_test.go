package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What is only called otherwise is still the port's, and its configuration as it was.
func TestRenamedDevicesOfOurs(t *testing.T) {
	h := NewHost(t)
	peer(h, "other", 1)
	web := h.Namespace("web")
	for i, c := range []struct {
		name, add string
		rename    func(p Port)
		shows     []string // words of port show
	}{
		{"the far end of a veth", "--veth --netns web --ifname far", func(Port) { web.Run("ip", "link", "set", "far", "name", "lan") }, []string{"(lan)"}},
		{"our end of a veth", "--veth --netns web --ifname far", func(p Port) { h.Run("ip", "link", "set", p.Device, "name", "mine") }, []string{"(far)", "mine (ifindex"}},
		{"a TAP in a namespace", "--tap --netns web --ifname far", func(Port) { web.Run("ip", "link", "set", "far", "name", "lan") }, []string{"(lan)", "lan\n"}},
		{"a TAP here", "--tap --ifname here", func(Port) { h.Run("ip", "link", "set", "here", "name", "mine") }, []string{"(mine)", "mine (ifindex"}},
	} {
		h.Case(c.name, func(t *testing.T) {
			n := 10 + i
			port := fmt.Sprintf("p%d", n)
			h.VS(append(append([]string{"port", "add", port}, strings.Fields(c.add)...), addresses(n)...)...)
			config := h.VS("config", "show")
			c.rename(h.Port(port))
			h.Eventually(0, func() error {
				shown := h.VS("port", "show", port)
				for _, w := range append(c.shows, "up\n") {
					if !strings.Contains(shown, w) {
						return fmt.Errorf("port show does not say %q:\n%s", w, indent(shown))
					}
				}
				return nil
			})
			h.namespaceNamed("other").Ping(fmt.Sprintf("10.0.0.%d", n))
			if now := h.VS("config", "show"); now != config {
				t.Errorf("the configuration is another:\n%s", differing(config, now))
			}
			h.VS("port", "del", port)
			if got := web.Links(); len(got) > 1 {
				t.Errorf("after port del the namespace still has %v", got)
			}
			if got := h.Links(); len(got) > 2 { // lo and the other's
				t.Errorf("after port del the host still has %v", got)
			}
		})
	}
}

// Who gets the name that another's interface had keeps it in the configuration.
func TestNameOfARenamedDevice(t *testing.T) {
	h := NewHost(t)
	web := h.Namespace("web")
	h.VS("port", "add", "first", "--netns", "web")
	web.Run("ip", "link", "set", "eth0", "name", "lan")
	h.AwaitState("first", "up")
	h.VS("port", "add", "second", "--netns", "web")
	for range 2 {
		config := h.VS("config", "show")
		if !strings.Contains(config, "ifname: lan") || !strings.Contains(config, "ifname: eth0") {
			t.Errorf("of lan and eth0 the configuration says\n%s", config)
		}
		file := h.Path("config.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := h.VS("config", "diff", file); out != "" {
			t.Errorf("it differs from itself:\n%s", out)
		}
		h.Kill9()
		h.Start()
	}
	h.VS("port", "del", "second")
	if config := h.VS("config", "show"); !strings.Contains(config, "ifname: eth0") {
		t.Errorf("when it is free again, the configuration says\n%s", config)
	}
}
