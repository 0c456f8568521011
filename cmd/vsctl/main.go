// Command vsctl asks a running vswitchd: it adds, shows and changes switches,
// ports and forwarding entries. docs/cli.md describes every word of it.
//
// It is a client of the control API alone, and knows the switch only by that:
// one file for each noun, root.go for what they share. In the virtual machines of
// a lab it is also what a guest begins with.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/vswitch/vswitch/lab/guest"
)

func main() {
	if guest.Called() {
		guest.Main()
	}
	// Whoever goes away has what is half done taken back, also the reader of a
	// pipe: writing to it is an error then.
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup(1)
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
