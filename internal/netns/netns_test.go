package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPath(t *testing.T) {
	for _, test := range []struct{ ref, want string }{
		{"web", "/run/netns/web"},
		{"cni-1234", "/run/netns/cni-1234"},
		{"/proc/1/ns/net", "/proc/1/ns/net"},
		{"/run//netns/../x", "/run/x"},
		{"pid:12", "/proc/12/ns/net"},
		{"", ""}, {".", ""}, {"..", ""}, {"a/b", ""}, {"../b", ""}, {"pid:", ""}, {"pid:0", ""},
		{"pid:-1", ""}, {"pid:+1", ""}, {"pid:x", ""}, {"pid:99999999999999999999", ""}, {"a\x00b", ""},
	} {
		got, err := Path(test.ref)
		var e *Error
		if got != test.want || (err != nil) != (test.want == "") || err != nil && !(errors.As(err, &e) && e.Invalid) {
			t.Errorf("Path(%q): got %q, %v, want %q", test.ref, got, err, test.want)
		}
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	plain, fifo := filepath.Join(dir, "plain"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil { // opening it would wait for a writer
		t.Fatal(err)
	}
	for _, test := range []struct {
		ref     string
		missing bool
	}{
		{plain, false}, {fifo, false}, {dir, false}, {"/proc/self/ns/mnt", false}, {"/dev/null", false},
		{filepath.Join(dir, "nothing"), true}, {filepath.Join(plain, "below"), true},
		{"no-namespace-is-called-so", true}, {"pid:999999999", true},
	} {
		n, err := Open(test.ref)
		var e *Error
		if err == nil {
			n.Close()
		}
		if !errors.As(err, &e) || e.Missing != test.missing {
			t.Errorf("Open(%q): got %#v, want an *Error with Missing %v", test.ref, err, test.missing)
		}
		if id, ok := Identify(filepath.Join("/", test.ref)); ok && !strings.HasSuffix(test.ref, "ns/mnt") {
			t.Errorf("Identify(%q): got %v", test.ref, id)
		}
	}
}

// needRoot skips where namespaces cannot be made.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const why = "network namespaces need root (CAP_SYS_ADMIN): run the tests as root"
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func link(t *testing.T) string {
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Error(err)
	}
	return s
}

func TestDoRunsInsideAndOnlyThere(t *testing.T) {
	needRoot(t)
	sleeper := exec.Command("unshare", "--net", "sleep", "1000")
	out, err := sleeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	sleeper.Args = []string{"unshare", "--net", "sh", "-c", "echo ready; exec sleep 1000"}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleeper.Process.Kill(); sleeper.Wait() }()
	fmt.Fscanln(out, new(string))

	home := link(t)
	n, err := Open(fmt.Sprintf("pid:%d", sleeper.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	own, err := Current()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if n.ID() == own.ID() {
		t.Errorf("two namespaces are both %v", n.ID())
	}
	if id, ok := Identify(fmt.Sprintf("/proc/%d/ns/net", sleeper.Process.Pid)); !ok || id != n.ID() {
		t.Errorf("Identify: got %v %v, want %v", id, ok, n.ID())
	}
	process := func() string {
		s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", os.Getpid()))
		if err != nil {
			t.Error(err)
		}
		return s
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			inside := ""
			want := errors.New("as it was")
			if err := n.Do(func() error { inside = link(t); return want }); err != want {
				t.Errorf("Do: got %v, want what the function returned", err)
			}
			if inside == home || inside == "" {
				t.Errorf("Do ran in %s, outside is %s", inside, home)
			}
			if err := n.Do(func() error {
				if now := process(); now != home {
					t.Errorf("the process is in %s, want %s", now, home)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if now := link(t); now != home {
				t.Errorf("another goroutine is in %s, want %s", now, home)
			}
		})
	}
	wg.Wait()
}
