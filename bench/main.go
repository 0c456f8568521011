// Command bench measures the switch beside others: the Linux bridge, Open
// vSwitch in user space, VDE, and one veth pair without a switch. All are
// measured in one run and in turns, so that what else the machine does touches
// all of them alike, and what counts is the ratio to the Linux bridge. With
// -variants it measures the switch with other settings instead, and with
// -rfc2889 it asks the switch alone what RFC 2889 asks of switches.
//
// It needs root and what `scripts/install-deps bench` installs, and puts
// everything into network namespaces of its own. docs/benchmarks.md says what
// the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// plan is what is to be measured.
type plan struct {
	rounds   int
	length   time.Duration // of one measurement
	systems  *regexp.Regexp
	trials   *regexp.Regexp
	rfc2889  bool
	variants bool
	own      programs
	table    string
	json     string
	chart    string
}

// programs are those of the switch.
type programs struct{ daemon, client string }

func main() {
	var p plan
	systems := flag.String("systems", "", "measure only the systems whose name this regular expression matches")
	trials := flag.String("trials", "", "and only these trials")
	flag.IntVar(&p.rounds, "rounds", 5, "how often each system is measured")
	flag.DurationVar(&p.length, "length", 3*time.Second, "of one measurement")
	flag.BoolVar(&p.rfc2889, "rfc2889", false, "instead, what RFC 2889 asks of a switch, of this one")
	flag.BoolVar(&p.variants, "variants", false, "instead of other switches, this one with other settings")
	flag.StringVar(&p.own.daemon, "vswitchd", "bin/vswitchd", "the daemon to measure")
	flag.StringVar(&p.own.client, "vsctl", "bin/vsctl", "its client")
	flag.StringVar(&p.table, "table", "", "write the table to this file, too")
	flag.StringVar(&p.json, "json", "", "write all readings to this file")
	flag.StringVar(&p.chart, "chart", "", "draw a chart (SVG) into this file")
	flag.Usage = usage
	flag.Parse()
	var errs [2]error
	p.systems, errs[0] = regexp.Compile(*systems)
	p.trials, errs[1] = regexp.Compile(*trials)
	err := errors.Join(errs[:]...)
	if err == nil {
		err = p.check(flag.Args())
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		if err = sweep(ctx); err == nil {
			err = p.run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// check finds what would come to light only after an hour, or not at all.
func (p *plan) check(args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("%q is no flag: -help shows those there are", args[0])
	case p.rounds < 1:
		return fmt.Errorf("-rounds %d is not possible: give 1 or more", p.rounds)
	case p.length < time.Second:
		return fmt.Errorf("-length %v is not possible: give 1s or more", p.length)
	case p.rfc2889 && p.variants:
		return errors.New("-rfc2889 and -variants are two runs: give one")
	case p.rfc2889 && p.chart != "":
		return errors.New("-rfc2889 has no chart: only other switches and -variants do")
	case os.Geteuid() != 0:
		return errors.New("only root may make network namespaces: use sudo")
	}
	for _, path := range []string{p.own.daemon, p.own.client} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: make builds it", err)
		}
	}
	for _, name := range []string{"ip", "iperf3", "sockperf", "trafgen"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: scripts/install-deps bench installs what is needed", err)
		}
	}
	for _, path := range []string{p.table, p.json, p.chart} {
		if path == "" {
			continue
		}
		if err := unix.Access(filepath.Dir(path), unix.W_OK); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// usage prints the flags, and which systems and trials there are.
func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprintln(out, "Usage: go run ./bench [FLAGS]")
	flag.PrintDefaults()
	for _, list := range []struct {
		what  string
		names []string
	}{
		{"Systems", names(peers(programs{}), system.name)},
		{"Systems with -variants", names(variants(programs{}), system.name)},
		{"Trials", names(allTrials, trial.title)},
		{"Trials with -rfc2889", names(inquiries(), inquiry.title)},
		{"Systems with -rfc2889", names(inquiries(), inquiry.system)},
	} {
		fmt.Fprintf(out, "%s: %s\n", list.what, strings.Join(list.names, "; "))
	}
}

// names returns the names of all, each once.
func names[T any](all []T, name func(T) string) (names []string) {
	for _, x := range all {
		if !slices.Contains(names, name(x)) {
			names = append(names, name(x))
		}
	}
	return names
}

func (t trial) title() string    { return t.name }
func (q inquiry) title() string  { return q.topic }
func (q inquiry) system() string { return q.of }

// chosen returns those of all whose name an expression matches, and is an error
// that names all of them where none does.
func chosen[T any](all []T, name func(T) string, flag string, match *regexp.Regexp) ([]T, error) {
	some := slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !match.MatchString(name(x)) })
	if len(some) == 0 {
		return nil, fmt.Errorf("%s %q matches none of: %s", flag, match, strings.Join(names(all, name), "; "))
	}
	return some, nil
}

func (p *plan) run(ctx context.Context) error {
	if p.rfc2889 {
		return p.inquire(ctx)
	}
	all := peers(p.own)
	if p.variants {
		all = variants(p.own)
	}
	all, err := chosen(all, system.name, "-systems", p.systems)
	if err != nil {
		return err
	}
	trials, err := chosen(allTrials, trial.title, "-trials", p.trials)
	if err != nil {
		return err
	}
	r := newReport(p, figures)
	for round := range p.rounds {
		for _, s := range all {
			if err := measure(ctx, s, trials, p.length, round, r); err != nil {
				return r.interrupted(err)
			}
		}
	}
	return r.write()
}

// measure runs all trials once between two namespaces that a system joins.
// What goes wrong in one is a result; only an interruption is an error.
func measure(ctx context.Context, s system, trials []trial, length time.Duration, round int, r *report) error {
	l, err := newLink(ctx)
	if err == nil {
		defer l.close()
		err = s.join(ctx, l)
	}
	for _, t := range trials {
		readings, tErr := []reading(nil), err
		if err == nil {
			readings, tErr = t.run(ctx, l, length)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.add(s.name(), t.figures, readings, tErr)
		r.tell(round, s.name(), t.name, readings, tErr)
	}
	return nil
}

// tell shows progress.
func (r *report) tell(round int, system, trial string, readings []reading, err error) {
	var words []string
	for _, v := range readings {
		words = append(words, fmt.Sprintf("%s %s %s", v.figure, digits(v.value), r.figure(v.figure).unit))
	}
	if err != nil {
		words = append(words, "not measured: "+err.Error())
	}
	fmt.Fprintf(os.Stderr, "round %d: %s: %s: %s\n", round+1, system, trial, strings.Join(words, ", "))
}
