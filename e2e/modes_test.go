package e2e

import (
	"strings"
	"testing"
)

// What happens to a frame at a port of each mode: the table "Port modes", row
// by row, on every kind of port.

// modeRow is one row. The port under test, x, is of the kind and the mode in
// question; two trunks of all VLANs, a veth and a TAP, are the other side.
type modeRow struct {
	name   string
	egress bool   // from the trunks to x, else from x to the trunks
	tags   []Tag  // of the frame, as it is sent
	bare   string // in place of type and payload
	out    []Tag  // as it comes out
	drop   string // or the reason why it does not
	none   bool   // or it is not for x at all

	// outcut is for frames that end in or behind their outermost tag: the
	// kernel takes them for malformed where it moves the tag aside, and drops
	// them before a packet socket sees them (skb_vlan_untag in
	// net/core/skbuff.c wants two octets behind the type). A TAP's reader
	// gets them.
	outcut bool
}

// entries returns the frames that show the row, and what comes of them. One
// that goes out by x comes in by a packet socket, then by a TAP.
func (r modeRow) entries(kind string) []entry {
	frame := func(tags []Tag) any {
		e := Eth{Payload: r.name, Tags: tags}
		if r.bare == "" {
			return e
		}
		e.Payload = ""
		b := e.Bytes()
		return append(b[:len(b)-2], r.bare...) // less the type
	}
	if !r.egress {
		e := entry{from: "x", send: Frames(frame(r.tags))}
		switch {
		case r.outcut && kind != "tap":
			e.lost = 1
		case r.drop != "":
			e.drops = Drops{"x/" + r.drop: 1}
		default:
			e.arrive = Arrive{"v": Frames(frame(r.out)), "t": Frames(frame(r.out))}
		}
		return []entry{e}
	}
	var all []entry
	for from, other := range map[string]string{"v": "t", "t": "v"} {
		e := entry{from: from, send: Frames(frame(r.tags)), arrive: Arrive{other: Frames(frame(r.tags))}}
		switch {
		case r.drop != "":
			e.drops = Drops{"x/" + r.drop: 1}
		case !r.none:
			e.arrive["x"] = Frames(frame(r.out))
		}
		all = append(all, e)
	}
	return all
}

func in(name string, tags, out []Tag) modeRow { return modeRow{name: name, tags: tags, out: out} }

func inDrop(name string, tags []Tag, reason string) modeRow {
	return modeRow{name: name, tags: tags, drop: reason}
}

func out(name string, tags, shown []Tag) modeRow {
	return modeRow{name: name, egress: true, tags: tags, out: shown}
}

func outDrop(name string, tags []Tag, reason string) modeRow {
	return modeRow{name: name, egress: true, tags: tags, drop: reason}
}

func notMember(name string, tags []Tag) modeRow {
	return modeRow{name: name, egress: true, tags: tags, none: true}
}

// truncatedRows are the same on every port that looks at tags.
var truncatedRows = []modeRow{
	{name: "a tag cut off by the end: truncated", bare: "\x81\x00", drop: "truncated", outcut: true},
	{name: "a tag cut off in its middle: truncated", bare: "\x81\x00\x00", drop: "truncated", outcut: true},
	{name: "a tag without a type behind it: truncated", bare: "\x81\x00\x00\x0a", drop: "truncated", outcut: true},
	{name: "a tag with half a type behind it: truncated", bare: "\x81\x00\x00\x0a\x08", drop: "truncated", outcut: true},
	{name: "a service tag cut off by the end: truncated", bare: "\x88\xa8", drop: "truncated", outcut: true},
}

