package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
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
			if err := cl.Shutdown(c.Context(), api.Shutdown{Remove: remove}); err != nil {
				return err
			}
			return a.awaitEnd(c.Context())
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "remove all devices that the daemon has made, and give back those that it took")
	return c
}

// awaitEnd waits until no daemon answers.
func (a *app) awaitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	for {
		cl := a.glance()
		_, err := cl.Version(ctx)
		cl.Close()
		var e *api.Error
		if errors.As(err, &e) && e.Code == api.NoDaemon {
			return nil
		}
		select {
		case <-ctx.Done():
			return api.Errorf(api.Failed, "the daemon was told to end, and still answers")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
