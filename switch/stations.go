package vswitch

import (
	"context"
	"errors"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// FDBEntry is an entry of a switch's forwarding database.
type FDBEntry struct {
	VLAN vlan.ID
	MAC  frame.MAC
	Port string // "" of a filter
	Type fdb.Type
	Age  time.Duration // of a dynamic entry, since its station was last heard
}

// FDB returns the entries of a switch, by VLAN and address.
func (e *Engine) FDB(name string) ([]FDBEntry, error) {
	sw, err := e.find(name)
	if err != nil {
		return nil, err
	}
	sn := sw.snapshot.Load()
	var entries []FDBEntry
	for _, en := range sw.table.Entries(e.clock()) {
		if entry, ok := sn.entry(en); ok {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// Entry returns one entry.
func (e *Engine) Entry(name string, v vlan.ID, m frame.MAC) (FDBEntry, error) {
	sw, err := e.find(name)
	if err != nil {
		return FDBEntry{}, err
	}
	if en, ok := sw.table.Entry(v, m, e.clock()); ok {
		if entry, ok := sw.snapshot.Load().entry(en); ok {
			return entry, nil
		}
	}
	return FDBEntry{}, errorf(NotFound, "no entry of %s in VLAN %d", m, v)
}

// entry returns one with the name of its port; false: that is being deleted.
func (s *snapshot) entry(en fdb.Entry) (FDBEntry, bool) {
	entry := FDBEntry{VLAN: en.VLAN, MAC: en.MAC, Type: en.Type, Age: en.Age}
	if en.Type == fdb.Filter {
		return entry, true
	}
	entry.Port = s.name(en.Port)
	return entry, entry.Port != ""
}

// AddFDB makes a static entry, or a filter where port is empty. It takes the
// place of a dynamic entry.
func (e *Engine) AddFDB(ctx context.Context, swName string, v vlan.ID, m frame.MAC, port string) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	sw, err := e.find(swName)
	if err != nil {
		return err
	}
	switch {
	case !v.Valid():
		return errorf(Invalid, "VLAN %d is not possible: give one from 1 to 4094", v)
	case m.IsMulticast() || m.IsZero():
		return errorf(Invalid, "%s is not the address of a station: static entries are for unicast addresses, such as 02:00:00:00:00:01", m)
	}
	if port == "" {
		err = sw.table.AddFilter(v, m)
	} else {
		p, missing := e.findPort(swName, port)
		if missing != nil {
			return missing
		}
		err = sw.table.AddStatic(v, m, p.id)
	}
	var conflict *fdb.ConflictError
	if errors.As(err, &conflict) {
		have := "a filter"
		if conflict.Standing.Type == fdb.Static {
			have = "a static entry for port " + sw.snapshot.Load().name(conflict.Standing.Port)
		}
		return errorf(Exists, "%s in VLAN %d has %s already: delete that first with `vsctl fdb del %s --vlan %d`", m, v, have, m, v)
	}
	if err != nil {
		return errorf(Refused, "%v", err)
	}
	return nil
}

// DeleteFDB removes an entry of any type.
func (e *Engine) DeleteFDB(ctx context.Context, swName string, v vlan.ID, m frame.MAC) error {
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.change.Unlock()
	sw, err := e.find(swName)
	if err != nil {
		return err
	}
	if err := sw.table.Delete(v, m); err != nil {
		return errorf(NotFound, "no entry for %s in VLAN %d on switch %s: `vsctl fdb show %s` shows those that stand", m, v, swName, swName)
	}
	return nil
}

// FlushFDB removes the dynamic entries of a port (all where it is empty) in a
// VLAN (all where it is 0), and says how many there were.
func (e *Engine) FlushFDB(_ context.Context, swName, port string, v vlan.ID) (int, error) {
	sw, err := e.find(swName)
	if err != nil {
		return 0, err
	}
	match := fdb.Match{VLAN: v}
	if port != "" {
		p, err := e.findPort(swName, port)
		if err != nil {
			return 0, err
		}
		match.Port = &p.id
	}
	return sw.table.Flush(match), nil
}

// FDBStats returns how full a switch's forwarding database is, and what has
// happened in it.
func (e *Engine) FDBStats(name string) (fdb.Stats, error) {
	sw, err := e.find(name)
	if err != nil {
		return fdb.Stats{}, err
	}
	return sw.table.Stats(), nil
}
