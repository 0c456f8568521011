package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// trial is one exchange between two stations, which gives some figures.
type trial struct {
	name    string
	figures []string
	run     func(ctx context.Context, l *link, length time.Duration) ([]reading, error)
}

// reading is one value of a figure.
type reading struct {
	figure string
	value  float64
}

// figure is something that is compared.
type figure struct {
	name     string
	unit     string
	lower    bool   // is better
	baseline string // the system that others are compared with; empty: [baseline]
}

func (f figure) base() string { return cmp.Or(f.baseline, baseline) }

func (f figure) better() string {
	if f.lower {
		return "less is better"
	}
	return "more is better"
}

// figures are those that peers are compared by, in the order in which they are
// shown.
var figures = []figure{
	{name: "TCP, one stream", unit: "Gbit/s"},
	{name: "TCP, one stream, CUBIC", unit: "Gbit/s"},
	{name: "TCP, eight streams", unit: "Gbit/s"},
	{name: "TCP, one stream, TSO off", unit: "Gbit/s"},
	{name: "60-byte frames under a flood", unit: "1000/s"},
	{name: "60-byte frames, under 0.1 % lost", unit: "1000/s"},
	{name: "latency p50", unit: "µs", lower: true},
	{name: "latency p99", unit: "µs", lower: true},
	{name: "latency p99.9", unit: "µs", lower: true},
	{name: "latency p50 beside 1 Gbit/s", unit: "µs", lower: true},
	{name: "latency p99 beside 1 Gbit/s", unit: "µs", lower: true},
	{name: "latency p99.9 beside 1 Gbit/s", unit: "µs", lower: true},
	{name: "processor for TCP", unit: "s/GB", lower: true},
	{name: "processor for 60-byte frames", unit: "s/million", lower: true},
	{name: "memory", unit: "MiB", lower: true},
}

var allTrials = []trial{
	{"tcp", []string{"TCP, one stream", "processor for TCP"}, tcpWithCost},
	{"cubic", []string{"TCP, one stream, CUBIC"}, func(ctx context.Context, l *link, d time.Duration) ([]reading, error) {
		return tcp(ctx, l, d, "TCP, one stream, CUBIC", "--congestion", "cubic")
	}},
	{"tcp8", []string{"TCP, eight streams"}, func(ctx context.Context, l *link, d time.Duration) ([]reading, error) {
		return tcp(ctx, l, d, "TCP, eight streams", "--parallel", "8")
	}},
	{"flood", []string{"60-byte frames under a flood", "processor for 60-byte frames", "memory"}, flood},
	{"rfc2544", []string{"60-byte frames, under 0.1 % lost"}, throughput},
	{"latency", []string{"latency p50", "latency p99", "latency p99.9"}, func(ctx context.Context, l *link, d time.Duration) ([]reading, error) {
		return latency(ctx, l, d, "")
	}},
	{"loaded", []string{"latency p50 beside 1 Gbit/s", "latency p99 beside 1 Gbit/s", "latency p99.9 beside 1 Gbit/s"}, loadedLatency},
	// Last, because the stations stay so.
	{"no-tso", []string{"TCP, one stream, TSO off"}, withoutTSO},
}

// tcpWithCost measures one stream, and what the switch uses for it.
func tcpWithCost(ctx context.Context, l *link, length time.Duration) ([]reading, error) {
	before, known, err := l.spent()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	r, err := tcp(ctx, l, length, "TCP, one stream")
	if err != nil || !known {
		return r, err
	}
	after, _, err := l.spent()
	// The rate holds for all of the time, which is longer than what is
	// measured of it.
	gigabytes := r[0].value / 8 * min(time.Since(begin).Seconds(), length.Seconds()+warmUp.Seconds())
	return append(r, reading{"processor for TCP", (after.seconds - before.seconds) / gigabytes}), err
}

// warmUp is what of a TCP stream is not counted.
const warmUp = time.Second

