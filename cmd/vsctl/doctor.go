package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// finding is what doctor says about one thing that a daemon needs.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // okay, warned or failed
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"` // what would help
}

const (
	okay   = "ok"
	warned = "warn" // something will not work, or could not be looked at
	failed = "fail" // the daemon will not work
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check what the daemon needs, and say how to mend it",
		Long: `Check what the daemon needs from this machine, and say how to mend what is
missing. No daemon has to run; who runs doctor should be who would run the
daemon, which is root. Exits 1 if something fails.`,
		Args: words(),
		RunE: func(c *cobra.Command, _ []string) error {
			findings := append(checkMachine(c.Context()), a.checkDaemon(c))
			err := a.print(findings, func(w io.Writer) error {
				t := newTable("STATE", "CHECK", "DETAIL")
				for _, f := range findings {
					t.add(f.State, f.Check, f.Detail)
					if f.Mend != "" {
						t.add("", "", "→ "+f.Mend)
					}
				}
				return t.write(w)
			})
			for _, f := range findings {
				if f.State == failed && err == nil {
					err = silent{exitRefused}
				}
			}
			return err
		},
	}
}

// checkDaemon asks the daemon for its version. That none runs is no fault of
// the machine.
func (a *app) checkDaemon(c *cobra.Command) finding {
	cl := a.glance()
	defer cl.Close()
	f := finding{Check: "daemon", State: okay}
	v, err := cl.Version(c.Context())
	if err != nil {
		f.State, f.Detail = warned, err.Error()
		return f
	}
	f.Detail = fmt.Sprintf("vswitchd %s answers at %s", v.Version, cl.Socket())
	if v.Version != version {
		f.State, f.Mend = warned, fmt.Sprintf("vsctl is %s: restart the daemon after an upgrade", version)
	}
	return f
}
