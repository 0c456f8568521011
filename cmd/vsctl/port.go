package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
)

func (a *app) portCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "port", Short: "Ports: what hangs on a switch, and how"})
	c.AddCommand(a.portAdd(), a.portSet(), a.portImpair(), a.portDel(), a.portList(), a.portShow())
	return c
}

func (a *app) portAdd() *cobra.Command {
	var kind kindFlags
	var vlan vlanFlags
	var options optionFlags
	var rest restFlags
	var mayExist bool
	c := &cobra.Command{
		Use:   "add PORT KIND [WHERE] [VLAN] [OPTIONS]",
		Short: "Make a port",
		Long: `Make a port of one KIND:

  --veth              a veth pair, its far end WHERE it is wanted; the default
                      when --netns or --container is given
  --tap               a TAP that the switch holds open, WHERE it is wanted
  --dev IFNAME        an Ethernet device that exists: a VM's tap, a NIC
  --vm IFNAME         a persistent TAP made for a VM monitor to open
  --patch SWITCH/PORT a patch to another switch; both of its ports are made

It is in force when the command ends, and the mode that it got is printed.
Without a mode it is an access port of VLAN 1.`,
		Example: `  vsctl port add web --netns web --ip 10.0.0.1/24 --access 10
  vsctl port add host --tap --ip 10.0.0.254/24 --access 10
  vsctl port add vm1 --vm tap-vm1 --owner qemu --trunk 10,20-30 --native 1
  vsctl port add uplink --dev eth1 --trunk all`,
		Args: words("PORT"),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := parsePort(args[0], api.DefaultSwitch)
			if err != nil {
				return err
			}
			spec, err := kind.spec(c.Flags(), name)
			if err != nil {
				return err
			}
			if spec.VLAN, err = vlan.spec(c.Flags()); err != nil {
				return err
			}
			if err := vlan.needMode(spec.VLAN); err != nil {
				return err
			}
			spec.Options = options.spec(c.Flags())
			spec.Down, spec.Description, spec.Profile, spec.MayExist = rest.down, rest.description, rest.profileName(), mayExist
			return a.addPort(c.Context(), spec)
		},
	}
	c.Flags().SortFlags = false
	kind.register(c.Flags())
	vlan.register(c.Flags())
	options.register(c.Flags())
	rest.register(a, c)
	c.Flags().BoolVar(&mayExist, "may-exist", false, "a port that stands just so is no error")
	_ = c.RegisterFlagCompletionFunc("patch", a.portNames)
	return c
}

func (a *app) addPort(ctx context.Context, spec api.PortSpec) error {
	cl := a.client()
	defer cl.Close()
	p, err := cl.AddPort(ctx, spec)
	if err != nil {
		return err
	}
	return a.print(p, func(w io.Writer) error { return writeMode(w, &p) })
}

// writeMode says what a port hangs on and which mode it got: nobody shall be
// surprised by a default.
func writeMode(w io.Writer, p *api.Port) error {
	_, err := fmt.Fprintf(w, "%s: %s, %s\n", p.FullName(), p.Where(), &p.VLAN)
	return err
}

func (a *app) portSet() *cobra.Command {
	var vlan vlanFlags
	var options optionFlags
	var rest restFlags
	c := &cobra.Command{
		Use:   "set PORT [up|down] [VLAN] [OPTIONS]",
		Short: "Change a port: what is named, and nothing else",
		Long: `Change a port: what is named is replaced, and the rest stays.

--access, --trunk and --tunnel replace the whole VLAN policy: what is not named
beside them is as on a new port. --native, --cvlans, --tpid and --priority-tags
alone change the policy that stands.
--storm-limit replaces all limits of the port: name again those that stay.

To take away: --native none, --cvlans all, --isolated=false, --max-macs 0,
--pass-reserved switch, --storm-limit none, --profile none.`,
		Example: `  vsctl port set web --access 20
  vsctl port set uplink --native none
  vsctl port set web down`,
		Args:              words("PORT", "[up|down]"),
		ValidArgsFunction: a.completePortThen("up", "down"),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := parsePort(args[0], api.DefaultSwitch)
			if err != nil {
				return err
			}
			change := api.PortChange{Options: options.spec(c.Flags())}
			if change.VLAN, err = vlan.spec(c.Flags()); err != nil {
				return err
			}
			if c.Flags().Changed("description") {
				change.Description = &rest.description
			}
			if c.Flags().Changed("profile") {
				name := rest.profileName()
				change.Profile = &name
			}
			if change.Down, err = wantDown(args[1:], c.Flags().Changed("down"), rest.down); err != nil {
				return err
			}
			if change == (api.PortChange{}) {
				return usage("nothing is named that shall change: say up, down, or a flag; see vsctl port set --help")
			}
			return a.setPort(c.Context(), name, change)
		},
	}
	c.Flags().SortFlags = false
	vlan.register(c.Flags())
	options.register(c.Flags())
	rest.register(a, c)
	c.SetFlagErrorFunc(explainFixedFlags)
	return c
}

