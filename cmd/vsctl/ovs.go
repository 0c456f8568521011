package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/vlan"
)

// Open vSwitch's words for what vsctl has words of its own for. A bridge is a
// switch, and a port is a device that exists, by its own name.

func (a *app) ovsCommands() []*cobra.Command {
	return []*cobra.Command{a.addBr(), a.delBr(), a.addPortAlias(), a.delPortAlias(), a.listPorts(), a.fdbShowAlias()}
}

var ovsNames = []string{"add-br", "del-br", "add-port", "del-port", "list-ports", "fdb/show"}

// aliasFlagsLast puts --may-exist and --if-exists, which ovs-vsctl takes before
// its commands, behind an alias, where cobra takes them.
func aliasFlagsLast(args []string) []string {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--socket" || arg == "--timeout":
			i++ // its value
		case strings.HasPrefix(arg, "-") && arg != "--":
		case slices.Contains(ovsNames, arg):
			var moved []string
			before := slices.DeleteFunc(slices.Clone(args[:i]), func(s string) bool {
				early := s == "--may-exist" || s == "--if-exists"
				if early {
					moved = append(moved, s)
				}
				return early || s == "--"
			})
			return slices.Concat(before, []string{arg}, moved, args[i+1:])
		case arg == "--": // ovs-vsctl puts one before a command
		default:
			return args
		}
	}
	return args
}

func (a *app) addBr() *cobra.Command {
	var mayExist bool
	c := &cobra.Command{
		Use:   "add-br BR",
		Short: "As switch add",
		Args:  words("BR"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.addSwitch(c.Context(), api.SwitchSpec{Name: args[0], MayExist: mayExist})
		},
	}
	c.Flags().BoolVar(&mayExist, "may-exist", false, "a switch that stands just so is no error")
	return c
}

func (a *app) delBr() *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:               "del-br BR",
		Short:             "As switch del",
		Args:              words("BR"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			return a.deleteSwitch(c.Context(), args[0], ifExists)
		},
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a switch that does not stand is no error")
	return c
}

func (a *app) addPortAlias() *cobra.Command {
	var mayExist bool
	c := &cobra.Command{
		Use:   "add-port BR PORT [COLUMN=VALUE...]",
		Short: "As port add BR/PORT --dev PORT",
		Long: `As port add BR/PORT --dev PORT: PORT is an Ethernet device that exists.

COLUMN is tag, trunks, vlan_mode (access, trunk, native-tagged, native-untagged,
dot1q-tunnel) or cvlans, as in Open vSwitch, with one difference: a port without
any is an access port of VLAN 1, as every port of vswitchd, and not a trunk.`,
		Example: "  vsctl add-port sw0 eth1 trunks=10,20",
		Args:    words("BR", "PORT", "[COLUMN=VALUE...]"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("switch", args[0]); err != nil {
				return err
			}
			if err := checkName("port", args[1]); err != nil {
				return err
			}
			spec := api.PortSpec{Switch: args[0], Name: args[1], Kind: api.KindDev, Device: args[1], MayExist: mayExist}
			var err error
			if spec.VLAN, err = ovsVLAN(args[2:]); err != nil {
				return err
			}
			return a.addPort(c.Context(), spec)
		},
	}
	c.Flags().BoolVar(&mayExist, "may-exist", false, "a port that stands just so is no error")
	return c
}

// ovsVLAN reads columns of Open vSwitch's Port table (ovs-vswitchd.conf.db(5)).
func ovsVLAN(words []string) (*api.VLANSpec, error) {
	columns := make(map[string]string)
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if _, twice := columns[name]; !ok || value == "" || twice || !slices.Contains([]string{"tag", "trunks", "vlan_mode", "cvlans"}, name) {
			return nil, usage("%q is no column that is known here: write tag=N, trunks=LIST, vlan_mode=MODE or cvlans=LIST, each once", w)
		}
		columns[name] = strings.Trim(value, "[]")
	}
	if len(columns) == 0 {
		return nil, nil
	}
	tag, err := ovsTag(columns["tag"])
	if err != nil {
		return nil, err
	}
	trunks, err := ovsList(columns, "trunks", 1)
	if err != nil {
		return nil, err
	}
	cvlans, err := ovsList(columns, "cvlans", 0)
	if err != nil {
		return nil, err
	}
	mode := columns["vlan_mode"]
	if mode == "" && tag != nil {
		mode = "access"
	}
	fits := map[string]string{"access": "tag", "": "trunks", "trunk": "trunks", "dot1q-tunnel": "tag, cvlans", "native-tagged": "tag, trunks", "native-untagged": "tag, trunks"}
	for name := range columns {
		if known, ok := fits[mode]; ok && name != "vlan_mode" && !slices.Contains(strings.Split(known, ", "), name) {
			return nil, usage("%s= does not fit vlan_mode=%s: leave it out, or say another vlan_mode", name, cmpMode(mode))
		}
	}
	if tag == nil && mode != "" && mode != "trunk" {
		return nil, usage("vlan_mode=%s needs a VLAN: say tag=N, too", mode)
	}
	if trunks == nil {
		all := api.AllVLANs()
		trunks = &all
	}
	tagged := mode == api.ModeNativeTagged
	switch mode {
	case "access":
		return &api.VLANSpec{Access: tag}, nil
	case "", "trunk":
		return &api.VLANSpec{Trunk: trunks}, nil
	case "native-tagged", "native-untagged":
		return &api.VLANSpec{Trunk: trunks, Native: tag, NativeTagged: &tagged}, nil
	case "dot1q-tunnel":
		return &api.VLANSpec{Tunnel: tag, CVLANs: cvlans}, nil
	}
	return nil, usage("vlan_mode=%s is not known: use access, trunk, native-tagged, native-untagged or dot1q-tunnel", mode)
}

