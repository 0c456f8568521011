package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vswitch/vswitch/api"
)

// ours is a daemon that a lab has started, and that ends with the last one.
type ours struct {
	PID    int    `json:"pid"`
	Began  string `json:"began"` // when, in the kernel's clock: another process may have the number
	Socket string `json:"socket"`
}

func oursPath() string { return filepath.Join(Dir, ".daemon.json") }

// ensureDaemon starts a daemon where none answers.
func (m *Manager) ensureDaemon(ctx context.Context) error {
	_, err := m.client.Version(ctx)
	var answered *api.Error
	if err == nil || !errors.As(err, &answered) || answered.Code != api.NoDaemon || m.cfg.Daemon == "" {
		return err
	}
	m.tell(Progress{Kind: "daemon", What: "start vswitchd"})
	logs, err := os.OpenFile(filepath.Join(Dir, "vswitchd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := exec.Command(m.cfg.Daemon, "--socket", m.client.Socket())
	cmd.Stderr = logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		return refused("no daemon answers at %s, and none can be started: %v", m.client.Socket(), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	note, err := json.Marshal(ours{cmd.Process.Pid, began(cmd.Process.Pid), m.client.Socket()})
	if err == nil {
		err = os.WriteFile(oursPath(), note, 0o600)
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
	_ = os.Remove(oursPath())
	return err
}

// endDaemon ends a daemon that a lab has started when no lab is left.
func (m *Manager) endDaemon(ctx context.Context) error {
	text, err := os.ReadFile(oursPath())
	var o ours
	if err != nil || json.Unmarshal(text, &o) != nil || o.Socket != m.client.Socket() {
		return nil
	}
	if left, err := noted(); err != nil || len(left) > 0 {
		return err
	}
	defer os.Remove(oursPath())
	if o.Began == "" || began(o.PID) != o.Began {
		return nil // it has ended, or the number is another's
	}
	m.tell(Progress{Kind: "daemon", What: "end vswitchd"})
	if err := syscall.Kill(o.PID, syscall.SIGTERM); err != nil {
		return nil
	}
	for deadline := time.Now().Add(10 * time.Second); began(o.PID) == o.Began && !dead(o.PID); {
		if time.Now().After(deadline) {
			return refused("vswitchd, process %d, does not end", o.PID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
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
