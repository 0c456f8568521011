package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

func (a *app) portImpair() *cobra.Command {
	var egress, ingress bool
	c := &cobra.Command{
		Use:   "impair PORT [none | WORD VALUE...]",
		Short: "Make a port's line a bad one: delay, loss, rate",
		Long: `Make a port's line a bad one, in both directions unless one is named. What is
named is replaced, and the rest stays; none ends it. It takes effect at once; what
is under way arrives as it would have. Without words it shows what the line does.

` + impairmentHelp() + `
A rate counts frames as counters do. Where more is asked than a delay, super-frames
are cut first, so that each frame is treated as on a wire.`,
		Example: `  vsctl port impair web delay 20ms jitter 2ms loss 0.1%
  vsctl port impair web --egress rate 10mbit queue 50ms
  vsctl port impair web loss 1% loss-burst 20
  vsctl port impair web none`,
		Args:              words("PORT", "[none|WORD...]"),
		ValidArgsFunction: a.completeImpair,
		RunE: func(c *cobra.Command, args []string) error {
			name, err := parsePort(args[0], api.DefaultSwitch)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.showImpairments(c, name)
			}
			spec, err := parseImpairment(args[1:])
			if err != nil {
				return err
			}
			var change api.ImpairmentsSpec
			if egress || !ingress {
				change.Egress = spec
			}
			if ingress || !egress {
				change.Ingress = spec
			}
			return a.impair(c, name, change)
		},
	}
	c.Flags().BoolVar(&egress, "egress", false, "frames to the station alone")
	c.Flags().BoolVar(&ingress, "ingress", false, "frames from the station alone")
	return c
}

// parseImpairment is api.ParseImpairment, and says which word may have been meant.
func parseImpairment(args []string) (*api.ImpairmentSpec, error) {
	spec, err := api.ParseImpairment(args)
	if err == nil {
		return spec, nil
	}
	for _, arg := range args {
		for _, w := range api.ImpairmentWords {
			if d := document.Distance(w.Name, arg); d > 0 && d <= len(w.Name)/3 {
				return nil, usage("%q is nothing that a line does to frames: did you mean %s?", arg, w.Name)
			}
		}
	}
	return nil, usage("%v", err)
}

// impairmentHelp lists the words.
func impairmentHelp() string {
	var b strings.Builder
	for _, w := range api.ImpairmentWords {
		fmt.Fprintf(&b, "  %-27s %s\n", w.Name+" "+w.Value, w.Help)
	}
	return b.String()
}

func (a *app) impair(c *cobra.Command, name portName, change api.ImpairmentsSpec) error {
	cl := a.client()
	defer cl.Close()
	p, err := cl.SetPort(c.Context(), name.sw, name.port, api.PortChange{Impair: &change})
	if err != nil {
		return a.suggest(c.Context(), err, name)
	}
	return a.print(p, func(w io.Writer) error { return writeImpairments(w, &p) })
}

func (a *app) showImpairments(c *cobra.Command, name portName) error {
	cl := a.client()
	defer cl.Close()
	p, err := cl.Port(c.Context(), name.sw, name.port)
	if err != nil {
		return a.suggest(c.Context(), err, name)
	}
	return a.print(p, func(w io.Writer) error { return writeImpairments(w, &p) })
}

func writeImpairments(w io.Writer, p *api.Port) error {
	words := p.Impair.String()
	if words == "" {
		words = "not impaired"
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", p.FullName(), words)
	return err
}

// completeImpair offers ports, then words; their values are for people.
func (a *app) completeImpair(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completePort(c, args, typed)
	}
	last := args[len(args)-1]
	for _, w := range api.ImpairmentWords {
		if len(args) > 1 && w.Name == last && w.Value != "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	var offers []string
	for _, w := range api.ImpairmentWords {
		offers = append(offers, w.Name+"\t"+w.Help)
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
