package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// within returns a command that runs in a namespace.
func within(ctx context.Context, ns string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// tcp measures one stream from a to b with iperf3, in Gbit/s at the receiver.
func tcp(ctx context.Context, a, b string, length time.Duration) (float64, error) {
	// The first frame waits for ARP, and for the link to be up.
	if out, err := within(ctx, a, "ping", "-c", "1", "-w", "5", addressB).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ping %s: %w: %s", addressB, err, out)
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	server := within(serving, b, "iperf3", "--server", "--one-off", "--forceflush")
	output, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer server.Wait()
	defer stop()
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if strings.Contains(lines.Text(), "listening") {
			break
		}
	}
	out, err := within(ctx, a, "iperf3", "--client", addressB, "--json", "--omit", "1",
		"--time", fmt.Sprint(int(length.Seconds()))).Output()
	var report struct {
		Error string
		End   struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if e := json.Unmarshal(out, &report); e != nil || report.Error != "" {
		return 0, fmt.Errorf("iperf3: %w", errors.Join(err, e, errors.New(report.Error)))
	}
	return report.End.Received.BitsPerSecond / 1e9, nil
}

// smallFrames measures how many 60-byte frames a second reach b while a sends
// as many as it can, in thousands. The frames are for the station in b, which
// the switch has learned; its stack drops them, for their type is unknown.
func smallFrames(ctx context.Context, a, b string, length time.Duration) (float64, error) {
	if out, err := within(ctx, a, "ping", "-c", "1", "-w", "5", addressB).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ping %s: %w: %s", addressB, err, out)
	}
	to, err := inside(b)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	from, err := inside(a)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	dst, err := to.LinkByName("eth0")
	if err != nil {
		return 0, err
	}
	src, err := from.LinkByName("eth0")
	if err != nil {
		return 0, err
	}
	octets := func(l netlink.Link) string {
		return "0x" + strings.ReplaceAll(l.Attrs().HardwareAddr.String(), ":", ",0x")
	}
	config, err := os.CreateTemp("", "vswitch-bench-*.trafgen")
	if err != nil {
		return 0, err
	}
	defer os.Remove(config.Name())
	fmt.Fprintf(config, "{ %s, %s, 0x88, 0xb5, fill(0x00, 46) }\n", octets(dst), octets(src))
	config.Close()

	sending, stop := context.WithCancel(ctx)
	defer stop()
	sender := within(sending, a, "trafgen", "--dev", "eth0", "--conf", config.Name(), "--cpus", "1", "--no-sock-mem")
	if err := sender.Start(); err != nil {
		return 0, err
	}
	defer sender.Wait()
	defer stop()
	received := func() (uint64, error) {
		l, err := to.LinkByName("eth0")
		if err != nil {
			return 0, err
		}
		return l.Attrs().Statistics.RxPackets, nil
	}
	time.Sleep(length / 3) // until the rate is steady
	before, err := received()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(length):
	}
	after, err := received()
	return float64(after-before) / time.Since(start).Seconds() / 1e3, err
}

// inside returns a netlink handle in a namespace.
func inside(name string) (*netlink.Handle, error) {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns)
}
