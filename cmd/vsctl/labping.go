package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/lab"
)

func (a *app) labPing() *cobra.Command {
	wait := seconds(time.Second)
	c := &cobra.Command{
		Use:     "ping LAB",
		Aliases: []string{"pingall"},
		Short:   "Have each node ping each other one",
		Long: `Have each host and router with an address ping each other one, and each virtual
machine, once, and show a matrix: the time there and back in milliseconds, or X
where no answer came. It exits with 1 when one did not.`,
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
			all, err := t.PingAll(c.Context(), time.Duration(wait))
			if err != nil {
				return labError(err)
			}
			if err := a.print(append([]lab.Reach{}, all...), func(w io.Writer) error { return writeMatrix(w, t, all) }); err != nil {
				return err
			}
			for _, r := range all {
				if !r.Answered {
					return silent{exitRefused}
				}
			}
			return nil
		},
	}
	c.Flags().Var(&wait, "wait", "how long an answer is waited for")
	return c
}

// widest is how many nodes have a matrix: with more, only what failed is shown.
const widest = 24

func writeMatrix(w io.Writer, t *lab.Topology, all []lab.Reach) error {
	answered := 0
	for _, r := range all {
		if r.Answered {
			answered++
		}
	}
	shown := len(t.Targets()) <= widest
	if shown {
		if err := writeCells(w, t, all); err != nil {
			return err
		}
	}
	for _, r := range all {
		if r.Answered || shown && strings.HasPrefix(r.Reason, lab.NoAnswer) {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s to %s: %s\n", r.From, r.To, r.Reason); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d pings were answered\n", answered, len(all))
	return err
}

func writeCells(w io.Writer, t *lab.Topology, all []lab.Reach) error {
	header := []string{"FROM"}
	for _, m := range t.Targets() {
		header = append(header, m.Name)
	}
	table := newTable(header...)
	for _, from := range t.Pingable() {
		row := []string{from.Name}
		for _, to := range t.Targets() {
			if to == from {
				row = append(row, "-")
				continue
			}
			r := all[0] // they are in this order
			all = all[1:]
			if r.Answered {
				row = append(row, fmt.Sprintf("%.2f", float64(r.Took.Microseconds())/1000))
			} else {
				row = append(row, "X")
			}
		}
		table.add(row...)
	}
	return table.write(w, header[1:]...)
}
