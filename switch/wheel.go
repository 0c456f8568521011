package vswitch

import (
	"math/bits"

	"github.com/vswitch/vswitch/impair"
)

// A tick is the wheel's unit: 33 µs. What is due within one leaves at its end,
// in the order in which it came.
const tickShift = 15

const (
	slotShift = 8
	slots     = 1 << slotShift
	levels    = 6 // of 2^48 ticks, which are three hundred years
)

// wheel keeps frames until they are due: a hierarchical timer wheel (Varghese
// and Lauck, "Hashed and hierarchical timing wheels", 1987). To put one in and to
// take it out costs the same however many there are.
//
// A slot of level 0 has one tick, and one of each further level as many as the
// level below has in all. A frame lies on the level of the highest digit in which
// its tick differs from the present one, so that what comes later to the same
// tick lies behind it, on whichever level.
type wheel struct {
	now   uint64 // the last tick whose frames were taken
	n     int    // frames
	slot  [levels][slots]queue
	inUse [levels][slots / 64]uint64 // a bit for each slot that is not empty
}

// ticks returns the tick by whose end t has come.
func ticks(t impair.Time) uint64 { return (uint64(t) + 1<<tickShift - 1) >> tickShift }

// put adds a frame; what is due already comes with the next tick.
func (w *wheel) put(h *held, at impair.Time) {
	h.due = max(ticks(at), w.now+1)
	w.n++
	w.place(h)
}

func (w *wheel) place(h *held) {
	level := (bits.Len64(h.due^w.now) - 1) / slotShift
	i := h.due >> (level * slotShift) % slots
	w.slot[level][i].push(h)
	w.inUse[level][i/64] |= 1 << (i % 64)
}

// next returns the first tick from which on there is something to do: frames
// are due, or come closer. There must be frames.
func (w *wheel) next() uint64 {
	if w.slot[0][w.now%slots].first != nil {
		return w.now
	}
	for level := range levels {
		shift := level * slotShift
		if i, ok := w.used(level, int(w.now>>shift%slots)+1); ok {
			return (w.now>>shift&^(slots-1) | uint64(i)) << shift
		}
	}
	panic("vswitch: a wheel has lost a frame")
}

// used returns the first slot of a level, from one on, that is not empty.
func (w *wheel) used(level, from int) (slot int, ok bool) {
	for word := from / 64; word < slots/64; word++ {
		if set := w.inUse[level][word] &^ (1<<max(from-word*64, 0) - 1); set != 0 {
			return word*64 + bits.TrailingZeros64(set), true
		}
	}
	return 0, false
}

// take removes the first frame that is due by then; nil: there is none.
func (w *wheel) take(until uint64) *held {
	for {
		q := &w.slot[0][w.now%slots]
		if h := q.pop(); h != nil {
			w.n--
			return h
		}
		w.clear(0)
		if w.n == 0 {
			w.now = max(w.now, until)
			return nil
		}
		next := w.next()
		if next > until {
			w.now = max(w.now, until)
			return nil
		}
		w.now = next
		w.bringCloser()
	}
}

// bringCloser moves frames whose time is near down to the levels of the digits
// in which it differs from the present now.
func (w *wheel) bringCloser() {
	for level := levels - 1; level > 0; level-- {
		if w.now&(1<<(level*slotShift)-1) != 0 {
			continue // not at the beginning of a slot
		}
		q := w.slot[level][w.now>>(level*slotShift)%slots].all()
		w.clear(level)
		for h := q; h != nil; {
			following := h.next
			if h.due == w.now {
				w.slot[0][w.now%slots].push(h)
			} else {
				w.place(h)
			}
			h = following
		}
	}
}

// clear notes that the present slot of a level is empty.
func (w *wheel) clear(level int) {
	i := w.now >> (level * slotShift) % slots
	w.inUse[level][i/64] &^= 1 << (i % 64)
}

// queue is a list of frames, first in, first out.
type queue struct{ first, last *held }

func (q *queue) push(h *held) {
	h.next = nil
	if q.first == nil {
		q.first = h
	} else {
		q.last.next = h
	}
	q.last = h
}

func (q *queue) pop() *held {
	h := q.first
	if h != nil {
		q.first = h.next
	}
	return h
}

// all empties the queue and returns its first frame, which leads to the others.
func (q *queue) all() *held {
	h := q.first
	*q = queue{}
	return h
}
