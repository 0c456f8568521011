package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// system joins two stations.
type system interface {
	name() string
	// join makes eth0 in both of the link's stations, and what joins them.
	// All of it goes with the link.
	join(ctx context.Context, l *link) error
}

// baseline is the name of the system that the others are compared with.
const baseline = "Linux bridge"

func peers(own programs) []system {
	return []system{
		direct{}, linuxBridge{},
		ours{programs: own, a: "veth", b: "veth"},
		ours{programs: own, a: "tap", b: "tap"},
		ours{programs: own, a: "tap", b: "veth"},
		ours{programs: own, a: "veth", b: "veth", patch: true},
		openVSwitch{tso: true}, openVSwitch{}, openVSwitch{untouched: true}, vde{},
	}
}

// variants are the switch with each of its optional powers turned off or on,
// beside the baseline.
func variants(own programs) []system {
	all := []system{linuxBridge{}}
	for _, flags := range []string{"", "--spin 0", "--rx-rings 0", "--io-uring=false", "--workers 2"} {
		for _, kind := range []string{"veth", "tap"} {
			if kind == "veth" || flags != "--rx-rings 0" { // a TAP has none
				all = append(all, ours{programs: own, a: kind, b: kind, flags: flags})
			}
		}
	}
	return all
}

// direct is one veth pair, without a switch: the ceiling.
type direct struct{}

func (direct) name() string { return "one veth pair" }

func (direct) join(ctx context.Context, l *link) error {
	err := command(ctx, "ip", "-n", l.a, "link", "add", "name", "eth0", "type", "veth", "peer", "name", "eth0", "netns", l.b)
	if err != nil {
		return err
	}
	return l.settle(ctx)
}

