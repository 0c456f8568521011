package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api/client"
)

// TB is what a lab needs of a test: a *testing.T is one.
type TB interface {
	Helper()
	Name() string
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
}

// DaemonVar is the environment variable that names the vswitchd for labs of
// tests, where it is not in $PATH.
const DaemonVar = "VSWITCHD"

// TestLab is a lab of a test of some program: a network for it to run in. It has
// a daemon of its own, and goes with the test. What goes wrong with it ends the
// test.
//
// Settings are written as in a lab's file: "ip: 10.0.0.1/24", "access: 10".
type TestLab struct {
	t     TB
	nodes []string
	links []string

	topology *Topology
	manager  *Manager
}

// New begins a lab for a test, which needs root and a vswitchd. Its name is made
// of the test's.
func New(t TB) *TestLab { return &TestLab{t: t} }

// Node adds a node of any kind, with settings.
func (l *TestLab) Node(name string, settings ...string) *TestLab {
	l.nodes = append(l.nodes, fmt.Sprintf("  %q: {%s}\n", name, strings.Join(settings, ", ")))
	return l
}

// Host adds a network namespace, with settings such as "ip: 10.0.0.1/24".
func (l *TestLab) Host(name string, settings ...string) *TestLab { return l.Node(name, settings...) }

// Router adds a host that forwards.
func (l *TestLab) Router(name string, settings ...string) *TestLab {
	return l.Node(name, append([]string{"kind: router"}, settings...)...)
}

// Switch adds a switch, with settings such as "ageing: 60".
func (l *TestLab) Switch(name string, settings ...string) *TestLab {
	return l.Node(name, append([]string{"kind: switch"}, settings...)...)
}

// Link joins two ends, such as "h1:eth0" and "sw1:p1", with settings such as
// "access: 10" or "impair: {delay: 20ms}".
func (l *TestLab) Link(near, far string, settings ...string) *TestLab {
	l.links = append(l.links, fmt.Sprintf("  - {%s}\n", strings.Join(append([]string{fmt.Sprintf("endpoints: [%q, %q]", near, far)}, settings...), ", ")))
	return l
}

// Up builds the lab.
func (l *TestLab) Up() *TestLab {
	l.t.Helper()
	text := "name: " + hashed("t", l.t.Name(), fmt.Sprint(os.Getpid())) + "\nnodes:\n" + strings.Join(l.nodes, "")
	if len(l.links) > 0 {
		text += "links:\n" + strings.Join(l.links, "")
	}
	t, err := Read("the lab of "+l.t.Name(), []byte(text))
	if err != nil {
		l.t.Fatalf("%v", err)
		return l
	}
	l.topology = t
	cl := l.start()
	l.manager = NewManager(Config{Client: cl, Guest: vsctlBeside(daemonOf())})
	l.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := l.manager.Down(ctx, t.Name); err != nil {
			l.t.Errorf("take the lab down: %v", err)
		}
	})
	if err := l.manager.Up(context.Background(), t, l.t.Name(), []byte(text)); err != nil {
		l.t.Fatalf("build the lab: %v", err)
	}
	return l
}

// daemonOf returns the vswitchd for labs of tests; "": there is none.
func daemonOf() string {
	if daemon := os.Getenv(DaemonVar); daemon != "" {
		return daemon
	}
	daemon, err := exec.LookPath("vswitchd")
	if err != nil {
		return ""
	}
	return daemon
}

// vsctlBeside returns the vsctl that guests of virtual machines get: the one beside
// the daemon, or in $PATH.
func vsctlBeside(daemon string) string {
	path := filepath.Join(filepath.Dir(daemon), "vsctl")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath("vsctl")
	if err != nil {
		return "vsctl" // and who needs it says that it is missing
	}
	return path
}

