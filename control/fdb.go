package control

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/internal/terms"
	"github.com/vswitch/vswitch/vlan"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) listFDB(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	p, err := params(r, "switch", "port", "vlan", "mac", "type")
	if err != nil {
		return answer{}, err
	}
	matches, err := entryFilter(p)
	if err != nil {
		return answer{}, err
	}
	sw := p["switch"]
	if p["port"] != "" {
		if sw == "" {
			return answer{}, api.Errorf(api.Invalid, "port %q stands without its switch: name that, too", p["port"])
		}
		if _, err := s.engine.Port(sw, p["port"]); err != nil {
			return answer{}, err
		}
	}
	names, err := s.names(sw)
	if err != nil {
		return answer{}, err
	}
	return answer{body: byName(func(yield func(string, any) bool) {
		for _, name := range names {
			entries, err := s.engine.FDB(name)
			if err != nil {
				continue // deleted meanwhile
			}
			if !yield(name, matchingEntries(entries, matches)) {
				return
			}
		}
	})}, nil
}

func matchingEntries(entries []vswitch.FDBEntry, matches func(*vswitch.FDBEntry) bool) list {
	return func(yield func(any) bool) {
		for i := range entries {
			if matches(&entries[i]) && !yield(shownEntry(&entries[i])) {
				return
			}
		}
	}
}

// entryFilter reads which entries to show.
func entryFilter(p map[string]string) (func(*vswitch.FDBEntry) bool, error) {
	var vid vlan.ID
	var mac frame.MAC
	var err error
	if p["vlan"] != "" {
		if vid, err = vlan.ParseID(p["vlan"]); err != nil {
			return nil, api.Errorf(api.Invalid, "%v", err)
		}
	}
	if p["mac"] != "" {
		if mac, err = frame.ParseMAC(p["mac"]); err != nil {
			return nil, api.Errorf(api.Invalid, "%v", err)
		}
	}
	switch p["type"] {
	case "", api.Dynamic, api.Static, api.Filter:
	default:
		return nil, api.Errorf(api.Invalid, "%q is no type of entry: use dynamic, static or filter", p["type"])
	}
	return func(e *vswitch.FDBEntry) bool {
		return (vid == 0 || e.VLAN == vid) &&
			(p["mac"] == "" || e.MAC == mac) &&
			(p["port"] == "" || e.Port == p["port"]) &&
			(p["type"] == "" || e.Type.String() == p["type"])
	}, nil
}

func shownEntry(e *vswitch.FDBEntry) api.FDBEntry {
	shown := api.FDBEntry{VLAN: int(e.VLAN), MAC: e.MAC.String(), Port: e.Port, Type: e.Type.String()}
	if e.Type == fdb.Dynamic {
		age := math.Round(e.Age.Seconds()*10) / 10
		shown.AgeSeconds = &age
	}
	return shown
}

func (s *Server) addFDB(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.FDBSpec
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	key, err := entryOf(spec)
	if err != nil {
		return answer{}, err
	}
	e := api.FDBEntry{VLAN: int(key.vlan), MAC: key.mac.String(), Port: spec.Port, Type: api.Static}
	if spec.Drop {
		e.Type = api.Filter
	}
	sw := orDefault(spec.Switch)
	a := answer{status: http.StatusCreated, body: e, about: fmt.Sprintf("%s %s", sw, key), changed: []thing{thingEntry{sw, key}}}
	return a, s.engine.AddFDB(ctx, sw, key.vlan, key.mac, spec.Port)
}

// entryOf reads which entry somebody asks for.
func entryOf(spec api.FDBSpec) (entryKey, error) {
	vid, mac, err := station(spec.VLAN, spec.MAC)
	switch {
	case err != nil:
	case spec.Drop && spec.Port != "":
		err = api.Errorf(api.Invalid, "port %q and drop contradict each other: say one", spec.Port)
	case !spec.Drop && spec.Port == "":
		err = api.Errorf(api.Invalid, "where %s lives is missing: name a port, or say drop", mac)
	}
	return entryKey{vid, mac}, err
}

func (s *Server) deleteFDB(ctx context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	n, err := strconv.Atoi(r.PathValue("vlan"))
	if err != nil {
		return answer{}, api.Errorf(api.Invalid, "%q is not a VLAN: write a number from %d to %d", r.PathValue("vlan"), vlan.MinID, vlan.MaxID)
	}
	vid, mac, err := station(n, r.PathValue("mac"))
	if err != nil {
		return answer{}, err
	}
	sw := r.PathValue("switch")
	return answer{changed: []thing{thingEntry{sw, entryKey{vid, mac}}}}, s.engine.DeleteFDB(ctx, sw, vid, mac)
}

func (s *Server) flushFDB(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.FDBFlush
	if err := decode(body, &spec); err != nil {
		return answer{}, err
	}
	var vid vlan.ID
	if spec.VLAN != 0 {
		var err error
		if vid, err = terms.VLANID(spec.VLAN); err != nil {
			return answer{}, err
		}
	}
	sw := orDefault(spec.Switch)
	n, err := s.engine.FlushFDB(ctx, sw, spec.Port, vid)
	return answer{body: api.FDBFlushed{Flushed: n}, about: sw}, err
}

func (s *Server) fdbStats(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	p, err := params(r, "switch")
	if err != nil {
		return answer{}, err
	}
	names, err := s.names(p["switch"])
	if err != nil {
		return answer{}, err
	}
	all := make(map[string]api.FDBStats)
	for _, name := range names {
		st, err := s.engine.FDBStats(name)
		if err != nil {
			continue // deleted meanwhile
		}
		all[name] = api.FDBStats{
			Size: st.Size, Dynamic: st.Dynamic, Static: st.Static, Filter: st.Filter,
			Learned: st.Learned, Moved: st.Moved, Aged: st.Aged, Evicted: st.Evicted,
			Flushed: st.Flushed, Refused: st.Refused, Limited: st.Limited,
		}
	}
	return answer{body: all}, nil
}

// station reads what names an entry.
func station(vid int, mac string) (vlan.ID, frame.MAC, error) {
	id, err := terms.VLANID(vid)
	if err != nil {
		return 0, frame.MAC{}, err
	}
	m, err := frame.ParseStation(mac)
	if err != nil {
		return 0, frame.MAC{}, api.Errorf(api.Invalid, "%v", err)
	}
	return id, m, nil
}

func orDefault(sw string) string {
	if sw == "" {
		return api.DefaultSwitch
	}
	return sw
}

func (s *Server) show(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	all, err := s.switches("")
	if err != nil {
		return answer{}, err
	}
	o := api.Overview{Switches: []api.SwitchOverview{}}
	for _, sw := range all {
		ports, err := s.engine.Ports(sw.Name)
		if err != nil {
			continue // deleted meanwhile
		}
		shown := api.SwitchOverview{Switch: sw, Ports: []api.PortOverview{}}
		for _, p := range ports {
			shown.Ports = append(shown.Ports, api.PortOverview{Port: shownPort(p), Stations: p.Stations})
		}
		for _, l := range s.engine.Loops(sw.Name) {
			shown.Loops = append(shown.Loops, api.Loop{Ports: l.Ports, VLAN: int(l.VLAN), Since: l.Since, Probed: l.Probed, Cut: l.Cut})
		}
		o.Switches = append(o.Switches, shown)
	}
	return answer{body: o}, nil
}
