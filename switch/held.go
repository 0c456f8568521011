package vswitch

import (
	"sync"

	"github.com/vswitch/vswitch/frame"
)

// held is a frame on its way along an impaired line, in memory of its own.
type held struct {
	next  *held
	due   uint64 // tick
	core  *core  // whose line it is
	way   way
	tag   frame.Tag // to put on at egress
	frame frame.Frame
	room  []byte // that frame lies in
	class int    // of room
}

// way is the direction of a line, as the port sees it.
type way uint8

const (
	egress  way = iota // to the station
	ingress            // from it
	ways
)

var wayNames = [ways]string{egress: "egress", ingress: "ingress"}

// rooms are the sizes of memory that frames are held in: for small ones, for
// those of common length, for jumbo frames, and for super-frames.
var rooms = [...]int{256, 2 << 10, 10 << 10, 66 << 10}

// pools have held frames that are free. They are shared by the workers: a frame
// may be freed by another than took it.
var pools [len(rooms)]sync.Pool

// newHeld returns a frame to hold up to so many octets; nil where none are as
// long.
func newHeld(octets int) *held {
	for class, size := range rooms {
		if octets > size {
			continue
		}
		if h, ok := pools[class].Get().(*held); ok {
			return h
		}
		return &held{room: make([]byte, size), class: class}
	}
	return nil
}

// free gives a frame back; nobody may use it any more.
func (h *held) free() {
	h.core, h.next = nil, nil
	pools[h.class].Put(h)
}
