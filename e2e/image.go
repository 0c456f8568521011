package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/internal/initramfs"
)

// guestModules are what a guest needs beside what Debian's cloud kernel has
// built in; their dependencies are found.
var guestModules = []string{"virtio_pci", "virtio_net", "virtio_console", "8021q", "vxlan"}

var image struct {
	once           sync.Once
	kernel, initrd string
	err            error
}

// guestImage returns a kernel and an initial RAM disk, which is built once per
// run.
func guestImage(t testing.TB) (kernel, initrd string) {
	t.Helper()
	agent := agentPath(t)
	image.once.Do(func() { image.kernel, image.initrd, image.err = buildImage(agent) })
	if image.err != nil {
		t.Fatal(image.err)
	}
	return image.kernel, image.initrd
}

// guestKernelDir is where scripts/install-deps puts the kernel package's files.
func guestKernelDir() (string, error) {
	if dir := os.Getenv("VSWITCH_GUEST_KERNEL"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "vswitch", "guest-kernel"), err
}

func buildImage(agent string) (kernel, initrd string, err error) {
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
	a.Program("init", agent)
	a.Link("agent", "init")
	a.Program("bin/busybox", busybox)
	for _, applet := range applets {
		a.Link("bin/"+applet, "busybox")
	}
	a.Modules("modules", modules, guestModules...)
	out, err := a.Bytes()
	if err != nil {
		return "", "", err
	}
	run, err := runDir()
	if err != nil {
		return "", "", err
	}
	initrd = filepath.Join(run, "initrd")
	return kernel, initrd, os.WriteFile(initrd, out, 0o600)
}