// explainFixedFlags says why flags of port add are not known to port set.
func explainFixedFlags(c *cobra.Command, err error) error {
	add, _, findErr := c.Parent().Find([]string{"add"})
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if findErr == nil && ok && add.Flags().Lookup(name) != nil {
		return usage("--%s cannot be changed: delete the port and add it again", name)
	}
	return explainFlag(c, err)
}

// wantDown reads up and down, which may also be said as a flag.
func wantDown(words []string, flagged, flag bool) (*bool, error) {
	if len(words) == 0 {
		if flagged {
			return &flag, nil
		}
		return nil, nil
	}
	down := words[0] == "down"
	switch {
	case !down && words[0] != "up":
		return nil, usage("%q is neither up nor down: flags begin with --", words[0])
	case flagged && flag != down:
		return nil, usage("%s and --down=%t contradict each other: say one", words[0], flag)
	}
	return &down, nil
}

func (a *app) setPort(ctx context.Context, name portName, change api.PortChange) error {
	cl := a.client()
	defer cl.Close()
	p, err := cl.SetPort(ctx, name.sw, name.port, change)
	if err != nil {
		return a.suggest(ctx, err, name)
	}
	return a.print(p, func(w io.Writer) error {
		if change.VLAN == nil {
			return nil
		}
		return writeMode(w, &p)
	})
}

func (a *app) portDel() *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:               "del PORT",
		Short:             "Remove a port and what was made for it; of a patch, both ends",
		Args:              words("PORT"),
		ValidArgsFunction: a.completePort,
		RunE: func(c *cobra.Command, args []string) error {
			name, err := parsePort(args[0], api.DefaultSwitch)
			if err != nil {
				return err
			}
			return a.deletePort(c.Context(), name, ifExists)
		},
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a port that does not stand is no error")
	return c
}

func (a *app) deletePort(ctx context.Context, name portName, ifExists bool) error {
	cl := a.client()
	defer cl.Close()
	err := unlessGone(cl.DeletePort(ctx, name.sw, name.port), ifExists)
	return a.suggest(ctx, err, name)
}

func (a *app) portList() *cobra.Command {
	return &cobra.Command{
		Use:               "list [SWITCH]",
		Aliases:           []string{"ls"},
		Short:             "List the ports of a switch, or of all",
		Args:              words("[SWITCH]"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			sw, err := optionalSwitch(args)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			ports, err := cl.Ports(c.Context(), sw)
			if err != nil {
				return err
			}
			return a.print(ports, func(w io.Writer) error {
				t := newTable("PORT", "STATE", "ATTACHED", "VLAN", "REASON")
				for _, p := range ports {
					t.add(p.FullName(), p.State, p.Where(), p.VLAN.String(), p.Reason)
				}
				return t.write(w)
			})
		},
	}
}

func (a *app) portShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show PORT",
		Short:             "Show all that is known of a port",
		Args:              words("PORT"),
		ValidArgsFunction: a.completePort,
		RunE: func(c *cobra.Command, args []string) error {
			name, err := parsePort(args[0], api.DefaultSwitch)
			if err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			p, err := cl.Port(c.Context(), name.sw, name.port)
			if err != nil {
				return a.suggest(c.Context(), err, name)
			}
			return a.print(p, func(w io.Writer) error { return writePort(w, &p) })
		},
	}
}

func writePort(w io.Writer, p *api.Port) error {
	var f fields
	state := p.State
	if p.Reason != "" {
		state += ": " + p.Reason
	}
	f.add("state", state)
	f.add("attached", p.Where())
	f.add("profile", p.Profile)
	f.add("vlan", &p.VLAN)
	f.add("options", optionWords(p.Options))
	f.add("impaired", p.Impair.String())
	f.add("description", p.Description)
	device := p.Device
	if p.Ifindex != 0 {
		device = fmt.Sprintf("%s (ifindex %d)", device, p.Ifindex)
	}
	f.add("device", device)
	if p.MTU != 0 {
		f.add("mtu", p.MTU)
	}
	f.add("mac", p.MAC)
	f.add("ip", strings.Join(p.IPs, ", "))
	f.add("gateway", strings.Join(p.Gateways, ", "))
	f.add("owner", p.Owner)
	if p.Queues > 1 {
		f.add("queues", p.Queues)
	}
	f.add("rx", fmt.Sprintf("%d frames, %d bytes", p.Counters.RxFrames, p.Counters.RxBytes))
	f.add("tx", fmt.Sprintf("%d frames, %d bytes", p.Counters.TxFrames, p.Counters.TxBytes))
	f.add("drops", countWords(p.Counters.Drops))
	f.add("notices", countWords(p.Counters.Notices))
	return f.write(w, p.FullName())
}

// completePortThen offers ports first and the words then.
func (a *app) completePortThen(then ...string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return then, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completePort(c, args, typed)
	}
}
