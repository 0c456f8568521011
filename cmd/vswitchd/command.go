package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	vswitch "github.com/vswitch/vswitch/switch"
)

// version is set when the program is built for a release.
var version = "dev"

// options are the daemon's flags.
type options struct {
	socket      string
	socketGroup string
	adminGroup  string
	stateDir    string
	config      string
	takeover    bool
	keepPorts   bool
	removePorts bool
	logLevel    string
	logFormat   string
	workers     int
	rings       int
	ringRate    int
	spin        time.Duration
	uring       bool
}

// usersGroup is the group that may use the control socket; "": none.
func (o *options) usersGroup() string { return cmp.Or(o.socketGroup, o.adminGroup) }

// usageError is a mistake in the words of the command line.
type usageError struct{ error }

// explainFlag says what a flag wants, without the names of Go's functions.
func explainFlag(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError{fmt.Errorf("%w: see vswitchd --help", err)}
	}
	switch f := invalid.GetFlag(); f.Value.Type() {
	case "int":
		return usageError{fmt.Errorf("--%s %q is not a number", f.Name, invalid.GetValue())}
	case "bool":
		return usageError{fmt.Errorf("--%s=%s is neither true nor false: it needs no value", f.Name, invalid.GetValue())}
	default: // a duration
		return usageError{fmt.Errorf("--%s %q is no time: write such as 50us", f.Name, invalid.GetValue())}
	}
}

func newCommand(serve func(context.Context, options, *slog.Logger) error) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "vswitchd",
		Short: "A virtual Ethernet switch in user space",
		Long: `vswitchd is a virtual Ethernet switch. It joins network namespaces, virtual
machines and devices, learns where stations live, and keeps VLANs apart.

It runs in the foreground, logs to standard error, and is controlled with
vsctl(8). SIGTERM and SIGINT end it; what it made is gone then, and what it
took is as it was before, unless --keep-ports has it left as it is. The
configuration is kept, and stands again when it starts: what an earlier
daemon has left, also one that was killed, is taken over as it is.`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), o)
			if err != nil {
				return usageError{err}
			}
			if o.workers < 0 || o.workers > maxWorkers() {
				return usageError{fmt.Errorf("--workers %d is not possible here: give 1 to %d, or 0 for the default", o.workers, maxWorkers())}
			}
			if o.rings < 0 || o.rings > maxRings {
				return usageError{fmt.Errorf("--rx-rings %d is not possible: give 1 to %d, or 0 for none", o.rings, maxRings)}
			}
			if o.ringRate < 1 {
				return usageError{fmt.Errorf("--rx-ring-rate %d is not possible: give frames a second, or --rx-rings 0 for no rings", o.ringRate)}
			}
			if o.spin < 0 || o.spin > maxSpin {
				return usageError{fmt.Errorf("--spin %v is not possible: give up to %v, or 0 for never", o.spin, maxSpin)}
			}
			if o.socket == "" {
				return usageError{errors.New("--socket is empty: give a path, such as /run/vswitchd/vswitchd.sock")}
			}
			return serve(cmd.Context(), o, log)
		},
	}
	cmd.SetFlagErrorFunc(explainFlag)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("%q: vswitchd takes flags only; vsctl controls it", args[0])}
		}
		return nil
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.socket, "socket", defaultSocket(), "path of the control socket (default also by $VSWITCH_SOCKET)")
	f.StringVar(&o.socketGroup, "socket-group", "", "group whose members may use the control socket to look, beside root")
	f.StringVar(&o.adminGroup, "admin-group", "", "group whose members may change things by it, too; without --socket-group, that of the socket")
	f.StringVar(&o.stateDir, "state-dir", "", "folder in which the configuration is kept (default "+defaultStateDir+"; with another socket, a folder of its own in that)")
	f.StringVar(&o.config, "config", "", "start with the configuration of this `FILE`, and keep no changes")
	f.BoolVar(&o.takeover, "takeover", false, "take over from the daemon that runs at this socket, while frames go on")
	f.BoolVar(&o.keepPorts, "keep-ports", false, "leave devices as they are at the end, for the daemon that starts next")
	f.BoolVar(&o.removePorts, "remove-ports", false, "remove what an earlier daemon at this socket has left, and exit")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.IntVar(&o.workers, "workers", 0, "threads that move frames (0: the default, see docs/operations.md)")
	f.IntVar(&o.rings, "rx-rings", vswitch.DefaultRings, "busy ports that get a receive ring, of 8 MiB, at a time (0: none)")
	f.IntVar(&o.ringRate, "rx-ring-rate", vswitch.DefaultRingRate, "small frames a second that make a port busy")
	f.DurationVar(&o.spin, "spin", vswitch.DefaultSpin, "how long a worker looks for the next frame before it sleeps, where that helps (0: never)")
	f.BoolVar(&o.uring, "io-uring", true, "move many frames of a TAP at once by io_uring(7), where the kernel lets us")
	cmd.AddCommand(&cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual page",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return doc.GenManTree(cmd, &doc.GenManHeader{Title: "VSWITCHD", Section: "8", Source: "vswitch " + version}, args[0])
		},
	})
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.DisableAutoGenTag = true // the same page from the same source
	return cmd
}

// maxWorkers bounds --workers: more threads than twice the processors only
// take turns.
func maxWorkers() int { return 2 * runtime.NumCPU() }

// maxRings bounds --rx-rings: their memory, which is the kernel's, at 2 GiB.
const maxRings = 256

// maxSpin bounds --spin: what is longer is no pause between two frames.
const maxSpin = 10 * time.Millisecond

func newLogger(w io.Writer, o options) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil || strings.ContainsAny(o.logLevel, "+-") {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", o.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: use text or json", o.logFormat)
}
