package port

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// victimEnv makes the test binary a daemon that opens ports and waits to be
// killed.
const victimEnv = "VSWITCH_PORT_TEST_VICTIM"

// The kernel's part of kill -9 is what matters: descriptors close, everything
// else stays.
func TestVictim(t *testing.T) {
	instance := os.Getenv(victimEnv)
	if instance == "" {
		t.Skip("this is the daemon that TestSweep kills, not a test")
	}
	h, err := NewHost(HostConfig{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	h.drop.tcx = os.Getenv("VSWITCH_PORT_TEST_TCX") != ""
	name := instance[:1]
	for i, cfg := range []Config{
		{Kind: Veth, Netns: "web"},
		{Kind: Tap, Netns: "web"},
		{Kind: Tap, IfName: name + "host"},
		{Kind: VM, Device: name + "vm"},
		{Kind: Dev, Device: name + "dev", MTU: 1400},
	} {
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

func TestSweepAfterKill(t *testing.T) {
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

			n, err := h.Sweep(context.Background())
			if err != nil || n != 3 {
				t.Errorf("Sweep: got %d, %v, want 3 (a veth, a vm, a dev)", n, err)
			}
			left := devices(t)
			for _, name := range []string{"swa-p0", "avm", "ahost", "a11ce"} {
				if strings.Contains(left, name) {
					t.Errorf("Sweep left %s:\n%s", name, left)
				}
			}
			for _, name := range []string{"swb-p0", "bvm", "vswitch-b0b-"} {
				if !strings.Contains(left, name) {
					t.Errorf("Sweep took %s, of another instance; there is\n%s", name, left)
				}
			}
			if now := state(t, "adev"); now != dev {
				t.Errorf("device in use: before\n%s\nafter\n%s", dev, now)
			}
			h.open("again", Config{Kind: Dev, Device: "adev"}).Close()

			if n, err := h.Sweep(context.Background()); n != 0 || err != nil {
				t.Errorf("second Sweep: got %d, %v", n, err)
			}
			if n, err := newInstance(t, "b0b").Sweep(context.Background()); n != 3 || err != nil {
				t.Errorf("Sweep of the other: got %d, %v, want 3", n, err)
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
