package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// etcNetns is where ip-netns(8) finds files that stand for those of /etc inside a
// namespace.
const etcNetns = "/etc/netns"

// hosts returns a hosts(5) file with all nodes that have an address.
func (t *Topology) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	for _, m := range t.Members {
		for _, p := range m.prefixes() {
			fmt.Fprintf(&b, "%s %s\n", p.Addr(), m.Name)
		}
	}
	return b.String()
}

// writeHosts makes nodes find each other by name.
func (t *Topology) writeHosts() error {
	file := filepath.Join(folder(t.Name), "hosts")
	if err := os.WriteFile(file, []byte(t.hosts()), 0o644); err != nil {
		return err
	}
	for _, m := range t.Members {
		if !m.hasNamespace() {
			continue
		}
		dir := filepath.Join(etcNetns, t.NetnsName(m))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		link := filepath.Join(dir, "hosts")
		if to, err := os.Readlink(link); err == nil && to == file {
			continue
		}
		if err := errors.Join(removeHosts(t.NetnsName(m)), os.MkdirAll(dir, 0o755), os.Symlink(file, link)); err != nil {
			return err
		}
	}
	return nil
}

// removeHosts takes away what writeHosts has made for a namespace, and leaves
// what somebody else has put beside it.
func removeHosts(name string) error {
	dir := filepath.Join(etcNetns, name)
	link := filepath.Join(dir, "hosts")
	if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, Dir+"/") {
		return nil
	}
	if err := os.Remove(link); err != nil {
		return err
	}
	_ = os.Remove(dir) // unless there is more in it
	return nil
}
