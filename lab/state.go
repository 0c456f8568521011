package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
)

// Dir is where labs that are up are noted, a folder for each. It is the machine's,
// as the names of namespaces are.
const Dir = "/run/vswitch/labs"

// state is what is noted of a lab that is up.
type state struct {
	Name   string    `json:"name"`
	File   string    `json:"file"` // that it was read from
	Text   string    `json:"text"` // of it
	Socket string    `json:"socket"`
	Since  time.Time `json:"since"`

	// Devices are the ports' devices as they were configured, by SWITCH/PORT: one
	// that is another by now, as after a restart of the daemon, lacks what was
	// done to its far end.
	Devices map[string]int `json:"devices"`
	// Lacked is what nodes lacked of the file when all was done, as its commands
	// had taken it.
	Lacked map[string][]string `json:"lacked,omitempty"`
	// Namespaces are the nodes' own. Somebody may remove their names, and what
	// runs in them goes on.
	Namespaces map[string]netns.ID `json:"namespaces"`
}

func folder(lab string) string { return filepath.Join(Dir, lab) }

func loadState(lab string) (*state, error) {
	text, err := os.ReadFile(filepath.Join(folder(lab), "state.json"))
	if err != nil {
		return nil, err
	}
	s := new(state)
	return s, json.Unmarshal(text, s)
}

// save notes a lab, whole or not at all.
func (s *state) save() error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(folder(s.Name), "state.json")
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// noting notes a lab, whose keeper reads that, or again what was noted before.
func (m *Manager) noting(t *Topology, s, was *state) []action {
	a := action{kind: "lab", quiet: true, what: "note the lab", do: func(ctx context.Context) error {
		if _, err := m.client.Version(ctx); err != nil {
			return fmt.Errorf("the daemon has gone meanwhile: %w", err)
		}
		w, err := m.look(ctx, s.Name)
		if err != nil {
			return err
		}
		s.Devices = make(map[string]int)
		for name, p := range w.ports {
			s.Devices[name] = p.Ifindex
		}
		if err := s.noteNamespaces(t); err != nil {
			return err
		}
		return s.save()
	}}
	if was != nil {
		a.undo = func(context.Context) error { return was.save() }
	}
	return []action{a}
}

// noteNamespaces notes which namespaces the nodes have, and what these lack.
func (s *state) noteNamespaces(t *Topology) error {
	s.Lacked, s.Namespaces = make(map[string][]string), make(map[string]netns.ID)
	for _, node := range t.Members {
		if !node.hasNamespace() {
			continue
		}
		if id, ok := netns.Identify(filepath.Join(netns.Dir, t.NetnsName(node))); ok {
			s.Namespaces[node.Name] = id
		}
		lacks, err := node.lacks(t.Name)
		if err != nil {
			return err
		}
		if len(lacks) > 0 {
			s.Lacked[node.Name] = names(lacks)
		}
	}
	return nil
}

// lock takes a lab for one program at a time. It makes its folder.
func lock(lab string) (unlock func(), err error) {
	if err := os.MkdirAll(folder(lab), 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(Dir, "."+lab+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, refused("another program is at work on lab %s: wait until it is done", lab)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock lab %s: %w", lab, err)
	}
	if opened, err := f.Stat(); err == nil {
		if there, err := os.Stat(path); err != nil || !os.SameFile(opened, there) {
			f.Close()
			return lock(lab) // who had it has removed it
		}
	}
	return func() {
		if _, err := os.Stat(folder(lab)); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(path) // the lab is gone, and nothing shall be left
		}
		f.Close()
	}, nil
}

// noted returns the names of the labs that are noted.
func noted() (names []string, err error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() && labForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// notedAt counts the labs whose daemon is at a socket, with those that are being
// built.
func notedAt(socket string) (n int, err error) {
	names, err := noted()
	for _, name := range names {
		if s, err := loadState(name); err != nil || s.Socket == socket {
			n++
		}
	}
	return n, err
}
