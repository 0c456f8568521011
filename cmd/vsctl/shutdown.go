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
			cl := a.client()
			defer cl.Close()
			v, err := cl.Version(c.Context())
			if err == nil {
				err = cl.Shutdown(c.Context(), api.Shutdown{Remove: remove})
			}
			if err != nil {
				return err
			}
			return a.awaitEnd(c.Context(), v.PID)
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "remove all devices that the daemon has made, and give back those that it took")
	return c
}

// awaitEnd waits until the process has ended. To ask by its socket could have a service
// manager start the next one.
func (a *app) awaitEnd(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	for pid != 0 && !ucred.Dying(int32(pid)) {
		select {
		case <-ctx.Done():
			return api.Errorf(api.Failed, "the daemon was told to end, and process %d still runs", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
