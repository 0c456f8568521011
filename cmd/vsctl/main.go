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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
