package lab_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/lab"
)

// insideVar says that the test runs in namespaces of its own.
const insideVar = "LAB_TEST_INSIDE"

// apart runs a test again in a machine of its own, as far as its network and
// /run are concerned, and reports whether it is there already.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		for _, dir := range []string{"/run", "/etc/netns"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	daemon := filepath.Join(t.TempDir(), "vswitchd")
	if out, err := exec.Command("go", "build", "-o", daemon, "../cmd/vswitchd").CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v\n%s", err, out)
	}
	cmd := exec.Command("unshare", "--mount", "--net", "--propagation", "private", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideVar+"=1", lab.DaemonVar+"="+daemon)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in namespaces of its own: %v\n%s", err, out)
	}
	return false
}

// TestLabOfATest uses what other programs' tests use.
func TestLabOfATest(t *testing.T) {
	if !apart(t) {
		return
	}
	var name string
	t.Run("lab", func(t *testing.T) {
		l := lab.New(t).
			Host("client", "ip: 10.0.0.1/24").
			Host("server", "ip: 10.0.0.2/24", "services: {clock: 'while date; do sleep 0.1; done'}").
			Router("r1").
			Switch("sw1", "ageing: 60").
			Link("client:eth0", "sw1:p1", "access: 10").
			Link("server:eth0", "sw1:p2", "access: 10").
			Up()
		name = l.Name()
		l.Ping("client", "server")
		if got := l.Run("client", "getent", "hosts", "server"); !strings.Contains(got, "10.0.0.2") {
			t.Errorf("server is %q", got)
		}
		var listener net.Listener
		l.In("server", func() (err error) {
			listener, err = net.Listen("tcp4", "10.0.0.2:80")
			return err
		})
		defer listener.Close()
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				fmt.Fprint(conn, "hello")
				conn.Close()
			}
		}()
		if got := l.Run("client", "bash", "-c", "cat </dev/tcp/server/80"); got != "hello" {
			t.Errorf("the server says %q", got)
		}
		if s, err := lab.Services(name); err != nil || len(s) != 1 || s[0].State != lab.Runs || s[0].PID == 0 {
			t.Errorf("services: %+v, %v", s, err)
		}
		l.LinkDown("server:eth0")
		if out := l.Run("server", "ip", "link", "show", "eth0"); !strings.Contains(out, "NO-CARRIER") {
			t.Errorf("the link is down, and the server sees:\n%s", out)
		}
		l.LinkUp("server:eth0")
		l.Ping("server", "client")
		if l.Command("client", "false").Run() == nil {
			t.Error("a command that fails is no error")
		}
	})
	if left, _ := exec.Command("pgrep", "-f", "while date; do").Output(); len(left) > 0 {
		t.Errorf("the service still runs: %s", left)
	}
	if left, _ := filepath.Glob("/run/netns/" + name + "-*"); len(left) > 0 {
		t.Errorf("namespaces are left: %v", left)
	}
}

// failed is a TB whose test has failed.
type failed struct {
	*testing.T
	why string
}

func (f *failed) Fatalf(format string, args ...any) { f.why = fmt.Sprintf(format, args...) }

func TestLabOfATestSaysWhatIsWrong(t *testing.T) {
	f := &failed{T: t}
	lab.New(f).Host("h1", "ip: 10.0.0.1").Link("h1:eth0", "sw1:p1").Up()
	for _, want := range []string{"has no prefix length", `no node "sw1"`} {
		if !strings.Contains(f.why, want) {
			t.Errorf("no %q in\n%s", want, f.why)
		}
	}
}
