package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/store"

	vswitch "github.com/vswitch/vswitch/switch"
)

// The configuration is kept in a [store.Store], as the document that the API shows,
// but that static entries are a mapping by their VLAN and address: so each change
// replaces a part of it.

// keeper keeps what changes on disk.
type keeper struct {
	mu       sync.Mutex // what stands is read, and noted, in one go
	store    *store.Store
	underWay int  // octets that are reserved for changes that are being made
	owes     bool // what stands could not be kept when it began: the next change brings it
}

// usualRoom is more than a change of one thing takes in the journal.
const usualRoom = 16 << 10

// reserve makes sure that a change can be kept, before it is made. release ends it.
func (k *keeper) reserve(octets int) (release func(), err error) {
	if k == nil || octets == 0 {
		return func() {}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.store.Reserve(k.underWay + octets); err != nil {
		return nil, api.Errorf(api.Refused, "nothing was changed, as it could not be kept: %v", err)
	}
	k.underWay += octets
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.underWay -= octets
	}, nil
}

// keep notes what stands now of some things.
func (s *Server) keep(things ...thing) error {
	k := s.keeper
	if k == nil || len(things) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owes {
		things = []thing{thingAll{}}
	}
	var changes []store.Change
	for _, t := range things {
		more, err := t.changes(s)
		if err != nil {
			return err
		}
		changes = append(changes, more...)
	}
	if err := k.store.Commit(changes...); err != nil {
		return api.Errorf(api.Failed, "it is done, but not kept: %v", err)
	}
	k.owes = false
	if err := k.store.Tidy(); err != nil {
		s.cfg.Log.Warn("the configuration's journal grows", "error", err)
	}
	return nil
}

// thing is a part of the configuration that a request has changed.
type thing interface {
	// changes returns what makes the document have it as it stands.
	changes(s *Server) ([]store.Change, error)
}

// thingPort is a port; of a patch, both ends.
type thingPort struct{ sw, name string }

func (t thingPort) changes(s *Server) ([]store.Change, error) {
	path := []string{"switches", t.sw, "ports", t.name}
	p, err := s.engine.Port(t.sw, t.name)
	if isCode(err, vswitch.NotFound) {
		// Gone, and its static entries and the far end of a patch with it.
		return append([]store.Change{{Path: path}}, s.keeper.goesAlong(t)...), nil
	}
	if err != nil {
		return nil, err
	}
	all, err := portChange(path, asked(p))
	if peer := p.Attach.Peer; err == nil && peer != (port.PeerName{}) {
		far, farErr := s.engine.Port(peer.Switch, peer.Port)
		if farErr == nil {
			more, err := portChange([]string{"switches", peer.Switch, "ports", peer.Port}, asked(far))
			return append(all, more...), err
		}
	}
	return all, err
}

func portChange(path []string, cfg vswitch.PortConfig) ([]store.Change, error) {
	value, err := plain(config.PortTree(shownAsked(cfg)))
	return []store.Change{{Path: path, Value: value}}, err
}

// goesAlong returns what goes with a port that is gone.
func (k *keeper) goesAlong(t thingPort) (all []store.Change) {
	doc := k.store.Document()
	all = k.entriesOf(t)
	if old, ok := at(doc, "switches", t.sw, "ports", t.name).(map[string]any); ok {
		if peer, ok := old["patch"].(string); ok {
			if sw, name, ok := strings.Cut(peer, "/"); ok {
				all = append(all, store.Change{Path: []string{"switches", sw, "ports", name}})
				all = append(all, k.entriesOf(thingPort{sw, name})...)
			}
		}
	}
	return all
}

// entriesOf returns what removes a port's static entries, however many: one change.
func (k *keeper) entriesOf(t thingPort) []store.Change {
	path := []string{"switches", t.sw, "fdb"}
	if at(k.store.Document(), path...) == nil {
		return nil
	}
	return []store.Change{{Path: path, Like: map[string]any{"port": t.name}}}
}

