package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace on a host. It is a [Place].
type Namespace struct {
	Name string // as vsctl's --netns takes it: NAME, /PATH or pid:N

	h       *Host
	path    string // to open it by, seen from the host
	deleted bool
	users   []*Process
	closers []func()
}

// Namespace makes a namespace as `ip netns add` does.
func (h *Host) Namespace(name string) *Namespace {
	h.t.Helper()
	h.Run("ip", "netns", "add", name)
	return h.namespace(&Namespace{Name: name, path: "/run/netns/" + name})
}

// Quiet makes a namespace whose stack says nothing by itself: no IPv6 on
// devices that come later. For tests that count frames.
func (h *Host) Quiet(name string) *Namespace {
	h.t.Helper()
	ns := h.Namespace(name)
	ns.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	return ns
}

// NamespaceAt makes a namespace that has a path outside /run/netns instead of
// a name.
func (h *Host) NamespaceAt(name string) *Namespace {
	h.t.Helper()
	path := h.Path(name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.Run("unshare", "--net="+path, "true")
	ns := h.namespace(&Namespace{Name: path, path: path})
	h.onClose(func() {
		// Mounted in the host's mount namespace, which ends soon; but the
		// file cannot be removed while it is.
		h.Do(func() error { return unix.Unmount(path, unix.MNT_DETACH) })
	})
	return ns
}

// NamespaceOfProcess starts a process in a namespace that nothing else names;
// killing the process ends the namespace.
func (h *Host) NamespaceOfProcess() (*Namespace, *Process) {
	h.t.Helper()
	p := h.launch("", "unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity")
	p.Expect(h.t, "ready")
	return h.namespace(&Namespace{
		Name: fmt.Sprintf("pid:%d", p.Pid),
		path: fmt.Sprintf("/proc/%d/ns/net", p.Pid),
	}), p
}

func (h *Host) namespace(ns *Namespace) *Namespace {
	ns.h = h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.namespaces = append(h.namespaces, ns)
	return ns
}

// Delete deletes a named namespace: stations in it are closed and processes
// killed first, so that it really ends.
func (ns *Namespace) Delete() {
	ns.h.t.Helper()
	ns.release()
	ns.h.Run("ip", "netns", "del", ns.Name)
}

// release lets go of all that would keep the namespace alive.
func (ns *Namespace) release() {
	for _, fn := range ns.closers {
		fn()
	}
	for _, p := range ns.users {
		p.Kill()
	}
	ns.closers, ns.users, ns.deleted = nil, nil, true
}

// Again makes a deleted namespace anew, with the same name.
func (ns *Namespace) Again() {
	ns.h.t.Helper()
	ns.h.Run("ip", "netns", "add", ns.Name)
	ns.deleted = false
}

// Do runs fn on a thread that is in the namespace.
func (ns *Namespace) Do(fn func() error) {
	ns.h.t.Helper()
	if err := ns.h.main.in(ns.path, fn); err != nil {
		ns.h.t.Fatalf("in namespace %s: %v", ns.Name, err)
	}
}

// Go starts a program in the namespace; it is killed when the test ends.
func (ns *Namespace) Go(argv ...string) *Process {
	ns.h.t.Helper()
	p := ns.h.launch(ns.path, argv...)
	ns.users = append(ns.users, p)
	return p
}

// Try runs a program in the namespace, however it ends.
func (ns *Namespace) Try(argv ...string) Result {
	ns.h.t.Helper()
	return ns.h.try(ns.path, argv...)
}

// Run runs a program in the namespace, which must succeed.
func (ns *Namespace) Run(argv ...string) string {
	ns.h.t.Helper()
	return must(ns.h.t, "in "+ns.Name, argv, ns.Try(argv...))
}

// Try runs a program on the host, however it ends.
func (h *Host) Try(argv ...string) Result {
	h.t.Helper()
	return h.try("", argv...)
}

// Run runs a program on the host, which must succeed.
func (h *Host) Run(argv ...string) string {
	h.t.Helper()
	return must(h.t, "on the host", argv, h.Try(argv...))
}

// Go starts a program on the host; it is killed when the test ends.
func (h *Host) Go(argv ...string) *Process {
	h.t.Helper()
	return h.launch("", argv...)
}

func must(t testing.TB, where string, argv []string, r Result) string {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%s: %s: exit %d\n%s", where, strings.Join(argv, " "), r.Code, indent(r.Output()))
	}
	return r.Stdout
}

