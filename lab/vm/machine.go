// Package vm runs virtual machines of labs: QEMU by its command line, with cards
// on TAPs that exist. It gives guests their addresses by an initial RAM disk or by
// a seed for cloud-init, whichever they take.
package vm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/lab/guest"
)

// Machine is a virtual machine as it is wanted.
type Machine struct {
	Name   string // for people, and for ps(1)
	Memory string // "256M", "2G"; "": 256M
	CPUs   int    // 0: 1
	Accel  string // KVM or TCG; "": KVM where it works

	Image    string // a disk, which stays as it is
	UserData string // a file for cloud-init

	Kernel string // may be a pattern: then the newest
	Initrd string
	Append string // to the kernel's command line

	Args  []string // of QEMU, behind ours
	Cards []Card
	Guest guest.Config
}

// Card is a network card: a TAP of this machine, and what it is to the guest.
type Card struct {
	TAP string
	MAC string
	MTU int // 0: 1500
}

// How a guest's instructions are run.
const (
	KVM = "kvm"
	TCG = "tcg" // translated, by QEMU alone: slow, and everywhere
)

// architecture is how QEMU is called for the processors of this machine.
type architecture struct{ program, debian, machine, console string }

// The second of them was never tried.
var architectures = map[string]architecture{
	"amd64": {"qemu-system-x86_64", "qemu-system-x86", "q35", "ttyS0"},
	"arm64": {"qemu-system-aarch64", "qemu-system-arm", "virt", "ttyAMA0"},
}

// Check says what of a machine cannot be had here, and where it comes from.
func (m *Machine) Check() error {
	a, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("virtual machines are not known for %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath(a.program); err != nil {
		return fmt.Errorf("%s is not installed: apt install %s", a.program, a.debian)
	}
	if m.Kernel != "" {
		if _, err := m.kernel(); err != nil {
			return err
		}
	}
	for _, file := range []string{m.Image, m.Initrd, m.UserData} {
		if file == "" {
			continue
		}
		if err := readable(file); err != nil {
			return err
		}
	}
	if m.ownInitrd() {
		if _, err := busybox(); err != nil {
			return err
		}
	}
	if m.Accel == KVM {
		if err := kvmWorks(context.Background()); err != nil {
			return fmt.Errorf("KVM does not run guests here (%w): leave accel out, or say tcg", err)
		}
	}
	return nil
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder", file)
	}
	return nil
}

// kernel returns the kernel's file: of those that a pattern matches, the one with
// the highest version.
func (m *Machine) kernel() (string, error) {
	if !strings.ContainsAny(m.Kernel, "*?[") {
		if err := readable(m.Kernel); err != nil {
			return "", fmt.Errorf("%w: name a kernel, such as that of Debian's package linux-image-cloud-%s", err, runtime.GOARCH)
		}
		return m.Kernel, nil
	}
	files, err := filepath.Glob(m.Kernel)
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.Kernel, err)
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no kernel is like %s: name one, such as that of Debian's package linux-image-cloud-%s", m.Kernel, runtime.GOARCH)
	}
	return slices.MaxFunc(files, natural.Compare), nil
}

// Files are those of a machine that runs, all in one folder.
type Files struct {
	Console    string // a socket: the serial console
	ConsoleLog string // what it has said
	Monitor    string // a socket for QMP
	initrd     string
	seed       string // a folder
}

// FilesIn names a machine's files in a folder.
func FilesIn(dir, node string) Files {
	in := func(what string) string { return filepath.Join(dir, node+"."+what) }
	return Files{Console: in("console"), ConsoleLog: in("console.log"), Monitor: in("qmp"), initrd: in("initrd"), seed: in("seed")}
}

