package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
)

func (a *app) configCommand() *cobra.Command {
	c := a.group(&cobra.Command{
		Use:   "config",
		Short: "The whole configuration as one document",
		Long: `The configuration, with all switches, ports, VLANs, options, profiles and static
entries, is a document in YAML. What is shown can be applied: here, after a change,
or to another daemon.`,
	})
	c.AddCommand(a.configShow(), a.configApply(), a.configDiff(), a.configSchema())
	return c
}

func (a *app) configShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the configuration as it stands; with -j in JSON",
		Args:  words(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl := a.client()
			defer cl.Close()
			if a.json {
				text, err := cl.Config(c.Context())
				if err != nil {
					return err
				}
				return a.print(json.RawMessage(text), nil)
			}
			text, err := cl.ConfigText(c.Context())
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.stdout, text)
			return err
		},
	}
}

func (a *app) configApply() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "apply FILE|-",
		Short: "Make the configuration as a file has it: whole, or not at all",
		Long: `Make the configuration as a file has it. Only what differs is touched: a port that
stays keeps its device and its stations, and loses no frame. What fails is taken
back. What was done is printed; with --dry-run, how the document would change. A port
whose namespace, container or device is absent is lost until that comes, with a
warning.`,
		Example: `  vsctl config show >net.yaml
  vsctl config apply net.yaml --dry-run
  vsctl config apply net.yaml`,
		Args: words("FILE|-"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := a.putConfig(c, args[0], dryRun)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				if dryRun {
					_, err := io.WriteString(w, r.Diff)
					return err
				}
				for _, change := range r.Changes {
					if _, err := fmt.Fprintln(w, change); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show how the document would change, and do nothing")
	return c
}

func (a *app) configDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff FILE|-",
		Short: "Show how a file differs from the configuration as it stands; exit 1 if it does",
		Args:  words("FILE|-"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := a.putConfig(c, args[0], true)
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) error { _, err := io.WriteString(w, r.Diff); return err }); err != nil {
				return err
			}
			if len(r.Changes) > 0 {
				return silent{exitRefused}
			}
			return nil
		},
	}
}

// putConfig has the daemon take a file, or say what it would do.
func (a *app) putConfig(c *cobra.Command, file string, dryRun bool) (api.ConfigResult, error) {
	path, text, err := readInput(file, "a configuration, as vsctl config show prints it")
	if err != nil {
		return api.ConfigResult{}, err
	}
	cl := a.client()
	defer cl.Close()
	r, err := cl.SetConfig(c.Context(), api.ConfigSpec{Name: path, Text: string(text), DryRun: dryRun})
	for _, w := range r.Warnings {
		fmt.Fprintf(a.stderr, "warning: %s\n", w)
	}
	return r, err
}

func (a *app) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the document, by which editors complete keys",
		Args:  words(),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(config.Schema)
			return err
		},
	}
}
