// Command bench measures the switch beside others, in one run and in turns, so
// that what else the machine does touches all of them alike. It prints medians
// and ratios to the Linux bridge.
//
// It needs root, iperf3 and trafgen (Debian: iperf3, netsniff-ng), and puts
// everything into network namespaces of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rounds := flag.Int("rounds", 5, "how often each system is measured")
	length := flag.Duration("length", 3*time.Second, "of one measurement")
	daemon := flag.String("vswitchd", "bin/vswitchd", "the daemon to measure")
	client := flag.String("vsctl", "bin/vsctl", "its client")
	flag.Parse()
	if err := run(ctx, *rounds, *length, ours{daemon: *daemon, client: *client}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// system joins two namespaces.
type system interface {
	name() string
	// join connects device eth0 of both namespaces, which it makes, and
	// returns how to take all of it away.
	join(ctx context.Context, a, b string) (leave func(), err error)
}

// figure is one thing to measure between two joined namespaces.
type figure struct {
	name    string
	unit    string
	measure func(ctx context.Context, a, b string, length time.Duration) (float64, error)
}

var figures = []figure{
	{"TCP, one stream", "Gbit/s", tcp},
	{"60-byte frames", "1000/s", smallFrames},
}

func run(ctx context.Context, rounds int, length time.Duration, own ours) error {
	two := own
	two.workers = 2
	systems := []system{linuxBridge{}, own, two}
	results := make(map[string][]float64)
	for round := range rounds {
		for _, s := range systems {
			for _, f := range figures {
				v, err := measure(ctx, s, f, length)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name(), f.name, err)
				}
				fmt.Fprintf(os.Stderr, "round %d: %s: %s: %.3g %s\n", round+1, s.name(), f.name, v, f.unit)
				key := s.name() + "/" + f.name
				results[key] = append(results[key], v)
			}
		}
	}
	return print(systems, results)
}

func measure(ctx context.Context, s system, f figure, length time.Duration) (float64, error) {
	a, b := fmt.Sprintf("vsb-%d-a", os.Getpid()), fmt.Sprintf("vsb-%d-b", os.Getpid())
	for _, ns := range []string{a, b} {
		if err := command(ctx, "ip", "netns", "add", ns); err != nil {
			return 0, err
		}
		defer command(context.WithoutCancel(ctx), "ip", "netns", "del", ns)
	}
	leave, err := s.join(ctx, a, b)
	if err != nil {
		return 0, err
	}
	defer leave()
	return f.measure(ctx, a, b, length)
}

func print(systems []system, results map[string][]float64) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tSYSTEM\tMEDIAN\tLOWEST\tHIGHEST\tRATIO")
	for _, f := range figures {
		base := median(results[systems[0].name()+"/"+f.name])
		for _, s := range systems {
			v := results[s.name()+"/"+f.name]
			fmt.Fprintf(w, "%s (%s)\t%s\t%.3g\t%.3g\t%.3g\t%.2f\n", f.name, f.unit, s.name(), median(v), slices.Min(v), slices.Max(v), median(v)/base)
		}
	}
	return w.Flush()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
