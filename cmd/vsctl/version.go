package main

import (
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when the program is built: -ldflags "-X main.version=v1.2.3".
var version string

// ownVersion is the version that was set, else what the go command knows.
func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

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
			cl := a.client()
			defer cl.Close()
			daemon, err := cl.Version(c.Context())
			v := versions{Client: ownVersion(), Daemon: daemon.Version}
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