var modeTable = []struct {
	mode  string // as the rows' headline
	flags string
	rows  []modeRow
}{
	{"access by default is V 1", "", []modeRow{
		in("untagged: into V", nil, Tags(C(1))),
		out("frames of V: without the tag", Tags(C(1)), nil),
		notMember("frames of another VLAN: not here", Tags(C(2))),
	}},
	{"access V", "--access 10", append([]modeRow{
		in("untagged: into V with PCP 0", nil, Tags(C(10))),
		in("priority-tagged: into V, PCP and DEI kept", Tags(P(5).Drop()), Tags(C(10).Prio(5).Drop())),
		in("priority tag all of zeros: into V", Tags(P(0)), Tags(C(10))),
		inDrop("tagged with another VID: tagged-on-access", Tags(C(20)), "tagged-on-access"),
		inDrop("tagged with V: tagged-on-access", Tags(C(10)), "tagged-on-access"),
		inDrop("tagged with V behind a priority tag: tagged-on-access", Tags(P(0), C(10)), "tagged-on-access"),
		inDrop("tagged behind a priority tag: tagged-on-access", Tags(P(7), C(20)), "tagged-on-access"),
		inDrop("service-tagged behind a priority tag: tagged-on-access", Tags(P(0), S(10)), "tagged-on-access"),
		inDrop("a second priority tag: tagged-on-access", Tags(P(0), P(0)), "tagged-on-access"),
		{name: "half a tag behind a priority tag: tagged-on-access", tags: Tags(P(0)), bare: "\x81\x00\x00\x0a", drop: "tagged-on-access"},
		inDrop("the other TPID: bad-tpid before tagged-on-access", Tags(S(10)), "bad-tpid"),
		inDrop("a priority tag with the other TPID: bad-tpid", Tags(S(0)), "bad-tpid"),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		out("frames of V: without the tag", Tags(C(10)), nil),
		out("frames of V: priority lost", Tags(C(10).Prio(7).Drop()), nil),
		notMember("frames of another VLAN: not here", Tags(C(20))),
		outDrop("a tag inside: inner-tag-on-access", Tags(C(10), C(20)), "inner-tag-on-access"),
		outDrop("a service tag inside: inner-tag-on-access", Tags(C(10), S(20)), "inner-tag-on-access"),
		outDrop("V once more inside: inner-tag-on-access", Tags(C(10), C(10)), "inner-tag-on-access"),
		outDrop("a priority tag inside: inner-tag-on-access", Tags(C(10), P(3)), "inner-tag-on-access"),
		{name: "half a tag inside: inner-tag-on-access", egress: true, tags: Tags(C(10)), bare: "\x81\x00\x00\x0a", drop: "inner-tag-on-access"},
	}, truncatedRows...)},
	{"access V, priority-tags always", "--access 10 --priority-tags always", []modeRow{
		out("frames of V: a tag with VID 0", Tags(C(10)), Tags(P(0))),
		out("frames of V: priority kept", Tags(C(10).Prio(5).Drop()), Tags(P(5).Drop())),
		outDrop("a tag inside: inner-tag-on-access", Tags(C(10), C(20)), "inner-tag-on-access"),
		inDrop("tagged with V: tagged-on-access", Tags(C(10)), "tagged-on-access"),
	}},
	{"access V, priority-tags if-nonzero", "--access 10 --priority-tags if-nonzero", []modeRow{
		out("frames of V with PCP 0: no tag", Tags(C(10)), nil),
		out("frames of V with a PCP: priority kept", Tags(C(10).Prio(5)), Tags(P(5))),
		out("frames of V with DEI: priority kept", Tags(C(10).Drop()), Tags(P(0).Drop())),
	}},
	{"access V, tpid 0x88a8", "--access 10 --tpid 0x88a8 --priority-tags always", []modeRow{
		in("priority-tagged with it: into V", Tags(S(0).Prio(4)), Tags(C(10).Prio(4))),
		inDrop("the other TPID: bad-tpid", Tags(P(4)), "bad-tpid"),
		inDrop("tagged with V: tagged-on-access", Tags(S(10)), "tagged-on-access"),
		out("frames of V: a priority tag of that TPID", Tags(C(10).Prio(3)), Tags(S(0).Prio(3))),
	}},
	{"trunk LIST", "--trunk 10,20-21", append([]modeRow{
		in("a VID in the list", Tags(C(10)), Tags(C(10))),
		in("a VID in a range of the list, PCP and DEI kept", Tags(C(21).Prio(6).Drop()), Tags(C(21).Prio(6).Drop())),
		in("a tag inside stays there", Tags(C(20), C(30)), Tags(C(20), C(30))),
		in("a service tag inside stays there", Tags(C(20), S(30).Prio(1)), Tags(C(20), S(30).Prio(1))),
		inDrop("another VID: vlan-not-allowed", Tags(C(30)), "vlan-not-allowed"),
		inDrop("VID 1: vlan-not-allowed", Tags(C(1)), "vlan-not-allowed"),
		inDrop("untagged: untagged-on-trunk", nil, "untagged-on-trunk"),
		inDrop("priority-tagged: untagged-on-trunk", Tags(P(5)), "untagged-on-trunk"),
		inDrop("priority-tagged with a tag inside: untagged-on-trunk", Tags(P(5), C(10)), "untagged-on-trunk"),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		inDrop("the other TPID: bad-tpid", Tags(S(10)), "bad-tpid"),
		out("frames of a listed VLAN: tagged, priority kept", Tags(C(10).Prio(7).Drop()), Tags(C(10).Prio(7).Drop())),
		out("frames with a tag inside: both tags", Tags(C(20), C(5)), Tags(C(20), C(5))),
		notMember("frames of another VLAN: not here", Tags(C(30))),
	}, truncatedRows...)},
	{"trunk all", "--trunk all", []modeRow{
		in("VID 1", Tags(C(1)), Tags(C(1))),
		in("VID 4094", Tags(C(4094)), Tags(C(4094))),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		inDrop("untagged: untagged-on-trunk", nil, "untagged-on-trunk"),
		out("VLAN 4094: tagged", Tags(C(4094)), Tags(C(4094))),
	}},
	{"trunk LIST, tpid 0x88a8", "--trunk 10,20 --tpid 0x88a8", []modeRow{
		in("tagged with it", Tags(S(10).Prio(2).Drop()), Tags(C(10).Prio(2).Drop())),
		in("a customer's tag inside stays there", Tags(S(10), C(7).Prio(1)), Tags(C(10), C(7).Prio(1))),
		inDrop("the other TPID: bad-tpid", Tags(C(10)), "bad-tpid"),
		inDrop("another VID: vlan-not-allowed", Tags(S(30)), "vlan-not-allowed"),
		inDrop("VID 4095: bad-vid", Tags(S(4095)), "bad-vid"),
		inDrop("untagged: untagged-on-trunk", nil, "untagged-on-trunk"),
		inDrop("priority-tagged with it: untagged-on-trunk", Tags(S(0).Prio(1)), "untagged-on-trunk"),
		out("frames get that tag, priority kept", Tags(C(10).Prio(3).Drop()), Tags(S(10).Prio(3).Drop())),
		out("a customer's tag inside stays there", Tags(C(20), C(7)), Tags(S(20), C(7))),
	}},
	{"trunk with native N, untagged", "--trunk 20 --native 10", append([]modeRow{
		in("untagged: into N", nil, Tags(C(10))),
		in("priority-tagged: into N, priority kept", Tags(P(5).Drop()), Tags(C(10).Prio(5).Drop())),
		in("priority-tagged with a tag inside: into N, the tag stays", Tags(P(1), C(20)), Tags(C(10).Prio(1), C(20))),
		in("N tagged is taken too", Tags(C(10).Prio(2)), Tags(C(10).Prio(2))),
		in("a VID in the list", Tags(C(20)), Tags(C(20))),
		inDrop("another VID: vlan-not-allowed", Tags(C(30)), "vlan-not-allowed"),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		inDrop("the other TPID: bad-tpid", Tags(S(10)), "bad-tpid"),
		out("N without the tag", Tags(C(10)), nil),
		out("N without the tag, priority lost", Tags(C(10).Prio(5)), nil),
		out("the others tagged, priority kept", Tags(C(20).Prio(4)), Tags(C(20).Prio(4))),
		out("the others tagged, with what is inside", Tags(C(20), C(10)), Tags(C(20), C(10))),
		notMember("frames of another VLAN: not here", Tags(C(30))),
		outDrop("N with a tag inside: inner-tag-on-access", Tags(C(10), C(20)), "inner-tag-on-access"),
		outDrop("N with a service tag inside: inner-tag-on-access", Tags(C(10), S(10)), "inner-tag-on-access"),
	}, truncatedRows...)},
	{"trunk with native N, untagged, priority-tags if-nonzero", "--trunk 20 --native 10 --priority-tags if-nonzero", []modeRow{
		out("N: priority kept", Tags(C(10).Prio(5)), Tags(P(5))),
		out("N with PCP 0: no tag", Tags(C(10)), nil),
		out("the others: their tag alone", Tags(C(20).Prio(5)), Tags(C(20).Prio(5))),
	}},
	{"trunk with native N, tagged", "--trunk 20 --native 10 --native-tagged", append([]modeRow{
		in("untagged: into N", nil, Tags(C(10))),
		in("priority-tagged: into N, priority kept", Tags(P(5)), Tags(C(10).Prio(5))),
		in("N tagged is taken too", Tags(C(10)), Tags(C(10))),
		in("a VID in the list", Tags(C(20)), Tags(C(20))),
		inDrop("another VID: vlan-not-allowed", Tags(C(30)), "vlan-not-allowed"),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		inDrop("the other TPID: bad-tpid", Tags(S(20)), "bad-tpid"),
		out("N tagged too, priority kept", Tags(C(10).Prio(3).Drop()), Tags(C(10).Prio(3).Drop())),
		out("N with a tag inside: both tags", Tags(C(10), C(5)), Tags(C(10), C(5))),
		out("the others tagged", Tags(C(20)), Tags(C(20))),
	}, truncatedRows...)},
	{"tunnel V", "--tunnel 100", append([]modeRow{
		in("untagged: into V with PCP 0", nil, Tags(C(100))),
		in("tagged: stays inside, the service tag's PCP is 0", Tags(C(7).Prio(5).Drop()), Tags(C(100), C(7).Prio(5).Drop())),
		in("service-tagged: stays inside", Tags(S(7).Prio(3)), Tags(C(100), S(7).Prio(3))),
		in("tagged with V: stays inside", Tags(C(100)), Tags(C(100), C(100))),
		in("two tags: both stay inside", Tags(C(7), C(8)), Tags(C(100), C(7), C(8))),
		in("priority-tagged: taken off, its priority goes to the service tag", Tags(P(5).Drop()), Tags(C(100).Prio(5).Drop())),
		in("priority-tagged with the other TPID: likewise", Tags(S(0).Prio(3)), Tags(C(100).Prio(3))),
		in("tagged behind a priority tag: stays inside", Tags(P(5), C(7).Prio(2)), Tags(C(100).Prio(5), C(7).Prio(2))),
		inDrop("VID 4095: bad-vid", Tags(C(4095)), "bad-vid"),
		inDrop("VID 4095 behind a priority tag: bad-vid", Tags(P(0), C(4095)), "bad-vid"),
		{name: "a tag cut off behind a priority tag: truncated", tags: Tags(P(0)), bare: "\x81\x00\x00\x07", drop: "truncated"},
		out("the service tag off, priority lost", Tags(C(100).Prio(5)), nil),
		out("the customer's tag as it came", Tags(C(100).Prio(5), C(7).Prio(2).Drop()), Tags(C(7).Prio(2).Drop())),
		out("the customer's service tag as it came", Tags(C(100), S(7).Prio(2)), Tags(S(7).Prio(2))),
		out("two tags as they came", Tags(C(100), C(7), C(8)), Tags(C(7), C(8))),
		notMember("frames of another VLAN: not here", Tags(C(20))),
		notMember("frames of another VLAN with V inside: not here", Tags(C(20), C(100))),
	}, truncatedRows...)},
	{"tunnel V, priority-tags always", "--tunnel 100 --priority-tags always", []modeRow{
		out("untagged: a tag with VID 0, priority kept", Tags(C(100).Prio(5)), Tags(P(5))),
		out("the customer's tag as it came, and none before it", Tags(C(100).Prio(5), C(7)), Tags(C(7))),
	}},
	{"tunnel V with C-VLANs", "--tunnel 100 --cvlans 0,7-8", []modeRow{
		in("untagged counts as 0, in the list", nil, Tags(C(100))),
		in("priority-tagged counts as 0, in the list", Tags(P(5)), Tags(C(100).Prio(5))),
		in("a C-VID in the list", Tags(C(8)), Tags(C(100), C(8))),
		in("a C-VID in the list, of a service tag", Tags(S(8)), Tags(C(100), S(8))),
		in("a C-VID in the list, behind a priority tag", Tags(P(3), C(7)), Tags(C(100).Prio(3), C(7))),
		in("the C-VID is the outermost", Tags(C(7), C(9)), Tags(C(100), C(7), C(9))),
		inDrop("another C-VID: cvlan-not-allowed", Tags(C(9)), "cvlan-not-allowed"),
		inDrop("V itself: cvlan-not-allowed", Tags(C(100)), "cvlan-not-allowed"),
		inDrop("another C-VID behind a priority tag: cvlan-not-allowed", Tags(P(3), C(9)), "cvlan-not-allowed"),
		out("untagged, 0 in the list", Tags(C(100)), nil),
		out("a C-VID in the list: as it came", Tags(C(100), C(7).Prio(4)), Tags(C(7).Prio(4))),
		outDrop("another C-VID: cvlan-not-allowed", Tags(C(100), C(9)), "cvlan-not-allowed"),
	}},
	{"tunnel V with C-VLANs without 0", "--tunnel 100 --cvlans 7", []modeRow{
		in("a C-VID in the list", Tags(C(7)), Tags(C(100), C(7))),
		inDrop("untagged: cvlan-not-allowed", nil, "cvlan-not-allowed"),
		inDrop("priority-tagged: cvlan-not-allowed", Tags(P(5)), "cvlan-not-allowed"),
		outDrop("untagged: cvlan-not-allowed", Tags(C(100)), "cvlan-not-allowed"),
		{name: "half a customer's tag: cvlan-not-allowed", egress: true, tags: Tags(C(100)), bare: "\x81\x00\x00\x07", drop: "cvlan-not-allowed"},
	}},
}

func TestPortModes(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add("veth", "v", "--trunk", "all")
			l.add("tap", "t", "--trunk", "all")
			l.add(kind, "x")
			for _, m := range modeTable {
				l.h.Case(m.mode, func(t *testing.T) {
					flags := m.flags
					if flags == "" {
						flags = "--access 1"
					}
					l.set("x", strings.Fields(flags)...)
					for _, row := range m.rows {
						l.h.Case(row.name, func(*testing.T) {
							for _, e := range row.entries(kind) {
								l.check(e)
							}
						})
					}
				})
			}
			l.close()
		})
	}
}