// at returns what stands at a path of a document; nil: nothing.
func at(doc map[string]any, path ...string) any {
	var v any = doc
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// thingSwitch is a switch with its settings; one that is gone takes its ports
// along.
type thingSwitch struct{ name string }

func (t thingSwitch) changes(s *Server) (all []store.Change, err error) {
	info, err := s.engine.Switch(t.name)
	if isCode(err, vswitch.NotFound) {
		return s.keeper.goneSwitch(t.name), nil
	}
	if err != nil {
		return nil, err
	}
	if at(s.keeper.store.Document(), "switches", t.name) == nil {
		all = append(all, store.Change{Path: []string{"switches", t.name}, Value: map[string]any{}})
	}
	settings, err := plain(config.SettingsTree(shownSettings(t.name, info.Settings)))
	if err != nil {
		return nil, err
	}
	for _, key := range config.SettingKeys {
		all = append(all, store.Change{Path: []string{"switches", t.name, key}, Value: settings[key]})
	}
	return all, nil
}

// goneSwitch returns what removes a switch, with the far ends of its patches.
func (k *keeper) goneSwitch(name string) (all []store.Change) {
	ports, _ := at(k.store.Document(), "switches", name, "ports").(map[string]any)
	for port, p := range ports {
		if p, ok := p.(map[string]any); ok && p["patch"] != nil {
			all = append(all, k.goesAlong(thingPort{name, port})...)
		}
	}
	return append(all, store.Change{Path: []string{"switches", name}})
}

// reserveForGone makes sure that the end of a switch can be kept: each far end of a
// patch is a change.
func (k *keeper) reserveForGone(name string) (release func(), err error) {
	if k == nil {
		return func() {}, nil
	}
	k.mu.Lock()
	text, err := json.Marshal(k.goneSwitch(name))
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return k.reserve(len(text))
}

// thingProfile is a profile.
type thingProfile struct{ name string }

func (t thingProfile) changes(s *Server) ([]store.Change, error) {
	path := []string{"profiles", t.name}
	p, err := s.engine.Profile(t.name)
	if isCode(err, vswitch.NotFound) {
		return []store.Change{{Path: path}}, nil
	}
	if err != nil {
		return nil, err
	}
	shown := shownProfile(p, 0)
	value, err := plain(config.ProfileTree(&shown.VLAN, &shown.Options))
	return []store.Change{{Path: path, Value: value}}, err
}

// thingEntry is a static entry of a switch's forwarding database.
type thingEntry struct {
	sw  string
	key entryKey
}

func (t thingEntry) changes(s *Server) ([]store.Change, error) {
	path := []string{"switches", t.sw, "fdb", fmt.Sprintf("%d %s", t.key.vlan, t.key.mac)}
	e, err := s.engine.Entry(t.sw, t.key.vlan, t.key.mac)
	if err != nil || e.Type == fdb.Dynamic {
		return []store.Change{{Path: path}}, nil
	}
	value := map[string]any{"port": e.Port}
	if e.Port == "" {
		value = map[string]any{"drop": true}
	}
	return []store.Change{{Path: path, Value: value}}, nil
}

// thingAll is the whole configuration.
type thingAll struct{}

func (thingAll) changes(s *Server) ([]store.Change, error) {
	m, err := s.standing()
	if err != nil {
		return nil, err
	}
	doc, err := m.stored()
	return []store.Change{{Value: doc}}, err
}

// stored returns a configuration as the store keeps it.
func (m *model) stored() (map[string]any, error) {
	doc, err := plain(m.tree())
	if err != nil {
		return nil, err
	}
	switches, _ := doc["switches"].(map[string]any)
	for _, sw := range switches {
		sw, ok := sw.(map[string]any)
		if !ok {
			continue
		}
		list, _ := sw["fdb"].([]any)
		entries := make(map[string]any)
		for _, e := range list {
			if e, ok := e.(map[string]any); ok {
				key := fmt.Sprintf("%v %v", e["vlan"], e["mac"])
				delete(e, "vlan")
				delete(e, "mac")
				entries[key] = e
			}
		}
		if len(entries) > 0 {
			sw["fdb"] = entries
		}
	}
	return doc, nil
}

// room returns how much the configuration takes when it is kept, once it stands: ports
// get names for their far ends where none were asked for.
func (m *model) room() (int, error) {
	doc, err := m.stored()
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(doc)
	n := len(text) + usualRoom
	for _, sw := range m.switches {
		n += len(sw.ports) * len(`,"ifname":"fifteen-letters"`)
	}
	return n, err
}

// documentOf returns the text of the document that a store keeps.
func documentOf(stored map[string]any) ([]byte, error) {
	text, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	var doc map[string]any // of its own, to be changed
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	switches, _ := doc["switches"].(map[string]any)
	for _, sw := range switches {
		sw, _ := sw.(map[string]any)
		entries, _ := sw["fdb"].(map[string]any)
		var list []any
		for key, e := range entries {
			e, _ := e.(map[string]any)
			vid, mac, _ := strings.Cut(key, " ")
			if e != nil {
				e["vlan"], e["mac"] = json.Number(vid), mac
				list = append(list, e)
			}
		}
		if entries != nil {
			sw["fdb"] = list
		}
	}
	return json.Marshal(doc)
}

// plain returns a tree as the JSON of its document would be read.
func plain(t document.Tree) (map[string]any, error) {
	v := make(map[string]any)
	return v, json.Unmarshal(t.JSON(), &v)
}

// Restore makes the configuration that the store keeps stand again, as far as that
// can be: what a port hangs on may be absent, and the port is lost until it comes.
// Where nothing is kept, the switch first stands. It is called before Serve.
func (s *Server) Restore(ctx context.Context, first string) error {
	doc := map[string]any{}
	if s.keeper != nil {
		doc = s.keeper.store.Document()
	}
	if doc["switches"] == nil {
		if err := s.engine.Inherit(ctx, func(string, string) bool { return false }); err != nil {
			return err
		}
		if err := s.engine.AddSwitch(ctx, first, vswitch.DefaultSettings()); err != nil {
			return err
		}
		if err := s.keep(thingSwitch{first}); err != nil { // a disk may be read-only
			s.keeper.owes = true
			s.cfg.Log.Warn("the configuration cannot be kept", "error", err)
		}
		return nil
	}
	text, err := documentOf(doc)
	if err != nil {
		return err
	}
	return s.restore(ctx, "the kept configuration", text)
}

// RestoreFile makes the configuration of a file stand, in place of what is kept.
func (s *Server) RestoreFile(ctx context.Context, name string, text []byte) error {
	doc, file := config.Read(name, text)
	if file.Err() == nil {
		wanted(doc, file)
		rejectClashes(doc, file)
	}
	if err := file.Err(); err != nil {
		return err
	}
	return s.restore(ctx, name, text)
}

// kept returns the configuration that a document has which was kept: as far as it is
// right, with what is wrong.
func (s *Server) kept(name string, text []byte) (*model, error) {
	doc, file := config.Read(name, text)
	return wanted(doc, file), file.Err()
}

func (s *Server) restore(ctx context.Context, name string, text []byte) error {
	want, err := s.kept(name, text)
	if err != nil {
		s.cfg.Log.Error("a part of the configuration cannot be restored", "error", err)
	}
	have, err := s.standing()
	if err != nil {
		return err
	}
	add := func(ctx context.Context, cfg vswitch.PortConfig) error {
		why, err := s.engine.RestorePort(ctx, cfg)
		if err == nil && why != nil {
			s.lost(cfg, why)
		}
		return err
	}
	err = s.engine.Inherit(ctx, func(sw, name string) bool { _, ok := want.port(port.PeerName{Switch: sw, Port: name}); return ok })
	if err != nil {
		return err
	}
	for _, step := range s.steps(have, want, add) {
		if err := step.do(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.cfg.Log.Error("a part of the configuration cannot be restored", "part", step.what, "error", err)
		}
	}
	return s.engine.Disinherit()
}