// stations makes a veth pair for each station, whose other end is port0 or
// port1 in the host's namespace.
func stations(ctx context.Context, l *link) error {
	for i, ns := range []string{l.a, l.b} {
		err := commands(ctx,
			fmt.Sprintf("ip -n %s link add name port%d type veth peer name eth0 netns %s", l.host, i, ns),
			fmt.Sprintf("ip -n %s link set dev port%d up", l.host, i),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// linuxBridge is the kernel's, with the host's firewall kept out of it.
type linuxBridge struct{}

func (linuxBridge) name() string { return baseline }

func (linuxBridge) join(ctx context.Context, l *link) error {
	if err := stations(ctx, l); err != nil {
		return err
	}
	err := commands(ctx,
		"ip -n "+l.host+" link add name bridge0 type bridge",
		"ip -n "+l.host+" link set dev bridge0 up",
		"ip -n "+l.host+" link set dev port0 master bridge0",
		"ip -n "+l.host+" link set dev port1 master bridge0",
	)
	if err != nil {
		return err
	}
	// Absent where br_netfilter is not loaded: the same to the bridge.
	command(ctx, "ip", "netns", "exec", l.host, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0")
	return l.settle(ctx)
}

// openVSwitch is its datapath in user space.
type openVSwitch struct {
	tso       bool // userspace-tso-enable
	untouched bool // the stations keep their offloads, as they come
}

func (o openVSwitch) name() string {
	switch {
	case o.tso:
		return "Open vSwitch, userspace-tso-enable"
	case o.untouched:
		return "Open vSwitch, as installed"
	}
	return "Open vSwitch, stations with tx off"
}

func (o openVSwitch) join(ctx context.Context, l *link) error {
	if err := stations(ctx, l); err != nil {
		return err
	}
	db := "--db=unix:" + l.path("db.sock")
	schema := "/usr/share/openvswitch/vswitch.ovsschema"
	if err := command(ctx, "ovsdb-tool", "create", l.path("conf.db"), schema); err != nil {
		return err
	}
	// The database is no part of forwarding.
	if _, _, err := l.start(l.host, "ovsdb-server", l.path("conf.db"), "--remote=punix:"+l.path("db.sock"), "--unixctl="+l.path("db.ctl")); err != nil {
		return err
	}
	vsctl := func(args ...string) error {
		return command(ctx, "ovs-vsctl", append([]string{db, "--timeout=10"}, args...)...)
	}
	if err := eventually(ctx, func() error { return vsctl("--no-wait", "init") }); err != nil {
		return err
	}
	if o.tso {
		if err := vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"); err != nil {
			return err
		}
	}
	err := l.forwards(l.host, "ovs-vswitchd", "unix:"+l.path("db.sock"), "--unixctl="+l.path("vs.ctl"), "-vconsole:off")
	if err != nil {
		return err
	}
	if err := vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=standalone"); err != nil {
		return err
	}
	for _, port := range []string{"port0", "port1"} {
		if err := vsctl("add-port", "br0", port); err != nil {
			return err
		}
	}
	if !o.tso && !o.untouched {
		for _, ns := range []string{l.a, l.b} {
			if err := command(ctx, "ip", "netns", "exec", ns, "ethtool", "-K", "eth0", "tx", "off"); err != nil {
				return err
			}
		}
	}
	return l.settle(ctx)
}

// vde is vde_switch, with a vde_plug2tap for each station.
type vde struct{}

func (vde) name() string { return "VDE" }

func (vde) join(ctx context.Context, l *link) error {
	// In the foreground it reads commands, and ends when there are no more.
	cmd := program(l.host, "vde_switch", "-s", l.path("vde"))
	keys, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	l.later(func() {
		keys.Close()
		end(cmd)
	})
	l.forward = append(l.forward, cmd)
	err = eventually(ctx, func() error {
		_, err := os.Stat(l.path("vde/ctl"))
		return err
	})
	if err != nil {
		return err
	}
	for _, ns := range []string{l.a, l.b} {
		if err := l.forwards(ns, "vde_plug2tap", "-s", l.path("vde"), "eth0"); err != nil {
			return err
		}
		if err := eventually(ctx, func() error { return command(ctx, "ip", "-n", ns, "link", "show", "dev", "eth0") }); err != nil {
			return err
		}
	}
	return l.settle(ctx)
}

// ours is the switch.
type ours struct {
	programs
	a, b  string // kinds of ports
	patch bool   // two switches, joined by one
	flags string // of the daemon
}

func (o ours) name() string {
	name := "vswitch, " + o.a + "–" + o.b
	if o.patch {
		name += " through a patch"
	}
	if o.flags != "" {
		name += ", " + o.flags
	}
	return name
}

func (o ours) join(ctx context.Context, l *link) error {
	s, err := o.programs.start(ctx, l, strings.Fields(o.flags)...)
	if err != nil {
		return err
	}
	second := ""
	if o.patch {
		second = "sw1/"
		if err := s.ctl(ctx, "switch add sw1"); err != nil {
			return err
		}
		if err := s.ctl(ctx, "port add up --patch sw1/down"); err != nil {
			return err
		}
	}
	if err := s.ctl(ctx, "port add a --"+o.a+" --netns "+l.a); err != nil {
		return err
	}
	if err := s.ctl(ctx, "port add "+second+"b --"+o.b+" --netns "+l.b); err != nil {
		return err
	}
	return l.settle(ctx)
}

// daemon is a running vswitchd.
type daemon struct{ client, socket string }

// daemonSocket is where the link's daemon is asked.
func (l *link) daemonSocket() string { return l.path("vswitchd.sock") }

// start starts the daemon in the host's namespace, and waits until it answers.
func (p programs) start(ctx context.Context, l *link, flags ...string) (*daemon, error) {
	d := &daemon{client: p.client, socket: l.daemonSocket()}
	args := append([]string{p.daemon, "--socket", d.socket, "--state-dir", l.path("state"), "--log-level", "warn"}, flags...)
	if err := l.forwards(l.host, args...); err != nil {
		return nil, err
	}
	return d, d.ctl(ctx, "show") // which waits for a daemon that was just started
}

// ctl runs vsctl with the words of a command.
func (d *daemon) ctl(ctx context.Context, words string) error {
	return command(ctx, d.client, append([]string{"--socket", d.socket}, strings.Fields(words)...)...)
}
