package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Addresses of the two stations.
const addressA, addressB = "10.0.0.1", "10.0.0.2"

// link is two stations, and room for what joins them: three namespaces, a
// folder, and the programs that forward. Each station is device eth0 in its
// namespace.
type link struct {
	a, b string // namespaces of the stations
	host string // namespace of what joins them
	dir  string

	forward []*exec.Cmd // programs that forward between them, none for the kernel
	undo    []func()
}

// What namespaces and folders are called, before the number of the process that
// made them.
const prefix, folder = "vsb-", "vswitch-bench-"

var links atomic.Int64

// sweep removes what was left by an earlier run that was killed.
func sweep(ctx context.Context) error {
	spaces, err := filepath.Glob("/run/netns/" + prefix + "*")
	if err != nil {
		return err
	}
	for _, path := range spaces {
		name := filepath.Base(path)
		if !leftover(name, prefix) {
			continue
		}
		left, err := output(ctx, "ip", "netns", "pids", name)
		if err != nil {
			return err
		}
		if left = strings.TrimSpace(left); left != "" {
			return fmt.Errorf("an earlier run was killed and left processes in namespace %s, which would spoil this one: end them, by `kill %s`", name, strings.Join(strings.Fields(left), " "))
		}
		if err := command(ctx, "ip", "netns", "del", name); err != nil {
			return err
		}
	}
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), folder+"*"))
	for _, path := range folders {
		if leftover(filepath.Base(path), folder) {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// leftover reports whether a name is of a run that has ended.
func leftover(name, prefix string) bool {
	var pid int
	_, err := fmt.Sscanf(name, prefix+"%d-", &pid)
	return err == nil && syscall.Kill(pid, 0) != nil
}

func newLink(ctx context.Context) (*link, error) {
	name := fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), links.Add(1))
	l := &link{a: name + "-a", b: name + "-b", host: name + "-h"}
	var err error
	if l.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folder, os.Getpid())); err != nil {
		return nil, err
	}
	l.later(func() { os.RemoveAll(l.dir) })
	for _, ns := range []string{l.a, l.b, l.host} {
		if err := l.namespace(ctx, ns); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// namespace makes one more, which goes with the link.
func (l *link) namespace(ctx context.Context, ns string) error {
	if err := command(ctx, "ip", "netns", "add", ns); err != nil {
		return err
	}
	l.later(func() { command(context.Background(), "ip", "netns", "del", ns) })
	return nil
}

// later does something when the link is closed, before what was said earlier.
func (l *link) later(f func()) { l.undo = append(l.undo, f) }

func (l *link) close() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
}

// path returns a file in the link's folder.
func (l *link) path(name string) string { return filepath.Join(l.dir, name) }

// start starts a program in a namespace, and ends it with the link. Its output
// is in the returned buffer once it has ended.
func (l *link) start(ns string, args ...string) (*exec.Cmd, *strings.Builder, error) {
	cmd := program(ns, args...)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	l.later(func() { end(cmd) })
	return cmd, out, nil
}

// program returns one that is to run in a namespace, with children of its own,
// if it has any, in its process group.
func program(ns string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// forwards is start for a program whose time and memory are measured.
func (l *link) forwards(ns string, args ...string) error {
	cmd, _, err := l.start(ns, args...)
	if err == nil {
		l.forward = append(l.forward, cmd)
	}
	return err
}

// end ends a program, and its children.
func end(cmd *exec.Cmd) {
	if cmd.ProcessState != nil {
		return
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
}

// settle gives both stations their addresses, and waits until they reach each
// other.
func (l *link) settle(ctx context.Context) error {
	for ns, address := range map[string]string{l.a: addressA, l.b: addressB} {
		err := commands(ctx,
			"ip -n "+ns+" addr replace "+address+"/24 dev eth0",
			"ip -n "+ns+" link set dev eth0 up",
		)
		if err != nil {
			return err
		}
	}
	return command(ctx, "ip", "netns", "exec", l.a, "ping", "-q", "-c", "1", "-w", "10", addressB)
}

// cost is what the programs that forward have used so far.
type cost struct {
	seconds float64 // of processor time
	memory  float64 // MiB that are resident now
}

// spent returns the cost; known is false where the kernel forwards.
func (l *link) spent() (c cost, known bool, err error) {
	for _, cmd := range l.forward {
		pid := cmd.Process.Pid
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			return c, false, err
		}
		for _, task := range tasks {
			var nanoseconds float64
			stat, err := os.ReadFile(task)
			if _, e := fmt.Sscan(string(stat), &nanoseconds); err != nil || e != nil {
				continue // the thread has ended
			}
			c.seconds += nanoseconds / 1e9
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return c, false, err
		}
		_, after, _ := strings.Cut(string(status), "VmRSS:")
		var kib float64
		if _, err := fmt.Sscan(after, &kib); err != nil {
			return c, false, err
		}
		c.memory += kib / 1024
	}
	return c, len(l.forward) > 0, nil
}

// received returns how many frames a device in a namespace has received.
func received(ns, device string) (uint64, error) {
	s, err := statistics(ns, device)
	return s.RxPackets, err
}

// receivedBytes returns how many octets it has received.
func receivedBytes(ns, device string) (uint64, error) {
	s, err := statistics(ns, device)
	return s.RxBytes, err
}

func statistics(ns, device string) (netlink.LinkStatistics, error) {
	return inside(ns, func(h *netlink.Handle) (s netlink.LinkStatistics, err error) {
		dev, err := h.LinkByName(device)
		if err != nil {
			return s, err
		}
		return *dev.Attrs().Statistics, nil
	})
}

// inside calls a function with a netlink handle of a namespace.
func inside[T any](ns string, f func(*netlink.Handle) (T, error)) (v T, err error) {
	fd, err := netns.GetFromName(ns)
	if err != nil {
		return v, err
	}
	defer fd.Close()
	h, err := netlink.NewHandleAt(fd)
	if err != nil {
		return v, err
	}
	defer h.Close()
	return f(h)
}

// bound returns a program that ends by itself, or with ctx, or with this one.
func bound(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// command runs a program, with its output in the error.
func command(ctx context.Context, name string, args ...string) error {
	_, err := output(ctx, name, args...)
	return err
}

// output runs a program and returns what it printed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := bound(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// commands runs programs in turn, one a line, until one fails.
func commands(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if err := command(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits, until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// eventually calls try until it succeeds, for ten seconds at most.
func eventually(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
