package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// slowEngine puts a podman in the daemon's path that answers by way of files:
// what is in the file "process", or nothing for as long as "asleep" is there.
// What makes it slow is a process of its own, as with the real one.
func (h *Host) slowEngine() {
	h.t.Helper()
	bin := h.Path("bin")
	script := fmt.Sprintf(`#!/bin/sh
cd %s
case "$1 $2" in
"container inspect")
	echo asked >> asked
	[ ! -e asleep ] || { sleep 1000; exit 1; }
	exec cat process;;
events*)
	exec sleep infinity;;
esac
`, h.dir)
	if err := os.Mkdir(bin, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range []string{"podman", "docker"} {
		if err := os.WriteFile(h.Path("bin/"+name), []byte(script), 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	h.Env = append(h.Env, "PATH="+bin+":"+os.Getenv("PATH"))
}

// awaitQuestion waits until the engine was asked n times.
func (h *Host) awaitQuestion(n int) {
	h.t.Helper()
	h.Eventually(0, func() error {
		b, _ := os.ReadFile(h.Path("asked"))
		if got := strings.Count(string(b), "asked"); got < n {
			return fmt.Errorf("the engine was asked %d times, want %d", got, n)
		}
		return nil
	})
}

func (h *Host) file(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.Path(name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// A container engine that does not answer is waited for by whom it concerns,
// and by nobody else: who asks for a port in a container, and a port whose
// container has stopped.
func TestContainerEngineThatDoesNotAnswer(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.slowEngine()
	h.Start()
	web := h.Namespace("web")
	h.VS("port", "add", "u", "--veth")
	ns, container := h.NamespaceOfProcess()
	h.file("process", fmt.Sprintln(container.Pid))
	h.VS("port", "add", "box", "--container", "box")
	h.VS("port", "add", "web", "--netns", "web")

	goesOn := func(name string) {
		t.Helper()
		begin := time.Now()
		h.VS("--timeout", "2", "port", "set", "u", "down")
		h.VS("--timeout", "2", "port", "set", "u", "up")
		h.VS("--timeout", "2", "switch", "add", name)
		h.Within(time.Second, begin, "changing this and that")
	}
	h.file("asleep", "")
	h.awaitQuestion(1)
	asking := h.launch("", vsctlPath(t), "--timeout", "60", "port", "add", "foo", "--container", "foo")
	h.awaitQuestion(2)
	goesOn("sw1")
	ev := h.Events()
	web.Delete()
	begin := time.Now()
	lost := ev.AwaitPort("web", "lost")
	if took := lost.Time.Sub(begin); took > lostTime {
		t.Errorf("a port was lost %v after its namespace, want at most %v", took, lostTime)
	}

	ns.deleted = true
	container.Kill()
	ev.AwaitPort("box", "lost")
	h.awaitQuestion(3) // it would come back
	goesOn("sw2")
	if !asking.Running() {
		t.Errorf("who asked for a port gave up: %s", asking.Output())
	}
	h.MustCleanShutdown()
	if r := asking.Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Stderr, "shutting down") {
		t.Errorf("who asked for a port got exit %d, want to be told that the switch is shutting down:\n%s", r.Code, r.Output())
	}
}