// Command returns QEMU as it runs the machine, having made what the guest gets
// its addresses from. self is this program, as a file.
func (m *Machine) Command(ctx context.Context, files Files, self string) (*exec.Cmd, error) {
	a := architectures[runtime.GOARCH]
	program, err := exec.LookPath(a.program)
	if err != nil {
		return nil, m.Check()
	}
	boot, err := m.boot(files, self)
	if err != nil {
		return nil, err
	}
	accel := m.Accel
	if accel == "" {
		accel = TCG
		if kvmWorks(ctx) == nil {
			accel = KVM
		}
	}
	args := []string{
		"-name", escape(m.Name), "-machine", a.machine, "-accel", accel, "-cpu", models[accel],
		"-m", cmp.Or(m.Memory, "256M"), "-smp", strconv.Itoa(max(m.CPUs, 1)),
		"-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci",
		"-chardev", "socket,id=console,server=on,wait=off,path=" + escape(files.Console) + ",logfile=" + escape(files.ConsoleLog) + ",logappend=on",
		"-serial", "chardev:console",
		"-chardev", "socket,id=qmp,server=on,wait=off,path=" + escape(files.Monitor),
		"-mon", "chardev=qmp,mode=control",
	}
	args = append(args, boot...)
	for i, c := range m.Cards {
		card := "virtio-net-pci,romfile=,netdev=" + cardID(i) + ",mac=" + c.MAC
		if c.MTU != 0 {
			card += ",host_mtu=" + strconv.Itoa(c.MTU)
		}
		args = append(args, "-netdev", "tap,id="+cardID(i)+",ifname="+c.TAP+",script=no,downscript=no,vhost=off", "-device", card)
	}
	return exec.CommandContext(ctx, program, append(args, m.Args...)...), nil
}

// models are the processors that guests get, which can all that is possible.
var models = map[string]string{KVM: "host", TCG: "max"}

// cardID is what QEMU calls a card.
func cardID(i int) string { return "n" + strconv.Itoa(i) }

// escape writes a value as QEMU's options take it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// boot returns what the guest boots from.
func (m *Machine) boot(files Files, self string) (args []string, err error) {
	if m.Kernel != "" {
		kernel, err := m.kernel()
		if err != nil {
			return nil, err
		}
		line := "console=" + architectures[runtime.GOARCH].console + " quiet"
		initrd := m.Initrd
		if m.Image == "" {
			line += " rdinit=/" + guest.InitPath
			initrd = files.initrd
			if err := m.writeInitrd(initrd, kernel, self); err != nil {
				return nil, err
			}
		}
		args = append(args, "-kernel", kernel, "-append", strings.TrimSpace(line+" "+m.Append))
		if initrd != "" {
			args = append(args, "-initrd", initrd)
		}
	}
	if m.Image == "" {
		return args, nil
	}
	format, err := imageFormat(m.Image)
	if err != nil {
		return nil, err
	}
	if err := m.writeSeed(files.seed); err != nil {
		return nil, err
	}
	return append(args,
		"-drive", "if=virtio,snapshot=on,format="+format+",file="+escape(m.Image),
		"-drive", "if=virtio,driver=vvfat,read-only=on,label="+seedLabel+",dir="+escape(files.seed)), nil
}

// imageFormat tells a disk's format. QEMU does not like to guess "raw": a guest
// could write what looks like another one.
func imageFormat(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	for format, begins := range map[string]string{"qcow2": "QFI\xfb", "vmdk": "KDMV", "vhdx": "vhdx"} {
		if bytes.Equal(magic, []byte(begins)) {
			return format, nil
		}
	}
	return "raw", nil
}

// kvmWorks tries KVM with a machine that is not started. That the device is there
// does not say that guests run.
func kvmWorks(ctx context.Context) error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a := architectures[runtime.GOARCH]
	cmd := exec.CommandContext(ctx, a.program, "-machine", a.machine, "-accel", KVM, "-cpu", models[KVM], "-nodefaults", "-no-user-config", "-display", "none", "-S", "-qmp", "stdio")
	cmd.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"}{"execute":"quit"}`)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("%s: %w", first, err)
	}
	return nil
}
