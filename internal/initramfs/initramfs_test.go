package initramfs

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

// unpack reads an archive: files with what they hold, links with where they lead.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for r := cpio.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = string(text) + h.Linkname
	}
}

func TestArchive(t *testing.T) {
	a := New()
	a.File("/etc/hosts", []byte("127.0.0.1 localhost\n"))
	a.Link("bin/sh", "busybox")
	a.Dir("etc")
	a.File("etc/hosts", []byte("the second is left out"))
	out, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"etc": "", "etc/hosts": "127.0.0.1 localhost\n", "bin": "", "bin/sh": "busybox"}
	if got := unpack(t, out); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	a = New()
	a.Copy("x", "/no/such/file")
	if _, err := a.Bytes(); err == nil {
		t.Error("a file that is missing is no error")
	}
}

// TestProgramTakesItsLibraries along: one that is linked runs nowhere without.
func TestProgramTakesItsLibraries(t *testing.T) {
	sh, err := exec.LookPath("bash")
	if err != nil || !linked(sh) {
		t.Skip("there is no bash that is linked to libraries")
	}
	a := New()
	a.Program("bin/bash", sh)
	out, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Collect(maps.Keys(unpack(t, out)))
	if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "libc.so") }) {
		t.Errorf("it has no libc: %v", names)
	}
}

// modules writes the folder of a kernel, and returns the kernel's file.
func modules(t *testing.T, dep string, files ...string) string {
	t.Helper()
	top := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("boot/vmlinuz-7", "")
	write("lib/modules/7/modules.builtin", "kernel/net/core/built-in.ko\n")
	if dep != "" {
		write("lib/modules/7/modules.dep", dep)
	}
	for _, f := range files {
		write("lib/modules/7/kernel/"+f, f)
	}
	return filepath.Join(top, "boot/vmlinuz-7")
}

func TestModulesComeInOrder(t *testing.T) {
	m, err := FindModules(modules(t, "kernel/a/net-card.ko.xz: kernel/a/ring.ko kernel/a/bus.ko\nkernel/a/ring.ko: kernel/a/bus.ko\nkernel/a/bus.ko:\n",
		"a/net-card.ko.xz", "a/ring.ko", "a/bus.ko", "a/other.ko"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"net_card": true, "net-card": true, "built_in": true, "none": false} {
		if m.Has(name) != want {
			t.Errorf("Has(%q) is %t, want %t", name, !want, want)
		}
	}
	a := New()
	a.Modules("m", m, "net_card", "built-in")
	out, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got := unpack(t, out); got["m/order"] != "bus.ko\nring.ko\nnet-card.ko.xz\n" || got["m/ring.ko"] != "a/ring.ko" || got["m/other.ko"] != "" {
		t.Errorf("got %q", got)
	}
	a = New()
	a.Modules("m", m, "none")
	if _, err := a.Bytes(); err == nil || !strings.Contains(err.Error(), "kernel 7 has no module none") {
		t.Errorf("a module that is missing: %v", err)
	}
}

// TestKernelWithoutModules has none, which is no error.
func TestKernelWithoutModules(t *testing.T) {
	m, err := FindModules(filepath.Join(t.TempDir(), "bzImage"))
	if err != nil || m.Has("virtio_net") {
		t.Errorf("got %+v, %v", m, err)
	}
}
