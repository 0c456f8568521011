package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/ucred"
)

func (a *app) shutdownCommand() *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use:   "shutdown",
		Short: "End the daemon",
		Long: `End the daemon, as SIGTERM does, and wait until it has ended. Its configuration
is kept, and stands again when it starts.

With --remove it leaves no device, also where it was started with --keep-ports.`,
		Args: words(),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), time.Duration(a.timeout))
			defer cancel()
			return a.shutdown(ctx, api.Shutdown{Remove: remove})
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "remove all devices that the daemon has made, and give back those that it took")
	return c
}

// shutdown ends the daemon and waits until it has ended: until it has nothing more to
// tell, and where it has a number that can be relied on, until there is no process of
// that. To ask by its socket could have a service manager start the next one.
func (a *app) shutdown(ctx context.Context, how api.Shutdown) error {
	cl := a.client()
	defer cl.Close()
	listener, err := cl.Listener(ctx)
	if err != nil {
		return err
	}
	v, err := cl.Version(ctx)
	if err != nil {
		return err
	}
	events, err := cl.Events(ctx)
	if err == nil {
		err = cl.Shutdown(ctx, how)
	}
	if err != nil {
		return err
	}
	for range events { // until the daemon closes them, or ctx ends
	}
	// Else the socket is a service manager's, or the number one of another PID namespace.
	isThere := v.PID != 0 && v.PID == listener
	for ctx.Err() == nil {
		if !isThere || ucred.Dying(int32(v.PID)) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return api.Errorf(api.Failed, "the daemon was told to end, and has not ended within %v", time.Duration(a.timeout))
}
