package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Modules are those of a kernel.
type Modules struct {
	version string
	files   map[string]string   // by name
	needs   map[string][]string // by name; nil: nobody has listed them
	builtin map[string]bool
}

// FindModules finds the modules of a kernel: below its own folder's neighbour,
// ../lib/modules or ../usr/lib/modules, or /lib/modules. Of a kernel without
// modules there are none.
func FindModules(kernel string) (*Modules, error) {
	m := &Modules{files: make(map[string]string), builtin: make(map[string]bool)}
	if file, err := filepath.EvalSymlinks(kernel); err == nil {
		kernel = file
	}
	version, ok := strings.CutPrefix(filepath.Base(kernel), "vmlinuz-")
	if !ok {
		return m, nil
	}
	m.version = version
	top := filepath.Dir(filepath.Dir(kernel))
	for _, dir := range []string{filepath.Join(top, "lib/modules", version), filepath.Join(top, "usr/lib/modules", version), filepath.Join("/lib/modules", version)} {
		if _, err := os.Stat(dir); err == nil {
			return m, m.read(dir)
		}
	}
	return m, nil
}

// read reads what depmod(8) and the kernel's build have put beside the modules,
// where it is there.
func (m *Modules) read(dir string) error {
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, _ fs.DirEntry, err error) error {
		if name, ok := nameOf(path); ok {
			m.files[name] = path
		}
		return err
	})
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(builtin)) {
		if name, ok := nameOf(strings.TrimSpace(line)); ok {
			m.builtin[name] = true
		}
	}
	return m.readNeeds(filepath.Join(dir, "modules.dep"))
}

// readNeeds reads a list as depmod(8) writes it.
func (m *Modules) readNeeds(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m.needs = make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		of, list, _ := strings.Cut(line, ":")
		name, ok := nameOf(of)
		if !ok {
			continue
		}
		for _, word := range strings.Fields(list) {
			if need, ok := nameOf(word); ok {
				m.needs[name] = append(m.needs[name], need)
			}
		}
	}
	return nil
}

// nameOf returns the name of the module in a file, which may be compressed.
func nameOf(file string) (string, bool) {
	name, _, ok := strings.Cut(filepath.Base(file), ".ko")
	return normal(name), ok
}

// normal is how the kernel writes a module's name; files may have a dash.
func normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Has reports whether the kernel can do what a module does: it has it, or has it
// built in.
func (m *Modules) Has(name string) bool {
	name = normal(name)
	return m.builtin[name] || m.files[name] != ""
}

// needsOf returns what a module needs: as depmod has listed it, or as the module
// says itself.
func (m *Modules) needsOf(name string) ([]string, error) {
	if m.needs != nil {
		return m.needs[name], nil
	}
	f, err := elf.Open(m.files[name])
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", m.files[name], err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s has no .modinfo", m.files[name])
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for kv := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(kv), "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// order returns modules and all that they need, in an order to load them in.
func (m *Modules) order(names []string) (order []string, err error) {
	seen := make(map[string]bool)
	var visit func(name string) error
	visit = func(name string) error {
		name = normal(name)
		if seen[name] || m.builtin[name] {
			return nil
		}
		seen[name] = true
		if m.files[name] == "" {
			return fmt.Errorf("kernel %s has no module %s", m.version, name)
		}
		needs, err := m.needsOf(name)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// Modules adds modules and all that they need to the folder dir, and beside them
// the file "order", which names them in the order to load them in, a line each.
func (a *Archive) Modules(dir string, m *Modules, names ...string) {
	order, err := m.order(names)
	if err != nil && a.err == nil {
		a.err = err
		return
	}
	var list strings.Builder
	for _, name := range order {
		file := filepath.Base(m.files[name])
		a.Copy(dir+"/"+file, m.files[name])
		list.WriteString(file + "\n")
	}
	a.File(dir+"/order", []byte(list.String()))
}
