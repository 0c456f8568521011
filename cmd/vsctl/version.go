package main

import (
	"io"

	"github.com/spf13/cobra"
)

// version is set when the program is built for a release.
var version = "dev"

// versions is what version -j prints. The daemon's is empty where none answers.
type versions struct {
	Client string `json:"client"`
	Daemon string `json:"daemon"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the versions of vsctl and of the daemon",
		Args:  words(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl := a.glance()
			defer cl.Close()
			daemon, err := cl.Version(c.Context())
			v := versions{Client: version, Daemon: daemon.Version}
			printErr := a.print(v, func(w io.Writer) error {
				t := newTable("vsctl", v.Client)
				if err == nil {
					t.add("vswitchd", v.Daemon)
				}
				return t.write(w)
			})
			if err != nil {
				return err
			}
			return printErr
		},
	}
}
