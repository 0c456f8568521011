package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/internal/initramfs"
)

// machines is a lab of two virtual machines: one that boots what labs bring, with
// an interface of a VLAN, and one with an initial RAM disk of its own.
const machines = `
name: machines
nodes:
  h1: {ip: 10.0.0.1/24}
  h2: {ip: 10.0.10.2/24}
  vm1:
    kind: vm
    kernel: KERNEL
    memory: 256M
    ip: {eth0: 10.0.0.3/24, eth0.10: 10.0.10.3/24}
    sysctls: {net.ipv4.ip_default_ttl: 99}
    exec: ["echo done >/tmp/by-exec"]
  vm2:
    kind: vm
    kernel: KERNEL
    initrd: initrd
    ip: {lan: 10.0.0.4/24}
    gateway: 10.0.0.1
  sw1: {kind: switch}
links:
  - endpoints: [h1, sw1]
  - endpoints: [h2, sw1]
    access: 10
  - endpoints: [vm1:eth0, sw1:vm1]
    trunk: all
    native: 1
  - endpoints: [vm2:lan, sw1]
tests:
  - ping: {from: h1, to: vm1, within: 10s}
  - ping: {from: h2, to: vm1, within: 10s}
  - ping: {from: h1, to: vm2, within: 10s}
`

// machineLab writes that lab's file, with a kernel, and the initial RAM disk of a
// stranger beside it.
func (h *Host) machineLab(text, init string, modules ...string) string {
	h.t.Helper()
	Need(h.t, "qemu-system-x86_64", "busybox")
	kernel, _ := plainImage.build(h.t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		h.t.Fatal(err)
	}
	has, err := initramfs.FindModules(kernel)
	if err != nil {
		h.t.Fatal(err)
	}
	a := initramfs.New()
	a.Program("bin/busybox", busybox)
	a.Link("bin/sh", "busybox")
	a.Script("init", []byte("#!/bin/sh\n/bin/busybox --install -s /bin\nmkdir -p /proc /sys /dev\nmount -t proc proc /proc\nmount -t devtmpfs dev /dev\nload() { for m in $(cat /modules/order); do insmod /modules/$m; done; }\n"+init))
	a.Modules("modules", has, modules...)
	initrd, err := a.Bytes()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.Path("initrd"), initrd, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return h.lab(strings.ReplaceAll(text, "KERNEL", kernel))
}

// serviceOf returns a program of a lab as it stands.
func (h *Host) serviceOf(lab, name string) (s struct {
	Node, Name, State, Reason string
	PID, Restarts             int
}) {
	h.t.Helper()
	var o struct {
		Services []struct {
			Node, Name, State, Reason string
			PID, Restarts             int
		}
	}
	h.JSON(&o, "lab", "show", lab)
	for _, one := range o.Services {
		if one.Node+"/"+one.Name == name {
			return one
		}
	}
	h.t.Fatalf("lab %s has no %s", lab, name)
	return s
}

// guestSays runs a command on a guest's console and returns when its output has
// what is wanted.
func (h *Host) guestSays(lab, node, command, want string) {
	h.t.Helper()
	h.Eventually(2*Patience, func() error {
		r := h.Try("sh", "-c", fmt.Sprintf("(printf '%%s\\n' '%s'; sleep 1; printf '\\035') | %s --socket %s lab console %s %s", command, vsctlPath(h.t), h.Socket, lab, node))
		if r.Code != 0 || !strings.Contains(r.Stdout, want) {
			return fmt.Errorf("%s says to %q (exit %d):\n%s", node, command, r.Code, r.Output())
		}
		return nil
	})
}

