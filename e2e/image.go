package e2e

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
	version := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	order, files, err := modulesWithDependencies(filepath.Join(dir, "lib", "modules", version), guestModules)
	if err != nil {
		return "", "", err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", "", err
	}
	var c cpio
	for _, d := range []string{"bin", "dev", "proc", "sys", "etc", "tmp", "run", "modules", "root"} {
		c.dir(d)
	}
	c.copy("init", agent)
	c.link("agent", "init")
	c.copy("bin/busybox", busybox)
	for _, applet := range applets {
		c.link("bin/"+applet, "busybox")
	}
	var list strings.Builder
	for _, name := range order {
		c.copy("modules/"+name+".ko", files[name])
		list.WriteString(name + ".ko\n")
	}
	c.file("modules/order", []byte(list.String()), 0o644)
	out, err := c.finish()
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

// modulesWithDependencies finds modules below root and all that they need, in
// an order to load them in.
func modulesWithDependencies(root string, names []string) (order []string, files map[string]string, err error) {
	files = map[string]string{}
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			files[moduleName(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if name = moduleName(name); name == "" || seen[name] {
			return nil
		}
		seen[name] = true
		path, ok := files[name]
		if !ok {
			return fmt.Errorf("kernel %s has no module %s", filepath.Base(root), name)
		}
		needs, err := moduleNeeds(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, nil, err
		}
	}
	return order, files, nil
}

// moduleName is how the kernel writes a name; files may have a dash.
func moduleName(file string) string { return strings.ReplaceAll(file, "-", "_") }

// moduleNeeds reads what depmod reads: no depmod was run on these files.
func moduleNeeds(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", path, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s has no .modinfo", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for kv := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(kv), "depends="); ok {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// cpio writes an archive in the format "newc", which the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpio struct {
	buf   bytes.Buffer
	inode int
	err   error
}

func (c *cpio) entry(name string, mode uint32, data []byte) {
	c.inode++
	fmt.Fprintf(&c.buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.buf.WriteString(name + "\x00")
	c.pad()
	c.buf.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

func (c *cpio) dir(name string)                             { c.entry(name, 0o040755, nil) }
func (c *cpio) link(name, target string)                    { c.entry(name, 0o120777, []byte(target)) }
func (c *cpio) file(name string, data []byte, perms uint32) { c.entry(name, 0o100000|perms, data) }

func (c *cpio) copy(name, path string) {
	data, err := os.ReadFile(path)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.file(name, data, 0o755)
}

func (c *cpio) finish() ([]byte, error) {
	c.entry("TRAILER!!!", 0, nil)
	return c.buf.Bytes(), c.err
}
