package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/lab"
)

func (a *app) labLink() *cobra.Command {
	return &cobra.Command{
		Use:   "link up|down LAB END",
		Short: "Take a link down, so that the other end loses its carrier, or up",
		Example: `  vsctl lab link down campus sw1:up
  vsctl lab link up campus sw1:up`,
		Args:              words("up|down", "LAB", "END"),
		ValidArgsFunction: completeLink,
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "up" && args[0] != "down" {
				return usage("%s: %q is neither up nor down: write %s", c.CommandPath(), args[0], useLine(c))
			}
			t, end, err := findEnd(args[1], args[2])
			if err != nil {
				return err
			}
			m, cl := a.labManager()
			defer cl.Close()
			if err := m.SetLink(c.Context(), t, end, args[0] == "down"); err != nil {
				return labError(err)
			}
			return a.print(map[string]any{"end": end.String(), "down": args[0] == "down"}, func(io.Writer) error { return nil })
		},
	}
}

func findEnd(name, end string) (*lab.Topology, *lab.End, error) {
	t, err := lab.Running(name)
	if err != nil {
		return nil, nil, labError(err)
	}
	e, err := t.End(end)
	return t, e, err
}

func (a *app) labImpair() *cobra.Command {
	var leaving bool
	c := &cobra.Command{
		Use:   "impair LAB END none|WORD VALUE...",
		Short: "Change what a link does to frames, at once",
		Long: `Change what a link does to frames, in both directions, or with --leaving to those
alone that leave by the end that is named. What is not named stays; none ends it.

` + impairmentHelp() + `
vsctl lab apply makes it again what the file says.`,
		Example: `  vsctl lab impair campus sw1:up delay 50ms
  vsctl lab impair campus h1:eth0 --leaving rate 1mbit queue 100ms
  vsctl lab impair campus sw1:up none`,
		Args:              words("LAB", "END", "none|WORD..."),
		ValidArgsFunction: completeEnd,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) < 3 {
				return usage("%s: what shall become of frames is missing: write %s", c.CommandPath(), useLine(c))
			}
			spec, err := parseImpairment(args[2:])
			if err != nil {
				return err
			}
			t, end, err := findEnd(args[0], args[1])
			if err != nil {
				return err
			}
			m, cl := a.labManager()
			defer cl.Close()
			if err := m.Impair(c.Context(), t, end, spec, !leaving); err != nil {
				return labError(err)
			}
			return a.print(map[string]any{"end": end.String()}, func(io.Writer) error { return nil })
		},
	}
	c.Flags().BoolVar(&leaving, "leaving", false, "frames alone that leave by END")
	return c
}

func (a *app) labTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test LAB",
		Short: "Take the steps of the tests in a lab's file",
		Long: `Take the steps of the tests in a lab's file, in their order, on the lab as it is
up. What they change of links is taken back. It exits with 1 when a step is not as
was expected.`,
		Args:              words("LAB"),
		ValidArgsFunction: completeLab,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := lab.Running(args[0])
			if err != nil {
				return labError(err)
			}
			if err := needRoot("enter a node"); err != nil {
				return err
			}
			if len(t.Tests) == 0 {
				return api.Errorf(api.Refused, "lab %s has no tests: write them in its file, such as tests: [{ping: {from: h1, to: h2}}]", t.Name)
			}
			return a.runTests(c, t)
		},
	}
}

func (a *app) runTests(c *cobra.Command, t *lab.Topology) error {
	m, cl := a.labManager()
	defer cl.Close()
	all := []lab.Outcome{}
	failed := 0
	var outErr error
	err := m.Test(c.Context(), t, func(o lab.Outcome) {
		all = append(all, o)
		if !o.OK {
			failed++
		}
		if !a.json {
			outErr = errors.Join(outErr, writeOutcome(a.stdout, o))
		}
	})
	if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted, and what was changed of links is taken back: %w", context.Canceled)
	}
	if err != nil {
		return labError(err)
	}
	err = a.print(all, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d of %d steps are as expected\n", len(all)-failed, len(all))
		return errors.Join(outErr, err)
	})
	if err == nil && failed > 0 {
		err = silent{exitRefused}
	}
	return err
}

func writeOutcome(w io.Writer, o lab.Outcome) error {
	word, reason := "ok    ", ""
	if !o.OK {
		word, reason = "FAILED", ": "+o.Reason
	}
	_, err := fmt.Fprintf(w, "%s  %s%s\n", word, o.Step, reason)
	return err
}

// completeEnd offers labs, and then the ends of their links.
func completeEnd(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return completeLab(c, args, typed)
	}
	t, err := lab.Running(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, cable := range t.Cables {
		names = append(names, cable.Ends[0].String(), cable.Ends[1].String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeLink(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"up", "down"}, cobra.ShellCompDirectiveNoFileComp
	}
	return completeEnd(c, args[1:], typed)
}
