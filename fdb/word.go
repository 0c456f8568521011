package fdb

import (
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// key names a station in one word, so that it is published and compared at
// once; 0 is a free slot:
//
//	1 | passed 1 | 2 bits 0 | VID 12 | MAC 48
//
// passed belongs to the bucket; see store.
type key uint64

const (
	keyInUse  key = 1 << 63
	keyPassed key = 1 << 62
)

func keyOf(vid vlan.ID, a frame.Address) key {
	return keyInUse | key(vid&0xfff)<<48 | key(a&(1<<48-1))
}

func (k key) vlan() vlan.ID  { return vlan.ID(k >> 48 & 0xfff) }
func (k key) mac() frame.MAC { return frame.Address(k & (1<<48 - 1)).MAC() }

// value is what is known of a station, in one word, so that it is replaced at
// once:
//
//	seen 41 | incarnation 5 | type 2 | port 16
//
// seen is highest, so that of two values of one incarnation the greater is the
// later. The incarnation counts who held the slot: a renewal that comes too
// late, when the slot has a new holder, then finds another word there, even
// where port and time are the same. A value of type 0 is dead: its entry is
// being removed.
type value uint64

const (
	typeShift        = 16
	incarnationShift = 18
	incarnationMask  = 1<<5 - 1
	seenShift        = 23
)

// seen is a time in milliseconds and, in the lowest bit, whether the station
// was seen again since it was learned. Who was seen again counts as seen later
// than who was learned in the same millisecond.
type seen uint64

func firstSeen(now Time) seen { return seen(max(now, 0)) << 1 }
func seenAgain(now Time) seen { return seen(max(now, 0))<<1 | 1 }

func (s seen) time() Time { return Time(s >> 1) }

func newValue(ty Type, port PortID, s seen) value {
	return value(s)<<seenShift | value(ty)<<typeShift | value(port)
}

func (v value) port() PortID { return PortID(v) }
func (v value) kind() Type   { return Type(v >> typeShift & 3) }
func (v value) learnedOn(p PortID) bool {
	return uint32(v)&(3<<typeShift|0xffff) == uint32(Dynamic)<<typeShift|uint32(p)
}
func (v value) seen() seen       { return seen(v >> seenShift) }
func (v value) incarnation() int { return int(v >> incarnationShift & incarnationMask) }

// at returns v with another time.
func (v value) at(s seen) value { return v&(1<<seenShift-1) | value(s)<<seenShift }

// incarnated returns v as the nth holder of its slot, modulo 32.
func (v value) incarnated(n int) value {
	return v&^(incarnationMask<<incarnationShift) | value(n&incarnationMask)<<incarnationShift
}

// dead returns what remains of v in its slot.
func (v value) dead() value { return v & (incarnationMask << incarnationShift) }

// sameButSeen reports whether v and w differ by a renewal at most.
func (v value) sameButSeen(w value) bool { return (v^w)<<(64-seenShift) == 0 }

func entryOf(k key, v value, now Time) Entry {
	e := Entry{VLAN: k.vlan(), MAC: k.mac(), Port: v.port(), Type: v.kind()}
	if e.Type == Dynamic {
		e.Age = max(0, now-v.seen().time()).duration()
	}
	return e
}
