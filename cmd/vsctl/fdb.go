package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
)

func (a *app) fdbCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "fdb", Short: "The forwarding database: which station lives behind which port"})
	c.AddCommand(a.fdbShow(), a.fdbAdd(), a.fdbDel(), a.fdbFlush(), a.fdbStats())
	return c
}

func (a *app) fdbShow() *cobra.Command {
	var port, mac, kind string
	c := &cobra.Command{
		Use:               "show [SWITCH]",
		Short:             "Show the entries of a switch, or of all",
		Long:              "Show the entries of a switch, or of all, by VLAN and MAC.\n\nvsctl fdb/show BR, in Open vSwitch's words, does the same.",
		Example:           "  vsctl fdb show --vlan 10\n  vsctl fdb show -j | jq '.sw0[].mac'",
		Args:              words("[SWITCH]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			q := api.FDBQuery{Type: kind}
			var err error
			if q.Switch, q.Port, err = switchAndPort(args, port, ""); err != nil {
				return err
			}
			v, err := vlanFlag(c.Flags(), "vlan")
			if err != nil {
				return err
			}
			if v != nil {
				q.VLAN = *v
			}
			if c.Flags().Changed("mac") {
				if q.MAC, err = station(mac); err != nil {
					return err
				}
			}
			if c.Flags().Changed("type") && !slices.Contains([]string{api.Dynamic, api.Static, api.Filter}, kind) {
				return usage("--type %q is no type of entry: use dynamic, static or filter", kind)
			}
			return a.showFDB(c, q)
		},
	}
	c.Flags().StringVar(&port, "port", "", "those behind port `P`")
	c.Flags().String("vlan", "", "those of VLAN `V`")
	c.Flags().StringVar(&mac, "mac", "", "those of station `M`")
	c.Flags().StringVar(&kind, "type", "", "those of type `dynamic|static|filter`")
	a.completeFDBFlags(c)
	return c
}

func (a *app) showFDB(c *cobra.Command, q api.FDBQuery) error {
	cl := a.client()
	defer cl.Close()
	all, err := cl.FDB(c.Context(), q)
	if err != nil {
		if q.Port != "" {
			err = a.suggest(c.Context(), err, portName{q.Switch, q.Port})
		}
		return err
	}
	return a.print(all, func(w io.Writer) error { return writeFDB(w, all) })
}

// writeFDB writes a table for each switch, with a title when there are several.
func writeFDB(w io.Writer, all map[string][]api.FDBEntry) error {
	for i, sw := range slices.Sorted(maps.Keys(all)) {
		if len(all) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s:\n", sw)
		}
		t := newTable("VLAN", "MAC", "PORT", "TYPE", "AGE")
		for _, e := range all[sw] {
			age := "-"
			if e.AgeSeconds != nil {
				age = strconv.FormatFloat(*e.AgeSeconds, 'f', 1, 64)
			}
			t.add(strconv.Itoa(e.VLAN), e.MAC, orDash(e.Port), e.Type, age)
		}
		if err := t.write(w, "VLAN", "AGE"); err != nil {
			return err
		}
	}
	return nil
}

// switchAndPort reads [SWITCH] and --port, which may be of another switch than
// unsaid. A port without its switch is on the one that is named.
func switchAndPort(args []string, port, unsaid string) (sw, name string, err error) {
	if sw, err = optionalSwitch(args); err != nil || port == "" {
		if sw == "" {
			sw = unsaid
		}
		return sw, "", err
	}
	on := sw
	if on == "" {
		on = api.DefaultSwitch
	}
	n, err := parsePort(port, on)
	if err == nil && sw != "" && n.sw != sw {
		err = usage("port %s is not on switch %s: leave one of the two out", n, sw)
	}
	return n.sw, n.port, err
}

// station reads the MAC of a station, in whatever way it is written.
func station(s string) (string, error) {
	m, err := frame.ParseStation(s)
	if err != nil {
		return "", usage("%v", err)
	}
	return m.String(), nil
}

func (a *app) fdbAdd() *cobra.Command {
	var port, sw string
	var drop, mayExist bool
	c := &cobra.Command{
		Use:   "add MAC --vlan V --port PORT|--drop",
		Short: "Say where a station lives, or drop what goes to and from it",
		Example: `  vsctl fdb add 02:00:00:00:00:01 --vlan 10 --port web
  vsctl fdb add 02:00:00:00:00:66 --vlan 10 --drop`,
		Args: words("MAC"),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case drop && port != "":
				return usage("--port and --drop contradict each other: leave one out")
			case !drop && port == "":
				return usage("where %s lives is missing: say --port PORT, or --drop", args[0])
			}
			spec := api.FDBSpec{Drop: drop}
			var err error
			if spec.MAC, spec.VLAN, err = entry(args[0], c.Flags()); err != nil {
				return err
			}
			if spec.Switch, spec.Port, err = switchAndPort(said(sw), port, api.DefaultSwitch); err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			e, err := cl.AddFDB(c.Context(), spec)
			if err != nil {
				return err
			}
			return a.done(e)
		},
	}
	c.Flags().String("vlan", "", "in VLAN `V`")
	c.Flags().StringVar(&port, "port", "", "behind `PORT`")
	c.Flags().BoolVar(&drop, "drop", false, "drop frames to and from it")
	c.Flags().StringVar(&sw, "switch", "", "with --drop: on `SWITCH` (default sw0)")
	// The same entry again is no error anyway: it is the same after it.
	c.Flags().BoolVar(&mayExist, "may-exist", false, "an entry that stands just so is no error (as ever)")
	a.completeFDBFlags(c)
	return c
}

