package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/vswitch/vswitch/api"
)

// keeping returns what has to be done so that the programs of a lab run: before
// its ports are changed, and after. Those of nodes that are made anew start again.
func (m *Manager) keeping(w *world, t *Topology, anew anew) (before, after []action) {
	var was []*program
	if w.was != nil {
		was = w.was.programs()
	}
	wanted := t.programs()
	var stay []string
	for _, p := range wanted {
		if slices.ContainsFunc(was, func(o *program) bool { return o.String() == p.String() && o.alike(p) }) && !anew.nodes[p.Member.Name] && !w.rewired(t, p.Member, anew) {
			stay = append(stay, p.String())
		}
	}
	alive := keeperAlive(t.Name)
	if n := len(was) - len(stay); n > 0 && alive {
		before = append(before, action{
			kind: "services",
			what: "stop " + count(n, "service"),
			do:   func(ctx context.Context) error { return ask(ctx, t.Name, question{Keep: stay}) },
			undo: func(ctx context.Context) error { return ask(ctx, t.Name, question{Run: true}) },
		})
	}
	switch n := len(wanted) - len(stay); {
	case len(wanted) == 0 && alive:
		after = append(after, action{kind: "services", what: "end their keeper", do: func(ctx context.Context) error { return m.stopKeeper(ctx, t.Name) }})
	case len(wanted) > 0 && (n > 0 || !alive):
		after = append(after, action{
			kind: "services",
			what: startWords(n),
			do:   func(ctx context.Context) error { return m.startPrograms(ctx, t.Name) },
			undo: func(ctx context.Context) error { return m.undoStart(ctx, t.Name, w) },
		})
	}
	return before, after
}

// startWords says what starts: of a lab whose keeper was killed, it alone.
func startWords(n int) string {
	if n == 0 {
		return "start the keeper of services again"
	}
	return "start " + count(n, "service")
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// rewired reports whether a port that a virtual machine hangs on is made anew, or
// has gone or was made anew by the daemon, as after that was killed: QEMU holds what
// is no port any more.
func (w *world) rewired(t *Topology, m *Member, anew anew) bool {
	if m.Kind != VM {
		return false
	}
	for _, p := range t.ports() {
		if p.station != nil && p.station.Member == m {
			have, stands := w.ports[p.fullName()]
			if !stands || have.State == api.StateLost || anew.ports[p.fullName()] {
				return true
			}
		}
	}
	return false
}

// startPrograms has the lab's keeper run its programs, and starts the keeper where
// it does not run.
func (m *Manager) startPrograms(ctx context.Context, lab string) error {
	if !keeperAlive(lab) {
		if err := m.startKeeper(ctx, lab); err != nil {
			return err
		}
	}
	return ask(ctx, lab, question{Run: true})
}

// undoStart stops what was started for a lab that did not come to be; the programs
// of one that was there go on.
func (m *Manager) undoStart(ctx context.Context, lab string, w *world) error {
	if w.was == nil || len(w.was.programs()) == 0 {
		return m.stopKeeper(ctx, lab)
	}
	return ask(ctx, lab, question{Run: true})
}

// startKeeper starts the keeper of a lab and waits until it can be asked. Programs
// that a keeper has left that was killed are ended first.
func (m *Manager) startKeeper(ctx context.Context, lab string) error {
	if err := endOrphans(ctx, lab); err != nil {
		return err
	}
	ended := make(chan error, 1)
	if len(m.cfg.Keeper) == 0 {
		go func() { ended <- Keep(context.Background(), lab, m.cfg.Guest) }() // until it is asked to end
		return awaitKeeper(ctx, lab, ended, "this process")
	}
	log, err := os.OpenFile(filepath.Join(folder(lab), "keeper.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(m.cfg.Keeper[0], append(slices.Clone(m.cfg.Keeper[1:]), lab)...)
	cmd.Env = append(os.Environ(), labVar+"="+lab)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		return refused("start the keeper of services: %v", err)
	}
	go func() { ended <- cmd.Wait() }()
	return awaitKeeper(ctx, lab, ended, log.Name())
}

func awaitKeeper(ctx context.Context, lab string, ended <-chan error, log string) error {
	for !keeperAlive(lab) {
		select {
		case err := <-ended:
			return refused("the keeper of services has ended (%v): see %s", err, log)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// ask asks the keeper of a lab to do something, and waits until it has.
func ask(ctx context.Context, lab string, q question) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", keeperSocket(lab))
	if err != nil {
		return refused("the keeper of services does not answer: %v", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var r reply
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return fmt.Errorf("ask the keeper of services: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("the keeper of services has gone: %w", err))
	}
	if r.Error != "" {
		return refused("%s", r.Error)
	}
	return nil
}

// keeperOf returns the process that keeps a lab's programs, if it lives.
func keeperOf(lab string) (k ours, alive bool) {
	text, err := os.ReadFile(keeperPath(lab))
	if err != nil || json.Unmarshal(text, &k) != nil || k.Began == "" {
		return k, false
	}
	return k, began(k.PID) == k.Began && !dead(k.PID)
}

func keeperAlive(lab string) bool {
	_, alive := keeperOf(lab)
	return alive
}

// stopKeeper ends the keeper of a lab, and so its programs. One that does not
// answer is killed, and what it leaves is found by other means.
func (m *Manager) stopKeeper(ctx context.Context, lab string) error {
	if k, alive := keeperOf(lab); alive {
		asking, cancel := context.WithTimeout(ctx, 3*patience)
		err := ask(asking, lab, question{End: true})
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if k.PID != os.Getpid() {
			if err := endKeeper(ctx, k, err == nil); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, path := range []string{statusPath(lab), keeperPath(lab), keeperSocket(lab)} {
		errs = append(errs, removeIfThere(path))
	}
	return errors.Join(errs...)
}

// endKeeper waits for the end of a keeper's process.
func endKeeper(ctx context.Context, k ours, asked bool) error {
	deadline := time.Now()
	if asked {
		deadline = deadline.Add(patience)
	}
	for began(k.PID) == k.Began && !dead(k.PID) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(k.PID, syscall.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// endOrphans ends programs whose keeper is gone.
func endOrphans(ctx context.Context, lab string) error {
	left, err := Services(lab)
	if err != nil {
		return nil // nothing is known of any
	}
	for _, s := range left {
		if s.PID == 0 || !bears(s.PID, lab) {
			continue
		}
		for signal := syscall.SIGTERM; !dead(s.PID) && bears(s.PID, lab); signal = syscall.SIGKILL {
			_ = syscall.Kill(-s.PID, signal) // it may have ended
			for deadline := time.Now().Add(patience); !dead(s.PID) && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