// Sysctl sets a value below /proc/sys.
func (ns *Namespace) Sysctl(name, value string) {
	ns.h.t.Helper()
	// The kernel takes the namespace of the thread that asks.
	ns.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0) })
}

// Sysctl sets a value below /proc/sys for the host.
func (h *Host) Sysctl(name, value string) {
	h.t.Helper()
	h.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0) })
}

// Link is a device, as `ip -j -d link` tells.
type Link struct {
	Ifindex   int      `json:"ifindex"`
	IfName    string   `json:"ifname"`
	Flags     []string `json:"flags"`
	MTU       int      `json:"mtu"`
	OperState string   `json:"operstate"`
	Address   string   `json:"address"`
	Alias     string   `json:"ifalias"`
	AltNames  []string `json:"altnames"`
	Master    string   `json:"master"`
	AddrMode  string   `json:"inet6_addr_gen_mode"`
	Promisc   int      `json:"promiscuity"`
	Qdisc     string   `json:"qdisc"`
	Info      struct {
		Kind string `json:"info_kind"`
	} `json:"linkinfo"`
	Addrs []struct {
		Local string `json:"local"`
		Len   int    `json:"prefixlen"`
		Scope string `json:"scope"`
	} `json:"addr_info"`
}

// Links returns the host's devices by name.
func (h *Host) Links() map[string]Link {
	h.t.Helper()
	return h.links("")
}

// Links returns the namespace's devices by name.
func (ns *Namespace) Links() map[string]Link {
	ns.h.t.Helper()
	return ns.h.links(ns.path)
}

func (h *Host) links(netns string) map[string]Link {
	h.t.Helper()
	argv := []string{"ip", "-j", "-d", "addr", "show"}
	out := must(h.t, netns, argv, h.try(netns, argv...))
	var list []Link
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		h.t.Fatalf("ip -j addr: %v in\n%s", err, out)
	}
	links := make(map[string]Link)
	for _, l := range list {
		if l.IfName != "" { // iproute2 prints {} for what a filter hides
			links[l.IfName] = l
		}
	}
	return links
}

// devices describes the devices of a namespace, without what changes by itself.
func (h *Host) devices(netns string) string {
	h.t.Helper()
	var b strings.Builder
	for _, what := range []string{"link", "addr"} {
		argv := []string{"ip", "-o", "-d", what, "show"}
		b.WriteString(must(h.t, netns, argv, h.try(netns, argv...)))
	}
	// Duplicate address detection ends when it likes.
	return strings.NewReplacer(" tentative", "", " optimistic", "").Replace(b.String())
}

// AwaitLink waits until a device of the namespace is there and carries frames.
func (ns *Namespace) AwaitLink(name string) Link {
	ns.h.t.Helper()
	return ns.h.awaitLink(ns.path, ns.Name, name)
}

// AwaitLink waits until a device of the host is there and carries frames.
func (h *Host) AwaitLink(name string) Link {
	h.t.Helper()
	return h.awaitLink("", "the host", name)
}

// awaitLink asks for more than a carrier: when that comes, the kernel gives the
// device its queueing discipline a moment later, and until then drops all that
// is sent. The operational state changes in the same breath.
func (h *Host) awaitLink(netns, place, name string) Link {
	h.t.Helper()
	var l Link
	h.Eventually(0, func() error {
		var ok bool
		if l, ok = h.links(netns)[name]; !ok {
			return fmt.Errorf("%s has no device %s", place, name)
		}
		// A TAP that was made with a carrier never tells its state.
		up := l.OperState == "UP" || l.OperState == "UNKNOWN" && slices.Contains(l.Flags, "LOWER_UP")
		if !up || l.Qdisc == "noop" {
			return fmt.Errorf("device %s of %s is %s %v, queueing %s; want it up", name, place, l.OperState, l.Flags, l.Qdisc)
		}
		return nil
	})
	return l
}

// linkUp sets a device of the calling thread's namespace up.
func linkUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}
