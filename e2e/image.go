package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/internal/initramfs"
)

// guestModules are what a guest needs beside what Debian's cloud kernel has
// built in; their dependencies are found.
var guestModules = []string{"virtio_pci", "virtio_net", "virtio_console", "8021q", "vxlan"}

// switchModules are what a switch in a guest needs beside them.
var switchModules = []string{"tun", "veth", "sch_ingress", "cls_bpf"}

// image is a kernel and an initial RAM disk, which is built once per run.
type image struct {
	once           sync.Once
	kernel, initrd string
	err            error
}

// plainImage is that of a station, switchImage that of a switch.
var plainImage, switchImage image

func (i *image) build(t testing.TB) (kernel, initrd string) {
	t.Helper()
	programs, modules, name := []string{agentPath(t)}, guestModules, "initrd"
	if i == &switchImage {
		programs = append(programs, staticPaths(t)...)
		modules = append(slices.Clone(modules), switchModules...)
		name = "initrd-switch"
	}
	i.once.Do(func() { i.kernel, i.initrd, i.err = buildImage(name, programs, modules) })
	if i.err != nil {
		t.Fatal(i.err)
	}
	return i.kernel, i.initrd
}

// guestKernelDir is where scripts/install-deps puts the kernel package's files.
func guestKernelDir() (string, error) {
	if dir := os.Getenv("VSWITCH_GUEST_KERNEL"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "vswitch", "guest-kernel"), err
}

// buildImage builds an image with these programs, of which the first is process 1.
func buildImage(name string, programs, wanted []string) (kernel, initrd string, err error) {
	dir, err := guestKernelDir()
	if err != nil {
		return "", "", err
	}
	kernels, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if len(kernels) == 0 {
		return "", "", fmt.Errorf("no guest kernel below %s; scripts/install-deps fetches one", dir)
	}
	kernel = kernels[len(kernels)-1]
	modules, err := initramfs.FindModules(kernel)
	if err != nil {
		return "", "", err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", "", err
	}
	a := initramfs.New()
	for _, d := range []string{"bin", "dev", "proc", "sys", "etc", "tmp", "run", "root"} {
		a.Dir(d)
	}
	a.Program("init", programs[0])
	a.Link("agent", "init")
	for _, p := range programs[1:] {
		a.Program("bin/"+filepath.Base(p), p)
	}
	a.Program("bin/busybox", busybox)
	for _, applet := range applets {
		a.Link("bin/"+applet, "busybox")
	}
	a.Modules("modules", modules, wanted...)
	out, err := a.Bytes()
	if err != nil {
		return "", "", err
	}
	run, err := runDir()
	if err != nil {
		return "", "", err
	}
	initrd = filepath.Join(run, name)
	return kernel, initrd, os.WriteFile(initrd, out, 0o600)
}
