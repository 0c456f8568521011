package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/vswitch/vswitch/internal/initramfs"
	"github.com/vswitch/vswitch/lab/guest"
)

// modules are what guests get of their kernel's, where it has them.
var modules = []string{"virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_rng", "8021q", "af_packet", "button"}

// ownInitrd reports whether the guest has no first file system but ours.
func (m *Machine) ownInitrd() bool { return m.Kernel != "" && m.Initrd == "" && m.Image == "" }

// writeInitrd writes what the guest's kernel unpacks: the initial RAM disk that it
// is given, with ours behind it, or ours alone.
func (m *Machine) writeInitrd(file, kernel, self string) error {
	a := initramfs.New()
	given, err := m.givenInitrd()
	if err != nil {
		return err
	}
	if m.ownInitrd() {
		if err := userland(a); err != nil {
			return err
		}
	}
	if err := m.addGuest(a, kernel, self); err != nil {
		return err
	}
	ours, err := a.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(given, ours...), 0o600)
}

// givenInitrd returns the initial RAM disk that the guest is given, of a length
// that another can follow.
func (m *Machine) givenInitrd() ([]byte, error) {
	if m.Initrd == "" {
		return nil, nil
	}
	given, err := os.ReadFile(m.Initrd)
	if err != nil {
		return nil, err
	}
	return append(given, make([]byte, -len(given)&3)...), nil
}

// addGuest adds what makes the guest as the lab wants it.
func (m *Machine) addGuest(a *initramfs.Archive, kernel, self string) error {
	a.Program(guest.InitPath, self)
	config := m.Guest
	if m.Initrd != "" {
		config.Next = "/init"
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	a.File(guest.ConfigPath, text)
	has, err := initramfs.FindModules(kernel)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range modules {
		if has.Has(name) {
			names = append(names, name)
		}
	}
	a.Modules(guest.ModulesPath, has, names...)
	return nil
}

// userland adds a small system: busybox under all its names.
func userland(a *initramfs.Archive) error {
	path, err := busybox()
	if err != nil {
		return err
	}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"} {
		a.Dir(dir)
	}
	a.Program("bin/busybox", path)
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return fmt.Errorf("what busybox can do: %w", err)
	}
	for _, name := range strings.Fields(string(applets)) {
		a.Link("bin/"+name, "busybox")
	}
	a.File("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.File("etc/group", []byte("root:x:0:\n"))
	a.File("etc/hosts", nil)
	return nil
}

func busybox() (string, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return "", errors.New("busybox is not installed, which a virtual machine with a kernel alone boots into: apt install busybox-static, or say initrd or image")
	}
	return path, nil
}
