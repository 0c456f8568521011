package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// kindFlags say what a port hangs on, and where.
type kindFlags struct {
	veth, tap      bool
	dev, vm, patch string

	netns, container, ifname, mac string
	ips, gateways                 []string
	mtu, queues                   int
	owner                         string
}

func (k *kindFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&k.veth, "veth", false, "KIND: a veth pair")
	flags.BoolVar(&k.tap, "tap", false, "KIND: a TAP that the switch holds open")
	flags.StringVar(&k.dev, "dev", "", "KIND: the Ethernet device `IFNAME`")
	flags.StringVar(&k.vm, "vm", "", "KIND: a TAP `IFNAME` for a VM monitor to open")
	flags.StringVar(&k.patch, "patch", "", "KIND: a patch to `SWITCH/PORT`")
	flags.StringVar(&k.netns, "netns", "", "WHERE: the namespace `NAME|/PATH|pid:N`")
	flags.StringVar(&k.container, "container", "", "WHERE: the container `NAME|ID` of podman or docker")
	flags.StringVar(&k.ifname, "ifname", "", "`name` of the interface there (default: the first free ethN in a namespace, else the port's name)")
	flags.StringVar(&k.mac, "mac", "", "its `MAC`")
	flags.StringArrayVar(&k.ips, "ip", nil, "its address `ADDR/LEN`; again for more")
	flags.StringArrayVar(&k.gateways, "gateway", nil, "the default route `ADDR`; again for the other family")
	flags.IntVar(&k.mtu, "mtu", 0, "its MTU (default 1500; a device keeps its own)")
	flags.StringVar(&k.owner, "owner", "", "with --vm: the `USER` who may open it")
	flags.IntVar(&k.queues, "queues", 0, "with --vm: how many queues (default 1)")
}

// kindFlag pairs each flag that says a KIND with its name in the API.
var kindFlag = []struct{ flag, kind string }{
	{"veth", api.KindVeth},
	{"tap", api.KindTap},
	{"dev", api.KindDev},
	{"vm", api.KindVM},
	{"patch", api.KindPatch},
}

// whereFlags says which flags fit which kinds.
var whereFlags = []struct {
	flag string
	fits []string
}{
	{"netns", []string{api.KindVeth, api.KindTap}},
	{"container", []string{api.KindVeth, api.KindTap}},
	{"ifname", []string{api.KindVeth, api.KindTap}},
	{"mac", []string{api.KindVeth, api.KindTap}},
	{"ip", []string{api.KindVeth, api.KindTap}},
	{"gateway", []string{api.KindVeth, api.KindTap}},
	{"mtu", []string{api.KindVeth, api.KindTap, api.KindDev, api.KindVM}},
	{"owner", []string{api.KindVM}},
	{"queues", []string{api.KindVM}},
}

// spec returns what was said of what the port hangs on.
func (k *kindFlags) spec(flags *pflag.FlagSet, name portName) (api.PortSpec, error) {
	spec := api.PortSpec{
		Switch: name.sw, Name: name.port,
		Netns: k.netns, Container: k.container, IfName: k.ifname, MAC: k.mac,
		IPs: k.ips, Gateways: k.gateways, MTU: k.mtu,
		Device: k.dev + k.vm, Owner: k.owner, Queues: k.queues,
	}
	for _, f := range []string{"netns", "container", "ifname", "mac", "owner", "dev", "vm"} {
		if flags.Changed(f) && flags.Lookup(f).Value.String() == "" {
			return spec, usage("--%s is empty: say its value, or leave it out", f)
		}
	}
	var err error
	if spec.Kind, err = k.kind(flags, name); err != nil {
		return spec, err
	}
	for _, f := range whereFlags {
		if flags.Changed(f.flag) && !slices.Contains(f.fits, spec.Kind) {
			return spec, usage("--%s does not fit --%s: leave it out, or make the port of kind --%s", f.flag, spec.Kind, strings.Join(f.fits, " or --"))
		}
	}
	for _, f := range []string{"mtu", "queues"} {
		if n := flags.Lookup(f).Value.String(); flags.Changed(f) && (n == "0" || strings.HasPrefix(n, "-")) {
			return spec, usage("--%s %s is not possible: say a number from 1 on, or leave it out", f, n)
		}
	}
	if k.netns != "" && k.container != "" {
		return spec, usage("--netns %s and --container %s are two places: name one", k.netns, k.container)
	}
	if k.mac != "" {
		if _, err := frame.ParseStation(k.mac); err != nil {
			return spec, usage("--mac: %v", err)
		}
	}
	if spec.Kind == api.KindPatch {
		peer, err := parsePort(k.patch, api.DefaultSwitch)
		if err != nil {
			return spec, err
		}
		spec.Peer = peer.String()
	}
	return spec, nil
}