// said makes an argument that may be left out of a flag.
func said(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// entry reads what names an entry.
func entry(mac string, flags *pflag.FlagSet) (string, int, error) {
	m, err := station(mac)
	if err != nil {
		return "", 0, err
	}
	v, err := vlanFlag(flags, "vlan")
	switch {
	case err != nil:
		return "", 0, err
	case v == nil:
		return "", 0, usage("--vlan is missing: say in which VLAN %s is", m)
	}
	return m, *v, nil
}

func (a *app) fdbDel() *cobra.Command {
	var sw string
	var ifExists bool
	c := &cobra.Command{
		Use:   "del MAC --vlan V",
		Short: "Remove an entry of any type",
		Args:  words("MAC"),
		RunE: func(c *cobra.Command, args []string) error {
			mac, v, err := entry(args[0], c.Flags())
			if err != nil {
				return err
			}
			on, _, err := switchAndPort(said(sw), "", api.DefaultSwitch)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			return unlessGone(cl.DeleteFDB(c.Context(), on, v, mac), ifExists)
		},
	}
	c.Flags().String("vlan", "", "in VLAN `V`")
	c.Flags().StringVar(&sw, "switch", "", "on `SWITCH` (default sw0)")
	c.Flags().BoolVar(&ifExists, "if-exists", false, "an entry that does not stand is no error")
	_ = c.RegisterFlagCompletionFunc("switch", a.switchNames)
	return c
}

func (a *app) fdbFlush() *cobra.Command {
	var port string
	c := &cobra.Command{
		Use:               "flush [SWITCH]",
		Short:             "Forget the stations that were learned: all, or those named",
		Args:              words("[SWITCH]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			var f api.FDBFlush
			var err error
			if f.Switch, f.Port, err = switchAndPort(args, port, api.DefaultSwitch); err != nil {
				return err
			}
			v, err := vlanFlag(c.Flags(), "vlan")
			if err != nil {
				return err
			}
			if v != nil {
				f.VLAN = *v
			}
			cl := a.client()
			defer cl.Close()
			n, err := cl.FlushFDB(c.Context(), f)
			if err != nil {
				if f.Port != "" {
					err = a.suggest(c.Context(), err, portName{f.Switch, f.Port})
				}
				return err
			}
			return a.print(api.FDBFlushed{Flushed: n}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: %s flushed\n", f.Switch, plural(n, "entry", "entries"))
				return err
			})
		},
	}
	c.Flags().StringVar(&port, "port", "", "those behind port `P`")
	c.Flags().String("vlan", "", "those of VLAN `V`")
	a.completeFDBFlags(c)
	return c
}

func (a *app) fdbStats() *cobra.Command {
	return &cobra.Command{
		Use:               "stats [SWITCH]",
		Short:             "Show what the FDB of a switch, or of all, holds and did",
		Args:              words("[SWITCH]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			sw, err := optionalSwitch(args)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			all, err := cl.FDBStats(c.Context(), sw)
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) error {
				header := []string{"SWITCH", "SIZE", "DYNAMIC", "STATIC", "FILTER", "LEARNED", "MOVED", "AGED", "EVICTED", "FLUSHED", "REFUSED", "LIMITED"}
				t := newTable(header...)
				for _, name := range slices.Sorted(maps.Keys(all)) {
					s := all[name]
					row := []string{name}
					for _, n := range []uint64{uint64(s.Size), uint64(s.Dynamic), uint64(s.Static), uint64(s.Filter),
						s.Learned, s.Moved, s.Aged, s.Evicted, s.Flushed, s.Refused, s.Limited} {
						row = append(row, strconv.FormatUint(n, 10))
					}
					t.add(row...)
				}
				return t.write(w, header[1:]...)
			})
		},
	}
}

// completeFDBFlags offers what stands for the flags that c has.
func (a *app) completeFDBFlags(c *cobra.Command) {
	for flag, offer := range map[string]cobra.CompletionFunc{
		"port":   a.portNames,
		"switch": a.switchNames,
		"type":   cobra.FixedCompletions([]string{api.Dynamic, api.Static, api.Filter}, cobra.ShellCompDirectiveNoFileComp),
	} {
		if c.Flags().Lookup(flag) != nil {
			_ = c.RegisterFlagCompletionFunc(flag, offer)
		}
	}
}
