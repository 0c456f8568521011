package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/ucred"
)

// ours is a daemon that a lab has started, and that ends with the last one.
type ours struct {
	PID    int    `json:"pid"`
	Began  string `json:"began"` // when, in the kernel's clock: another process may have the number
	Socket string `json:"socket"`
}

// oursPath is where it is noted; there may be one for each socket.
func oursPath(socket string) string { return filepath.Join(Dir, hashed(".d", socket)+".json") }

// logPath is where such a daemon writes.
func logPath(socket string) string { return filepath.Join(Dir, hashed(".d", socket)+".log") }

// statePath is where such a daemon keeps its configuration.
func statePath(socket string) string { return filepath.Join(Dir, hashed(".d", socket)+".state") }

// readOurs returns the daemon at a socket that a lab has started, whether it lives
// or not.
func readOurs(socket string) (o ours, ok bool) {
	text, err := os.ReadFile(oursPath(socket))
	return o, err == nil && json.Unmarshal(text, &o) == nil && o.Began != ""
}

func (o *ours) alive() bool { return began(o.PID) == o.Began && !dead(o.PID) }

// follow finds the process that has taken over from the one that was noted, as after
// an upgrade.
func (o *ours) follow() {
	conn, err := net.Dial("unix", o.Socket)
	if err != nil {
		return
	}
	defer conn.Close()
	pid := int(ucred.Of(conn).Pid)
	if pid == o.PID {
		return // the other one may still be there for a moment
	}
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && slices.Contains(strings.Split(string(words), "\x00"), statePath(o.Socket)) {
		o.PID, o.Began = pid, began(pid)
	}
}

// lockDaemon has one program at a time start or end a daemon. What it starts it
// keeps, as a folder of a lab stands by then.
func lockDaemon(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(Dir, ".daemon.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(10 * time.Millisecond):
			if errors.Is(err, unix.EWOULDBLOCK) {
				continue
			}
		}
		f.Close()
		return nil, fmt.Errorf("lock the daemon of labs: %w", err)
	}
}

// noDaemon reports whether an error says that none answers.
func noDaemon(err error) bool {
	var answered *api.Error
	return errors.As(err, &answered) && answered.Code == api.NoDaemon
}

// ensureDaemon starts a daemon where none answers.
func (m *Manager) ensureDaemon(ctx context.Context) error {
	if _, err := m.client.Version(ctx); err == nil || !noDaemon(err) || m.cfg.Daemon == "" {
		return err
	}
	unlock, err := lockDaemon(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := m.client.Version(ctx); !noDaemon(err) {
		return err // another program has started one meanwhile
	}
	return m.startDaemon(ctx)
}

func (m *Manager) startDaemon(ctx context.Context) error {
	m.tell(Progress{Kind: "daemon", What: "start vswitchd"})
	socket := m.client.Socket()
	logs, err := os.OpenFile(logPath(socket), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := exec.Command(m.cfg.Daemon, "--socket", socket, "--state-dir", statePath(socket))
	cmd.Stderr = logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		return refused("no daemon answers at %s, and none can be started: %v", socket, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	note, err := json.Marshal(ours{cmd.Process.Pid, began(cmd.Process.Pid), socket})
	if err == nil {
		err = os.WriteFile(oursPath(socket), note, 0o600)
	}
	for deadline := time.Now().Add(10 * time.Second); err == nil; {
		if _, err := m.client.Version(ctx); err == nil {
			return nil
		}
		select {
		case end := <-ended:
			err = refused("the daemon that was started has ended (%v): see %s", end, logs.Name())
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				err = refused("the daemon that was started does not answer: see %s", logs.Name())
			}
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = os.Remove(oursPath(socket))
	return err
}

// endDaemon ends a daemon that a lab has started when no lab is left that has it. One
// that has something of somebody's own goes on. One of ours that was killed may have
// left devices, which one that starts takes over, and removes at its end.
func (m *Manager) endDaemon(ctx context.Context) (goesOn bool, err error) {
	unlock, err := lockDaemon(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	o, ok := readOurs(m.client.Socket())
	if !ok {
		return false, nil
	}
	if left, err := notedAt(o.Socket); err != nil || left > 0 {
		return false, err
	}
	o.follow()
	if show, err := m.client.Show(ctx); err == nil && hasOthers(show) {
		return true, nil
	}
	return false, m.endOurs(ctx, o)
}

// hasOthers reports whether a daemon that labs have started has something that is no
// lab's: more than the switch that it begins with, which is empty.
func hasOthers(show api.Overview) bool {
	for _, sw := range show.Switches {
		lab, _, _ := strings.Cut(sw.Name, ".")
		if _, err := loadState(lab); strings.Contains(sw.Name, ".") && err == nil {
			continue
		}
		if sw.Name != api.DefaultSwitch || sw.PortCount > 0 {
			return true
		}
	}
	return false
}

func (m *Manager) endOurs(ctx context.Context, o ours) error {
	if !o.alive() {
		if _, err := m.client.Version(ctx); noDaemon(err) && m.cfg.Daemon != "" {
			if err := m.startDaemon(ctx); err != nil {
				return err
			}
			o, _ = readOurs(o.Socket)
		}
	}
	if o.alive() {
		m.tell(Progress{Kind: "daemon", What: "end vswitchd"})
		_ = syscall.Kill(o.PID, syscall.SIGTERM) // it may have ended this moment
	}
	for deadline := time.Now().Add(10 * time.Second); o.alive(); {
		if time.Now().After(deadline) {
			return refused("vswitchd, process %d, does not end", o.PID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.Join(os.RemoveAll(statePath(o.Socket)), removeIfThere(oursPath(o.Socket)), removeIfThere(logPath(o.Socket)))
}

// began returns when a process began, in ticks since the machine did; "" where
// there is none.
func began(pid int) string {
	fields := stat(pid)
	if len(fields) < 20 {
		return ""
	}
	return fields[19] // starttime, the 22nd of proc(5)
}

// stat returns the fields of /proc/PID/stat from the third on, the state; none
// where there is no such process.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name is in parentheses and may hold anything (proc(5)).
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}