// TestLabMachines boots guests of both kinds, and changes the lab around them.
func TestLabMachines(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	file := h.machineLab(machines, "load\nexec setsid cttyhack sh\n", "virtio_pci", "virtio_net")
	h.VS("lab", "up", file)
	if out := h.VS("lab", "test", "machines"); !strings.Contains(out, "3 of 3") {
		t.Errorf("lab test says:\n%s\nconsole of vm1:\n%s\nof vm2:\n%s", out, h.consoleLog("machines", "vm1"), h.consoleLog("machines", "vm2"))
	}
	for _, node := range []string{"vm1", "vm2"} {
		if s := h.serviceOf("machines", node+"/qemu"); s.State != "runs" || s.Reason != "" {
			t.Errorf("%s: %+v", node, s)
		}
	}
	h.guestSays("machines", "vm1", "cat /tmp/by-exec /proc/sys/net/ipv4/ip_default_ttl; hostname", "done\r\n99\r\nvm1")
	h.guestSays("machines", "vm1", "ping -c1 -w5 h1 && echo reach''ed", "reached")
	h.guestSays("machines", "vm2", "ip route; ip addr show lan", "default via 10.0.0.1 dev lan")

	// The guest sees its carrier go, however it goes, and come.
	for _, x := range []struct{ down, up []string }{
		{[]string{"lab", "link", "down", "machines", "sw1:vm1"}, []string{"lab", "link", "up", "machines", "vm1:eth0"}},
		{[]string{"port", "set", "machines.sw1/vm1", "down"}, []string{"port", "set", "machines.sw1/vm1", "up"}},
	} {
		h.VS(x.down...)
		h.guestSays("machines", "vm1", "ip link show eth0", "NO-CARRIER")
		h.VS(x.up...)
		h.guestSays("machines", "vm1", "cat /sys/class/net/eth0/carrier", "carrier\r\n1\r\n")
	}

	// What changes beside the machines leaves them alone; what changes of one,
	// the other.
	was1, was2 := h.serviceOf("machines", "vm1/qemu"), h.serviceOf("machines", "vm2/qemu")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "  h2:", "  h3: {ip: 10.0.0.9/24}\n  h2:", 1) + "\n"
	more = strings.Replace(more, "links:\n", "links:\n  - endpoints: [h3, sw1]\n", 1)
	h.VS("lab", "apply", h.lab(more))
	if now := h.serviceOf("machines", "vm1/qemu"); now != was1 {
		t.Errorf("a host more: vm1 was %+v, and is %+v", was1, now)
	}
	h.VS("lab", "apply", h.lab(strings.Replace(more, "{lan: 10.0.0.4/24}", "{lan: 10.0.0.5/24}", 1)))
	if now := h.serviceOf("machines", "vm1/qemu"); now != was1 {
		t.Errorf("another address of vm2: vm1 was %+v, and is %+v", was1, now)
	}
	if now := h.serviceOf("machines", "vm2/qemu"); now.PID == was2.PID {
		t.Errorf("another address of vm2: it was %+v, and is %+v", was2, now)
	}
	if out := h.VS("lab", "test", "machines"); !strings.Contains(out, "3 of 3") {
		t.Errorf("lab test says:\n%s", out)
	}

	// One that is killed comes again; one that is powered off does not.
	h.Run("kill", "-9", fmt.Sprint(was1.PID))
	h.Eventually(2*Patience, func() error {
		if s := h.serviceOf("machines", "vm1/qemu"); s.State != "runs" || s.PID == was1.PID {
			return fmt.Errorf("vm1, which was killed, is %+v", s)
		}
		return nil
	})
	h.Try("sh", "-c", fmt.Sprintf("(echo poweroff; sleep 5) | timeout 10 %s --socket %s lab console machines vm1", vsctlPath(t), h.Socket))
	h.Eventually(2*Patience, func() error {
		if s := h.serviceOf("machines", "vm1/qemu"); s.State != "ended" {
			return fmt.Errorf("vm1, which was powered off, is %+v", s)
		}
		return nil
	})
	h.VS("lab", "down", "machines")
	h.noLabs()
	if r := h.Try("pgrep", "-f", "name machines-vm"); r.Code == 0 {
		t.Errorf("a machine still runs: %s", r.Stdout)
	}
}

// consoleLog returns what a guest's console has said.
func (h *Host) consoleLog(lab, node string) string {
	return h.Try("cat", "/run/vswitch/labs/"+lab+"/"+node+".console.log").Stdout
}