// kind returns the one KIND that was said.
func (k *kindFlags) kind(flags *pflag.FlagSet, name portName) (string, error) {
	said := map[string]bool{"veth": k.veth, "tap": k.tap}
	for _, f := range []string{"dev", "vm", "patch"} {
		said[f] = flags.Changed(f)
	}
	var kind string
	for _, f := range kindFlag {
		switch {
		case !said[f.flag]:
		case kind != "":
			return "", usage("--%s and --%s are two kinds: a port has one, leave the other out", kind, f.flag)
		default:
			kind = f.kind
		}
	}
	if kind == "" && (k.netns != "" || k.container != "") {
		kind = api.KindVeth
	}
	if kind == "" {
		return "", usage("what %s shall hang on is missing: say --netns NAME or --container NAME for a veth pair, or one of --veth, --tap, --dev IFNAME, --vm IFNAME, --patch SWITCH/PORT", name)
	}
	return kind, nil
}

// vlanFlags say what a port does with VLANs.
type vlanFlags struct {
	access, trunk, native, tunnel, cvlans, tpid, priorityTags string
	nativeTagged                                              bool
}

func (v *vlanFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&v.access, "access", "", "VLAN: untagged, in VLAN `V` (default 1)")
	flags.StringVar(&v.trunk, "trunk", "", "VLAN: tagged, of the VLANs `LIST|all`, such as 10,20-30")
	flags.StringVar(&v.native, "native", "", "with --trunk: untagged frames are of VLAN `N|none`")
	flags.BoolVar(&v.nativeTagged, "native-tagged", false, "with --native: it leaves with its tag")
	flags.StringVar(&v.tunnel, "tunnel", "", "VLAN: whatever its tags, in service VLAN `V` (QinQ)")
	flags.StringVar(&v.cvlans, "cvlans", "", "with --tunnel: of these customer VIDs only, `LIST|all`; 0: untagged")
	flags.StringVar(&v.tpid, "tpid", "", "the tag of an access port or a trunk: `0x8100|0x88a8`")
	flags.StringVar(&v.priorityTags, "priority-tags", "", "keep the priority of untagged frames: `never|if-nonzero|always` (default never)")
}

// spec returns what was said; nil where nothing was.
func (v *vlanFlags) spec(flags *pflag.FlagSet) (*api.VLANSpec, error) {
	var spec api.VLANSpec
	var modes []string
	for _, f := range []string{"access", "trunk", "tunnel"} {
		if flags.Changed(f) {
			modes = append(modes, f)
		}
	}
	if len(modes) > 1 {
		return nil, usage("--%s and --%s are two modes: a port has one, leave the other out", modes[0], modes[1])
	}
	if len(modes) == 1 {
		if err := v.fitMode(flags, modes[0]); err != nil {
			return nil, err
		}
	}
	var err error
	if spec.Access, err = vlanFlag(flags, "access"); err != nil {
		return nil, err
	}
	if spec.Tunnel, err = vlanFlag(flags, "tunnel"); err != nil {
		return nil, err
	}
	if spec.Trunk, err = listFlag(flags, "trunk", 1); err != nil {
		return nil, err
	}
	if spec.CVLANs, err = listFlag(flags, "cvlans", 0); err != nil {
		return nil, err
	}
	if v.native == "none" {
		spec.Native = new(int)
	} else if spec.Native, err = vlanFlag(flags, "native"); err != nil {
		return nil, err
	}
	if flags.Changed("native-tagged") {
		if v.nativeTagged && v.native == "none" {
			return nil, usage("--native none and --native-tagged contradict each other: leave one out")
		}
		spec.NativeTagged = &v.nativeTagged
	}
	if flags.Changed("tpid") {
		tpid := strings.ToLower(v.tpid)
		if tpid != "0x8100" && tpid != "0x88a8" {
			return nil, usage("--tpid %q is not the type of a tag: write 0x8100 or 0x88a8", v.tpid)
		}
		spec.TPID = &tpid
	}
	if flags.Changed("priority-tags") {
		if _, err := vlan.ParsePriorityTags(v.priorityTags); err != nil {
			return nil, usage("--priority-tags: %v", err)
		}
		spec.PriorityTags = &v.priorityTags
	}
	if spec == (api.VLANSpec{}) {
		return nil, nil
	}
	return &spec, nil
}

// fitMode says which flag does not fit the mode beside it.
func (v *vlanFlags) fitMode(flags *pflag.FlagSet, mode string) error {
	for _, f := range []struct {
		flag string
		fits []string
	}{
		{"native", []string{"trunk"}},
		{"native-tagged", []string{"trunk"}},
		{"cvlans", []string{"tunnel"}},
		{"tpid", []string{"access", "trunk"}},
	} {
		if flags.Changed(f.flag) && !slices.Contains(f.fits, mode) {
			return usage("--%s does not fit --%s: leave it out, or use --%s", f.flag, mode, strings.Join(f.fits, " or --"))
		}
	}
	return nil
}

// needMode says, of a new port, which flag wants a mode beside it. On a port
// that stands the mode may be there already.
func (v *vlanFlags) needMode(spec *api.VLANSpec) error {
	switch {
	case spec == nil:
	case spec.Trunk == nil && spec.Native != nil:
		return usage("--native does not fit an access port: say --trunk LIST beside it, or --access %s in its place", v.native)
	case spec.Trunk == nil && spec.NativeTagged != nil, spec.NativeTagged != nil && *spec.NativeTagged && spec.Native == nil:
		return usage("--native-tagged does not stand alone: say --trunk LIST --native N beside it")
	case spec.Tunnel == nil && spec.CVLANs != nil:
		return usage("--cvlans does not fit an access port: say --tunnel V beside it")
	}
	return nil
}

