package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const addressA, addressB = "10.0.0.1", "10.0.0.2"

// command runs a program, with its output in the error.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// commands runs programs in turn, one a line, until one fails.
func commands(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if err := command(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// linuxBridge is the kernel's, with the host's firewall kept out of it.
type linuxBridge struct{}

func (linuxBridge) name() string { return "Linux bridge" }

func (linuxBridge) join(ctx context.Context, a, b string) (func(), error) {
	host := fmt.Sprintf("vsb-%d-br", os.Getpid())
	leave := func() { command(context.WithoutCancel(ctx), "ip", "netns", "del", host) }
	err := commands(ctx,
		"ip netns add "+host,
		"ip -n "+host+" link add name bridge0 type bridge",
		"ip -n "+host+" link set dev bridge0 up",
	)
	// Absent where br_netfilter is not loaded: the same to the bridge.
	command(ctx, "ip", "netns", "exec", host, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0")
	for i, ns := range []string{a, b} {
		if err == nil {
			err = commands(ctx,
				fmt.Sprintf("ip -n %s link add name port%d type veth peer name eth0 netns %s", host, i, ns),
				fmt.Sprintf("ip -n %s link set dev port%d master bridge0 up", host, i),
				fmt.Sprintf("ip -n %s addr add 10.0.0.%d/24 dev eth0", ns, i+1),
				fmt.Sprintf("ip -n %s link set dev eth0 up", ns),
			)
		}
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// ours is the switch, with two veth ports.
type ours struct {
	daemon, client string
	workers        int // 0: the default
}

func (o ours) name() string {
	if o.workers > 0 {
		return fmt.Sprintf("vswitch, veth, %d workers", o.workers)
	}
	return "vswitch, veth"
}

func (o ours) join(ctx context.Context, a, b string) (func(), error) {
	host := fmt.Sprintf("vsb-%d-vs", os.Getpid())
	dir, err := os.MkdirTemp("", "vswitch-bench-")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "socket")
	if err := command(ctx, "ip", "netns", "add", host); err != nil {
		return nil, err
	}
	daemon := exec.Command("ip", "netns", "exec", host, o.daemon, "--socket", socket, "--log-level", "warn", "--workers", fmt.Sprint(o.workers))
	daemon.Stderr = os.Stderr
	leave := func() {
		if daemon.Process != nil {
			daemon.Process.Signal(os.Interrupt)
			daemon.Wait()
		}
		command(context.WithoutCancel(ctx), "ip", "netns", "del", host)
		os.RemoveAll(dir)
	}
	err = daemon.Start()
	if err == nil {
		err = o.await(ctx, socket)
	}
	for i, ns := range []string{a, b} {
		if err == nil {
			err = command(ctx, o.client, "--socket", socket, "port", "add", fmt.Sprintf("p%d", i),
				"--netns", ns, "--ip", fmt.Sprintf("10.0.0.%d/24", i+1))
		}
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// await waits until the daemon answers.
func (o ours) await(ctx context.Context, socket string) (err error) {
	for range 100 {
		if err = command(ctx, o.client, "--socket", socket, "show"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}
