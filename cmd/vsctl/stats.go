package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
)

// portStats is what stats -j prints of a port, as port show -j names it.
type portStats struct {
	Switch   string       `json:"switch"`
	Name     string       `json:"name"`
	Counters api.Counters `json:"counters"`
}

// portDrops is what drops -j prints of a port.
type portDrops struct {
	Switch string            `json:"switch"`
	Name   string            `json:"name"`
	Drops  map[string]uint64 `json:"drops"`
}

func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "stats [PORT...]",
		Short:             "Show the counters of ports, or of all",
		Args:              words("[PORT...]"),
		ValidArgsFunction: a.portNames,
		RunE: func(c *cobra.Command, args []string) error {
			ports, err := a.ports(c.Context(), args)
			if err != nil {
				return err
			}
			shown := []portStats{}
			for _, p := range ports {
				shown = append(shown, portStats{p.Switch, p.Name, p.Counters})
			}
			return a.print(shown, func(w io.Writer) error {
				t := newTable("PORT", "RX-FRAMES", "RX-BYTES", "TX-FRAMES", "TX-BYTES", "DROPS", "NOTICES")
				for _, p := range ports {
					n := p.Counters
					t.add(p.FullName(), count(n.RxFrames), count(n.RxBytes), count(n.TxFrames), count(n.TxBytes), count(total(n.Drops)), orDash(countWords(n.Notices)))
				}
				return t.write(w, "RX-FRAMES", "RX-BYTES", "TX-FRAMES", "TX-BYTES", "DROPS")
			})
		},
	}
}

func (a *app) dropsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "drops [PORT...]",
		Short:             "Show what ports dropped, by reason",
		Args:              words("[PORT...]"),
		ValidArgsFunction: a.portNames,
		RunE: func(c *cobra.Command, args []string) error {
			ports, err := a.ports(c.Context(), args)
			if err != nil {
				return err
			}
			shown := []portDrops{}
			for _, p := range ports {
				shown = append(shown, portDrops{p.Switch, p.Name, p.Counters.Drops})
			}
			return a.print(shown, func(w io.Writer) error {
				t := newTable("PORT", "REASON", "FRAMES")
				for _, p := range ports {
					for _, reason := range slices.Sorted(maps.Keys(p.Counters.Drops)) {
						t.add(p.FullName(), reason, count(p.Counters.Drops[reason]))
					}
				}
				return t.write(w, "FRAMES")
			})
		},
	}
}

// ports returns the ports named, or all.
func (a *app) ports(ctx context.Context, names []string) ([]api.Port, error) {
	cl := a.client()
	defer cl.Close()
	if len(names) == 0 {
		return cl.Ports(ctx, "")
	}
	var ports []api.Port
	for _, s := range names {
		name, err := parsePort(s, api.DefaultSwitch)
		if err != nil {
			return nil, err
		}
		p, err := cl.Port(ctx, name.sw, name.port)
		if err != nil {
			return nil, a.suggest(ctx, err, name)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

func total(counts map[string]uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// countWords writes counters in a line: "runt 3, tagged-on-access 12".
func countWords(counts map[string]uint64) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(words, ", ")
}
