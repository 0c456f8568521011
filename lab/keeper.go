package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/lab/guest"
	"github.com/vswitch/vswitch/lab/vm"
)

// A keeper is the process that runs a lab's services and virtual machines: it
// starts and watches them, and starts again those that fail. It is one for each
// lab that has any, in the background, and ends with the lab. Who changes the lab
// asks it over a socket, one question for each connection.

// question is what a keeper is asked to do, in this order.
type question struct {
	Keep []string `json:"keep,omitempty"` // stop all programs but these
	Run  bool     `json:"run,omitempty"`  // run those of the lab as it is noted, and no others
	End  bool     `json:"end,omitempty"`  // stop all, and end
}

// reply says what a keeper could not do.
type reply struct {
	Error string `json:"error,omitempty"`
}

func keeperSocket(lab string) string { return filepath.Join(folder(lab), "keeper") }
func keeperPath(lab string) string   { return filepath.Join(folder(lab), "keeper.json") }

// keeper is what a keeper knows.
type keeper struct {
	lab   string
	guest string // this program, for guests
	end   context.CancelFunc

	asked sync.Mutex // one question at a time

	mu   sync.Mutex
	kept []*kept
}

// kept is a program that is kept. Its status is guarded by the keeper's mu.
type kept struct {
	*program
	status ServiceStatus
	stop   context.CancelFunc
	done   chan struct{} // closed when it is stopped
	first  chan struct{} // closed when it was started, or could not be
}

// Keep keeps the programs of a lab, as it is asked to, until ctx ends or it is asked
// to end. It is what a keeper does. guest is the program that guests of virtual
// machines get, which calls [guest.Main].
func Keep(ctx context.Context, lab, guest string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	k := &keeper{lab: lab, guest: guest, end: stop}
	if err := os.Remove(keeperSocket(lab)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", keeperSocket(lab))
	if err != nil {
		return err
	}
	defer l.Close()
	note, err := json.Marshal(ours{PID: os.Getpid(), Began: began(os.Getpid())})
	if err == nil {
		err = os.WriteFile(keeperPath(lab), note, 0o600)
	}
	if err != nil {
		return err
	}
	go k.serve(ctx, l) // until l is closed
	go trimLogs(ctx, lab)
	<-ctx.Done()
	k.asked.Lock()
	defer k.asked.Unlock()
	k.stopAll(func(*kept) bool { return true })
	return nil
}

func (k *keeper) serve(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var q question
			if json.NewDecoder(conn).Decode(&q) == nil {
				_ = json.NewEncoder(conn).Encode(k.answer(ctx, q)) // who has gone is not told
			}
		}()
	}
}

func (k *keeper) answer(ctx context.Context, q question) (r reply) {
	k.asked.Lock()
	defer k.asked.Unlock()
	switch {
	case q.End:
		k.stopAll(func(*kept) bool { return true })
		k.end()
	case q.Run:
		if err := k.run(ctx); err != nil {
			r.Error = err.Error()
		}
	default:
		k.stopAll(func(one *kept) bool { return !slices.Contains(q.Keep, one.String()) })
	}
	return r
}

// run makes the programs run that the lab has, and no others. The error names one
// that cannot be started at all.
func (k *keeper) run(ctx context.Context) error {
	t, err := Running(k.lab)
	if err != nil {
		return err
	}
	wanted := t.programs()
	k.stopAll(func(one *kept) bool {
		return !slices.ContainsFunc(wanted, func(p *program) bool { return p.String() == one.String() && p.alike(one.program) })
	})
	var fresh []*kept
	k.mu.Lock()
	for _, p := range wanted {
		if slices.ContainsFunc(k.kept, func(one *kept) bool { return one.String() == p.String() }) {
			continue
		}
		one := &kept{program: p, done: make(chan struct{}), first: make(chan struct{})}
		one.status = ServiceStatus{Node: p.Member.Name, Name: p.name, Log: p.log(k.lab)}
		k.kept = append(k.kept, one)
		fresh = append(fresh, one)
	}
	k.mu.Unlock()
	for _, one := range fresh {
		var running context.Context
		running, one.stop = context.WithCancel(ctx)
		go func() {
			defer close(one.done)
			k.keep(running, one)
		}()
	}
	for _, one := range fresh {
		<-one.first
	}
	k.save()
	for _, one := range fresh {
		if s := k.statusOf(one); s.State == Failed && s.PID == 0 && s.Reason != "" {
			return refused("%s cannot be started: %s", one, s.Reason)
		}
	}
	return nil
}

// stopAll stops programs, all at once, and forgets them.
func (k *keeper) stopAll(which func(*kept) bool) {
	k.mu.Lock()
	var stopped []*kept
	k.kept = slices.DeleteFunc(k.kept, func(one *kept) bool {
		if which(one) {
			stopped = append(stopped, one)
			return true
		}
		return false
	})
	k.mu.Unlock()
	for _, one := range stopped {
		one.stop()
	}
	for _, one := range stopped {
		<-one.done
	}
	k.save()
}

func (k *keeper) statusOf(one *kept) ServiceStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return one.status
}

// set notes how a program stands.
func (k *keeper) set(one *kept, change func(*ServiceStatus)) {
	k.mu.Lock()
	change(&one.status)
	one.status.Since = time.Now().Truncate(time.Millisecond)
	k.mu.Unlock()
	k.save()
}

// save writes how programs stand, whole or not at all.
func (k *keeper) save() {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := []ServiceStatus{}
	for _, one := range k.kept {
		all = append(all, one.status)
	}
	text, err := json.Marshal(all)
	path := statusPath(k.lab)
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

// Between two starts of a program that fails, time goes by, and ever more.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 10 * time.Second
	ranLong       = 10 * time.Second // after that, it is as if it had been started first
)

