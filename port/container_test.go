package port

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// engine is a container engine as far as its command shows: a script, with
// processes in namespaces of their own for containers.
type engine struct {
	t         testing.TB
	name, dir string
}

// newEngines puts commands in front of the path, and nothing behind them that
// could answer in their place.
func newEngines(t *testing.T, names ...string) []*engine {
	t.Helper()
	needKernel(t)
	bin := t.TempDir()
	var all []*engine
	for _, name := range names {
		e := &engine{t, name, filepath.Join(bin, name+".d")}
		if err := os.Mkdir(e.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf(`#!/bin/sh
cd %s
echo "$*" >> calls
case "$1 $2" in
"container inspect")
	[ -e hang ] && { sleep 1000 & echo $! > hangs; wait; }
	[ -e "$5" ] && exec cat "$5"
	echo "Error: No such container: $5" >&2
	exit 125;;
events*)
	exec tail -n +1 -F events;;
esac
exit 1
`, e.dir)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		e.write("events", "")
		all = append(all, e)
	}
	for _, tool := range []string{"sh", "cat", "tail", "ip", "tc", "sysctl", "ethtool", "unshare", "sleep"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return all
}

func (e *engine) write(file, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, file), []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
}

// start starts a container and says so. quit ends its process, as when the
// container stops.
func (e *engine) start(name, id string) (quit func()) {
	e.t.Helper()
	p := exec.Command("unshare", "--net", "sleep", "1000")
	if err := p.Start(); err != nil {
		e.t.Fatal(err)
	}
	quit = func() {
		p.Process.Kill()
		p.Wait()
		e.write(name, "0\n")
	}
	e.t.Cleanup(quit)
	own, _ := os.Readlink("/proc/self/ns/net")
	eventually(e.t, "the container has its namespace", func() bool {
		l, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.Process.Pid))
		return err == nil && l != own
	})
	e.write(name, strconv.Itoa(p.Process.Pid)+"\n")
	e.say(name, id)
	return quit
}

