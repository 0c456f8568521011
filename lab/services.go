package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A keeper is the process that starts a lab's services, watches them, and starts
// again those that fail. It is one for each lab that has any, in the background,
// and ends with the lab.

// ServiceStatus is a service as it stands.
type ServiceStatus struct {
	Node     string    `json:"node"`
	Name     string    `json:"name"`
	State    string    `json:"state"` // one of those below
	PID      int       `json:"pid,omitempty"`
	Exit     int       `json:"exit"` // of the last time that it ended
	Reason   string    `json:"reason,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	Log      string    `json:"log"`
}

// States of a service.
const (
	Runs   = "runs"
	Waits  = "waits" // to be started again
	Ended  = "ended"
	Failed = "failed" // and is not started again
)

func (s ServiceStatus) String() string { return s.Node + "/" + s.Name }

// served is a service of a topology.
type served struct {
	*Member
	name string
	*Service
}

func (s served) String() string { return s.Member.Name + "/" + s.name }

// alike reports whether two services are run in the same way.
func (s served) alike(o served) bool {
	return s.String() == o.String() && slices.Equal(s.Command.Args, o.Command.Args) && s.Restart == o.Restart &&
		maps.Equal(s.Service.Env, o.Service.Env) && maps.Equal(s.Member.Env, o.Member.Env)
}

// services returns all of a lab.
func (t *Topology) services() (all []served) {
	for _, m := range t.Members {
		for _, p := range m.Services {
			all = append(all, served{m, p.Key, p.Value})
		}
	}
	return all
}

func servicesPath(lab string) string { return filepath.Join(folder(lab), "services.json") }
func keeperPath(lab string) string   { return filepath.Join(folder(lab), "keeper.json") }

// Services returns a lab's services as they stand.
func Services(lab string) (all []ServiceStatus, err error) {
	text, err := os.ReadFile(servicesPath(lab))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(text, &all)
}

// startKeeper starts the keeper of a lab and waits until it has started the
// services.
func (m *Manager) startKeeper(ctx context.Context, t *Topology) error {
	if len(m.cfg.Keeper) == 0 {
		return refused("the lab has services, and nothing is configured to keep them")
	}
	log, err := os.OpenFile(filepath.Join(folder(t.Name), "keeper.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(m.cfg.Keeper[0], append(slices.Clone(m.cfg.Keeper[1:]), t.Name)...)
	cmd.Env = append(os.Environ(), labVar+"="+t.Name)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		return refused("start the keeper of services: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if all, err := Services(t.Name); err == nil && all != nil {
			return unstarted(all)
		}
		select {
		case err := <-ended:
			return refused("the keeper of services has ended (%v): see %s", err, log.Name())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// unstarted is an error that names a service that could not be started at all.
func unstarted(all []ServiceStatus) error {
	for _, s := range all {
		if s.State == Failed && s.PID == 0 && s.Reason != "" {
			return refused("the service %s cannot be started: %s", s, s.Reason)
		}
	}
	return nil
}

// stopKeeper ends the keeper of a lab, and so its services.
func stopKeeper(ctx context.Context, lab string) error {
	text, err := os.ReadFile(keeperPath(lab))
	var k ours
	if err != nil || json.Unmarshal(text, &k) != nil || k.Began == "" || began(k.PID) != k.Began {
		return nil // there is none
	}
	_ = syscall.Kill(k.PID, syscall.SIGTERM)
	for deadline := time.Now().Add(2 * patience); began(k.PID) == k.Began && !dead(k.PID); {
		if time.Now().After(deadline) {
			_ = syscall.Kill(k.PID, syscall.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.Join(removeIfThere(servicesPath(lab)), removeIfThere(keeperPath(lab)))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keep runs the services of a lab that is being built, until ctx ends or SIGTERM
// comes. It is what a keeper does.
func Keep(ctx context.Context, t *Topology) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	note, err := json.Marshal(ours{PID: os.Getpid(), Began: began(os.Getpid())})
	if err == nil {
		err = os.WriteFile(keeperPath(t.Name), note, 0o600)
	}
	if err != nil {
		return err
	}
	k := &keeper{t: t, status: make([]ServiceStatus, len(t.services()))}
	var running sync.WaitGroup
	first := make(chan struct{}, len(k.status))
	for i, s := range t.services() {
		k.status[i] = ServiceStatus{Node: s.Member.Name, Name: s.name, Log: filepath.Join(folder(t.Name), fmt.Sprintf("%s.%s.log", s.Member.Name, s.name))}
		running.Go(func() { k.keep(ctx, i, s, first) })
	}
	for range k.status {
		<-first
	}
	k.mu.Lock()
	k.ready = true
	k.mu.Unlock()
	k.save()
	running.Wait()
	return nil
}

// keeper is what a keeper knows.
type keeper struct {
	t *Topology

	mu     sync.Mutex
	ready  bool // every service was started, or could not be
	status []ServiceStatus
}

// set notes how a service stands.
func (k *keeper) set(i int, change func(*ServiceStatus)) {
	k.mu.Lock()
	change(&k.status[i])
	k.status[i].Since = time.Now().Truncate(time.Millisecond)
	ready := k.ready
	k.mu.Unlock()
	if ready {
		k.save()
	}
}

// save writes how services stand, whole or not at all.
func (k *keeper) save() {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err := json.Marshal(k.status)
	path := servicesPath(k.t.Name)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "note how services stand: %v\n", err)
	}
}

// Between two starts of a service that fails, time goes by, and ever more.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 10 * time.Second
	ranLong       = 10 * time.Second // after that, it is as if it had been started first
)

// keep runs one service.
func (k *keeper) keep(ctx context.Context, i int, s served, first chan<- struct{}) {
	told := false
	tell := func() {
		if !told {
			told = true
			first <- struct{}{}
		}
	}
	defer tell()
	pause := shortestPause
	for {
		begin := time.Now()
		code, err := k.runOnce(ctx, i, s, tell)
		if ctx.Err() != nil {
			return
		}
		again := s.Restart == RestartAlways || s.Restart != RestartNo && (code != 0 || err != nil)
		state := Ended
		switch {
		case err != nil:
			again, state = false, Failed // it would fail again
		case again:
			state = Waits
		case code != 0:
			state = Failed
		}
		k.set(i, func(st *ServiceStatus) {
			st.State, st.PID, st.Exit = state, 0, code
			if err != nil {
				st.Reason = err.Error()
			}
		})
		if !again {
			return
		}
		if time.Since(begin) > ranLong {
			pause = shortestPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
		k.set(i, func(st *ServiceStatus) { st.Restarts++ })
	}
}

// runOnce runs a service until it ends, or ctx does.
func (k *keeper) runOnce(ctx context.Context, i int, s served, started func()) (code int, err error) {
	log, err := os.OpenFile(k.status[i].Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := s.command(ctx, k.t.Name, s.Command.Args)
	for name, value := range s.Service.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience // then it is killed
	if err := s.start(k.t.Name, cmd); err != nil {
		return 0, err
	}
	k.set(i, func(st *ServiceStatus) { st.State, st.PID = Runs, cmd.Process.Pid })
	started()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}
