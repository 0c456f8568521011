package fdb

import (
	"errors"
	"fmt"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// Defaults and bounds of a [Config].
const (
	DefaultSize   = 16384
	MaxSize       = 1 << 20
	DefaultAgeing = 300 * time.Second
	DefaultEvents = 4096
)

// Config says how a table begins. The zero Config is a table of [DefaultSize]
// in which nothing ages.
type Config struct {
	Size   int           // dynamic entries at most; 0 is DefaultSize, more than MaxSize is MaxSize
	Ageing time.Duration // age past which a dynamic entry is forgotten; 0 turns ageing off
	Events int           // events kept for [Table.Drain]; 0 is DefaultEvents
	Kinds  EventKinds    // of the events that are kept; 0 is all
}

// PortID numbers a port of the switch that owns the table.
type PortID uint16

// Time is a reading of a monotonic clock in milliseconds, from 0 to 2^40 (34
// years). Workers may be some milliseconds apart; nothing becomes younger
// through it.
type Time int64

// Type says where an entry comes from. The zero Type is no entry.
type Type uint8

// The types of an entry.
const (
	Dynamic Type = iota + 1 // learned from a frame
	Static                  // set by somebody; never ages, moves or is evicted
	Filter                  // set by somebody; frames to and from it are dropped
)

func (ty Type) String() string {
	return [...]string{"none", "dynamic", "static", "filter"}[ty&3]
}

// Verdict is what [Table.Lookup] knows of a destination.
type Verdict uint8

// The verdicts on a destination.
const (
	Unknown  Verdict = iota // flood
	Known                   // send to the port
	Filtered                // drop
)

func (v Verdict) String() string {
	return [...]string{"unknown", "known", "filtered", "?"}[v&3]
}

// Outcome is what [Table.Learn] did about a source.
type Outcome uint8

// The outcomes of learning. Only SourceFiltered drops the frame.
const (
	Renewed        Outcome = iota // was there already, or is a static entry of that port
	Learned                       // is new; another may have been evicted for it
	Moved                         // was behind another port
	Refused                       // a static entry, or one of a sticky port, is elsewhere
	Limited                       // the port has as many as it may have
	SourceFiltered                // a filter entry
	Busy                          // the table is being changed; the next frame teaches
)

func (o Outcome) String() string {
	return [...]string{"renewed", "learned", "moved", "refused", "limited", "filtered", "busy", "?"}[o&7]
}

// PortLimits is what a port may do to the table. The zero value is no limit.
type PortLimits struct {
	MaxMACs int  // dynamic entries at most; 0 is no limit
	Sticky  bool // what is learned on the port does not move to another
}

// Entry is one station, as it was at some moment.
type Entry struct {
	VLAN vlan.ID
	MAC  frame.MAC
	Port PortID // not of a Filter
	Type Type
	Age  time.Duration // since a frame came from it; 0 unless Dynamic
}

// ErrNotFound is returned where an entry was named that does not exist.
var ErrNotFound = errors.New("no such entry in the forwarding database")

// ConflictError is returned where a static or filter entry stands in the way of
// a different one.
type ConflictError struct {
	Standing Entry
}

func (e *ConflictError) Error() string {
	s := e.Standing
	what := fmt.Sprintf("a static entry of port %d", s.Port)
	if s.Type == Filter {
		what = "a filter entry"
	}
	return fmt.Sprintf("%s in VLAN %d is %s already: delete that first", s.MAC, s.VLAN, what)
}
