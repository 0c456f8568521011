package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// endAnswering ends the daemon that answers, with SIGTERM, and waits until its socket
// has gone.
func (d *Daemon) endAnswering() {
	d.h.t.Helper()
	if err := syscall.Kill(d.answering(), syscall.SIGTERM); err != nil {
		d.h.t.Fatal(err)
	}
	d.awaitNone()
}

// awaitNone waits until no socket is there.
func (d *Daemon) awaitNone() {
	d.h.t.Helper()
	d.h.Eventually(0, func() error {
		if _, err := os.Stat(d.Socket); err == nil {
			return fmt.Errorf("the socket is still there")
		}
		return nil
	})
}

// TestReloadAtAnyMoment sends SIGHUP while the daemon starts, and just after: it ends
// nobody, and is acted upon as soon as the daemon serves.
func TestReloadAtAnyMoment(t *testing.T) {
	t.Parallel()
	h := NewHost(t)
	a, b := h.Stack("a", "veth", 1), h.Stack("b", "tap", 2)
	h.MustCleanShutdown()
	for i := range 20 {
		after := time.Duration(i) * 5 * time.Millisecond
		p := h.Launch()
		h.Eventually(0, func() error { // it catches signals long since
			_, err := os.Stat(h.Socket)
			return err
		})
		time.Sleep(after)
		p.Signal(syscall.SIGHUP)
		h.Eventually(0, func() error {
			if r := h.TryVS("version"); r.Code != 0 {
				return fmt.Errorf("SIGHUP after %v: %s", after, r.Output())
			}
			if h.answering() == p.Pid {
				return fmt.Errorf("SIGHUP after %v: nobody has taken over", after)
			}
			return nil
		})
		if i == 0 {
			a.Ping(b.Addr("tcp4"))
		}
		h.endAnswering()
		if r := p.Wait(t, Patience); r.Code != 0 {
			t.Errorf("SIGHUP after %v: exit %d: %s", after, r.Code, r.Output())
		}
	}
	h.Start()
	a.Ping(b.Addr("tcp4"))
}

// pty makes a terminal. When master is closed, it hangs up.
func pty(t *testing.T) (master *os.File, path string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

// TestHangup starts the daemon by a shell in a terminal, where SIGHUP is a reload as
// elsewhere, and has that hang up: nobody is left then, but where nohup(1) says so.
func TestHangup(t *testing.T) {
	h := NewHost(t, NoDaemon)
	start := func(shell string) (*Process, *os.File) {
		t.Helper()
		master, path := pty(t)
		h.Wrap = []string{"sh", "-c", `exec setsid --ctty --wait sh -c "$0" sh "$@" <` + path, shell}
		p := h.Launch()
		h.Eventually(0, func() error {
			if r := h.TryVS("version"); r.Code != 0 {
				return fmt.Errorf("%s", r.Output())
			}
			return nil
		})
		return p, master
	}
	reload := func() {
		t.Helper()
		was := h.answering()
		if err := syscall.Kill(was, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		h.Eventually(0, func() error {
			if syscall.Kill(was, 0) == nil {
				return fmt.Errorf("process %d is still there", was)
			}
			return nil
		})
	}
	for _, reloaded := range []bool{false, true} {
		// The shell waits for whom it has started, and for who comes after.
		p, terminal := start(`"$@"; while kill -0 $$; do sleep 1; done 2>/dev/null`)
		h.VS("port", "add", "p", "--tap", "--may-exist")
		if reloaded {
			reload()
		}
		terminal.Close()
		h.awaitNone()
		p.Kill()
		if links := h.Links(); len(links) != 1 {
			t.Errorf("left, reloaded %v: %v", reloaded, links)
		}
		if n := strings.Count(h.Log(), "ending: removing what was made"); n != 1 {
			t.Errorf("reloaded %v: %d have ended:\n%s", reloaded, n, h.Log())
		}
		h.p, h.log = nil, ""
	}

	p, terminal := start(`nohup "$@"`)
	was := h.answering()
	terminal.Close()
	time.Sleep(300 * time.Millisecond) // for what must not happen
	h.VS("show")
	if now := h.answering(); now != was {
		t.Errorf("with nohup, process %d answers in the place of %d", now, was)
	}
	h.endAnswering()
	p.Kill()
	h.p, h.log = nil, ""

	// One that the shell has disowned is left where the terminal is gone, and reloads
	// by who cannot know of that, such as a package.
	p, terminal = start(`set -m; "$@" & while :; do sleep 1; done`)
	was = h.answering()
	terminal.Close()
	p.Wait(t, Patience)
	if err := syscall.Kill(was, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	h.Eventually(0, func() error {
		if r := h.TryVS("version"); r.Code != 0 {
			return fmt.Errorf("nobody answers: %s", r.Output())
		}
		if h.answering() == was {
			return fmt.Errorf("process %d still answers", was)
		}
		return nil
	})
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", h.answering())); string(name) != "vswitchd\n" {
		t.Errorf("the process is called %q: %v", name, err)
	}
	h.endAnswering()
	h.p = nil
}
