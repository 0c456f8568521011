package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vswitch/vswitch/api"
)

func (a *app) switchCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "switch", Aliases: []string{"sw"}, Short: "Switches and their settings"})
	c.AddCommand(a.switchAdd(), a.switchSet(), a.switchDel(), a.switchList(), a.switchShow())
	return c
}

// switchFlags are a switch's settings as flags.
type switchFlags struct {
	ageing       seconds
	fdbSize      int
	bpdu         string
	passReserved string
}

func (f *switchFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	f.ageing = seconds(300 * time.Second)
	flags.Var(&f.ageing, "ageing", "forget stations that are silent this long; 0: never")
	flags.IntVar(&f.fdbSize, "fdb-size", 16384, "learn this many stations at the most")
	flags.StringVar(&f.bpdu, "bpdu", api.BPDUForward, "`forward|drop` frames of spanning trees")
	flags.StringVar(&f.passReserved, "pass-reserved", "none", "forward these reserved group addresses: `all|none|LIST` of lldp, lacp, eapol or last digits")
}

// spec returns what was said.
func (f *switchFlags) spec(flags *pflag.FlagSet) (spec api.SwitchSpec) {
	if flags.Changed("ageing") {
		s := time.Duration(f.ageing).Seconds()
		spec.AgeingSeconds = &s
	}
	if flags.Changed("fdb-size") {
		spec.FDBSize = &f.fdbSize
	}
	if flags.Changed("bpdu") {
		spec.BPDU = &f.bpdu
	}
	if flags.Changed("pass-reserved") {
		spec.PassReserved = &f.passReserved
	}
	return spec
}

func (a *app) switchAdd() *cobra.Command {
	var f switchFlags
	var mayExist bool
	c := &cobra.Command{
		Use:     "add NAME",
		Short:   "Make a switch",
		Example: "  vsctl switch add lab --ageing 60s --pass-reserved lldp",
		Args:    words("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			spec := f.spec(c.Flags())
			spec.Name, spec.MayExist = args[0], mayExist
			return a.addSwitch(c.Context(), spec)
		},
	}
	f.register(c.Flags())
	c.Flags().BoolVar(&mayExist, "may-exist", false, "a switch that stands just so is no error")
	return c
}

func (a *app) addSwitch(ctx context.Context, spec api.SwitchSpec) error {
	if err := checkName("switch", spec.Name); err != nil {
		return err
	}
	cl := a.client()
	defer cl.Close()
	s, err := cl.AddSwitch(ctx, spec)
	if err != nil {
		return err
	}
	return a.done(s)
}

// done prints what a change made, with -j alone.
func (a *app) done(v any) error {
	return a.print(v, func(io.Writer) error { return nil })
}

func (a *app) switchSet() *cobra.Command {
	var f switchFlags
	c := &cobra.Command{
		Use:               "set NAME",
		Short:             "Change a switch's settings: those named, and no others",
		Example:           "  vsctl switch set sw0 --ageing 0",
		Args:              words("NAME"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("switch", args[0]); err != nil {
				return err
			}
			spec := f.spec(c.Flags())
			if spec == (api.SwitchSpec{}) {
				return usage("nothing is named that shall change: say --ageing, --fdb-size, --bpdu or --pass-reserved")
			}
			cl := a.client()
			defer cl.Close()
			s, err := cl.SetSwitch(c.Context(), args[0], spec)
			if err != nil {
				return err
			}
			return a.done(s)
		},
	}
	f.register(c.Flags())
	for _, name := range []string{"ageing", "fdb-size", "bpdu", "pass-reserved"} {
		c.Flags().Lookup(name).DefValue = "" // it stays as it is
	}
	return c
}

func (a *app) switchDel() *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:               "del NAME",
		Short:             "Remove a switch and its ports",
		Args:              words("NAME"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			return a.deleteSwitch(c.Context(), args[0], ifExists)
		},
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a switch that does not stand is no error")
	return c
}

func (a *app) deleteSwitch(ctx context.Context, name string, ifExists bool) error {
	if err := checkName("switch", name); err != nil {
		return err
	}
	cl := a.client()
	defer cl.Close()
	return unlessGone(cl.DeleteSwitch(ctx, name), ifExists)
}

// unlessGone forgives, when asked to, that what shall be deleted is not there.
func unlessGone(err error, ifExists bool) error {
	var e *api.Error
	if ifExists && errors.As(err, &e) && e.Code == api.NotFound {
		return nil
	}
	return err
}

func (a *app) switchList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the switches",
		Args:    words(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl := a.client()
			defer cl.Close()
			all, err := cl.Switches(c.Context())
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) error {
				t := newTable("NAME", "PORTS", "DYNAMIC", "STATIC", "AGEING", "BPDU", "PASS-RESERVED")
				for _, s := range all {
					t.add(s.Name, strconv.Itoa(s.PortCount), strconv.Itoa(s.FDB.Dynamic), strconv.Itoa(s.FDB.Static+s.FDB.Filter),
						ageing(s.AgeingSeconds), s.BPDU, s.PassReserved)
				}
				return t.write(w, "PORTS", "DYNAMIC", "STATIC")
			})
		},
	}
}

func ageing(secs float64) string {
	if secs == 0 {
		return "off"
	}
	return strconv.FormatFloat(secs, 'f', -1, 64) + "s"
}

func (a *app) switchShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show one switch, or all",
		Args:              words("[NAME]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			name, err := optionalSwitch(args)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			if name == "" {
				all, err := cl.Switches(c.Context())
				if err != nil {
					return err
				}
				return a.print(all, func(w io.Writer) error { return writeSwitches(w, all...) })
			}
			s, err := cl.Switch(c.Context(), name)
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) error { return writeSwitches(w, s) })
		},
	}
}

func writeSwitches(w io.Writer, all ...api.Switch) error {
	for _, s := range all {
		var f fields
		f.add("ports", s.PortCount)
		f.add("ageing", ageing(s.AgeingSeconds))
		f.add("fdb", fmt.Sprintf("%d of %d dynamic, %d static, %d filter", s.FDB.Dynamic, s.FDBSize, s.FDB.Static, s.FDB.Filter))
		f.add("bpdu", s.BPDU)
		f.add("pass-reserved", s.PassReserved)
		if err := f.write(w, s.Name); err != nil {
			return err
		}
	}
	return nil
}
