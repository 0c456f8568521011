package vswitch

import (
	"sync/atomic"

	"github.com/vswitch/vswitch/frame"
)

// Counters are a port's totals since it was added. They say frames, never
// segments: a super-frame is one frame, and its bytes are its bytes.
type Counters struct {
	RxFrames, RxBytes uint64 // into the switch, dropped at ingress or not
	TxFrames, TxBytes uint64 // out of it
	Drops             [frame.NumReasons]uint64
	Notices           [NumNotices]uint64
}

// Notice is something worth counting that is not a drop.
type Notice uint8

// The notices.
const (
	MoveRefused Notice = iota // a station was seen here, but its entry may not move
	MACLimit                  // an address was not learned, because the port holds its limit
	Duplicated                // an impaired line made two frames of one
	Corrupted                 // an impaired line turned over one bit

	NumNotices = iota
)

var noticeNames = [NumNotices]string{MoveRefused: "move-refused", MACLimit: "mac-limit", Duplicated: "impair-duplicate", Corrupted: "impair-corrupt"}

// String returns the name under which it is counted.
func (n Notice) String() string { return noticeNames[n] }

// counters are one worker's share of a port's. That worker alone writes, so
// that no cache line travels between cores for every frame; readers sum the
// shares of all workers.
type counters struct {
	rxFrames, rxBytes atomic.Uint64
	txFrames, txBytes atomic.Uint64
	drops             [frame.NumReasons]atomic.Uint64
	notices           [NumNotices]atomic.Uint64
	_                 [64]byte // the next share starts on a line of its own
}

// bump adds to a counter that only the caller writes: a plain load and store,
// without the locked instruction of an Add.
func bump(c *atomic.Uint64, n uint64) { c.Store(c.Load() + n) }

func (c *counters) addTo(sum *Counters) {
	sum.RxFrames += c.rxFrames.Load()
	sum.RxBytes += c.rxBytes.Load()
	sum.TxFrames += c.txFrames.Load()
	sum.TxBytes += c.txBytes.Load()
	for i := range c.drops {
		sum.Drops[i] += c.drops[i].Load()
	}
	for i := range c.notices {
		sum.Notices[i] += c.notices[i].Load()
	}
}
