package fdb

import (
	"math"
	"sync/atomic"
)

// portState is what the table keeps of a port. The atomic fields may be read
// by anybody; all is written under Table.mu.
type portState struct {
	id      PortID
	sticky  atomic.Bool
	maxMACs atomic.Int32 // math.MaxInt32 is no limit
	count   atomic.Int32 // dynamic entries
	oldest  atomic.Int64 // Time; no dynamic entry was last seen before

	static     int
	entries    byAge      // its dynamic entries
	next, prev *portState // on the list of those with as many entries, in crowd
}

// ports holds the state of every port that was heard of, in pages, so that
// readers need no lock and few ports need little memory.
type ports [(math.MaxUint16 + 1) / portPage]atomic.Pointer[[portPage]portState]

const portPage = 64

// peek returns the state of a port, or nil where it was never heard of.
func (ps *ports) peek(id PortID) *portState {
	page := ps[id/portPage].Load()
	if page == nil {
		return nil
	}
	return &page[id%portPage]
}

// get returns the state of a port and makes it where it was never heard of.
// The caller holds the lock.
func (ps *ports) get(id PortID) *portState {
	if p := ps.peek(id); p != nil {
		return p
	}
	page := new([portPage]portState)
	for i := range page {
		page[i].id = id/portPage*portPage + PortID(i)
		page[i].maxMACs.Store(math.MaxInt32)
		page[i].oldest.Store(math.MaxInt64)
	}
	ps[id/portPage].Store(page)
	return &page[id%portPage]
}

// each calls fn with every port that was heard of. The caller holds the lock.
func (ps *ports) each(fn func(*portState)) {
	for i := range ps {
		if page := ps[i].Load(); page != nil {
			for j := range page {
				fn(&page[j])
			}
		}
	}
}

// noteOldest tells readers about a change of entries.
func (p *portState) noteOldest(a ages) {
	oldest := Time(math.MaxInt64)
	if r := a.oldest(&p.entries); r != 0 {
		oldest = a[r].stamp.seen().time()
	}
	if p.oldestSeen() != oldest { // a load is cheaper than a store
		p.oldest.Store(int64(oldest))
	}
}

func (p *portState) oldestSeen() Time { return Time(p.oldest.Load()) }

func (p *portState) atLimit() bool { return p.count.Load() >= p.maxMACs.Load() }

// SetPort sets the limits of a port. Entries that it has beyond them stay until
// they age.
func (t *Table) SetPort(id PortID, l PortLimits) {
	maxMACs := int32(math.MaxInt32)
	if l.MaxMACs > 0 {
		maxMACs = int32(min(l.MaxMACs, math.MaxInt32))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports.get(id)
	p.maxMACs.Store(maxMACs)
	p.sticky.Store(l.Sticky)
}

// ForgetPort drops the limits of a port that is no more, so that its number may
// be given to another. [Table.RemovePort] removes its entries.
func (t *Table) ForgetPort(id PortID) { t.SetPort(id, PortLimits{}) }

// PortCount returns how many dynamic entries a port has, counting those that
// have expired and were not swept yet.
func (t *Table) PortCount(id PortID) int {
	if p := t.ports.peek(id); p != nil {
		return int(p.count.Load())
	}
	return 0
}
