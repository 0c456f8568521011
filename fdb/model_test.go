package fdb

import (
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// model is the table as one would write it without a care for speed: a map,
// and a search for everything. Where the table has a choice (which of several
// that were last seen in the same millisecond goes), its events tell, and the
// model asks whether that one was eligible.
type model struct {
	entries map[pair]*known
	ports   map[PortID]PortLimits
	reached map[PortID]int // when a port got the number of entries that it has
	steps   int
	size    int
	ageing  Time // 0 is off
	stats   Stats
}

type pair struct {
	vlan vlan.ID
	mac  frame.MAC
}

type known struct {
	Type
	port PortID
	seen Time
	more bool // seen again since it was learned in that millisecond
}

func (m *model) expired(k *known, now Time) bool {
	return k.Type == Dynamic && m.ageing > 0 && now-k.seen > m.ageing
}

func (m *model) count(now Time, of func(*known) bool) (n int) {
	for _, k := range m.entries {
		if !m.expired(k, now) && of(k) {
			n++
		}
	}
	return n
}

func dynamic(k *known) bool { return k.Type == Dynamic }

func dynamicOf(p PortID) func(*known) bool {
	return func(k *known) bool { return k.Type == Dynamic && k.port == p }
}

// fullest returns the port that must give way to a newcomer of own.
func (m *model) fullest(own PortID, haveOwn bool) PortID {
	most, best := 0, PortID(0)
	for p := range m.reached {
		n := m.count(0, dynamicOf(p))
		switch {
		case n > most,
			n == most && haveOwn && p == own,
			n == most && (!haveOwn || best != own) && m.reached[p] < m.reached[best]:
			most, best = n, p
		}
	}
	return best
}

// stepped notes that a port has one entry more or less.
func (m *model) stepped(p PortID) {
	m.steps++
	m.reached[p] = m.steps
}

// learn says what must come of a frame.
func (m *model) learn(s pair, port PortID, now Time) Outcome {
	k := m.entries[s]
	if k != nil && m.expired(k, now) {
		k = nil
	}
	switch {
	case k != nil && k.Type == Filter:
		return SourceFiltered
	case k != nil && k.port == port:
		return Renewed
	case k != nil && (k.Type == Static || m.ports[k.port].Sticky):
		return Refused
	case m.ports[port].MaxMACs > 0 && m.count(now, dynamicOf(port)) >= m.ports[port].MaxMACs:
		return Limited
	case k != nil:
		return Moved
	}
	return Learned
}