// say writes the event of a start as the real ones do.
func (e *engine) say(name, id string) {
	e.t.Helper()
	line := fmt.Sprintf(`{"ID":%q,"Image":"","Name":%q,"Status":"start","Type":"container"}`, id, name)
	if e.name == "docker" {
		line = fmt.Sprintf(`{"status":"start","id":%q,"Type":"container","Action":"start","Actor":{"ID":%q,"Attributes":{"image":"x","name":%q}},"scope":"local"}`, id, id, name)
	}
	f, err := os.OpenFile(filepath.Join(e.dir, "events"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// hang makes the engine answer no questions any more.
func (e *engine) hang() { e.write("hang", "") }

// pid reads the number of a process; 0 where there is none.
func (e *engine) pid(file string) int {
	b, _ := os.ReadFile(filepath.Join(e.dir, file))
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

func (e *engine) calls(prefix string) (n int) {
	b, _ := os.ReadFile(filepath.Join(e.dir, "calls"))
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func TestContainerIsFollowedByItsName(t *testing.T) {
	for _, name := range []string{"podman", "docker"} {
		t.Run(name, func(t *testing.T) {
			all := newEngines(t, "podman", "docker")
			e := all[0]
			if name == "docker" {
				e = all[1]
			}
			h := newTestHost(t)
			const id = "0123456789abcdef"
			e.write("web", "0\n")
			cfg := Config{Kind: Veth, Container: "web"}
			h.refused(cfg, NotFound, "container web is not running", name+" start web")
			quit := e.start("web", id)
			a := h.open("p1", cfg)
			b := h.open("p2", Config{Kind: Tap, Container: "web"})
			if a.Info.IfName != "eth0" || b.Info.IfName != "eth1" || !a.Status().Carrier {
				t.Errorf("got %+v %+v, %+v", a.Info, a.Status(), b.Info)
			}
			quit()
			h.followStatus(a, "the container stopped", wentAway("container web stopped"))
			if s := b.Status(); !s.Gone || s.Manual {
				t.Errorf("second port: got %+v", s)
			}
			a.Close()
			b.Close()
			e.start("web", id)
			h.comesBack("p1", cfg)
		})
	}
}

func TestContainerByID(t *testing.T) {
	e := newEngines(t, "podman")[0]
	h := newTestHost(t)
	const id = "0123456789abcdef"
	cfg := Config{Kind: Veth, Container: id[:12]}
	h.refused(cfg, NotFound, "no container "+id[:12])
	quit := e.start(id[:12], id)
	a := h.open("p1", cfg)
	quit()
	h.followStatus(a, "the container stopped", wentAway("container "+id[:12]+" stopped"))
	a.Close()
	quit = e.start(id[:12], id)
	e.say("web", id)
	defer quit()
	h.comesBack("p1", cfg)
}

// A process that ends, and a namespace that an engine keeps mounted.
func TestContainerStopsWhileItsNamespaceStands(t *testing.T) {
	e := newEngines(t, "podman")[0]
	h := newTestHost(t)
	quit := e.start("web", "0123456789abcdef")
	pid, _ := os.ReadFile(filepath.Join(e.dir, "web"))
	held, err := os.Open("/proc/" + strings.TrimSpace(string(pid)) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	a := h.open("p1", Config{Kind: Veth, Container: "web"})
	quit()
	h.followStatus(a, "the container stopped", wentAway("container web stopped"))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestContainerErrors(t *testing.T) {
	t.Run("no engine", func(t *testing.T) {
		newEngines(t)
		h := newTestHost(t)
		h.refused(Config{Kind: Veth, Container: "web"}, NotFound, "neither podman nor docker", "pid:N")
	})
	t.Run("engines", func(t *testing.T) {
		e := newEngines(t, "podman")[0]
		h := newTestHost(t)
		h.refused(Config{Kind: Veth, Container: "web"}, NotFound, "no container web", "podman ps -a")
		h.refused(Config{Kind: Veth, Container: "--all"}, Invalid, "--all")
		e.write("web", "garbage\n")
		h.refused(Config{Kind: Veth, Container: "web"}, Failed, "garbage")
		e.write("web", "999999999\n")
		h.refused(Config{Kind: Veth, Container: "web"}, NotFound, "ended just now")
		e.write("web", strconv.Itoa(os.Getpid())+"\n")
		h.refused(Config{Kind: Veth, Container: "web"}, Refused, "shares the host's network")
	})
}

// A port that tries to come back must not start programs all the time.
func TestContainerIsNotAskedForAgainAndAgain(t *testing.T) {
	e := newEngines(t, "podman")[0]
	h := newTestHost(t)
	cfg := Config{Kind: Veth, Container: "web"}
	h.refused(cfg, NotFound)
	eventually(t, "its events are listened to", func() bool { return e.calls("events") == 1 })
	for range 100 {
		if _, err := h.Open(Again(context.Background()), Identity{"sw0", "p1"}, cfg, nil); err == nil {
			t.Fatal("opened")
		}
	}
	if n := e.calls("container inspect"); n > 10 {
		t.Errorf("a hundred tries asked the engine %d times", n)
	}
	start := time.Now()
	e.start("web", "0123456789abcdef")
	h.comesBack("p1", cfg)
	t.Logf("back after %v", time.Since(start))
}

// An engine that takes its time is let be as soon as nobody waits for it, with
// all that it has started.
func TestAskingForAContainerEndsWithItsContext(t *testing.T) {
	e := newEngines(t, "podman")[0]
	h := newTestHost(t)
	e.hang()
	ctx, cancel := context.WithCancel(context.Background())
	found := make(chan error, 1)
	go func() {
		_, err := h.Find(ctx, Config{Kind: Veth, Container: "web"})
		found <- err
	}()
	eventually(t, "the engine is asked", func() bool { return e.pid("hangs") != 0 })
	began := time.Now()
	cancel()
	if err := <-found; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
	if took := time.Since(began); took > hangUp/2 {
		t.Errorf("it took %v to let the engine be", took)
	}
	eventually(t, "what the engine has started ends", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", e.pid("hangs")))
		return err != nil
	})
}

// What was found may be gone by the time that it is used.
func TestContainerEndsBetweenFindAndOpen(t *testing.T) {
	e := newEngines(t, "podman")[0]
	h := newTestHost(t)
	cfg := Config{Kind: Veth, Container: "web"}
	quit := e.start("web", "0123456789abcdef")
	at, err := h.Find(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	quit()
	before := devices(t)
	if _, err := h.Open(context.Background(), Identity{"sw0", "p1"}, cfg, at); err == nil || !strings.Contains(err.Error(), "container web ended") {
		t.Errorf("got %v, want that the container ended", err)
	}
	if after := devices(t); after != before {
		t.Errorf("left\n%s\nof what was\n%s", after, before)
	}
}
