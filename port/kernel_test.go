package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of devices run in a namespace that stands for the host: the test
// binary starts itself again inside a network and a mount namespace of its
// own, which vanish with it, whatever happens.
const insideEnv = "VSWITCH_PORT_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		os.Exit(m.Run()) // on the host of the test that started it
	}
	if os.Getenv(insideEnv) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the test's host:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	runtime.LockOSThread() // Pdeathsig is about this thread
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	}
	os.Exit(m.Run()) // without root: each test says so
}

// settle makes the namespaces of the test a host.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Names of namespaces, and nothing of the real /run.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

// needKernel skips a test that cannot make devices here.
func needKernel(t testing.TB) {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return
	}
	const why = "making network devices needs root (CAP_SYS_ADMIN): run the tests as root"
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// testHost is a Host with what tests want beside it.
type testHost struct {
	*Host
	t testing.TB
}

func newTestHost(t testing.TB) *testHost {
	t.Helper()
	return newInstance(t, "c0ffee")
}

func newInstance(t testing.TB, instance string) *testHost {
	t.Helper()
	needKernel(t)
	h, err := NewHost(HostConfig{Instance: instance, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	th := &testHost{h, t}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close the host: %v", err)
		}
	})
	return th
}

// open opens a port that must open, and closes it when the test ends.
func (h *testHost) open(name string, cfg Config) *Attachment {
	h.t.Helper()
	a, err := h.Open(context.Background(), Identity{"sw0", name}, cfg, nil)
	if err != nil {
		h.t.Fatalf("open %s %+v: %v", name, cfg, err)
	}
	h.t.Cleanup(func() { a.Close() })
	return a
}

// refused opens a port that must not open, and returns the error; code and all
// words must be in it, and nothing may be left.
func (h *testHost) refused(cfg Config, code Code, words ...string) {
	h.t.Helper()
	before := devices(h.t)
	a, err := h.Open(context.Background(), Identity{"sw0", "refused"}, cfg, nil)
	if err == nil {
		a.Close()
		h.t.Fatalf("open %+v: got no error, want %s", cfg, code)
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		h.t.Errorf("open %+v: got %#v, want code %s", cfg, err, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			h.t.Errorf("open %+v: %q does not say %q", cfg, err, w)
		}
	}
	if after := devices(h.t); after != before {
		h.t.Errorf("open %+v: left\n%s\nof what was\n%s", cfg, after, before)
	}
}

// run runs a command that must succeed, on the test's host.
func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// devices lists what an Open could leave: devices with their settings, without
// what follows in the kernel's own time.
func devices(t testing.TB) string {
	t.Helper()
	out := run(t, "ip", "-o", "-details", "link", "show")
	return regexp.MustCompile(`(NO-CARRIER,|,LOWER_UP|state \S+) ?`).ReplaceAllString(out, "")
}

// namespace makes a namespace that has a name.
func namespace(t testing.TB, name string) string {
	t.Helper()
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	return name
}

func in(t testing.TB, ns string, argv ...string) string {
	t.Helper()
	return run(t, append([]string{"ip", "netns", "exec", ns}, argv...)...)
}

// eventually waits until ok; it is for what the kernel does in its own time
// and tells nobody.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func prefixes(words ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range words {
		out = append(out, netip.MustParsePrefix(w))
	}
	return out
}

func addrs(words ...string) []netip.Addr {
	var out []netip.Addr
	for _, w := range words {
		out = append(out, netip.MustParseAddr(w))
	}
	return out
}
