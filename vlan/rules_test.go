package vlan_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// Tags in short: c is a C-tag, s an S-tag, with VID and PCP.
func c(vid uint16, pcp frame.Priority) frame.Tag { return frame.NewTag(0x8100, pcp<<1, vid) }
func s(vid uint16, pcp frame.Priority) frame.Tag { return frame.NewTag(0x88a8, pcp<<1, vid) }

type tags []frame.Tag

// addresses and payload of every frame in these tests; the payload starts with
// an EtherType.
var (
	addresses = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	payload   = []byte{0x08, 0x00, 'p', 'a', 'y', 'l', 'o', 'a', 'd', '.', '.', '.'}
)

// wire returns a frame as it is on the wire, with rest behind the tags.
func wire(stack tags, rest []byte) []byte {
	b := bytes.Clone(addresses)
	for _, t := range stack {
		b = binary.BigEndian.AppendUint32(b, uint32(t))
	}
	return append(b, rest...)
}

// ways are the two in which the tag of a received frame comes.
var ways = []struct {
	name   string
	beside bool
}{
	{"tag beside", true},    // packet sockets
	{"tag in bytes", false}, // TAPs
}

// receive makes f a received frame.
func receive(t testing.TB, f *frame.Frame, b []byte, beside bool) {
	t.Helper()
	var tag frame.Tag
	// The kernel takes off whole tags only (skb_vlan_untag).
	if beside && len(b) >= 18 && frame.IsTPID(binary.BigEndian.Uint16(b[12:])) {
		tag = frame.Tag(binary.BigEndian.Uint32(b[12:]))
		b = append(bytes.Clone(b[:12]), b[16:]...)
	}
	f.Reset(append(make([]byte, frame.OffloadLen), b...), tag, frame.Offload{})
	if r := f.Check(); r != frame.Pass {
		t.Fatalf("frame %x does not pass: %v", b, r)
	}
}

// sent returns the copy of f that carries outer.
func sent(f *frame.Frame, outer frame.Tag) []byte {
	var head [frame.HeadLen]byte
	n := f.Head(&head, outer)
	return append(bytes.Clone(head[frame.OffloadLen:n]), f.Rest()...)
}

