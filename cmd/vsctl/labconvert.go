package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/lab"
)

func (a *app) labExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export LAB",
		Short: "Print a lab as it stands as a file",
		Long: `Print a lab as it stands as a file: each node of a range by itself, and what was
changed since it was built, such as impairments, as it is now.`,
		Args:              words("LAB"),
		ValidArgsFunction: completeLab,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := lab.Running(args[0])
			if err != nil {
				return labError(err)
			}
			m, cl := a.labManager()
			defer cl.Close()
			o, err := m.Show(c.Context(), args[0])
			if err != nil {
				return labError(err)
			}
			if a.json {
				return a.print(o, nil)
			}
			if _, err := io.WriteString(a.stdout, lab.Export(t, o)); err != nil {
				return outputError{err}
			}
			return nil
		},
	}
}

func (a *app) labSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of a lab's file, by which editors complete keys",
		Long: `Print the JSON schema of a lab's file. Editors that speak to yaml-language-server
complete keys by it where the file begins with the line

  # yaml-language-server: $schema=PATH

make install puts it below share/vswitch.`,
		Args: words(),
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.stdout.Write(lab.Schema); err != nil {
				return outputError{err}
			}
			return nil
		},
	}
}

func (a *app) labImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Print a containerlab file as one of a lab",
		Long: `Print a containerlab file as one of a lab. Nodes of kind linux become hosts, with
their commands; bridge and ovs-bridge become switches. What has no meaning here,
such as images, is named on standard error and left out.`,
		Example: `  vsctl lab import clos.clab.yml >clos.yaml`,
		Args:    words("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, text, err := readInput(args[0], "a topology of containerlab")
			if err != nil {
				return err
			}
			out, notes, err := lab.ImportContainerlab(path, text)
			if err != nil {
				return err
			}
			if len(notes) > 0 {
				fmt.Fprintf(a.stderr, "vsctl: left out, as it has no meaning here: %s\n", strings.Join(notes, ", "))
			}
			return a.print(map[string]any{"file": out, "left_out": append([]string{}, notes...)}, func(w io.Writer) error {
				_, err := io.WriteString(w, out)
				return err
			})
		},
	}
}
