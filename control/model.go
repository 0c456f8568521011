package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/vlan"

	vswitch "github.com/vswitch/vswitch/switch"
)

// model is a whole configuration in the engine's terms: as it stands, or as a
// document wants it.
type model struct {
	profiles map[string]vswitch.Profile
	switches map[string]*modelSwitch
}

type modelSwitch struct {
	settings vswitch.Settings
	ports    map[string]vswitch.PortConfig
	entries  map[entryKey]string // static entries: the port; "" of a filter
}

type entryKey struct {
	vlan vlan.ID
	mac  frame.MAC
}

func newModel() *model {
	return &model{make(map[string]vswitch.Profile), make(map[string]*modelSwitch)}
}

func newModelSwitch(s vswitch.Settings) *modelSwitch {
	return &modelSwitch{s, make(map[string]vswitch.PortConfig), make(map[entryKey]string)}
}

// port returns a port by its switch and name.
func (m *model) port(name port.PeerName) (cfg vswitch.PortConfig, ok bool) {
	if sw := m.switches[name.Switch]; sw != nil {
		cfg, ok = sw.ports[name.Port]
	}
	return cfg, ok
}

// hasEntry reports whether a switch has a static entry that leads to a port.
func (m *model) hasEntry(sw string, key entryKey, port string) bool {
	if m.switches[sw] == nil {
		return false
	}
	at, ok := m.switches[sw].entries[key]
	return ok && at == port
}

// standing returns the configuration as it stands. Nobody changes it meanwhile.
func (s *Server) standing() (*model, error) {
	m := newModel()
	for _, p := range s.engine.Profiles() {
		m.profiles[p.Name] = p
	}
	for _, info := range s.engine.Switches() {
		sw := newModelSwitch(info.Settings)
		m.switches[info.Name] = sw
		entries, err := s.engine.FDB(info.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type != fdb.Dynamic {
				sw.entries[entryKey{e.VLAN, e.MAC}] = e.Port
			}
		}
	}
	ports, err := s.engine.Ports("")
	if err != nil {
		return nil, err
	}
	for _, p := range ports {
		if sw := m.switches[p.Switch]; sw != nil {
			sw.ports[p.Name] = asked(p)
		}
	}
	tellApart(m, ports)
	return m, nil
}

// asked returns what a port was asked to be, with the name that its far end got, and
// gets again. What people call it meanwhile is no part of the configuration.
func asked(p vswitch.PortInfo) vswitch.PortConfig {
	cfg := p.PortConfig
	if cfg.Attach.Kind == port.Veth || cfg.Attach.Kind == port.Tap {
		cfg.Attach.IfName = cmp.Or(cfg.Attach.IfName, p.FarName, called(p))
	}
	return cfg
}

// called returns the name that a port's far end has.
func called(p vswitch.PortInfo) string { return cmp.Or(p.Info.IfName, p.Info.Device) }

// tellApart has far ends be called as they are, of which one was asked to have the name
// that another got after it was renamed: a configuration has each name once in a place.
func tellApart(m *model, ports []vswitch.PortInfo) {
	type name struct{ place, name string }
	named := func(p vswitch.PortInfo) (vswitch.PortConfig, name) {
		cfg, _ := m.port(port.PeerName{Switch: p.Switch, Port: p.Name})
		return cfg, name{cfg.Attach.Where(), cfg.Attach.IfName}
	}
	times := make(map[name]int)
	for _, p := range ports {
		_, n := named(p)
		times[n]++
	}
	for _, p := range ports {
		cfg, n := named(p)
		if is := called(p); n.name != "" && times[n] > 1 && is != "" && is != n.name {
			cfg.Attach.IfName = is
			m.switches[p.Switch].ports[p.Name] = cfg
		}
	}
}

