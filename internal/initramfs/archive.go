// Package initramfs makes the archive that a Linux kernel unpacks into its first
// file system: in the format "newc" (Documentation/driver-api/early-userspace/
// buffer-format.rst), with programs and what they are linked to, and with modules
// and what they need.
package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// Archive is one that is being made. What fails is told by Bytes.
type Archive struct {
	buf  bytes.Buffer
	w    *cpio.Writer
	have map[string]bool
	err  error
}

// New returns an empty archive.
func New() *Archive {
	a := &Archive{have: make(map[string]bool)}
	a.w = cpio.NewWriter(&a.buf)
	return a
}

// add adds an entry, and the folders above it, unless it is there.
func (a *Archive) add(name string, mode cpio.FileMode, data []byte) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if a.err != nil || name == "" || a.have[name] {
		return
	}
	a.Dir(path.Dir(name))
	a.have[name] = true
	header := &cpio.Header{Name: name, Mode: mode, Size: int64(len(data)), Links: 1}
	if mode&cpio.TypeSymlink == cpio.TypeSymlink {
		header.Linkname = string(data)
	}
	if a.err == nil {
		a.err = a.w.WriteHeader(header)
	}
	if a.err == nil {
		_, a.err = a.w.Write(data)
	}
}

// Dir adds a folder.
func (a *Archive) Dir(name string) {
	if name != "." {
		a.add(name, cpio.TypeDir|0o755, nil)
	}
}

// File adds a file that its owner alone may write.
func (a *Archive) File(name string, data []byte) { a.add(name, cpio.TypeReg|0o644, data) }

// Script adds a file that can be run.
func (a *Archive) Script(name string, data []byte) { a.add(name, cpio.TypeReg|0o755, data) }

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) { a.add(name, cpio.TypeSymlink|0o777, []byte(target)) }

// Copy adds a file of this machine.
func (a *Archive) Copy(name, file string) {
	data, err := os.ReadFile(file)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.Script(name, data)
}

// Program adds a program of this machine, and the libraries that it is linked to.
func (a *Archive) Program(name, file string) {
	a.Copy(name, file)
	if a.err == nil && linked(file) {
		a.libraries(file)
	}
}

// linked reports whether a program needs others to run.
func linked(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return false // a script
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}

// libraries adds those that ldd(1) finds, where it finds them.
func (a *Archive) libraries(file string) {
	out, err := exec.Command("ldd", file).Output()
	if err != nil {
		a.err = fmt.Errorf("what %s is linked to: ldd: %w", file, err)
		return
	}
	for line := range strings.Lines(string(out)) {
		for _, word := range strings.Fields(line) {
			if filepath.IsAbs(word) {
				a.Copy(word, word)
			}
		}
	}
}

// Bytes ends the archive and returns it.
func (a *Archive) Bytes() ([]byte, error) {
	if a.err == nil {
		a.err = a.w.Close()
	}
	return a.buf.Bytes(), a.err
}