// TestLabMachineSeed boots a guest from a disk, which finds beside it what
// cloud-init would read, and has its own disk unchanged at the end.
func TestLabMachineSeed(t *testing.T) {
	t.Parallel() // it waits, and measures nothing
	h := NewHost(t)
	file := h.machineLab(`
name: seed
nodes:
  h1: {ip: 10.0.0.1/24}
  vm1: {kind: vm, image: disk.img, user_data: user, kernel: KERNEL, initrd: initrd, memory: 192M, ip: 10.0.0.3/24, gateway: 10.0.0.1, sysctls: {net.ipv4.ip_forward: 1}}
links: [{endpoints: [h1, vm1], mtu: 1400}]
`, `load
echo "label: $(dd if=/dev/vdb1 bs=1 skip=43 count=11 2>/dev/null)"
mkdir /seed && mount -t vfat /dev/vdb1 /seed && for f in /seed/*; do echo "== $f"; cat $f; done
echo changed >/dev/vda; head -c 8 /dev/vda
ip link set eth0 up; ip link show eth0
echo END; exec sh
`, "virtio_pci", "virtio_net", "virtio_blk", "vfat", "nls_cp437", "nls_ascii")
	for name, text := range map[string]string{"disk.img": strings.Repeat("original", 1<<16), "user": "#cloud-config\npassword: secret\n"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.VS("lab", "up", file)
	h.Eventually(3*Patience, func() error {
		if log := h.consoleLog("seed", "vm1"); !strings.Contains(log, "END") {
			return fmt.Errorf("the console of vm1 has said:\n%s", log)
		}
		return nil
	})
	log := h.consoleLog("seed", "vm1")
	for _, want := range []string{
		"label: CIDATA ", "== /seed/meta-data", "== /seed/network-config", "== /seed/user-data\r\n#cloud-config\r\npassword: secret", "== /seed/vendor-data\r\n#cloud-config",
		`"local-hostname":"vm1"`, `"10.0.0.3/24"`, `"set-name": "eth0"`, `"to": "0.0.0.0/0"`, `"via": "10.0.0.1"`, "net.ipv4.ip_forward = 1", "10.0.0.1 h1", "changed", "mtu 1400",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the guest does not see %q:\n%s", want, log)
		}
	}
	h.VS("lab", "down", "seed")
	h.noLabs()
	if disk, err := os.ReadFile(h.Path("disk.img")); err != nil || string(disk) != strings.Repeat("original", 1<<16) {
		t.Errorf("the disk was changed: %.20q, %v", disk, err)
	}
}

// TestLabMachineThatCannotRun holds that nothing is built for one, and that the
// message says what would help.
func TestLabMachineThatCannotRun(t *testing.T) {
	h := NewHost(t)
	before := h.Snapshot()
	for _, x := range []struct{ settings, want string }{
		{"kernel: /no/such/kernel", "/no/such/kernel: no such file"},
		{"kernel: /no/such/vmlinuz-*", "linux-image-cloud-amd64"},
		{"image: /etc", "/etc is a folder"},
		{"kernel: " + h.Path("kernel") + ", args: [-no-such-option]", "no-such-option: invalid option"},
	} {
		if err := os.WriteFile(h.Path("kernel"), []byte("no kernel"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := h.TryVS("lab", "up", h.lab("name: l\nnodes: {h1: {}, vm1: {kind: vm, "+x.settings+"}}\nlinks: [{endpoints: [h1, vm1]}]\n"))
		if r.Code != 1 || !strings.Contains(r.Stderr, x.want) || !strings.Contains(r.Stderr, "vm1") {
			t.Errorf("%s: exit %d, %q; want %q", x.settings, r.Code, r.Output(), x.want)
		}
		if now := h.Snapshot(); now != before {
			t.Errorf("%s: something is left:\n%s", x.settings, differing(before, now))
		}
		h.noLabs()
	}
	// Where QEMU is missing, its package is named.
	kernel, _ := plainImage.build(t)
	r := h.Try("sh", "-c", fmt.Sprintf("PATH=/nowhere exec %s --socket %s lab up %s", vsctlPath(t), h.Socket, h.lab("name: l\nnodes: {vm1: {kind: vm, kernel: "+kernel+"}}\n")))
	if r.Code != 1 || !strings.Contains(r.Stderr, "apt install qemu-system-x86") {
		t.Errorf("without QEMU: exit %d, %q", r.Code, r.Output())
	}
}
