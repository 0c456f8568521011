package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Container is a podman container without a network of its own, whose root is
// a busybox. It is a [Place].
type Container struct {
	Name string
	ID   string
	h    *Host
	pid  int // 0: not asked for since the last start
}

// Container starts a container that does nothing. Its name needs to be unique
// on this host only: podman's state is the host's own.
func (h *Host) Container(name string) *Container {
	h.t.Helper()
	Need(h.t, "podman", "runc", "busybox")
	h.privatePodman()
	root := h.Path(name + ".rootfs")
	h.rootfs(root)
	// Nothing here may ask for more than an unprivileged build machine gives:
	// no raised limits, cgroups without systemd.
	id := h.Run("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--detach", "--name", name,
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none", "--cap-add", "NET_RAW",
		"--cgroup-parent", "/"+runPrefix+runMark(), "--env", markVariable+"="+runMark(), "--rootfs", root, "/bin/sleep", "2147483647")
	c := &Container{Name: name, ID: strings.TrimSpace(id), h: h}
	h.onClose(func() {
		h.try("", "podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "rm", "--force", "--time", "0", name)
	})
	return c
}

// privatePodman gives the host a podman that knows no container of others.
func (h *Host) privatePodman() {
	h.t.Helper()
	store := h.Path("containers")
	if _, err := os.Stat(store); err == nil {
		return
	}
	h.Do(func() error {
		for _, dir := range []string{store, "/var/lib/containers"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		return unix.Mount(store, "/var/lib/containers", "", unix.MS_BIND, "")
	})
	h.onClose(func() {
		h.Do(func() error { return unix.Unmount("/var/lib/containers", unix.MNT_DETACH) })
	})
}

// rootfs makes a root of busybox.
func (h *Host) rootfs(root string) {
	h.t.Helper()
	for _, dir := range []string{"bin", "dev", "proc", "sys", "etc", "tmp", "run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	h.Run("cp", h.busybox(), filepath.Join(root, "bin/busybox"))
	for _, applet := range applets {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// applets are busybox's programs that tests may call by name.
var applets = []string{"sh", "cat", "ip", "ping", "ping6", "sleep", "ls", "grep", "echo", "udhcpc", "vconfig", "arping", "ifconfig", "dmesg"}

func (h *Host) busybox() string {
	h.t.Helper()
	return strings.TrimSpace(h.Run("sh", "-c", "command -v busybox"))
}

// Try runs a program in the container, however it ends.
func (c *Container) Try(argv ...string) Result {
	c.h.t.Helper()
	return c.h.try("", c.exec(argv)...)
}

// Run runs a program in the container, which must succeed.
func (c *Container) Run(argv ...string) string {
	c.h.t.Helper()
	return must(c.h.t, "in container "+c.Name, argv, c.Try(argv...))
}

func (c *Container) exec(argv []string) []string {
	return append([]string{"podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "exec", c.Name}, argv...)
}

// Agent starts the agent in the container's network namespace: what it looks at
// is the container's stack, and podman takes a while for each program.
func (c *Container) Agent(args ...string) Running {
	c.h.t.Helper()
	return c.h.launch(fmt.Sprintf("/proc/%d/ns/net", c.Pid()), append([]string{agentPath(c.h.t)}, args...)...)
}

// Pid returns the ID of the container's first process.
func (c *Container) Pid() int {
	c.h.t.Helper()
	if c.pid == 0 {
		out := c.h.Run("podman", "inspect", "--format", "{{.State.Pid}}", c.Name)
		pid, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil || pid == 0 {
			c.h.t.Fatalf("podman says that the process of container %s is %q", c.Name, out)
		}
		c.pid = pid
	}
	return c.pid
}

// Restart stops the container and starts it again.
func (c *Container) Restart() {
	c.h.t.Helper()
	c.Stop()
	c.Start()
}

// Stop stops the container; its namespace ends.
func (c *Container) Stop() {
	c.h.t.Helper()
	c.pid = 0
	c.h.Run("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "stop", "--time", "0", c.Name)
}

// Start starts a container that was stopped.
func (c *Container) Start() {
	c.h.t.Helper()
	c.h.Run("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "start", c.Name)
}

// Ping waits until an address answers to the container.
func (c *Container) Ping(addr string) {
	c.h.t.Helper()
	c.h.Eventually(0, func() error {
		return asError("ping from container "+c.Name, c.Try("ping", "-c", "1", "-W", "1", addr))
	})
}

func (c *Container) String() string { return "container " + c.Name }
