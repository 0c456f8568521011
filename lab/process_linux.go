package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/internal/netns"
)

// What a process of a lab finds in its environment. By the first it is found when
// the lab is taken down, wherever it has gone.
const (
	labVar  = "VSWITCH_LAB"
	nodeVar = "VSWITCH_NODE"
)

// LikeNode returns which node may have been meant by a name that none has: see
// [document.DidYouMean].
func (t *Topology) LikeNode(name string) string {
	var names []string
	for _, m := range t.Members {
		names = append(names, m.Name)
	}
	return document.DidYouMean(name, names)
}

// Environment returns that of a process in a node.
func (m *Member) Environment(lab string) []string {
	env := append(os.Environ(), labVar+"="+lab, nodeVar+"="+m.Name)
	for name, value := range m.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// Enter moves the calling thread into a node: its network namespace, a mount
// namespace in which /etc has the node's own files and /sys its devices, as `ip
// netns exec` does, and the node's own host name. The thread must be locked, and
// never be unlocked.
func (m *Member) Enter(lab string) error {
	name := lab + "-" + m.Name
	ns, err := netns.Open(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("enter %s: %w", name, err)
	}
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return fmt.Errorf("enter %s: its name: %w", name, err)
	}
	if err := unix.Setns(ns.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", name, err)
	}
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("enter %s: keep mounts apart: %w", name, err)
	}
	// Where /sys cannot be had, programs do without it.
	_ = unix.Unmount("/sys", unix.MNT_DETACH)
	_ = unix.Mount(name, "/sys", "sysfs", 0, "")
	files, _ := filepath.Glob(filepath.Join(etcNetns, name, "*"))
	for _, file := range files {
		etc := filepath.Join("/etc", filepath.Base(file))
		if err := unix.Mount(file, etc, "none", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("enter %s: %s in place of %s: %w", name, file, etc, err)
		}
	}
	return nil
}

// command returns a program that is to run in a node, in the folder of the lab's
// file, if that is there; start starts it.
func (m *Member) command(ctx context.Context, t *Topology, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = m.Environment(t.Name)
	if info, err := os.Stat(t.dir); err == nil && info.IsDir() {
		cmd.Dir = t.dir
	}
	cmd.WaitDelay = time.Second
	return cmd
}

// start starts a program in a node.
func (m *Member) start(lab string, cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		// Never unlocked: the thread cannot go back, and dies.
		runtime.LockOSThread()
		err := m.Enter(lab)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// in calls a function on a thread in the node's network namespace.
func (m *Member) in(lab string, fn func() error) error {
	ns, err := netns.Open(lab + "-" + m.Name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(fn)
}

// output runs a program in a node to its end and returns what it printed. A
// program that cannot be run at all is an error; one that fails has its code.
func (m *Member) output(ctx context.Context, t *Topology, args []string) (out string, code int, err error) {
	cmd := m.command(ctx, t, args)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := m.start(t.Name, cmd); err != nil {
		return "", 0, refused("%s: %v", m.Name, err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return b.String(), 0, ctx.Err()
	}
	if err != nil && !errors.As(err, &exit) {
		return b.String(), 0, err
	}
	return b.String(), cmd.ProcessState.ExitCode(), nil
}

// runAtStart runs a command of the file's exec.
func (mgr *Manager) runAtStart(ctx context.Context, t *Topology, m *Member, c Command) error {
	out, code, err := m.output(ctx, t, c.Args)
	if err == nil && code != 0 {
		err = refused("%s: the command %q has failed (exit %d):\n%s", m.Name, c, code, strings.TrimSpace(out))
	}
	return err
}

// patience is how long processes have to end before they are killed.
const patience = 3 * time.Second

// endProcesses ends all processes of some nodes, and with whole those of the lab
// that belong to no node.
func endProcesses(ctx context.Context, lab string, nodes []string, whole bool) error {
	own, _ := netns.Identify("/proc/thread-self/ns/net")
	spaces := processSpaces{named: make(map[netns.ID]bool), marked: map[netns.ID]bool{own: true}}
	for _, node := range nodes {
		if id, ok := netns.Identify(filepath.Join(netns.Dir, lab+"-"+node)); ok {
			spaces.named[id] = true
		}
	}
	if s, err := loadState(lab); err == nil {
		for _, id := range s.Namespaces {
			spaces.marked[id] = true
		}
	}
	signal := syscall.SIGTERM
	for deadline := time.Now().Add(patience); ; {
		left := processes(lab, nodes, spaces, whole)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, signal) // it may have ended
		}
		if signal == syscall.SIGKILL && time.Now().After(deadline.Add(patience)) {
			return refused("processes of lab %s do not end: %v", lab, left)
		}
		signal = 0
		if time.Now().After(deadline) {
			signal = syscall.SIGKILL
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// processSpaces are the network namespaces in which processes of a lab may be.
type processSpaces struct {
	named  map[netns.ID]bool // of nodes: all in them are
	marked map[netns.ID]bool // ours, and those that lost their names: those are that bear the lab's
}

// processes finds those of some nodes, or of the whole lab. In any other namespace,
// a container's, there may be a lab of the same name.
func processes(lab string, nodes []string, spaces processSpaces, whole bool) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		id, ok := netns.Identify(fmt.Sprintf("/proc/%d/ns/net", pid))
		if ok && spaces.named[id] {
			pids = append(pids, pid)
			continue
		}
		if !ok || !spaces.marked[id] {
			continue
		}
		words := environment(pid)
		ofNode := func(node string) bool { return slices.Contains(words, nodeVar+"="+node) }
		if slices.Contains(words, labVar+"="+lab) && (whole || slices.ContainsFunc(nodes, ofNode)) && !dead(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// environment returns that of a process; none where there is no such process.
func environment(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// bears reports whether a process bears the name of a lab.
func bears(pid int, lab string) bool { return slices.Contains(environment(pid), labVar+"="+lab) }

// dead reports whether a process has ended, and waits for its parent alone.
func dead(pid int) bool {
	fields := stat(pid)
	return len(fields) == 0 || fields[0] == "Z" || fields[0] == "X"
}