// tcp measures streams from a to b with iperf3, at the receiver.
func tcp(ctx context.Context, l *link, length time.Duration, figure string, flags ...string) ([]reading, error) {
	serving, err := l.serve(ctx, "tcp6", 5201, "iperf3", "--server", "--one-off")
	if err != nil {
		return nil, err
	}
	defer end(serving)
	bits, err := iperf(ctx, length, append([]string{"netns", "exec", l.a, "iperf3", "--client", addressB, "--json", "--connect-timeout", "3000",
		"--omit", fmt.Sprint(warmUp.Seconds()), "--time", fmt.Sprint(length.Seconds())}, flags...))
	return []reading{{figure, bits / 1e9}}, err
}

// serve starts a program in b, and waits until it listens on a port.
func (l *link) serve(ctx context.Context, protocol string, port int, args ...string) (*exec.Cmd, error) {
	cmd, _, err := l.start(l.b, args...)
	if err != nil {
		return nil, err
	}
	err = eventually(ctx, func() error {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", cmd.Process.Pid, protocol))
		if err == nil && !strings.Contains(string(table), fmt.Sprintf(":%04X ", port)) {
			err = fmt.Errorf("%s does not listen on port %d", args[0], port)
		}
		return err
	})
	if err != nil {
		end(cmd)
		return nil, err
	}
	return cmd, nil
}

func iperf(ctx context.Context, length time.Duration, args []string) (bits float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, length+warmUp+10*time.Second)
	defer cancel()
	out, err := bound(ctx, "ip", args...).Output()
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
	return report.End.Received.BitsPerSecond, nil
}

// withoutTSO measures one stream that its sender cuts into segments itself.
func withoutTSO(ctx context.Context, l *link, length time.Duration) ([]reading, error) {
	if err := command(ctx, "ip", "netns", "exec", l.a, "ethtool", "-K", "eth0", "tso", "off", "gso", "off"); err != nil {
		return nil, err
	}
	return tcp(ctx, l, length, "TCP, one stream, TSO off")
}

// percentile is a line of sockperf's, in microseconds of half a round trip.
var percentile = regexp.MustCompile(`percentile (50|99|99\.9)\.?0+ = +([0-9.]+)`)

// latency measures half of the time from a to b and back with sockperf, over
// UDP. What is appended to the figures says in what company.
func latency(ctx context.Context, l *link, length time.Duration, beside string) ([]reading, error) {
	serving, err := l.serve(ctx, "udp", 11111, "sockperf", "server", "--ip", addressB)
	if err != nil {
		return nil, err
	}
	defer end(serving)
	out, err := output(ctx, "ip", "netns", "exec", l.a, "sockperf", "ping-pong", "--ip", addressB, "--time", fmt.Sprint(max(1, int(length.Seconds()))))
	if err != nil {
		return nil, err
	}
	return percentiles(out, beside)
}

// percentiles reads what sockperf prints.
func percentiles(out, beside string) (readings []reading, err error) {
	for _, m := range percentile.FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, fmt.Errorf("sockperf says %q: %w", m[0], err)
		}
		readings = append([]reading{{"latency p" + m[1] + beside, v}}, readings...)
	}
	if len(readings) != 3 {
		return nil, fmt.Errorf("sockperf has no answers, or too few: %s", lastLine(out))
	}
	return readings, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// loadedLatency measures it beside a TCP stream of 1 Gbit/s.
func loadedLatency(ctx context.Context, l *link, length time.Duration) ([]reading, error) {
	serving, err := l.serve(ctx, "tcp6", 5201, "iperf3", "--server", "--one-off")
	if err != nil {
		return nil, err
	}
	defer end(serving)
	const longer = 10 * time.Second // than what is measured beside it
	sending, out, err := l.start(l.a, "iperf3", "--client", addressB, "--bitrate", "1G", "--time", fmt.Sprint((length + longer).Seconds()))
	if err != nil {
		return nil, err
	}
	time.Sleep(warmUp)
	before, err := receivedBytes(l.b, "eth0")
	begin := time.Now()
	readings, err2 := latency(ctx, l, length, " beside 1 Gbit/s")
	took := time.Since(begin).Seconds()
	after, err3 := receivedBytes(l.b, "eth0")
	end(sending)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	if beside := float64(after-before) * 8 / took; beside < 0.9e9 {
		return nil, fmt.Errorf("the stream beside it had %.2f Gbit/s, not 1: %s", beside/1e9, lastLine(out.String()))
	}
	return readings, nil
}
