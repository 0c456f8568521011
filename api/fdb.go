package api

// FDBEntry is what a switch knows of one station. GET /v1/fdb answers with a
// list of them for each switch.
type FDBEntry struct {
	VLAN       int      `json:"vlan"`
	MAC        string   `json:"mac"`
	Port       string   `json:"port"` // "" for a filter
	Type       string   `json:"type"` // one of the types below
	AgeSeconds *float64 `json:"age_seconds,omitempty"`
}

// The types of FDB entries.
const (
	Dynamic = "dynamic" // learned; it has an age
	Static  = "static"  // added by hand
	Filter  = "filter"  // added by hand: frames to and from it are dropped
)

// FDBQuery says which entries to show; zero fields do not choose.
type FDBQuery struct {
	Switch string
	Port   string // of Switch
	VLAN   int
	MAC    string
	Type   string
}

// FDBSpec is the body of POST /v1/fdb: a static entry for Port, or a filter.
type FDBSpec struct {
	Switch string `json:"switch,omitempty"` // empty: DefaultSwitch
	VLAN   int    `json:"vlan"`
	MAC    string `json:"mac"`
	Port   string `json:"port,omitempty"` // of Switch
	Drop   bool   `json:"drop,omitempty"` // in place of Port
}

// FDBFlush is the body of POST /v1/fdb/flush: which dynamic entries to remove.
type FDBFlush struct {
	Switch string `json:"switch,omitempty"` // empty: DefaultSwitch
	Port   string `json:"port,omitempty"`   // of Switch; empty: any
	VLAN   int    `json:"vlan,omitempty"`   // 0: any
}

// FDBFlushed is its answer.
type FDBFlushed struct {
	Flushed int `json:"flushed"`
}

// FDBStats is what a switch's FDB holds and did. GET /v1/fdb/stats answers with
// one for each switch.
type FDBStats struct {
	Size    int    `json:"size"` // dynamic entries at the most
	Dynamic int    `json:"dynamic"`
	Static  int    `json:"static"`
	Filter  int    `json:"filter"`
	Learned uint64 `json:"learned"`
	Moved   uint64 `json:"moved"`
	Aged    uint64 `json:"aged"`
	Evicted uint64 `json:"evicted"` // to make room for a newcomer
	Flushed uint64 `json:"flushed"` // by hand, or because their port or VLAN went
	Refused uint64 `json:"refused"` // moves away from a static entry or a sticky port
	Limited uint64 `json:"limited"` // addresses past a port's limit
}
