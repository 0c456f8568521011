package vswitch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/vlan"
)

// Profile is a VLAN policy and options under a name. A port that refers to it has
// these, and none of its own.
type Profile struct {
	Name    string
	VLAN    vlan.Policy
	Options Options
}

// NewProfile returns a profile that was told nothing.
func NewProfile(name string) Profile { return Profile{Name: name, VLAN: *vlan.Default()} }

// CheckProfileName says what is wrong with the name of a profile. That of none is none:
// it is how a port is said to have no profile.
func CheckProfileName(name string) error {
	if name == "none" {
		return errorf(Invalid, "a profile cannot be called none, which is how a port leaves its profile: choose another name")
	}
	return CheckName("profile", name)
}

// check says what is wrong with a profile's words.
func (p *Profile) check() error {
	if err := CheckProfileName(p.Name); err != nil {
		return err
	}
	if err := p.VLAN.Validate(); err != nil {
		return &Error{Invalid, err.Error()}
	}
	return p.Options.check()
}

// AddProfile makes a profile.
func (e *Engine) AddProfile(ctx context.Context, p Profile) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	if _, err := e.Profile(p.Name); err == nil {
		return errorf(Exists, "profile %q stands already: choose another name, or change it with `vsctl profile set %s`", p.Name, p.Name)
	}
	e.mu.Lock()
	e.profiles[p.Name] = p
	e.mu.Unlock()
	return nil
}

// SetProfile changes a profile, and all ports that refer to it in one step: change
// is called with a copy of it, which is put in force if it returns nil.
func (e *Engine) SetProfile(ctx context.Context, name string, change func(*Profile) error) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	next, err := e.Profile(name)
	if err != nil {
		return err
	}
	if err := change(&next); err != nil {
		return err
	}
	next.Name = name
	if err := next.check(); err != nil {
		return err
	}
	e.mu.Lock()
	e.profiles[name] = next
	e.mu.Unlock()
	e.applyProfile(&next)
	return nil
}

// applyProfile gives the ports of a profile what it says. On each switch, a frame
// meets all of them as they were, or all as they are.
func (e *Engine) applyProfile(profile *Profile) {
	var ports []*Port
	snapshots := make(map[*Switch]*snapshot)
	was := make(map[*Port]PortConfig)
	for _, p := range e.allPorts() {
		if p.cfg.Profile != profile.Name {
			continue
		}
		ports = append(ports, p)
		was[p] = p.cfg
		e.mu.Lock()
		p.cfg.VLAN, p.cfg.Options = profile.VLAN, profile.Options
		e.mu.Unlock()
		snapshots[p.sw] = cmp.Or(snapshots[p.sw], p.sw.snapshot.Load()).with(p.view(e, p.sw))
	}
	for sw, next := range snapshots {
		sw.snapshot.Store(next)
	}
	e.raiseAlarm() // loop protection may be among what has changed
	for _, p := range ports {
		old := was[p]
		if limits(&old) != limits(&p.cfg) {
			p.sw.table.SetPort(p.id, limits(&p.cfg))
		}
		e.forgetVLANs(p, &old.VLAN)
		e.tellPort(PortChanged, p)
	}
}

// DeleteProfile removes a profile that no port refers to.
func (e *Engine) DeleteProfile(ctx context.Context, name string) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	if _, err := e.Profile(name); err != nil {
		return err
	}
	var users []string
	for _, p := range e.allPorts() {
		if p.cfg.Profile == name {
			users = append(users, p.name())
		}
	}
	if slices.Sort(users); len(users) > 0 {
		return errorf(Refused, "profile %q is that of %s: give them another, or none, with `vsctl port set PORT --profile none`", name, someOf(users))
	}
	e.mu.Lock()
	delete(e.profiles, name)
	e.mu.Unlock()
	return nil
}

// someOf names the first few.
func someOf(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + " and others"
}

// Profiles returns all profiles, by name.
func (e *Engine) Profiles() []Profile {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.SortedFunc(maps.Values(e.profiles), func(a, b Profile) int { return cmp.Compare(a.Name, b.Name) })
}

// Profile returns one profile.
func (e *Engine) Profile(name string) (Profile, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if p, ok := e.profiles[name]; ok {
		return p, nil
	}
	return Profile{}, errorf(NotFound, "no profile %q: `vsctl profile list` shows those that stand", name)
}

// fillIn gives a port's configuration what its profile says. What was said beside
// it would have no effect. was is what stood; nil: a new port.
func (e *Engine) fillIn(next, was *PortConfig) error {
	if next.Profile == "" {
		return nil
	}
	profile, err := e.Profile(next.Profile)
	if err != nil {
		return err
	}
	said := false
	if was == nil {
		said = !next.VLAN.Equal(vlan.Default()) || !next.Options.equal(&Options{})
	} else {
		said = !next.VLAN.Equal(&was.VLAN) || !next.Options.equal(&was.Options)
	}
	if said && !(next.VLAN.Equal(&profile.VLAN) && next.Options.equal(&profile.Options)) {
		return errorf(Refused, "port %s/%s has its VLANs and options from the profile %s: change that, or give the port none with `--profile none`", next.Switch, next.Name, next.Profile)
	}
	next.VLAN, next.Options = profile.VLAN, profile.Options
	return nil
}
