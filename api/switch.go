package api

import "time"

// Switch is a switch as it stands.
type Switch struct {
	Name          string  `json:"name"`
	AgeingSeconds float64 `json:"ageing_seconds"` // of dynamic entries; 0: never
	FDBSize       int     `json:"fdb_size"`       // dynamic entries at the most
	BPDU          string  `json:"bpdu"`           // BPDUForward or BPDUDrop
	PassReserved  string  `json:"pass_reserved"`  // "none", "all", or names: "lldp,4"
	PortCount     int     `json:"port_count"`
	FDB           FDBUse  `json:"fdb"`
}

// FDBUse is how many entries of each type a switch holds.
type FDBUse struct {
	Dynamic int `json:"dynamic"`
	Static  int `json:"static"`
	Filter  int `json:"filter"`
}

// What a switch does with BPDUs.
const (
	BPDUForward = "forward"
	BPDUDrop    = "drop"
)

// SwitchSpec is the body of POST /v1/switches, and of PATCH
// /v1/switches/SWITCH, where Name and MayExist have no place.
type SwitchSpec struct {
	Name     string `json:"name,omitempty"`
	MayExist bool   `json:"may_exist,omitempty"` // a switch that stands just so is no error

	AgeingSeconds *float64 `json:"ageing_seconds,omitempty"` // 300 when new
	FDBSize       *int     `json:"fdb_size,omitempty"`       // 16384 when new
	BPDU          *string  `json:"bpdu,omitempty"`           // "forward" when new
	PassReserved  *string  `json:"pass_reserved,omitempty"`  // "none" when new
}

// Overview is the answer to GET /v1/show: everything at a glance.
type Overview struct {
	Switches []SwitchOverview `json:"switches"`
}

// SwitchOverview is one switch with its ports.
type SwitchOverview struct {
	Switch
	Ports []PortOverview `json:"ports"`
	Loops []Loop         `json:"loops,omitempty"`
}

// Loop is one that a switch has noticed between two ports, or by one, which is named
// twice then.
type Loop struct {
	Ports  [2]string `json:"ports"`
	VLAN   int       `json:"vlan"`
	Since  time.Time `json:"since"`
	Probed bool      `json:"probed"`        // a probe has come back; else a station moves back and forth
	Cut    bool      `json:"cut,omitempty"` // loop protection has taken one of the ports out
}

// PortOverview is one port and how many stations were learned behind it.
type PortOverview struct {
	Port
	Stations int `json:"stations"`
}
