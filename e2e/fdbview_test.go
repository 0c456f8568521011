package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What a ledger sees of the forwarding database.

// knows says where the switch believes a station to be: "p2 dynamic", "" for
// nowhere.
func (l *ledger) knows(station string, vlan ...int) string {
	l.h.t.Helper()
	var all map[string][]Entry
	l.get("/v1/fdb?mac="+station, &all)
	for _, e := range all["sw0"] {
		if len(vlan) == 0 || e.VLAN == vlan[0] {
			return strings.TrimSpace(e.Port + " " + e.Type)
		}
	}
	return ""
}

func (l *ledger) wantKnown(station, want string, vlan ...int) {
	l.h.t.Helper()
	if got := l.knows(station, vlan...); got != want {
		l.h.t.Errorf("the switch believes %s to be at %q, want %q", station, got, want)
	}
}

// static adds an entry by hand until the row ends.
func (l *ledger) static(station string, vlan int, how ...string) {
	t := l.h.t
	t.Helper()
	v := fmt.Sprint(vlan)
	l.h.VS(append([]string{"fdb", "add", station, "--vlan", v}, how...)...)
	t.Cleanup(func() { l.h.VS("fdb", "del", station, "--vlan", v) })
}

// stats returns what `fdb stats` counts.
func (l *ledger) stats() map[string]uint64 {
	l.h.t.Helper()
	var all map[string]map[string]uint64
	l.get("/v1/fdb/stats", &all)
	return all["sw0"]
}

// entries returns those of sw0, after a filter such as "?port=p1".
func (l *ledger) entries(filter string) []Entry {
	l.h.t.Helper()
	var all map[string][]Entry
	l.get("/v1/fdb"+filter, &all)
	return all["sw0"]
}

// has reports whether a switch knows a station.
func (l *ledger) has(port string, vlan uint16, mac string) bool {
	l.h.t.Helper()
	sw, name, ok := strings.Cut(port, "/")
	if !ok {
		sw, name = "sw0", port
	}
	var all map[string][]Entry
	l.get("/v1/fdb", &all)
	return slices.ContainsFunc(all[sw], func(e Entry) bool {
		return e.MAC == mac && e.VLAN == int(vlan) && e.Port == name
	})
}

// event is a line of the stream of events.
type event struct {
	Kind, Switch, Port, State, MAC, From string
	VLAN                                 int
}

// events begins to listen; next waits for one.
func (l *ledger) events() (next func() event) {
	t := l.h.t
	t.Helper()
	resp, err := l.api.Get("http://vswitchd/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := json.NewDecoder(resp.Body)
	return func() (e event) {
		t.Helper()
		if err := lines.Decode(&e); err != nil { // the client's patience ends it
			t.Fatalf("no event: %v", err)
		}
		return e
	}
}
