package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestFaultWallClock sets the wall clock a day forward and two days back, in a guest that
// has a switch of its own, under Debian's kernel: frames pass all the while, late by what
// they are to be late, nothing ages by it, and all ages afterwards as ever.
func TestFaultWallClock(t *testing.T) {
	t.Parallel()
	h := NewHost(t, NoDaemon)
	g := h.SwitchGuest("clock")
	daemon := g.Go("/bin/vswitchd", "--socket", "/run/vswitchd.sock", "--state-dir", "/root/state")
	g.Run("until vsctl --socket /run/vswitchd.sock version; do busybox usleep 100000; done")
	vs := func(args string) string { return g.Run("vsctl --socket /run/vswitchd.sock " + args) }
	g.Run("mkdir -p /run/netns")
	for i, kind := range []string{"veth", "tap"} {
		g.Run(fmt.Sprintf("touch /run/netns/%s && busybox unshare --net=/run/netns/%[1]s true", kind))
		vs(fmt.Sprintf("port add %s --%[1]s --netns %[1]s --ip 10.0.0.%d/24", kind, i+1))
	}
	vs("switch set sw0 --ageing 5s")
	vs("port impair tap delay 20ms")
	inside := "busybox nsenter --net=/run/netns/veth "
	h.Eventually(2*Patience, func() error {
		return asError("ping", g.Try(inside+"ping -c 1 -W 1 10.0.0.2"))
	})
	for _, days := range []int{1, -2} {
		pinging := g.Go("/bin/sh", "-c", inside+"ping -c 20 -i 0.1 -W 2 10.0.0.2")
		g.Run(fmt.Sprintf("busybox date -s @$(($(busybox date +%%s) + %d))", days*24*3600))
		r, err := pinging.End(time.Minute)
		if err != nil || !strings.Contains(r.Stdout, " 20 packets received") {
			t.Errorf("%d days: %v\n%s", days, err, r.Output())
		}
		var tables map[string][]Entry
		if err := json.Unmarshal([]byte(vs("-j fdb show")), &tables); err != nil {
			t.Fatal(err)
		}
		if n := len(tables["sw0"]); n != 2 {
			t.Errorf("%d days: %d stations are known, want 2", days, n)
		}
		for _, e := range tables["sw0"] {
			if e.Age == nil || *e.Age > 5 {
				t.Errorf("%d days: %+v was heard just now", days, e)
			}
		}
	}
	h.Eventually(2*time.Minute, func() error {
		if out := vs("fdb show"); strings.Contains(out, "dynamic") {
			return fmt.Errorf("nothing ages:\n%s", out)
		}
		return nil
	})
	g.Run("busybox killall vswitchd")
	if r, err := daemon.End(time.Minute); err != nil || r.Code != 0 || strings.Contains(r.Output(), "level=ERROR") {
		t.Errorf("vswitchd ended: %v, exit %d\n%s", err, r.Code, r.Output())
	}
}