// wanted returns the configuration that a document asks for. What is wrong with it
// is rejected in the file.
func wanted(doc *config.Document, file *document.Document) *model {
	m := newModel()
	for _, p := range doc.Profiles {
		profile := vswitch.NewProfile(p.Key)
		at := p.Place
		if p.Value != nil {
			at = p.Value.Place()
			reject(file, &p.Value.Where, applyProfile(&profile, api.ProfileSpec{VLAN: p.Value.VLAN(), Options: p.Value.Options()}))
		}
		rejectAt(file, at, vswitch.CheckProfileName(p.Key))
		m.profiles[p.Key] = profile
	}
	for _, s := range doc.Switches {
		if s.Value == nil {
			s.Value = new(config.Switch)
		}
		rejectAt(file, s.Place, vswitch.CheckName("switch", s.Key))
		spec, err := s.Value.Spec(s.Key)
		settings := vswitch.DefaultSettings()
		err = cmp.Or(err, applySettings(&settings, spec))
		reject(file, &s.Value.Where, cmp.Or(err, settings.Check()))
		m.switches[s.Key] = newModelSwitch(settings)
	}
	for _, s := range doc.Switches {
		if s.Value == nil {
			continue
		}
		for _, p := range s.Value.Ports {
			m.want(file, s.Key, p)
		}
	}
	m.joinPatches(doc, file)
	for _, s := range doc.Switches {
		if s.Value != nil {
			for i := range s.Value.FDB {
				m.wantEntry(file, s.Key, &s.Value.FDB[i])
			}
		}
	}
	return m
}

// want adds a port of a document.
func (m *model) want(file *document.Document, sw string, p document.Pair[*config.Port]) {
	spec := p.Value.Spec(sw, p.Key)
	spec.VLAN, spec.Options = nil, nil
	if p.Value.Profile == "" {
		spec.VLAN, spec.Options = p.Value.VLAN(), p.Value.Options()
	}
	cfg, err := portConfig(spec)
	if err != nil {
		reject(file, &p.Value.Where, err)
		return
	}
	if p.Value.Profile != "" {
		profile := m.profiles[p.Value.Profile]
		cfg.Profile, cfg.VLAN, cfg.Options = profile.Name, profile.VLAN, profile.Options
	}
	m.switches[sw].ports[p.Key] = cfg
}

// joinPatches makes both ends of each patch stand, as one makes the other, and
// holds that they name each other.
func (m *model) joinPatches(doc *config.Document, file *document.Document) {
	for _, s := range doc.Switches {
		if s.Value == nil {
			continue
		}
		for _, p := range s.Value.Ports {
			cfg, ok := m.switches[s.Key].ports[p.Key]
			if !ok || cfg.Attach.Kind != port.Patch {
				continue
			}
			peer := cfg.Attach.Peer
			far, stands := m.port(peer)
			switch {
			case peer == port.PeerName{Switch: s.Key, Port: p.Key}:
				file.Reject(p.Value.Of("patch"), "a patch joins two ports, and this is its own far end: name a port of another switch")
			case m.switches[peer.Switch] == nil:
				file.Reject(p.Value.Of("patch"), "no switch %q%s", peer.Switch, document.DidYouMean(peer.Switch, slices.Collect(maps.Keys(m.switches))))
			case !stands:
				m.switches[peer.Switch].ports[peer.Port] = vswitch.PortConfig{
					Switch: peer.Switch, Name: peer.Port, VLAN: cfg.VLAN,
					Attach: port.Config{Kind: port.Patch, Peer: port.PeerName{Switch: s.Key, Port: p.Key}},
				}
			case far.Attach.Kind != port.Patch || far.Attach.Peer != port.PeerName{Switch: s.Key, Port: p.Key}:
				file.Reject(p.Value.Of("patch"), "the port %s/%s is no patch to %s/%s: a patch has two ends that name each other, or one is left out", peer.Switch, peer.Port, s.Key, p.Key)
			}
		}
	}
}

func (m *model) wantEntry(file *document.Document, sw string, e *config.Entry) {
	key, err := entryOf(e.Spec(sw))
	if err != nil {
		reject(file, &e.Where, err)
		return
	}
	ports := m.switches[sw].ports
	if _, ok := ports[e.Port]; !ok && !e.Drop {
		file.Reject(e.Of("port"), "switch %s has no port %q%s", sw, e.Port, document.DidYouMean(e.Port, slices.Collect(maps.Keys(ports))))
	}
	if _, twice := m.switches[sw].entries[key]; twice {
		file.RejectIn(&e.Where, fmt.Sprintf("%s has an entry already: leave one of the two", key))
	}
	m.switches[sw].entries[key] = e.Port
}