func cmpMode(mode string) string {
	if mode == "" {
		return "trunk"
	}
	return mode
}

func ovsTag(s string) (*int, error) {
	if s == "" {
		return nil, nil
	}
	id, err := vlan.ParseID(s)
	if err != nil {
		return nil, usage("tag: %v", err)
	}
	n := int(id)
	return &n, nil
}

func ovsList(columns map[string]string, name string, lowest uint16) (*api.VLANSet, error) {
	s, ok := columns[name]
	if !ok {
		return nil, nil
	}
	if _, err := vlan.ParseSet(s, lowest); err != nil {
		return nil, usage("%s: %v", name, err)
	}
	set := api.ParseVLANSet(s)
	return &set, nil
}

func (a *app) delPortAlias() *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:   "del-port [BR] PORT",
		Short: "As port del; without BR, PORT is looked for on all switches",
		RunE: func(c *cobra.Command, args []string) error {
			name, err := a.ovsPort(c.Context(), args)
			if err != nil {
				return err
			}
			return a.deletePort(c.Context(), name, ifExists)
		},
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return words("BR", "PORT")(c, args)
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a port that does not stand is no error")
	return c
}

// ovsPort reads [BR] PORT.
func (a *app) ovsPort(ctx context.Context, args []string) (portName, error) {
	port := args[len(args)-1]
	if len(args) == 2 {
		name, err := parsePort(port, args[0])
		if err == nil && name.sw != args[0] {
			err = usage("port %s is not on switch %s: leave one of the two out", name, args[0])
		}
		return name, err
	}
	name, err := parsePort(port, api.DefaultSwitch)
	if err == nil && !strings.Contains(port, "/") {
		name.sw, err = a.switchOf(ctx, port)
	}
	return name, err
}

// switchOf returns the one switch that has a port of that name; sw0 where none
// has, so that its absence is told as usual.
func (a *app) switchOf(ctx context.Context, port string) (string, error) {
	cl := a.client()
	defer cl.Close()
	ports, err := cl.Ports(ctx, "")
	if err != nil {
		return "", err
	}
	var on []string
	for _, p := range ports {
		if p.Name == port {
			on = append(on, p.Switch)
		}
	}
	switch len(on) {
	case 0:
		return api.DefaultSwitch, nil
	case 1:
		return on[0], nil
	}
	return "", api.Errorf(api.Refused, "several switches have a port %s: say which, %s/%s", port, strings.Join(on, "/"+port+" or "), port)
}

func (a *app) listPorts() *cobra.Command {
	return &cobra.Command{
		Use:               "list-ports BR",
		Short:             "List the names of a switch's ports",
		Args:              words("BR"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("switch", args[0]); err != nil {
				return err
			}
			cl := a.client()
			defer cl.Close()
			ports, err := cl.Ports(c.Context(), args[0])
			if err != nil {
				return err
			}
			names := []string{}
			for _, p := range ports {
				names = append(names, p.Name)
			}
			return a.print(names, func(w io.Writer) error {
				for _, n := range names {
					if _, err := fmt.Fprintln(w, n); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (a *app) fdbShowAlias() *cobra.Command {
	return &cobra.Command{
		Use:               "fdb/show BR",
		Short:             "As fdb show",
		Args:              words("BR"),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("switch", args[0]); err != nil {
				return err
			}
			return a.showFDB(c, api.FDBQuery{Switch: args[0]})
		},
	}
}
