package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
)

func (a *app) vlanCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "vlan", Short: "VLANs and their members"})
	c.AddCommand(&cobra.Command{
		Use:               "show [SWITCH]",
		Short:             "Show the VLANs, their member ports, and how each is tagged",
		Args:              words("[SWITCH]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			sw, err := optionalSwitch(args)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			vlans, err := cl.VLANs(c.Context(), sw)
			if err != nil {
				return err
			}
			return a.print(vlans, func(w io.Writer) error {
				t := newTable("SWITCH", "VLAN", "PORTS")
				for _, name := range slices.Sorted(maps.Keys(vlans)) {
					for _, run := range vlans[name] {
						t.add(name, vlanRange(run), memberWords(run.Ports))
					}
				}
				return t.write(w)
			})
		},
	})
	return c
}

func vlanRange(run api.VLANMembers) string {
	if run.To == run.VLAN {
		return strconv.Itoa(run.VLAN)
	}
	return fmt.Sprintf("%d-%d", run.VLAN, run.To)
}

func memberWords(ports []api.VLANMember) string {
	var words []string
	for _, p := range ports {
		words = append(words, p.Port+" "+p.Tagging)
	}
	return strings.Join(words, ", ")
}
