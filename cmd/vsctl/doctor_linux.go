package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// checkMachine tries what the daemon does, each in a way that leaves nothing
// behind.
func checkMachine(ctx context.Context) []finding {
	return []finding{
		checkRights(),
		checkTun(),
		checkPacket(),
		checkBPF(),
		checkVeth(),
		checkDescriptors(),
		checkNamespaces(),
		checkContainers(ctx),
	}
}

// trouble is a finding about err: what is not allowed says nothing of the
// machine when it is not root who asks.
func trouble(check, what string, err error, mend string) finding {
	f := finding{check, failed, fmt.Sprintf("%s: %v", what, err), mend}
	if (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) && os.Geteuid() != 0 {
		f.State, f.Mend = warned, "run vsctl doctor as root to look at this"
	}
	return f
}

// checkRights looks for the capabilities in /proc/self/status (proc(5)).
func checkRights() finding {
	f := finding{Check: "rights", State: okay, Detail: "may administer networks, open packet sockets and enter namespaces"}
	needed := []struct {
		bit  uint
		name string
	}{
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{unix.CAP_NET_RAW, "CAP_NET_RAW"},
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
		{unix.CAP_NET_BROADCAST, "CAP_NET_BROADCAST"}, // to hear of devices in all namespaces
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return finding{f.Check, warned, err.Error(), "mount /proc"}
	}
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	have, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	if err != nil {
		return finding{f.Check, warned, "/proc/self/status does not tell the capabilities", ""}
	}
	var missing []string
	for _, c := range needed {
		if have>>c.bit&1 == 0 {
			missing = append(missing, c.name)
		}
	}
	switch {
	case len(missing) > 0 && os.Geteuid() == 0:
		f.State, f.Detail = failed, "root, but without "+strings.Join(missing, ", ")
		f.Mend = "give the container or unit these capabilities"
	case len(missing) > 0:
		f.State, f.Detail = warned, "without "+strings.Join(missing, ", ")+", which the daemon needs"
		f.Mend = "run the daemon, and vsctl doctor, as root; or give both these capabilities"
	}
	return f
}

// checkTun opens the device that makes TAPs, and asks for what the switch uses
// of it (linux/if_tun.h).
func checkTun() finding {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		mend := "modprobe tun"
		if errors.Is(err, fs.ErrNotExist) {
			mend = "modprobe tun; in a container, mkdir -p /dev/net && mknod /dev/net/tun c 10 200, or give it --device /dev/net/tun"
		}
		return trouble("tun", "open "+path, err, mend)
	}
	defer unix.Close(fd)
	features, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil {
		return trouble("tun", "ask "+path+" for its features", err, "use a kernel with CONFIG_TUN")
	}
	if want := uint32(unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE); features&want != want {
		return finding{"tun", failed, "TAPs have no vnet header or no queues here", "use Linux 5.10 or later"}
	}
	return finding{"tun", okay, path + " makes TAPs with vnet headers", ""}
}

// checkPacket opens a packet socket that receives nothing (protocol 0), and
// sets the options that keep offloads and tags beside the frame (packet(7)).
func checkPacket() finding {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return trouble("packet", "open a packet socket", err, "modprobe af_packet, and run as root or with CAP_NET_RAW")
	}
	defer unix.Close(fd)
	for _, o := range []struct {
		option int
		name   string
	}{
		{unix.PACKET_VNET_HDR, "PACKET_VNET_HDR"},
		{unix.PACKET_AUXDATA, "PACKET_AUXDATA"},
		{unix.PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING"},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.option, 1); err != nil {
			return trouble("packet", "set "+o.name, err, "use Linux 5.10 or later")
		}
	}
	return finding{"packet", okay, "packet sockets carry vnet headers and tags", ""}
}

// checkBPF loads a program like the one that keeps the host's stack from a
// port's frames, and attaches it to nothing.
func checkBPF() finding {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SchedCLS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // TC_ACT_SHOT
		License:      "GPL",
	})
	if err != nil {
		return trouble("bpf", "load a TC program", err, "use a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF; on one older than 5.11, raise the limit of locked memory")
	}
	prog.Close()
	return finding{"bpf", okay, "TC programs load", ""}
}

// checkVeth makes a pair, with a TC hook, in a namespace that vanishes with its
// thread.
func checkVeth() finding {
	result := make(chan finding, 1)
	go func() {
		// Never unlocked: the thread ends here, and its namespace with it.
		runtime.LockOSThread()
		result <- tryVeth()
	}()
	return <-result
}

func tryVeth() finding {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return trouble("veth", "make a network namespace", err, "run as root, with CAP_SYS_ADMIN")
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "doctor0"
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "doctor1"}
	if err := netlink.LinkAdd(pair); err != nil {
		return trouble("veth", "make a veth pair", err, "modprobe veth")
	}
	hook := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: pair.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(hook); err != nil {
		return trouble("veth", "make a TC hook", err, "modprobe sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS")
	}
	return finding{"veth", okay, "namespaces, veth pairs and TC hooks can be made", ""}
}

// checkDescriptors judges the hard limit: the daemon raises its own up to that.
func checkDescriptors() finding {
	const comfortable = 8192 // two for each of 1,100 ports, and for clients
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return trouble("descriptors", "ask for the limit", err, "")
	}
	if lim.Max < comfortable {
		return finding{"descriptors", warned, fmt.Sprintf("%d at the most, of which a port takes two", lim.Max),
			fmt.Sprintf("ulimit -Hn %d, or LimitNOFILE=%d in the unit", comfortable, comfortable)}
	}
	return finding{"descriptors", okay, fmt.Sprintf("%d at the most", lim.Max), ""}
}

// checkNamespaces looks for the folder of named namespaces (ip-netns(8)).
func checkNamespaces() finding {
	const dir = "/run/netns"
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{"netns", okay, dir + " is not there yet: ip netns add makes it", ""}
	case err != nil:
		return trouble("netns", "look at "+dir, err, "")
	case !st.IsDir():
		return finding{"netns", failed, dir + " is no folder", "move it away: ip netns add makes a folder there"}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return trouble("netns", "read "+dir, err, "")
	}
	return finding{"netns", okay, fmt.Sprintf("%s has %d named namespaces", dir, len(names)), ""}
}