// keep runs one program until ctx ends.
func (k *keeper) keep(ctx context.Context, one *kept) {
	tell := sync.OnceFunc(func() { close(one.first) })
	defer tell()
	pause := shortestPause
	for {
		begin := time.Now()
		code, err := k.runOnce(ctx, one, tell)
		if ctx.Err() != nil {
			return
		}
		again, state := err == nil && one.again(code), Ended
		switch {
		case again:
			state = Waits
		case err != nil || code != 0:
			state = Failed
		}
		k.set(one, func(st *ServiceStatus) {
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
		k.set(one, func(st *ServiceStatus) { st.Restarts++ })
	}
}

// runOnce runs a program until it ends, or ctx does. The error says why it cannot
// be run at all.
func (k *keeper) runOnce(ctx context.Context, one *kept, started func()) (code int, err error) {
	var cmd *exec.Cmd
	file := one.log(k.lab)
	files := vm.FilesIn(folder(k.lab), one.Member.Name)
	if one.machine != nil {
		file = filepath.Join(folder(k.lab), one.Member.Name+".qemu.log")
		if cmd, err = one.machine.Command(ctx, files, k.guest); err != nil {
			return 0, err
		}
		cmd.Env = one.Environment(k.lab)
	} else {
		cmd = one.command(ctx, one.lab, one.service.Command.Args)
		for name, value := range one.service.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	log, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience // then it is killed
	if one.machine != nil {
		return k.runMachine(ctx, one, cmd, files, started)
	}
	if err := one.start(k.lab, cmd); err != nil {
		return 0, err
	}
	k.set(one, func(st *ServiceStatus) { st.State, st.PID = Runs, cmd.Process.Pid })
	started()
	return exitOf(cmd, cmd.Wait())
}

// exitOf returns the exit status of a program that has ended.
func exitOf(cmd *exec.Cmd, err error) (code int, _ error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil // as shells say it
	}
	return cmd.ProcessState.ExitCode(), nil
}

// runMachine runs a virtual machine until it ends, or ctx does.
func (k *keeper) runMachine(ctx context.Context, one *kept, cmd *exec.Cmd, files vm.Files, started func()) (code int, err error) {
	heard, err := listen(files.ConsoleLog)
	if err != nil {
		return 0, err
	}
	said, _ := cmd.Stderr.(*os.File).Seek(0, io.SeekEnd)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	running, ended := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		monitor, err := vm.Dial(running, files)
		if err != nil {
			return // QEMU has ended, or does
		}
		defer monitor.Close()
		state := Boots
		if one.machine.Image != "" {
			state = Runs // of a disk, nobody knows what it says
		}
		k.set(one, func(st *ServiceStatus) { st.State, st.PID, st.Reason = state, cmd.Process.Pid, "" })
		started()
		beside.Go(func() { k.hear(running, one, heard) })
		k.mirror(running, one, monitor)
	})
	code, err = exitOf(cmd, cmd.Wait())
	ended()
	beside.Wait()
	heard.Close()
	if err == nil && code != 0 && k.statusOf(one).PID == 0 {
		text, _ := os.ReadFile(cmd.Stderr.(*os.File).Name())
		return code, fmt.Errorf("QEMU has ended: %s", strings.TrimSpace(string(text[min(int(said), len(text)):])))
	}
	return code, err
}

// listen opens what a console says, from now on.
func listen(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDONLY, 0o644)
	if err == nil {
		_, err = f.Seek(0, io.SeekEnd)
	}
	return f, err
}

// hear waits for what the guest says of itself.
func (k *keeper) hear(ctx context.Context, one *kept, console io.Reader) {
	var line []byte
	for in := bufio.NewReader(console); ctx.Err() == nil; {
		part, err := in.ReadSlice('\n')
		line = append(line, part[:min(len(part), 4096-min(len(line), 4096))]...)
		if err != nil { // so far
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		ready, failed := guest.Heard(one.Member.Name, string(line))
		line = line[:0]
		if ready || failed != "" {
			k.set(one, func(st *ServiceStatus) { st.State, st.Reason = Runs, failed })
			return
		}
	}
}

// mirror gives the machine's cards the carrier that their ports have, until ctx
// ends. A port that is not there has none.
func (k *keeper) mirror(ctx context.Context, one *kept, monitor *vm.Monitor) {
	s, err := loadState(k.lab)
	if err != nil {
		return
	}
	cl := client.New(client.Config{Socket: s.Socket})
	defer cl.Close()
	carriers := make([]bool, len(one.machine.Cards))
	for i := range carriers {
		carriers[i] = true // as QEMU begins
	}
	for ctx.Err() == nil {
		events, err := cl.Events(ctx)
		if err == nil {
			k.setCarriers(ctx, one, monitor, cl, carriers)
			for e, err := range events {
				if err != nil {
					break
				}
				if e.Port != "" && strings.HasPrefix(e.Switch, k.lab+".") {
					k.setCarriers(ctx, one, monitor, cl, carriers)
				}
			}
		}
		k.setCarriers(ctx, one, monitor, cl, carriers)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// setCarriers tells QEMU of the carriers that have changed.
func (k *keeper) setCarriers(ctx context.Context, one *kept, monitor *vm.Monitor, cl *client.Client, carriers []bool) {
	up := make(map[string]bool) // by TAP
	ports, err := cl.Ports(ctx, "")
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		for _, p := range ports {
			up[p.Device] = p.State != api.StateDown
		}
	}
	for i, card := range one.machine.Cards {
		if up[card.TAP] == carriers[i] {
			continue
		}
		if err := monitor.SetLink(ctx, i, up[card.TAP]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: carrier of %s: %v\n", one, card.TAP, err)
			continue
		}
		carriers[i] = up[card.TAP]
	}
}
