// Command vswitchd is a virtual Ethernet switch in user space. It runs in the
// foreground and is controlled by vsctl over a Unix socket.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, "vswitchd:", err)
		os.Exit(1)
	}
	ctx, end := context.WithCancel(context.Background())
	reload := watchHangups(end)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Who reads the log may end: the write fails then, and nothing else. (Ignored, it
	// would be so in programs that we start, too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, reload, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, reload <-chan struct{}, args []string, stdout, stderr io.Writer) int {
	patient := newPatientWriter(stderr)
	defer patient.Close()
	stderr = patient
	cmd := newCommand(func(ctx context.Context, o options, log *slog.Logger) error { return serve(ctx, reload, o, log) })
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "vswitchd:", err)
	if _, usage := err.(usageError); usage {
		return 2
	}
	return 1
}