func set(t testing.TB, list string) *vlan.Set {
	t.Helper()
	s, err := vlan.ParseSet(list, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// policies are the modes under which the rows below stand.
func policies(t testing.TB) map[string]*vlan.Policy {
	all := map[string]*vlan.Policy{
		"default":                    {},
		"access 10":                  {VLAN: 10},
		"access 10 tpid 88a8":        {VLAN: 10, TPID: 0x88a8},
		"access 10 always":           {VLAN: 10, PriorityTags: vlan.Always},
		"access 10 if-nonzero":       {VLAN: 10, PriorityTags: vlan.IfNonzero},
		"access 10 tpid 88a8 always": {VLAN: 10, TPID: 0x88a8, PriorityTags: vlan.Always},
		"trunk 10,20-30":             {Mode: vlan.Trunk, Trunk: set(t, "10,20-30")},
		"trunk all":                  {Mode: vlan.Trunk},
		"trunk 10 tpid 88a8":         {Mode: vlan.Trunk, Trunk: set(t, "10"), TPID: 0x88a8},
		"native 1 untagged":          {Mode: vlan.NativeUntagged, VLAN: 1, Trunk: set(t, "10,20-30")},
		"native 10 untagged always":  {Mode: vlan.NativeUntagged, VLAN: 10, PriorityTags: vlan.Always},
		"native 1 tagged":            {Mode: vlan.NativeTagged, VLAN: 1, Trunk: set(t, "10,20-30")},
		"tunnel 5":                   {Mode: vlan.Tunnel, VLAN: 5},
		"tunnel 5 cvlans 7-9":        {Mode: vlan.Tunnel, VLAN: 5, CVLANs: set(t, "7-9")},
		"tunnel 5 cvlans 0,7":        {Mode: vlan.Tunnel, VLAN: 5, CVLANs: set(t, "0,7")},
		"tunnel 5 always":            {Mode: vlan.Tunnel, VLAN: 5, PriorityTags: vlan.Always},
		"tunnel 5 if-nonzero":        {Mode: vlan.Tunnel, VLAN: 5, PriorityTags: vlan.IfNonzero},
	}
	for name, p := range all {
		if err := p.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

func TestIngress(t *testing.T) {
	type row struct {
		name   string
		policy string
		tags   tags   // of the frame
		rest   []byte // behind them; nil is payload

		vid  vlan.ID
		prio frame.Priority
		left tags // what stays on the frame
		drop frame.Reason
	}
	cut := []byte{} // a tag without the type behind it
	modes := []struct {
		name string
		rows []row
	}{
		{"access V", []row{
			{name: "untagged goes into V", policy: "access 10", vid: 10},
			{name: "untagged goes into VLAN 1 by default", policy: "default", vid: 1},
			{name: "untagged has PCP 0", policy: "access 10 always", vid: 10, prio: 0},
			{name: "priority-tagged goes into V with its PCP", policy: "access 10", tags: tags{c(0, 5)}, vid: 10, prio: 5 << 1},
			{name: "priority-tagged keeps its DEI", policy: "access 10", tags: tags{frame.NewTag(0x8100, 1, 0)}, vid: 10, prio: 1},
			{name: "tagged with V: tagged-on-access", policy: "access 10", tags: tags{c(10, 0)}, drop: frame.TaggedOnAccess},
			{name: "tagged with another VID: tagged-on-access", policy: "access 10", tags: tags{c(20, 0)}, drop: frame.TaggedOnAccess},
			{name: "C-tag behind a priority tag: tagged-on-access", policy: "access 10", tags: tags{c(0, 3), c(10, 0)}, drop: frame.TaggedOnAccess},
			{name: "S-tag behind a priority tag: tagged-on-access", policy: "access 10", tags: tags{c(0, 3), s(10, 0)}, drop: frame.TaggedOnAccess},
			{name: "priority tag behind a priority tag: tagged-on-access", policy: "access 10", tags: tags{c(0, 3), c(0, 0)}, drop: frame.TaggedOnAccess},
			{name: "VID 4095: bad-vid", policy: "access 10", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "S-tag: bad-tpid before tagged-on-access", policy: "access 10", tags: tags{s(10, 0)}, drop: frame.BadTPID},
			{name: "S-tag with VID 0: bad-tpid", policy: "access 10", tags: tags{s(0, 0)}, drop: frame.BadTPID},
			{name: "S-tag with VID 4095: bad-tpid", policy: "access 10", tags: tags{s(4095, 0)}, drop: frame.BadTPID},
			{name: "C-tag cut off: truncated", policy: "access 10", tags: tags{c(10, 0)}, rest: cut, drop: frame.Truncated},
			{name: "S-tag cut off: truncated", policy: "access 10", tags: tags{s(10, 0)}, rest: cut, drop: frame.Truncated},
			{name: "C-tag with half a type behind it: truncated", policy: "access 10", tags: tags{c(0, 0)}, rest: []byte{8}, drop: frame.Truncated},
			{name: "a tag that ends the frame behind a priority tag: tagged-on-access", policy: "access 10", tags: tags{c(0, 0), c(7, 0)}, rest: cut, drop: frame.TaggedOnAccess},
			{name: "tpid 88a8: priority S-tag goes into V", policy: "access 10 tpid 88a8", tags: tags{s(0, 6)}, vid: 10, prio: 6 << 1},
			{name: "tpid 88a8: C-tag: bad-tpid", policy: "access 10 tpid 88a8", tags: tags{c(0, 0)}, drop: frame.BadTPID},
			{name: "tpid 88a8: S-tag: tagged-on-access", policy: "access 10 tpid 88a8", tags: tags{s(10, 0)}, drop: frame.TaggedOnAccess},
			{name: "tpid 88a8: C-tag behind a priority tag: tagged-on-access", policy: "access 10 tpid 88a8", tags: tags{s(0, 0), c(10, 0)}, drop: frame.TaggedOnAccess},
		}},
		{"trunk", []row{
			{name: "tagged with a VID in the list", policy: "trunk 10,20-30", tags: tags{c(10, 3)}, vid: 10, prio: 3 << 1},
			{name: "tagged with the first VID of a range", policy: "trunk 10,20-30", tags: tags{c(20, 0)}, vid: 20},
			{name: "tagged with the last VID of a range", policy: "trunk 10,20-30", tags: tags{c(30, 7)}, vid: 30, prio: 7 << 1},
			{name: "DEI is kept", policy: "trunk all", tags: tags{frame.NewTag(0x8100, 0xb, 10)}, vid: 10, prio: 0xb},
			{name: "all: VID 1", policy: "trunk all", tags: tags{c(1, 0)}, vid: 1},
			{name: "all: VID 4094", policy: "trunk all", tags: tags{c(4094, 0)}, vid: 4094},
			{name: "all: VID 4095: bad-vid", policy: "trunk all", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "untagged: untagged-on-trunk", policy: "trunk 10,20-30", drop: frame.UntaggedOnTrunk},
			{name: "priority-tagged: untagged-on-trunk", policy: "trunk 10,20-30", tags: tags{c(0, 5)}, drop: frame.UntaggedOnTrunk},
			{name: "all: untagged: untagged-on-trunk", policy: "trunk all", drop: frame.UntaggedOnTrunk},
			{name: "other VID: vlan-not-allowed", policy: "trunk 10,20-30", tags: tags{c(11, 0)}, drop: frame.VLANNotAllowed},
			{name: "VID 1 not in the list: vlan-not-allowed", policy: "trunk 10,20-30", tags: tags{c(1, 0)}, drop: frame.VLANNotAllowed},
			{name: "VID 4095: bad-vid", policy: "trunk 10,20-30", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "S-tag: bad-tpid", policy: "trunk 10,20-30", tags: tags{s(10, 0)}, drop: frame.BadTPID},
			{name: "inner C-tag stays", policy: "trunk 10,20-30", tags: tags{c(10, 1), c(99, 2)}, vid: 10, prio: 1 << 1, left: tags{c(99, 2)}},
			{name: "inner S-tag stays", policy: "trunk 10,20-30", tags: tags{c(10, 1), s(99, 2)}, vid: 10, prio: 1 << 1, left: tags{s(99, 2)}},
			{name: "inner tag with VID 4095 stays", policy: "trunk 10,20-30", tags: tags{c(10, 1), c(4095, 2)}, vid: 10, prio: 1 << 1, left: tags{c(4095, 2)}},
			{name: "inner tag cut off stays", policy: "trunk 10,20-30", tags: tags{c(10, 1), c(99, 2)}, rest: cut, vid: 10, prio: 1 << 1, left: tags{c(99, 2)}},
			{name: "tag cut off: truncated", policy: "trunk 10,20-30", tags: tags{c(10, 0)}, rest: cut, drop: frame.Truncated},
			{name: "tpid 88a8: S-tag is taken", policy: "trunk 10 tpid 88a8", tags: tags{s(10, 4)}, vid: 10, prio: 4 << 1},
			{name: "tpid 88a8: customer's tag stays", policy: "trunk 10 tpid 88a8", tags: tags{s(10, 4), c(10, 1)}, vid: 10, prio: 4 << 1, left: tags{c(10, 1)}},
			{name: "tpid 88a8: C-tag: bad-tpid", policy: "trunk 10 tpid 88a8", tags: tags{c(10, 4)}, drop: frame.BadTPID},
		}},
		{"trunk with native N, untagged", []row{
			{name: "untagged goes into N", policy: "native 1 untagged", vid: 1},
			{name: "priority-tagged goes into N with its PCP", policy: "native 1 untagged", tags: tags{c(0, 5)}, vid: 1, prio: 5 << 1},
			{name: "tag behind a priority tag stays inside", policy: "native 1 untagged", tags: tags{c(0, 5), c(20, 1)}, vid: 1, prio: 5 << 1, left: tags{c(20, 1)}},
			{name: "N tagged is taken though the list has it not", policy: "native 1 untagged", tags: tags{c(1, 2)}, vid: 1, prio: 2 << 1},
			{name: "tagged with a VID in the list", policy: "native 1 untagged", tags: tags{c(25, 2)}, vid: 25, prio: 2 << 1},
			{name: "other VID: vlan-not-allowed", policy: "native 1 untagged", tags: tags{c(2, 0)}, drop: frame.VLANNotAllowed},
			{name: "VID 4095: bad-vid", policy: "native 1 untagged", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "S-tag: bad-tpid", policy: "native 1 untagged", tags: tags{s(1, 0)}, drop: frame.BadTPID},
			{name: "tag cut off: truncated", policy: "native 1 untagged", tags: tags{c(1, 0)}, rest: cut, drop: frame.Truncated},
		}},
		{"trunk with native N, tagged", []row{
			{name: "untagged goes into N", policy: "native 1 tagged", vid: 1},
			{name: "priority-tagged goes into N with its PCP", policy: "native 1 tagged", tags: tags{c(0, 5)}, vid: 1, prio: 5 << 1},
			{name: "N tagged is taken", policy: "native 1 tagged", tags: tags{c(1, 2)}, vid: 1, prio: 2 << 1},
			{name: "tagged with a VID in the list", policy: "native 1 tagged", tags: tags{c(10, 2)}, vid: 10, prio: 2 << 1},
			{name: "other VID: vlan-not-allowed", policy: "native 1 tagged", tags: tags{c(2, 0)}, drop: frame.VLANNotAllowed},
			{name: "VID 4095: bad-vid", policy: "native 1 tagged", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "S-tag: bad-tpid", policy: "native 1 tagged", tags: tags{s(1, 0)}, drop: frame.BadTPID},
		}},
		{"tunnel V", []row{
			{name: "untagged goes into V", policy: "tunnel 5", vid: 5},
			{name: "C-tag stays inside and service PCP is 0", policy: "tunnel 5", tags: tags{c(7, 6)}, vid: 5, left: tags{c(7, 6)}},
			{name: "S-tag stays inside and service PCP is 0", policy: "tunnel 5", tags: tags{s(7, 6)}, vid: 5, left: tags{s(7, 6)}},
			{name: "tag with VID V stays inside", policy: "tunnel 5", tags: tags{c(5, 6)}, vid: 5, left: tags{c(5, 6)}},
			{name: "two tags stay inside", policy: "tunnel 5", tags: tags{s(7, 6), c(8, 1)}, vid: 5, left: tags{s(7, 6), c(8, 1)}},
			{name: "priority tag is taken off and its PCP goes to the service tag", policy: "tunnel 5", tags: tags{c(0, 6)}, vid: 5, prio: 6 << 1},
			{name: "S-tag with VID 0 is a priority tag", policy: "tunnel 5", tags: tags{s(0, 6)}, vid: 5, prio: 6 << 1},
			{name: "tag behind a priority tag stays inside", policy: "tunnel 5", tags: tags{c(0, 6), c(7, 1)}, vid: 5, prio: 6 << 1, left: tags{c(7, 1)}},
			{name: "one priority tag is taken off", policy: "tunnel 5", tags: tags{c(0, 6), c(0, 1)}, vid: 5, prio: 6 << 1, left: tags{c(0, 1)}},
			{name: "VID 4095: bad-vid", policy: "tunnel 5", tags: tags{c(4095, 0)}, drop: frame.BadVID},
			{name: "S-tag with VID 4095: bad-vid", policy: "tunnel 5", tags: tags{s(4095, 0)}, drop: frame.BadVID},
			{name: "VID 4095 behind a priority tag: bad-vid", policy: "tunnel 5", tags: tags{c(0, 1), c(4095, 0)}, drop: frame.BadVID},
			{name: "tag cut off: truncated", policy: "tunnel 5", tags: tags{c(7, 0)}, rest: cut, drop: frame.Truncated},
			{name: "tag cut off behind a priority tag: truncated", policy: "tunnel 5", tags: tags{c(0, 0), c(7, 0)}, rest: cut, drop: frame.Truncated},
			{name: "inner tag cut off stays", policy: "tunnel 5", tags: tags{c(7, 0), c(8, 0)}, rest: cut, vid: 5, left: tags{c(7, 0), c(8, 0)}},
			{name: "C-VLAN list: VID in it", policy: "tunnel 5 cvlans 7-9", tags: tags{c(9, 3)}, vid: 5, left: tags{c(9, 3)}},
			{name: "C-VLAN list: other C-VID: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", tags: tags{c(10, 3)}, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list: untagged counts as 0: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list: priority tag counts as 0: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", tags: tags{c(0, 3)}, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list: VID behind a priority tag", policy: "tunnel 5 cvlans 7-9", tags: tags{c(0, 3), c(7, 1)}, vid: 5, prio: 3 << 1, left: tags{c(7, 1)}},
			{name: "C-VLAN list: other VID behind a priority tag: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", tags: tags{c(0, 3), c(6, 1)}, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list with 0: untagged", policy: "tunnel 5 cvlans 0,7", vid: 5},
			{name: "C-VLAN list with 0: priority tag", policy: "tunnel 5 cvlans 0,7", tags: tags{c(0, 3)}, vid: 5, prio: 3 << 1},
			{name: "C-VLAN list: VID 4095: bad-vid", policy: "tunnel 5 cvlans 7-9", tags: tags{c(4095, 0)}, drop: frame.BadVID},
		}},
	}
	all := policies(t)
	for _, mode := range modes {
		for _, row := range mode.rows {
			for _, way := range ways {
				t.Run(mode.name+"/"+row.name+"/"+way.name, func(t *testing.T) {
					rest := row.rest
					if rest == nil {
						rest = payload
					}
					in := wire(row.tags, rest)
					var f frame.Frame
					receive(t, &f, in, way.beside)
					vid, prio, r := all[row.policy].Ingress(&f)
					if r != row.drop {
						t.Fatalf("%s took %x as %v: got reason %q, want %q", row.policy, in, row.tags, r, row.drop)
					}
					if r != frame.Pass {
						return
					}
					if vid != row.vid || prio != row.prio {
						t.Errorf("%s took %v into VLAN %d with priority %#x, want VLAN %d, %#x", row.policy, row.tags, vid, prio, row.vid, row.prio)
					}
					if got, want := sent(&f, 0), wire(row.left, rest); !bytes.Equal(got, want) {
						t.Errorf("%s left\n  %x of\n  %x, want\n  %x", row.policy, got, in, want)
					}
				})
			}
		}
	}
}

func TestEgress(t *testing.T) {
	type row struct {
		name   string
		policy string
		vid    vlan.ID
		prio   frame.Priority
		inner  tags
		rest   []byte

		out  tags // on the wire
		drop frame.Reason
	}
	cut := []byte{}
	modes := []struct {
		name string
		rows []row
	}{
		{"access V", []row{
			{name: "frame of V without the tag", policy: "access 10", vid: 10, prio: 5 << 1},
			{name: "frame of another VLAN: not-member", policy: "access 10", vid: 11, drop: frame.NotMember},
			{name: "inner C-tag: inner-tag-on-access", policy: "access 10", vid: 10, inner: tags{c(20, 0)}, drop: frame.InnerTagOnAccess},
			{name: "inner S-tag: inner-tag-on-access", policy: "access 10", vid: 10, inner: tags{s(20, 0)}, drop: frame.InnerTagOnAccess},
			{name: "inner priority tag: inner-tag-on-access", policy: "access 10", vid: 10, inner: tags{c(0, 0)}, drop: frame.InnerTagOnAccess},
			{name: "inner tag cut off: inner-tag-on-access", policy: "access 10", vid: 10, inner: tags{c(20, 0)}, rest: cut, drop: frame.InnerTagOnAccess},
			{name: "inner tag of another VLAN: not-member", policy: "access 10", vid: 11, inner: tags{c(20, 0)}, drop: frame.NotMember},
			{name: "priority tags always: PCP 5", policy: "access 10 always", vid: 10, prio: 5 << 1, out: tags{c(0, 5)}},
			{name: "priority tags always: PCP 0", policy: "access 10 always", vid: 10, out: tags{c(0, 0)}},
			{name: "priority tags always: inner tag: inner-tag-on-access", policy: "access 10 always", vid: 10, inner: tags{c(20, 0)}, drop: frame.InnerTagOnAccess},
			{name: "priority tags if-nonzero: PCP 5", policy: "access 10 if-nonzero", vid: 10, prio: 5 << 1, out: tags{c(0, 5)}},
			{name: "priority tags if-nonzero: DEI", policy: "access 10 if-nonzero", vid: 10, prio: 1, out: tags{frame.NewTag(0x8100, 1, 0)}},
			{name: "priority tags if-nonzero: PCP 0", policy: "access 10 if-nonzero", vid: 10},
			{name: "tpid 88a8: priority tag is an S-tag", policy: "access 10 tpid 88a8 always", vid: 10, prio: 5 << 1, out: tags{s(0, 5)}},
		}},
		{"trunk", []row{
			{name: "frame of a listed VLAN, tagged, with its priority", policy: "trunk 10,20-30", vid: 10, prio: 0xb, out: tags{frame.NewTag(0x8100, 0xb, 10)}},
			{name: "frame that came untagged has PCP 0", policy: "trunk 10,20-30", vid: 25, out: tags{c(25, 0)}},
			{name: "other VLAN: not-member", policy: "trunk 10,20-30", vid: 31, drop: frame.NotMember},
			{name: "all: VLAN 1", policy: "trunk all", vid: 1, out: tags{c(1, 0)}},
			{name: "all: VLAN 4094", policy: "trunk all", vid: 4094, out: tags{c(4094, 0)}},
			{name: "inner tag stays", policy: "trunk 10,20-30", vid: 10, prio: 1 << 1, inner: tags{c(99, 7)}, out: tags{c(10, 1), c(99, 7)}},
			{name: "inner tag cut off stays", policy: "trunk 10,20-30", vid: 10, inner: tags{c(99, 7)}, rest: cut, out: tags{c(10, 0), c(99, 7)}},
			{name: "tpid 88a8: S-tag", policy: "trunk 10 tpid 88a8", vid: 10, prio: 2 << 1, inner: tags{c(99, 7)}, out: tags{s(10, 2), c(99, 7)}},
		}},
		{"trunk with native N, untagged", []row{
			{name: "N without the tag", policy: "native 1 untagged", vid: 1, prio: 5 << 1},
			{name: "the others tagged", policy: "native 1 untagged", vid: 20, prio: 5 << 1, out: tags{c(20, 5)}},
			{name: "N with an inner tag: inner-tag-on-access", policy: "native 1 untagged", vid: 1, inner: tags{s(20, 0)}, drop: frame.InnerTagOnAccess},
			{name: "the others with an inner tag", policy: "native 1 untagged", vid: 20, inner: tags{s(20, 0)}, out: tags{c(20, 0), s(20, 0)}},
			{name: "other VLAN: not-member", policy: "native 1 untagged", vid: 2, drop: frame.NotMember},
			{name: "priority tags always: N", policy: "native 10 untagged always", vid: 10, prio: 3 << 1, out: tags{c(0, 3)}},
			{name: "priority tags always: the others tagged once", policy: "native 10 untagged always", vid: 11, prio: 3 << 1, out: tags{c(11, 3)}},
		}},
		{"trunk with native N, tagged", []row{
			{name: "N tagged", policy: "native 1 tagged", vid: 1, prio: 5 << 1, out: tags{c(1, 5)}},
			{name: "the others tagged", policy: "native 1 tagged", vid: 30, out: tags{c(30, 0)}},
			{name: "N with an inner tag", policy: "native 1 tagged", vid: 1, inner: tags{c(9, 0)}, out: tags{c(1, 0), c(9, 0)}},
			{name: "other VLAN: not-member", policy: "native 1 tagged", vid: 2, drop: frame.NotMember},
		}},
		{"tunnel V", []row{
			{name: "untagged frame of V", policy: "tunnel 5", vid: 5, prio: 6 << 1},
			{name: "customer's C-tag as it came", policy: "tunnel 5", vid: 5, prio: 6 << 1, inner: tags{c(7, 1)}, out: tags{c(7, 1)}},
			{name: "customer's S-tag as it came", policy: "tunnel 5", vid: 5, prio: 6 << 1, inner: tags{s(7, 1)}, out: tags{s(7, 1)}},
			{name: "customer's two tags as they came", policy: "tunnel 5", vid: 5, inner: tags{s(7, 1), c(8, 1)}, out: tags{s(7, 1), c(8, 1)}},
			{name: "other VLAN: not-member", policy: "tunnel 5", vid: 7, inner: tags{c(7, 1)}, drop: frame.NotMember},
			{name: "customer's tag cut off as it came", policy: "tunnel 5", vid: 5, inner: tags{c(7, 1)}, rest: cut, out: tags{c(7, 1)}},
			{name: "C-VLAN list: VID in it", policy: "tunnel 5 cvlans 7-9", vid: 5, inner: tags{c(7, 1)}, out: tags{c(7, 1)}},
			{name: "C-VLAN list: other VID: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", vid: 5, inner: tags{c(10, 1)}, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list: none is 0: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", vid: 5, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list: tag cut off: cvlan-not-allowed", policy: "tunnel 5 cvlans 7-9", vid: 5, inner: tags{c(7, 1)}, rest: cut, drop: frame.CVLANNotAllowed},
			{name: "C-VLAN list with 0: none", policy: "tunnel 5 cvlans 0,7", vid: 5},
			{name: "C-VLAN list with 0: customer's priority tag as it came", policy: "tunnel 5 cvlans 0,7", vid: 5, inner: tags{c(0, 1)}, out: tags{c(0, 1)}},
			{name: "priority tags always: untagged", policy: "tunnel 5 always", vid: 5, prio: 6 << 1, out: tags{c(0, 6)}},
			{name: "priority tags always: customer's tag alone", policy: "tunnel 5 always", vid: 5, prio: 6 << 1, inner: tags{c(7, 1)}, out: tags{c(7, 1)}},
			{name: "priority tags if-nonzero: PCP 6", policy: "tunnel 5 if-nonzero", vid: 5, prio: 6 << 1, out: tags{c(0, 6)}},
			{name: "priority tags if-nonzero: PCP 0", policy: "tunnel 5 if-nonzero", vid: 5},
		}},
	}
	all := policies(t)
	for _, mode := range modes {
		for _, row := range mode.rows {
			for _, way := range ways {
				t.Run(mode.name+"/"+row.name+"/"+way.name, func(t *testing.T) {
					rest := row.rest
					if rest == nil {
						rest = payload
					}
					in := wire(row.inner, rest)
					var f frame.Frame
					receive(t, &f, in, way.beside)
					outer, r := all[row.policy].Egress(&f, row.vid, row.prio)
					if r != row.drop {
						t.Fatalf("%s sends %v of VLAN %d: got reason %q, want %q", row.policy, row.inner, row.vid, r, row.drop)
					}
					if got := sent(&f, 0); !bytes.Equal(got, in) {
						t.Fatalf("Egress changed the frame:\n  %x, was\n  %x", got, in)
					}
					if r != frame.Pass {
						return
					}
					if got, want := sent(&f, outer), wire(row.out, rest); !bytes.Equal(got, want) {
						t.Errorf("%s sends VLAN %d as\n  %x, want\n  %x", row.policy, row.vid, got, want)
					}
				})
			}
		}
	}
}

// TestBothWays goes through stacks of up to three tags and all policies, and
// holds what happens with the tag beside against what happens with it in the
// bytes.
func TestBothWays(t *testing.T) {
	alphabet := tags{c(0, 5), c(1, 0), c(5, 3), c(7, 1), c(10, 2), c(11, 0), c(4095, 1), s(0, 5), s(7, 3), s(10, 2), s(4095, 0)}
	stacks := []tags{nil}
	for from, depth := 0, 0; depth < 3; depth++ {
		to := len(stacks)
		for _, stack := range stacks[from:to] {
			for _, tag := range alphabet {
				stacks = append(stacks, append(append(tags{}, stack...), tag))
			}
		}
		from = to
	}
	all := policies(t)
	type outcome struct {
		vid  vlan.ID
		prio frame.Priority
		r    frame.Reason
		left string
	}
	for name, p := range all {
		for _, stack := range stacks {
			var got [2]outcome
			for i, way := range ways {
				var f frame.Frame
				receive(t, &f, wire(stack, payload), way.beside)
				o := &got[i]
				if o.vid, o.prio, o.r = p.Ingress(&f); o.r != frame.Pass {
					continue
				}
				o.left = string(sent(&f, 0))
				if !p.Member(o.vid) {
					t.Fatalf("%s took %v into VLAN %d, of which it is no member", name, stack, o.vid)
				}
				// What came in by a port, but for a priority tag, and
				// an inner tag on native VLANs, may leave by its like.
				outer, r := p.Egress(&f, o.vid, o.prio)
				if r != frame.Pass && r != frame.InnerTagOnAccess {
					t.Fatalf("%s took %v into VLAN %d and would not send it: %v", name, stack, o.vid, r)
				}
				if r == frame.Pass && len(stack) > 0 && stack[0].VID() != 0 && p.Mode != vlan.NativeUntagged {
					if back := sent(&f, outer); !bytes.Equal(back, wire(stack, payload)) {
						t.Fatalf("%s took %v and sent it back as %x", name, stack, back)
					}
				}
			}
			if got[0] != got[1] {
				t.Fatalf("%s, %v:\n%s: %+v\n%s: %+v", name, stack, ways[0].name, got[0], ways[1].name, got[1])
			}
		}
	}
}

func TestRulesAllocateNothing(t *testing.T) {
	all := policies(t)
	buf := append(make([]byte, frame.OffloadLen), wire(tags{c(10, 2), c(7, 1)}, payload)...)
	for name, p := range all {
		if n := testing.AllocsPerRun(100, func() {
			var f frame.Frame
			f.Reset(buf, c(10, 2), frame.Offload{})
			vid, prio, _ := p.Ingress(&f)
			for _, out := range []*vlan.Policy{all["trunk all"], all["access 10"], all["tunnel 5 cvlans 0,7"]} {
				out.Egress(&f, vid, prio)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame", name, n)
		}
	}
}

func BenchmarkIngressEgress(b *testing.B) {
	all := policies(b)
	in, out := all["trunk 10,20-30"], all["access 10"]
	buf := append(make([]byte, frame.OffloadLen), wire(nil, payload)...)
	var f frame.Frame
	for b.Loop() {
		f.Reset(buf, c(10, 2), frame.Offload{})
		vid, prio, _ := in.Ingress(&f)
		if _, r := out.Egress(&f, vid, prio); r != frame.Pass {
			b.Fatal(r)
		}
	}
}
