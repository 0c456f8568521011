package main

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
)

func (a *app) profileCommand() *cobra.Command {
	c := a.group(&cobra.Command{
		Use:   "profile",
		Short: "Profiles: VLANs and options under a name, for many ports",
		Long: `A profile is a set of VLANs and options under a name. Ports that refer to it
(port add --profile, port set --profile) have these, and none of their own; what
is changed of a profile is changed of all its ports, in one step.`,
	})
	c.AddCommand(a.profileAdd(), a.profileSet(), a.profileDel(), a.profileList(), a.profileShow())
	return c
}

func (a *app) profileAdd() *cobra.Command {
	var vlan vlanFlags
	var options optionFlags
	var mayExist bool
	c := &cobra.Command{
		Use:     "add NAME [VLAN] [OPTIONS]",
		Short:   "Make a profile",
		Example: "  vsctl profile add office --access 10 --isolated",
		Args:    words("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("profile", args[0]); err != nil {
				return err
			}
			spec := api.ProfileSpec{Name: args[0], MayExist: mayExist, Options: options.spec(c.Flags())}
			var err error
			if spec.VLAN, err = vlan.spec(c.Flags()); err != nil {
				return err
			}
			if err := vlan.needMode(spec.VLAN); err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			p, err := cl.AddProfile(c.Context(), spec)
			if err != nil {
				return err
			}
			return a.print(p, func(w io.Writer) error { return writeProfiles(w, p) })
		},
	}
	c.Flags().SortFlags = false
	vlan.register(c.Flags())
	options.register(c.Flags())
	c.Flags().BoolVar(&mayExist, "may-exist", false, "a profile that stands just so is no error")
	return c
}

func (a *app) profileSet() *cobra.Command {
	var vlan vlanFlags
	var options optionFlags
	c := &cobra.Command{
		Use:               "set NAME [VLAN] [OPTIONS]",
		Short:             "Change a profile, and all ports that refer to it",
		Example:           "  vsctl profile set office --access 20",
		Args:              words("NAME"),
		ValidArgsFunction: a.completeProfile,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("profile", args[0]); err != nil {
				return err
			}
			spec := api.ProfileSpec{Options: options.spec(c.Flags())}
			var err error
			if spec.VLAN, err = vlan.spec(c.Flags()); err != nil {
				return err
			}
			if spec == (api.ProfileSpec{}) {
				return usage("nothing is named that shall change: say a flag; see vsctl profile set --help")
			}
			cl := a.client()
			defer cl.Close()
			p, err := cl.SetProfile(c.Context(), args[0], spec)
			if err != nil {
				return err
			}
			return a.print(p, func(w io.Writer) error { return writeProfiles(w, p) })
		},
	}
	c.Flags().SortFlags = false
	vlan.register(c.Flags())
	options.register(c.Flags())
	return c
}

func (a *app) profileDel() *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:               "del NAME",
		Short:             "Remove a profile that no port refers to",
		Args:              words("NAME"),
		ValidArgsFunction: a.completeProfile,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("profile", args[0]); err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			return unlessGone(cl.DeleteProfile(c.Context(), args[0]), ifExists)
		},
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a profile that does not stand is no error")
	return c
}

func (a *app) profileList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the profiles",
		Args:    words(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl := a.client()
			defer cl.Close()
			all, err := cl.Profiles(c.Context())
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) error { return writeProfiles(w, all...) })
		},
	}
}

func (a *app) profileShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one profile",
		Args:              words("NAME"),
		ValidArgsFunction: a.completeProfile,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("profile", args[0]); err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			p, err := cl.Profile(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(p, func(w io.Writer) error { return writeProfiles(w, p) })
		},
	}
}

func writeProfiles(w io.Writer, all ...api.Profile) error {
	t := newTable("PROFILE", "PORTS", "VLAN", "OPTIONS")
	for _, p := range all {
		t.add(p.Name, strconv.Itoa(p.PortCount), p.VLAN.String(), orDash(optionWords(p.Options)))
	}
	return t.write(w, "PORTS")
}

// completeProfile offers the profiles that stand.
func (a *app) completeProfile(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.profileNames(c, args, "")
}

func (a *app) profileNames(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cl := a.client()
	defer cl.Close()
	all, _ := cl.Profiles(c.Context()) // without a daemon there is nothing to offer
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
