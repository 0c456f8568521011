package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// NIC is a guest's network card: a TAP of the host and the guest's address.
type NIC struct {
	Tap    string
	MAC    string
	Queues int // 0: 1
}

// Guest is a virtual machine: Debian's cloud kernel under QEMU without
// acceleration, busybox, and the agent as process 1. It is a [Place].
type Guest struct {
	h    *Host
	name string
	qemu *Process
	conn net.Conn

	mu      sync.Mutex
	lastID  int
	waiting map[int]chan Result
	err     error // why no more replies come
}

// bootTime bounds a guest's boot: some seconds, or many on a loaded machine.
const bootTime = 90 * time.Second

// Guest boots a machine with these cards (eth0, eth1, ...) and waits until it
// is up. Each TAP must exist.
func (h *Host) Guest(name string, nics ...NIC) *Guest {
	h.t.Helper()
	g := h.BootGuest(name, nics...)
	g.AwaitUp()
	return g
}

// BootGuest boots a machine and does not wait; [Guest.AwaitUp] does.
func (h *Host) BootGuest(name string, nics ...NIC) *Guest {
	h.t.Helper()
	return h.bootGuest(&plainImage, name, nics...)
}

// SwitchGuest boots a machine that has vswitchd and vsctl, and waits until it is up.
func (h *Host) SwitchGuest(name string) *Guest {
	h.t.Helper()
	g := h.bootGuest(&switchImage, name)
	g.AwaitUp()
	return g
}

func (h *Host) bootGuest(of *image, name string, nics ...NIC) *Guest {
	h.t.Helper()
	Need(h.t, "qemu-system-x86_64", "busybox")
	kernel, initrd := of.build(h.t)
	g := &Guest{h: h, name: name, waiting: map[int]chan Result{0: make(chan Result, 1)}}
	socket := h.Path(name + ".agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		h.t.Fatal(err)
	}
	argv := []string{
		"qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off random.trust_cpu=on tsc=reliable",
		"-serial", "file:" + g.consolePath(),
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=" + socket,
		"-device", "virtserialport,chardev=agent,name=agent",
	}
	for i, nic := range nics {
		n := strconv.Itoa(i)
		backend, frontend := "tap,id=n"+n+",script=no,downscript=no,vhost=off,ifname="+nic.Tap, "virtio-net-pci,romfile=,netdev=n"+n
		if nic.MAC != "" {
			frontend += ",mac=" + nic.MAC
		}
		if nic.Queues > 1 {
			backend += ",queues=" + strconv.Itoa(nic.Queues)
			frontend += ",mq=on,vectors=" + strconv.Itoa(2*nic.Queues+2)
		}
		argv = append(argv, "-netdev", backend, "-device", frontend)
	}
	g.qemu = h.Go(argv...)
	h.onClose(func() {
		l.Close()
		g.qemu.Kill()
		if h.t.Failed() {
			h.t.Logf("console of guest %s:\n%s", name, indent(tail(g.Console(), 4<<10)))
		}
	})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			g.fail(err)
			return
		}
		g.mu.Lock()
		g.conn = conn
		g.mu.Unlock()
		g.read(conn)
	}()
	return g
}

func (g *Guest) consolePath() string { return g.h.Path(g.name + ".console") }

// Console returns what the guest's kernel said.
func (g *Guest) Console() string {
	b, _ := os.ReadFile(g.consolePath())
	return string(b)
}

// read hands replies to who waits for them, until the guest is gone.
func (g *Guest) read(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r struct {
			ID int `json:"id"`
			Result
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			g.fail(fmt.Errorf("%w in %q", err, lines.Text()))
			return
		}
		g.mu.Lock()
		ch := g.waiting[r.ID]
		delete(g.waiting, r.ID)
		g.mu.Unlock()
		if ch != nil {
			ch <- r.Result
		}
	}
	g.fail(errors.Join(errors.New("the guest is gone"), lines.Err()))
}

// fail tells all who wait that no reply comes.
func (g *Guest) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	for _, ch := range g.waiting {
		close(ch)
	}
	g.waiting = map[int]chan Result{}
}

// AwaitUp waits until the guest takes commands.
func (g *Guest) AwaitUp() {
	g.h.t.Helper()
	g.mu.Lock()
	ch := g.waiting[0]
	g.mu.Unlock()
	if ch == nil {
		return
	}
	select {
	case _, ok := <-ch:
		if ok {
			return
		}
	case <-g.qemu.Done():
		g.h.t.Fatalf("QEMU ended:\n%s", indent(g.qemu.Output()))
	case <-time.After(bootTime):
	}
	g.h.t.Fatalf("guest %s is not up after %v; its console:\n%s%s", g.name, bootTime, indent(tail(g.Console(), 4<<10)), indent(g.qemu.Output()))
}

// command is a program that runs in a guest.
type command struct {
	g  *Guest
	id int
	ch chan Result
}

// Go starts a program in the guest.
func (g *Guest) Go(argv ...string) Running {
	g.h.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lastID++
	c := &command{g: g, id: g.lastID, ch: make(chan Result, 1)}
	if g.err != nil {
		close(c.ch)
		return c
	}
	g.waiting[c.id] = c.ch
	if err := g.sendLocked(map[string]any{"id": c.id, "argv": argv}); err != nil {
		g.h.t.Fatalf("guest %s: %v", g.name, err)
	}
	return c
}

func (g *Guest) sendLocked(request any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = g.conn.Write(append(b, '\n'))
	return err
}

// End waits for a program in a guest, at most d; then it is killed.
func (c *command) End(d time.Duration) (Result, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case r, ok := <-c.ch:
		if ok {
			return r, nil
		}
		c.g.mu.Lock()
		defer c.g.mu.Unlock()
		return Result{}, fmt.Errorf("guest %s: %w", c.g.name, c.g.err)
	case <-timer.C:
		c.g.mu.Lock()
		defer c.g.mu.Unlock()
		err := c.g.sendLocked(map[string]any{"id": c.id, "kill": true})
		return Result{}, errors.Join(fmt.Errorf("guest %s: command still runs after %v", c.g.name, d), err)
	}
}

// Try runs a shell command in the guest, however it ends.
func (g *Guest) Try(script string) Result {
	g.h.t.Helper()
	r, err := g.Go("/bin/sh", "-c", script).End(time.Minute)
	if err != nil {
		g.h.t.Fatal(err)
	}
	return r
}

// Run runs a shell command in the guest, which must succeed.
func (g *Guest) Run(script string) string {
	g.h.t.Helper()
	return must(g.h.t, "in guest "+g.name, []string{script}, g.Try(script))
}

// Ping waits until an address answers to the guest.
func (g *Guest) Ping(addr string) {
	g.h.t.Helper()
	g.h.Eventually(2*Patience, func() error {
		return asError("ping from guest "+g.name, g.Try("ping -c 1 -W 1 "+addr))
	})
}

// Kill takes the guest away without warning.
func (g *Guest) Kill() { g.qemu.Kill() }

// Agent starts the agent in the guest.
func (g *Guest) Agent(args ...string) Running {
	g.h.t.Helper()
	return g.Go(append([]string{"/agent"}, args...)...)
}

func (g *Guest) String() string { return "guest " + g.name }

func asError(what string, r Result) error {
	if r.Code == 0 {
		return nil
	}
	return fmt.Errorf("%s: exit %d\n%s", what, r.Code, indent(r.Output()))
}
