package api

import "time"

// Event is one line of GET /v1/events. A reader that is too slow misses events.
type Event struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // "port-added", "port-removed", "port-changed", "port-state", "switch-added", "switch-changed", "switch-removed", "fdb-moved", "loop", "loop-gone"
	Switch string    `json:"switch"`
	Port   string    `json:"port,omitempty"`   // of a station that moved: where it is now
	State  string    `json:"state,omitempty"`  // of a port
	Reason string    `json:"reason,omitempty"` // of StateLost
	VLAN   int       `json:"vlan,omitempty"`   // of a station that moved
	MAC    string    `json:"mac,omitempty"`
	From   string    `json:"from,omitempty"` // the port that it left
}
