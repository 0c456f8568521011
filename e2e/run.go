package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// One run of a test binary has one folder, named after its process. All
// processes it starts carry the mark in their environment. So whatever a killed
// run left behind can be told from what others are using.
const (
	runPrefix    = "vse2e-"
	markVariable = "VSWITCH_E2E_RUN"
)

// runMark is what this run's processes carry: a process ID alone comes again.
var runMark = sync.OnceValue(func() string {
	return fmt.Sprintf("%d.%s", os.Getpid(), startTime(os.Getpid()))
})

// runDir returns the folder of this run, made when first asked for. [Main]
// removes it.
var runDir = sync.OnceValues(func() (string, error) {
	sweep()
	dir := filepath.Join(os.TempDir(), runPrefix+runMark())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, nil
})

// startTime returns when a process started, in ticks since boot; "" when there
// is none of that ID.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name is in parentheses and may hold anything; field 22 counts from
	// behind it (proc(5)).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[19]
}

// alive reports whether the run that a mark names goes on.
func alive(mark string) bool {
	pid, start, ok := strings.Cut(mark, ".")
	n, err := strconv.Atoi(pid)
	return ok && err == nil && startTime(n) == start
}

// sweep removes what killed runs left behind: processes that detached
// themselves (a container's), and folders. Namespaces and devices need no
// sweeping: they end with the last process.
func sweep() {
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range procs {
		env, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		for kv := range strings.SplitSeq(string(env), "\x00") {
			mark, ok := strings.CutPrefix(kv, markVariable+"=")
			if !ok || alive(mark) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // may be gone meanwhile
			}
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), runPrefix+"*"))
	for _, dir := range dirs {
		if !alive(strings.TrimPrefix(filepath.Base(dir), runPrefix)) {
			_ = os.RemoveAll(dir) // else the next run tries again
		}
	}
	removeCgroups(func(mark string) bool { return !alive(mark) })
}

// removeCgroups removes the control groups of runs' containers, in version 1
// and 2 of their file system. Those that still have processes stay.
func removeCgroups(match func(mark string) bool) {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		parents, _ := filepath.Glob(pattern + runPrefix + "*")
		for _, parent := range parents {
			if !match(strings.TrimPrefix(filepath.Base(parent), runPrefix)) {
				continue
			}
			var dirs []string
			_ = filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- { // children first
				_ = os.Remove(dirs[i])
			}
		}
	}
}

// Main runs the tests of a package that uses this harness, and removes the
// folder that they shared. It is for TestMain.
func Main(m *testing.M) {
	code := m.Run()
	removeCgroups(func(mark string) bool { return mark == runMark() })
	if dir, err := runDir(); err == nil {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

var hostCount struct {
	sync.Mutex
	n int
}

// hostDir makes the folder of one host. It is not t.TempDir because that can
// be too long for the path of a socket (108 octets).
func hostDir(t testing.TB) string {
	t.Helper()
	run, err := runDir()
	if err != nil {
		t.Fatal(err)
	}
	hostCount.Lock()
	hostCount.n++
	dir := filepath.Join(run, "h"+strconv.Itoa(hostCount.n))
	hostCount.Unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips a test that cannot run here, saying what is missing; in CI that
// is a failure.
func need(t testing.TB, tools ...string) {
	t.Helper()
	missing := func(what, cure string) {
		t.Helper()
		if os.Getenv("CI") != "" {
			t.Fatalf("%s; %s", what, cure)
		}
		t.Skipf("%s; %s", what, cure)
	}
	if os.Geteuid() != 0 {
		missing("namespaces need root", "run the tests as root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing("/dev/net/tun is missing", "load the module tun, or pass the device into this container")
	}
	for _, tool := range append([]string{"ip"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tool+" is missing", "scripts/install-deps installs it")
		}
	}
}

// Need skips t, in CI fails it, when one of the programs is not installed.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	need(t, tools...)
}

// binaries are built once per run, when first asked for.
type binaries struct {
	once sync.Once
	dir  string
	err  error
}

var racy, fast, static, alone binaries

// build compiles packages of this module into a folder of the run.
func (b *binaries) build(t testing.TB, name string, env, args []string) string {
	t.Helper()
	b.once.Do(func() {
		run, err := runDir()
		if err != nil {
			b.err = err
			return
		}
		b.dir = filepath.Join(run, name)
		if b.err = os.MkdirAll(b.dir, 0o755); b.err != nil {
			return
		}
		cmd := exec.Command("go", append([]string{"build", "-o", b.dir + "/"}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.dir
}

const module = "github.com/vswitch/vswitch"

// vsctlPath and vswitchdPath return the programs under test.
func vsctlPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(fast.build(t, "fast", nil, []string{module + "/cmd/vswitchd", module + "/cmd/vsctl"}), "vsctl")
}

func vswitchdPath(t testing.TB, quick bool) string {
	t.Helper()
	if quick {
		return filepath.Join(filepath.Dir(vsctlPath(t)), "vswitchd")
	}
	return filepath.Join(racy.build(t, "race", nil, []string{"-race", module + "/cmd/vswitchd"}), "vswitchd")
}

// agentPath returns the helper that runs in namespaces, containers and guests;
// it is static, so that it runs anywhere.
func agentPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(static.build(t, "agent", []string{"CGO_ENABLED=0"},
		[]string{"-trimpath", "-ldflags=-s -w", module + "/e2e/agent"}), "agent")
}

// staticPaths returns the programs under test, for a guest that has nothing else.
func staticPaths(t testing.TB) []string {
	t.Helper()
	dir := alone.build(t, "static", []string{"CGO_ENABLED=0"},
		[]string{"-trimpath", "-ldflags=-s -w", module + "/cmd/vswitchd", module + "/cmd/vsctl"})
	return []string{filepath.Join(dir, "vswitchd"), filepath.Join(dir, "vsctl")}
}
