package config

import (
	_ "embed" // of the schema
	"fmt"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

// Schema is the JSON schema of a document, by which editors complete keys. It is
// made by go run ./internal/schema.
//
//go:embed config.schema.json
var Schema []byte

// Version is that of documents that this program reads and writes.
const Version = 1

// Document is a configuration as a file has it.
type Document struct {
	document.Where `yaml:"-"`

	Version  int                    `yaml:"version"` // [Version] if left out
	Profiles document.Map[*Profile] `yaml:"profiles"`
	Switches document.Map[*Switch]  `yaml:"switches"`
}

// Profile is a set of VLANs and options under a name, to which ports refer.
type Profile struct {
	document.Where `yaml:"-"`

	VLANSettings
	OptionSettings
}

// Switch is a switch with its ports.
type Switch struct {
	document.Where `yaml:"-"`

	Ageing       *Word               `yaml:"ageing"` // 300s if left out
	FDBSize      *int                `yaml:"fdb_size" jsonschema:"minimum=1,maximum=1048576"`
	BPDU         *Word               `yaml:"bpdu"`
	PassReserved *Word               `yaml:"pass_reserved"`
	Ports        document.Map[*Port] `yaml:"ports"`
	FDB          []Entry             `yaml:"fdb"`
}

// Port is a port: what it hangs on, and what holds of it.
type Port struct {
	document.Where `yaml:"-"`

	// One of these, or none with Netns or Container, which is a veth pair.
	Veth  bool   `yaml:"veth"`
	Tap   bool   `yaml:"tap"`
	Dev   string `yaml:"dev"`   // an Ethernet device that exists
	VM    string `yaml:"vm"`    // a TAP that a VM monitor opens
	Patch string `yaml:"patch"` // SWITCH/PORT

	Netns     string `yaml:"netns"`     // NAME, /PATH or pid:N
	Container string `yaml:"container"` // podman's or docker's name or ID
	IfName    string `yaml:"ifname"`
	MAC       string `yaml:"mac"`
	IP        Words  `yaml:"ip"`
	Gateway   Words  `yaml:"gateway"`
	MTU       int    `yaml:"mtu"`
	Owner     string `yaml:"owner"`
	Queues    int    `yaml:"queues"`

	Profile string `yaml:"profile"` // whose VLANs and options hold, in place of the port's own
	PortSettings
	Impair Impair `yaml:"impair"`
}

// Entry is a static entry of the forwarding database, or a filter.
type Entry struct {
	document.Where `yaml:"-"`

	VLAN int    `yaml:"vlan"`
	MAC  string `yaml:"mac"`
	Port string `yaml:"port"`
	Drop bool   `yaml:"drop"` // in place of a port
}

// Read reads a document from the text of a file, whose name is for messages, as
// far as it can be judged without a daemon. The file is for whoever finds more to
// reject; its Err says all that is wrong.
func Read(name string, text []byte) (*Document, *document.Document) {
	file := document.Parse(name, text)
	doc := new(Document)
	file.Decode(doc)
	if file.Err() != nil {
		return doc, file
	}
	if file.Empty() || !doc.Has("switches") {
		file.Reject(document.Place{}, "there are no switches: a configuration has them, and one of nothing says switches: {}")
	}
	switch {
	case !doc.Has("version"), doc.Version == Version:
	case doc.Version > Version:
		file.Reject(doc.Of("version"), "version %d is newer than this program, which knows %d", doc.Version, Version)
	default:
		file.Reject(doc.Of("version"), "there is no version %d: say %d", doc.Version, Version)
	}
	for _, sw := range doc.Switches {
		if sw.Value == nil {
			continue
		}
		for _, p := range sw.Value.Ports {
			if p.Value == nil {
				file.Reject(p.Place, "the port %s says nothing of what it hangs on: say such as netns, dev, vm or patch", p.Key)
				continue
			}
			p.Value.check(file, doc)
		}
	}
	return doc, file
}

// Kinds of ports, by the keys that name them.
var kindKeys = []string{"veth", "tap", "dev", "vm", "patch"}

// kinds returns the keys that name the kind of a port.
func (p *Port) kinds() (said []string) {
	for _, k := range kindKeys {
		if p.Has(k) && !(k == "veth" && !p.Veth) && !(k == "tap" && !p.Tap) {
			said = append(said, k)
		}
	}
	return said
}

// Kind returns the API's name of what the port hangs on; "": none is said.
func (p *Port) Kind() string {
	if said := p.kinds(); len(said) > 0 {
		return said[0]
	}
	if p.Netns != "" || p.Container != "" {
		return api.KindVeth
	}
	return ""
}

func (p *Port) check(file *document.Document, doc *Document) {
	said := p.kinds()
	switch {
	case len(said) > 1:
		file.Reject(p.Of(said[1]), "%s and %s are two kinds: a port is of one", said[0], said[1])
	case p.Kind() == "":
		file.Reject(p.Place(), "the port says nothing of what it hangs on: say one of netns, container, %s", strings.Join(kindKeys, ", "))
	}
	if p.Profile == "" {
		return
	}
	if doc.Profiles.Get(p.Profile) == nil {
		var names []string
		for _, one := range doc.Profiles {
			names = append(names, one.Key)
		}
		file.Reject(p.Of("profile"), "no profile %q%s", p.Profile, document.DidYouMean(p.Profile, names))
	}
	for _, key := range p.Keys() {
		if slices.Contains(profileKeys, key) {
			file.Reject(p.Of(key), "%s is the profile's to say: leave it out, or the profile", key)
		}
	}
}

// profileKeys are those that a profile says for its ports.
var profileKeys = []string{
	"access", "trunk", "native", "native_tagged", "tunnel", "cvlans", "tpid", "priority_tags",
	"no_flood", "no_mcast_flood", "no_bcast_flood", "no_learn", "hairpin", "isolated", "sticky", "max_macs", "pass_reserved", "storm_limit", "loop_protect",
}

// Spec returns a port as the API asks for it, without what its profile says.
func (p *Port) Spec(sw, name string) api.PortSpec {
	spec := api.PortSpec{
		Switch: sw, Name: name, Kind: p.Kind(),
		Netns: p.Netns, Container: p.Container, IfName: p.IfName, MAC: p.MAC,
		IPs: p.IP.Texts(), Gateways: p.Gateway.Texts(), MTU: p.MTU, Owner: p.Owner, Queues: p.Queues,
		Device: p.Dev + p.VM, Peer: p.Patch,
		VLAN: p.VLAN(), Options: p.Options(),
		Impair: &api.ImpairmentsSpec{Egress: p.Impair.Egress, Ingress: p.Impair.Ingress},
	}
	if p.Down != nil {
		spec.Down = *p.Down
	}
	if p.Description != nil {
		spec.Description = *p.Description
	}
	return spec
}

// Spec returns a switch as the API asks for it.
func (s *Switch) Spec(name string) (spec api.SwitchSpec, err error) {
	spec = api.SwitchSpec{Name: name, FDBSize: s.FDBSize, BPDU: (*string)(s.BPDU), PassReserved: (*string)(s.PassReserved)}
	if s.Ageing != nil {
		d, err := ParseAgeing(string(*s.Ageing))
		if err != nil {
			return spec, err
		}
		seconds := d.Seconds()
		spec.AgeingSeconds = &seconds
	}
	return spec, nil
}

// Spec returns an entry as the API asks for it.
func (e *Entry) Spec(sw string) api.FDBSpec {
	return api.FDBSpec{Switch: sw, VLAN: e.VLAN, MAC: e.MAC, Port: e.Port, Drop: e.Drop}
}

func (e *Entry) String() string { return fmt.Sprintf("VLAN %d %s", e.VLAN, e.MAC) }