// start starts a daemon, which ends with the test.
func (l *TestLab) start() *client.Client {
	l.t.Helper()
	daemon := daemonOf()
	if daemon == "" {
		l.t.Fatalf("no vswitchd is in $PATH, and $%s names none", DaemonVar)
	}
	// A test's own folder may have a longer name than a socket can.
	dir, err := os.MkdirTemp("", "vslab-")
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(daemon, "--socket", socket, "--state-dir", filepath.Join(dir, "state"))
	log := new(strings.Builder)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		l.t.Fatalf("start the daemon: %v", err)
	}
	cl := client.New(client.Config{Socket: socket, Timeout: time.Minute, Patience: 10 * time.Second})
	l.t.Cleanup(func() {
		cl.Close()
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); err != nil {
			l.t.Errorf("the daemon of the lab: %v\n%s", err, log)
		}
		_ = os.RemoveAll(dir)
	})
	return cl
}

// Command returns a program that is to run in a host or router; its methods do
// what those of an [exec.Cmd] do.
func (l *TestLab) Command(node string, args ...string) *Program {
	l.t.Helper()
	m := l.host(node)
	return &Program{Cmd: m.command(context.Background(), l.topology, args), member: m, lab: l.topology.Name}
}

// host returns the host or router of that name.
func (l *TestLab) host(node string) *Member {
	l.t.Helper()
	m := l.topology.Member(node)
	if m == nil || !m.hasNamespace() {
		l.t.Fatalf("the lab has no host or router %q%s", node, l.topology.LikeNode(node))
	}
	return m
}

// Run runs a program in a host or router, which must succeed, and returns what it
// printed.
func (l *TestLab) Run(node string, args ...string) string {
	l.t.Helper()
	out, err := l.Command(node, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %s: %v\n%s", node, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// In calls a function on a thread that is in a node's network namespace: sockets
// that it opens are there. What it starts with go is not.
func (l *TestLab) In(node string, fn func() error) {
	l.t.Helper()
	if err := l.host(node).in(l.topology.Name, fn); err != nil {
		l.t.Fatalf("in %s: %v", node, err)
	}
}

// Ping has a node ping another, or an address, until there is an answer, for some
// seconds at the most.
func (l *TestLab) Ping(from, to string) {
	l.t.Helper()
	l.host(from)
	if _, err := netip.ParseAddr(to); err != nil && l.topology.Member(to) == nil {
		l.t.Fatalf("the lab has no node %q%s", to, l.topology.LikeNode(to))
	}
	step := PingStep{From: from, To: to}
	reason, err := step.take(context.Background(), l.topology)
	if err != nil || reason != "" {
		l.t.Fatalf("%s pings %s: %s%v", from, to, reason, errorOrNothing(err))
	}
}

func errorOrNothing(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// LinkDown takes the link at an end down: what is at the other end loses its
// carrier.
func (l *TestLab) LinkDown(end string) { l.t.Helper(); l.setLink(end, true) }

// LinkUp takes it up again.
func (l *TestLab) LinkUp(end string) { l.t.Helper(); l.setLink(end, false) }

func (l *TestLab) setLink(end string, down bool) {
	l.t.Helper()
	e, err := l.topology.End(end)
	if err == nil {
		err = l.manager.SetLink(context.Background(), l.topology, e, down)
	}
	if err != nil {
		l.t.Fatalf("set the link at %s: %v", end, err)
	}
}

// Name returns the lab's name: the namespace of a node is NAME-NODE.
func (l *TestLab) Name() string { return l.topology.Name }

// Program is a program in a node.
type Program struct {
	*exec.Cmd
	member *Member
	lab    string
}

// Start starts it.
func (p *Program) Start() error { return p.member.start(p.lab, p.Cmd) }

// Run starts it and waits for its end.
func (p *Program) Run() error {
	if err := p.Start(); err != nil {
		return err
	}
	return p.Wait()
}

// CombinedOutput runs it and returns what it printed.
func (p *Program) CombinedOutput() ([]byte, error) {
	var out strings.Builder
	p.Stdout, p.Stderr = &out, &out
	err := p.Run()
	return []byte(out.String()), err
}
