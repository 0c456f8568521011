package vswitch

import (
	"slices"
	"sync/atomic"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/storm"
	"github.com/vswitch/vswitch/vlan"
)

// core is what of a port stays the same while it is configured: its identity
// and each worker's share of it.
type core struct {
	sw    *Switch
	id    fdb.PortID
	name  string
	lanes []*lane     // one a worker
	gone  atomic.Bool // a worker found the device gone, and nobody has looked yet
	hot   atomic.Bool // a worker found the device worth a boost

	flooded uint64 // by the lanes, when the housekeeper last looked: its own
}

// lane is one worker's share of a port: its counters and the copies that wait
// for the end of the batch.
type lane struct {
	counters
	out    *view // of the copies
	n      int
	copies [port.BatchFrames]port.Copy
	meters [storm.Classes]storm.Meter

	flooded atomic.Uint64 // frames for many that came in, below the VLAN of the last: see countFlood
}

func newCore(sw *Switch, id fdb.PortID, name string, workers int) *core {
	c := &core{sw: sw, id: id, name: name}
	for range workers {
		c.lanes = append(c.lanes, new(lane))
	}
	return c
}

// view returns the port as it stands, and nil when it was deleted.
func (c *core) view() *view {
	if v := c.sw.snapshot.Load().view(c.id); v != nil && v.core == c {
		return v
	}
	return nil
}

// view is a port as a snapshot has it. It never changes.
type view struct {
	*core
	lanes    []*lane // core's, at hand
	plain    vlan.ID // that untagged frames come from and go to without further questions; 0: none
	up       bool    // takes in and sends
	listens  bool    // takes in probes, though it is not up
	withheld floods  // kinds of frames that are not flooded here
	noLearn  bool
	hairpin  bool
	isolated bool
	pass     frame.ReservedSet // of the addresses 01:80:C2:00:00:02 to 0F
	limit    int               // octets of a frame without tags: MTU and header
	tagRoom  int               // octets of tags on top
	device   port.Device       // nil: a patch, or nothing is attached
	peer     *core             // of a patch
	lines    [ways]*line       // nil: not impaired
	storm    *storm.Limits     // nil: none
	policy   vlan.Policy
}

// settle ends the making of a view.
func (v *view) settle() {
	v.lanes = v.core.lanes
	p := &v.policy
	if v.up && v.peer == nil && v.lines[egress] == nil && p.Mode == vlan.Access && p.PriorityTags == vlan.Never {
		v.plain = p.VLAN
	}
}

// floods is a set of kinds of frames that go to more than one port.
type floods uint8

const (
	floodUnicast floods = 1 << iota
	floodMulticast
	floodBroadcast
	floodReserved floods = 0 // passed by list, whatever the port withholds
)

// accepts finds what, beside the VLAN policy, keeps a copy from leaving by the
// port.
func (out *view) accepts(in *view, f *frame.Frame, tag frame.Tag) frame.Reason {
	if in.isolated && out.isolated && in.core != out.core {
		return frame.Isolated
	}
	if f.Len()+frame.TagLen <= out.limit {
		return frame.Pass
	}
	over := f.SegmentLen(tag) - out.limit
	if over > 0 && over > min(out.tagRoom, f.TagsLen(tag)) {
		return frame.TooBig
	}
	return frame.Pass
}

// snapshot is a switch's configuration as the workers see it. It never
// changes; what differs between two of them is copied, the rest is shared.
type snapshot struct {
	table    *fdb.Table
	dropBPDU bool
	views    []*view // by port ID; nil where there is none

	// Who is a member of a VLAN: ports of few VLANs are listed under each,
	// ports of many are asked one by one.
	narrow memberIndex
	wide   []fdb.PortID
}

// view returns the port with that ID; nil where there is none.
func (s *snapshot) view(id fdb.PortID) *view {
	if int(id) >= len(s.views) {
		return nil
	}
	return s.views[id]
}

// with returns the snapshot in which v stands in place of the port with its ID.
func (s *snapshot) with(v *view) *snapshot {
	if old := s.view(v.id); old != nil && old.policy.Equal(&v.policy) {
		next := *s
		next.views = slices.Clone(s.views)
		next.views[v.id] = v
		return &next
	}
	next := s.without(v.id)
	for int(v.id) >= len(next.views) {
		next.views = append(next.views, nil)
	}
	next.views[v.id] = v
	if v.policy.Wide() {
		next.wide = append(slices.Clip(next.wide), v.id)
	} else {
		v.policy.EachVLAN(func(vid vlan.ID) { next.narrow.add(vid, v.id) })
	}
	return next
}

// without returns the snapshot that lacks the port with that ID.
func (s *snapshot) without(id fdb.PortID) *snapshot {
	next := *s
	next.views = slices.Clone(s.views)
	old := s.view(id)
	if old == nil {
		return &next
	}
	next.views[id] = nil
	if old.policy.Wide() {
		next.wide = lacking(s.wide, id)
	} else {
		next.narrow = s.narrow
		old.policy.EachVLAN(func(vid vlan.ID) { next.narrow.remove(vid, id) })
	}
	return &next
}

func lacking(ids []fdb.PortID, id fdb.PortID) []fdb.PortID {
	return slices.DeleteFunc(slices.Clone(ids), func(x fdb.PortID) bool { return x == id })
}

// memberIndex lists ports by VLAN. Its lists are shared between snapshots:
// add and remove replace, they never write to one.
type memberIndex [64]*[64][]fdb.PortID

// members returns the ports listed under a VLAN.
func (x *memberIndex) members(vid vlan.ID) []fdb.PortID {
	if row := x[vid>>6&63]; row != nil {
		return row[vid&63]
	}
	return nil
}

func (x *memberIndex) add(vid vlan.ID, id fdb.PortID) {
	list := x.members(vid)
	x.set(vid, append(slices.Clip(list), id))
}

func (x *memberIndex) remove(vid vlan.ID, id fdb.PortID) {
	x.set(vid, lacking(x.members(vid), id))
}

func (x *memberIndex) set(vid vlan.ID, list []fdb.PortID) {
	row := new([64][]fdb.PortID)
	if old := x[vid>>6&63]; old != nil {
		*row = *old
	}
	row[vid&63] = list
	x[vid>>6&63] = row
}
