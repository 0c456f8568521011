package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHarnessKilledRunLeavesNothing kills a run of this test binary while a
// container of its runs, and lets the next run tidy up.
func TestHarnessKilledRunLeavesNothing(t *testing.T) {
	const helper = "VSWITCH_E2E_LEAVE"
	if os.Getenv(helper) != "" {
		h := NewHost(t, NoDaemon)
		h.Container("left")
		h.Go("sleep", "1000")
		os.Stdout.WriteString("ready " + runMark() + "\n")
		select {}
	}
	Need(t, "podman", "runc", "busybox")
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), helper+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the run that is to be killed: %v", err)
	}
	mark := strings.TrimSpace(strings.TrimPrefix(line, "ready "))
	if n := len(marked(t, mark)); n < 2 {
		t.Errorf("%d processes carry the mark %s, want a sleep and a container's", n, mark)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it says

	Eventually(t, 0, func() error {
		sweep()
		left := marked(t, mark)
		for _, place := range []string{os.TempDir(), "/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			dirs, _ := filepath.Glob(filepath.Join(place, runPrefix+mark))
			left = append(left, dirs...)
		}
		if len(left) > 0 {
			return fmt.Errorf("still there: %s", strings.Join(left, ", "))
		}
		return nil
	})
}

// marked returns the processes of a run.
func marked(t *testing.T, mark string) (found []string) {
	t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		env, err := os.ReadFile(filepath.Join(p, "environ"))
		if err != nil || !strings.Contains(string(env), markVariable+"="+mark+"\x00") {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(p, "comm"))
		found = append(found, filepath.Base(p)+" "+strings.TrimSpace(string(name)))
	}
	return found
}
