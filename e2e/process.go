package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Result is what a program left behind.
type Result struct {
	Stdout, Stderr string
	Code           int // exit status; 128+N where signal N ended it
}

// Output is what was printed, on either stream.
func (r Result) Output() string { return r.Stdout + r.Stderr }

// Process is a program that runs. Its methods may be called from any goroutine.
type Process struct {
	Argv   []string
	Pid    int
	stdout transcript
	stderr transcript
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
}

// transcript collects output and tells who waits when there is more.
type transcript struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and renewed at each write
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.buf.Write(p)
	if tr.more != nil {
		close(tr.more)
		tr.more = nil
	}
	return len(p), nil
}

func (tr *transcript) read() (string, <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.more == nil {
		tr.more = make(chan struct{})
	}
	return tr.buf.String(), tr.more
}

func (tr *transcript) String() string {
	s, _ := tr.read()
	return s
}

// start runs a program from the host's thread, in the network namespace that
// netns names ("": the host's).
func (h *Host) start(netns string, env []string, argv ...string) (*Process, error) {
	return h.startHolding(netns, env, nil, argv...)
}

// startHolding is start of a program that gets some files, from descriptor 3 on.
func (h *Host) startHolding(netns string, env []string, files []*os.File, argv ...string) (*Process, error) {
	p := &Process{Argv: argv, done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.ExtraFiles = files
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), append([]string{
		markVariable + "=" + runMark(),
		"VSWITCH_SOCKET=" + h.Socket,
		// What the daemon says must not depend on the tester's language.
		"LC_ALL=C.UTF-8",
	}, env...)...)
	p.cmd.Dir = h.dir
	// The host's thread lives until the host is closed, so nobody outlives
	// the test.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// A daemon's child may hold the pipes open after it has ended.
	p.cmd.WaitDelay = 2 * time.Second
	var err error
	if netns == "" {
		err = h.main.do(p.cmd.Start)
	} else {
		err = h.main.in(netns, p.cmd.Start)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(argv, " "), err)
	}
	p.Pid = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait() // the state is looked at by who asks
		close(p.done)
	}()
	return p, nil
}

// launch starts a program that lives at most as long as the host.
func (h *Host) launch(netns string, argv ...string) *Process {
	h.t.Helper()
	p, err := h.start(netns, nil, argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.processes = append(h.processes, p)
	h.mu.Unlock()
	return p
}

// try runs a program to its end.
func (h *Host) try(netns string, argv ...string) Result {
	h.t.Helper()
	p, err := h.start(netns, nil, argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := p.wait(2 * time.Minute)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// Wait waits for the end of p, at most d.
func (p *Process) Wait(t testing.TB, d time.Duration) Result {
	t.Helper()
	r, err := p.wait(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *Process) wait(d time.Duration) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return Result{}, fmt.Errorf("%s: still runs after %v; it said:\n%s%s",
			strings.Join(p.Argv, " "), d, p.stdout.String(), p.stderr.String())
	}
	r := Result{Stdout: p.stdout.String(), Stderr: p.stderr.String(), Code: -1}
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		r.Code = ws.ExitStatus()
		if ws.Signaled() {
			r.Code = 128 + int(ws.Signal())
		}
	}
	return r, nil
}

// Done is closed when p has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether p has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Output returns what p has printed so far.
func (p *Process) Output() string { return p.stdout.String() + p.stderr.String() }

// Expect waits until p has printed text.
func (p *Process) Expect(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		out, moreOut := p.stdout.read()
		diag, moreErr := p.stderr.read()
		if strings.Contains(out, text) || strings.Contains(diag, text) {
			return
		}
		select {
		case <-moreOut:
		case <-moreErr:
		case <-p.done:
			if strings.Contains(p.Output(), text) {
				return
			}
			t.Fatalf("%s ended without saying %q; it said:\n%s", strings.Join(p.Argv, " "), text, p.Output())
		case <-deadline:
			t.Fatalf("%s did not say %q in %v; it said:\n%s", strings.Join(p.Argv, " "), text, Patience, p.Output())
		}
	}
}

// Signal sends s; that p is gone already is no error.
func (p *Process) Signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("signal %d: %v", p.Pid, err))
	}
}

// Kill ends p and its children at once, and waits until p is gone.
func (p *Process) Kill() {
	if p.Running() {
		// The group is gone where p has ended just now.
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
	<-p.done
}