func vlanFlag(flags *pflag.FlagSet, name string) (*int, error) {
	if !flags.Changed(name) {
		return nil, nil
	}
	id, err := vlan.ParseID(flags.Lookup(name).Value.String())
	if err != nil {
		return nil, usage("--%s: %v", name, err)
	}
	n := int(id)
	return &n, nil
}

func listFlag(flags *pflag.FlagSet, name string, lowest uint16) (*api.VLANSet, error) {
	if !flags.Changed(name) {
		return nil, nil
	}
	set := api.ParseVLANSet(flags.Lookup(name).Value.String())
	if !set.IsAll() {
		if _, err := vlan.ParseSet(set.String(), lowest); err != nil {
			return nil, usage("--%s: %v", name, err)
		}
	}
	return &set, nil
}

// optionFlags are a port's settings beside its VLANs.
type optionFlags struct {
	switches     map[string]*bool // by flag
	maxMACs      int
	stormLimits  []string
	passReserved string
}

// restFlags are what is said of one port alone.
type restFlags struct {
	profile     string
	down        bool
	description string
}

func (r *restFlags) register(a *app, c *cobra.Command) {
	c.Flags().StringVar(&r.profile, "profile", "", "VLANs and options are those of the profile `NAME`; none: the port's own")
	c.Flags().BoolVar(&r.down, "down", false, "take the port down")
	c.Flags().StringVar(&r.description, "description", "", "a `TEXT` for people")
	_ = c.RegisterFlagCompletionFunc("profile", a.profileNames)
}

// profileName returns the profile that was named; "none" is none.
func (r *restFlags) profileName() string {
	if r.profile == "none" {
		return ""
	}
	return r.profile
}

func (o *optionFlags) register(flags *pflag.FlagSet) {
	o.switches = make(map[string]*bool)
	for _, f := range []struct{ name, help string }{
		{"no-flood", "withhold unknown unicast"},
		{"no-mcast-flood", "withhold multicast"},
		{"no-bcast-flood", "withhold broadcast"},
		{"no-learn", "learn nothing here"},
		{"hairpin", "send known unicast back where it came from"},
		{"isolated", "nothing to other isolated ports"},
		{"sticky", "what is learned here does not move away"},
		{"loop-protect", "take the port out while frames come back by it, and try again later"},
	} {
		o.switches[f.name] = flags.Bool(f.name, false, f.help)
	}
	flags.IntVar(&o.maxMACs, "max-macs", 0, "learn `N` stations here at the most; 0: no limit")
	flags.StringArrayVar(&o.stormLimits, "storm-limit", nil, "let in so much for many ports: `[bcast=|mcast=|unicast=]1000pps|10mbit`; again for more; none: no limit")
	flags.StringVar(&o.passReserved, "pass-reserved", "", "forward these reserved group addresses: `all|none|LIST` of lldp, lacp, eapol or last digits; switch: as the switch does")
}

// spec returns what was said; nil where nothing was.
func (o *optionFlags) spec(flags *pflag.FlagSet) *api.OptionsSpec {
	said := func(name string) *bool {
		if !flags.Changed(name) {
			return nil
		}
		return o.switches[name]
	}
	spec := api.OptionsSpec{
		NoFlood:      said("no-flood"),
		NoMcastFlood: said("no-mcast-flood"),
		NoBcastFlood: said("no-bcast-flood"),
		NoLearn:      said("no-learn"),
		Hairpin:      said("hairpin"),
		Isolated:     said("isolated"),
		Sticky:       said("sticky"),
		LoopProtect:  said("loop-protect"),
	}
	if flags.Changed("max-macs") {
		spec.MaxMACs = &o.maxMACs
	}
	if flags.Changed("storm-limit") {
		limits := strings.Join(o.stormLimits, ",")
		spec.StormLimit = &limits
	}
	if flags.Changed("pass-reserved") {
		spec.PassReserved = &o.passReserved
	}
	if spec == (api.OptionsSpec{}) {
		return nil
	}
	return &spec
}

// optionWords writes options as the flags that make them.
func optionWords(o api.Options) string {
	var words []string
	for _, f := range []struct {
		set  bool
		word string
	}{
		{o.NoFlood, "no-flood"},
		{o.NoMcastFlood, "no-mcast-flood"},
		{o.NoBcastFlood, "no-bcast-flood"},
		{o.NoLearn, "no-learn"},
		{o.Hairpin, "hairpin"},
		{o.Isolated, "isolated"},
		{o.Sticky, "sticky"},
		{o.LoopProtect, "loop-protect"},
		{o.MaxMACs != 0, "max-macs " + strconv.Itoa(o.MaxMACs)},
		{o.StormLimit != "", "storm-limit " + o.StormLimit},
		{o.PassReserved != api.PassAsSwitch, "pass-reserved " + o.PassReserved},
	} {
		if f.set {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, ", ")
}