// rejectClashes rejects ports that cannot be on one machine: on a device that another
// port of the document has, or that makes an interface of the same name in the same
// place. It is for what people write. A configuration that stood may have such ports,
// lost, by devices that were renamed meanwhile.
func rejectClashes(doc *config.Document, file *document.Document) {
	type name struct{ place, name string }
	taken := make(map[name]string)
	routed := make(map[name]string) // the family
	for _, s := range doc.Switches {
		if s.Value == nil {
			continue
		}
		for _, p := range s.Value.Ports {
			cfg := port.Config{Netns: p.Value.Netns, Container: p.Value.Container}
			place := cfg.Where()
			for _, gateway := range p.Value.Gateway {
				family := name{place, "IPv4"}
				if strings.Contains(gateway.Text, ":") {
					family.name = "IPv6"
				}
				if by := routed[family]; by != "" && by != s.Key+"/"+p.Key {
					file.Reject(gateway.Place, "the port %s has an %s gateway %s already: leave one of the two out", by, family.name, place)
				}
				routed[family] = s.Key + "/" + p.Key
			}
			key, device := interfaceOf(p.Value)
			if device == "" {
				continue
			}
			at := p.Value.Of(key)
			if device == "lo" {
				file.Reject(at, "lo is the loopback, on which no cable hangs: choose another")
				continue
			}
			if by := taken[name{place, device}]; by != "" {
				file.Reject(at, "the port %s has %s %s already: choose another", by, device, place)
				continue
			}
			taken[name{place, device}] = s.Key + "/" + p.Key
		}
	}
}

// interfaceOf returns the name of an interface that a port takes or makes, and the key
// that says it; "": none, or one that is chosen when it is made.
func interfaceOf(p *config.Port) (key, name string) {
	switch p.Kind() {
	case api.KindDev:
		return "dev", p.Dev
	case api.KindVM:
		return "vm", p.VM
	case api.KindVeth, api.KindTap:
		return "ifname", p.IfName
	}
	return "", ""
}

// reject says what is wrong in a mapping of the file.
func reject(file *document.Document, where *document.Where, err error) {
	if err != nil {
		file.RejectIn(where, err.Error())
	}
}

func rejectAt(file *document.Document, at document.Place, err error) {
	if err != nil {
		file.Reject(at, "%v", err)
	}
}

// tree returns the document that stands for a configuration.
func (m *model) tree() document.Tree {
	var shown config.Shown
	for _, name := range slices.Sorted(maps.Keys(m.profiles)) {
		p := shownProfile(m.profiles[name], 0)
		shown.Profiles = append(shown.Profiles, config.ShownProfile{Name: name, VLAN: p.VLAN, Options: p.Options})
	}
	for _, name := range slices.Sorted(maps.Keys(m.switches)) {
		shown.Switches = append(shown.Switches, m.switches[name].shown(name))
	}
	return shown.Tree()
}

func (sw *modelSwitch) shown(name string) config.ShownSwitch {
	s := config.ShownSwitch{Switch: shownSettings(name, sw.settings)}
	for _, p := range slices.SortedFunc(maps.Keys(sw.ports), natural.Compare) {
		s.Ports = append(s.Ports, shownAsked(sw.ports[p]))
	}
	for _, key := range slices.SortedFunc(maps.Keys(sw.entries), compareEntries) {
		e := api.FDBEntry{VLAN: int(key.vlan), MAC: key.mac.String(), Port: sw.entries[key], Type: api.Static}
		if e.Port == "" {
			e.Type = api.Filter
		}
		s.Entries = append(s.Entries, e)
	}
	return s
}

// shownAsked returns a port as somebody asked for it.
func shownAsked(cfg vswitch.PortConfig) api.Port {
	info := vswitch.PortInfo{PortConfig: cfg}
	info.Info.Device, info.Info.IfName = cfg.Attach.Device, cfg.Attach.IfName
	if cfg.Down {
		info.State = vswitch.Down
	}
	p := shownPort(info)
	if p.MTU = cfg.Attach.MTU; p.MTU == usualMTU {
		p.MTU = 0
	}
	return p
}

// usualMTU is that of a port that was told none.
const usualMTU = 1500

func compareEntries(a, b entryKey) int {
	return cmp.Or(cmp.Compare(a.vlan, b.vlan), cmp.Compare(a.mac.String(), b.mac.String()))
}

func (k entryKey) String() string { return fmt.Sprintf("VLAN %d %s", k.vlan, k.mac) }
