package vlan_test

import (
	"strconv"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "0", "1", "010", "4094", "4095", "-1", "1e3", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := vlan.ParseID(s)
		switch {
		case err != nil && id != 0:
			t.Errorf("ParseID(%q) = %d with error %v", s, id, err)
		case err == nil && (!id.Valid() || strconv.Itoa(int(id)) != s):
			t.Errorf("ParseID(%q) = %d", s, id)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	for _, s := range []string{"", "10", "10,20-30", "0-4094", "30-20", "1,1", ",", "-", "1-2-3", "10, 20", "4095"} {
		f.Add(s, uint16(0))
		f.Add(s, uint16(1))
	}
	f.Fuzz(func(t *testing.T, s string, lowest uint16) {
		set, err := vlan.ParseSet(s, lowest)
		if err != nil {
			if !set.Empty() {
				t.Errorf("ParseSet(%q, %d) = %s with error %v", s, lowest, &set, err)
			}
			return
		}
		if set.Empty() || set.Contains(4095) {
			t.Errorf("ParseSet(%q, %d) = %s", s, lowest, &set)
		}
		for vid := uint16(0); vid < min(lowest, 4096); vid++ {
			if set.Contains(vid) {
				t.Errorf("ParseSet(%q, %d) has %d", s, lowest, vid)
			}
		}
		again, err := vlan.ParseSet(set.String(), lowest)
		if err != nil || again != set {
			t.Errorf("ParseSet(%q, %d) = %s, which reads as %s, %v", s, lowest, &set, &again, err)
		}
	})
}

// FuzzRules runs any bytes through any policy, in and out by a second one.
func FuzzRules(f *testing.F) {
	f.Add(uint8(0), uint16(10), uint8(0), uint8(1), uint16(10), uint8(2), uint32(0x8100_200a), wire(tags{c(7, 1)}, payload))
	f.Add(uint8(4), uint16(5), uint8(1), uint8(1), uint16(5), uint8(2), uint32(0), wire(tags{c(0, 1), c(4095, 0)}, []byte{}))
	f.Add(uint8(2), uint16(5), uint8(3), uint8(4), uint16(5), uint8(0), uint32(0x88a8_0000), wire(tags{s(7, 1)}, []byte{8}))
	f.Fuzz(func(t *testing.T, mode1 uint8, vid1 uint16, opt1, mode2 uint8, vid2 uint16, opt2 uint8, tag uint32, data []byte) {
		in, out := fuzzPolicy(mode1, vid1, opt1), fuzzPolicy(mode2, vid2, opt2)
		if in.Validate() != nil || out.Validate() != nil {
			return
		}
		if !frame.IsTPID(frame.Tag(tag).TPID()) {
			tag = 0
		}
		var fr frame.Frame
		fr.Reset(append(make([]byte, frame.OffloadLen), data...), frame.Tag(tag), frame.Offload{})
		if fr.Check() != frame.Pass {
			return
		}
		vid, prio, r := in.Ingress(&fr)
		if r != frame.Pass {
			return
		}
		if !vid.Valid() || !in.Member(vid) || prio > 0xf {
			t.Fatalf("%s takes %x (tag %#x) into VLAN %d, priority %d", in, data, tag, vid, prio)
		}
		before := sent(&fr, 0)
		outer, r := out.Egress(&fr, vid, prio)
		if (r == frame.NotMember) == out.Member(vid) {
			t.Fatalf("%s sends VLAN %d: %v", out, vid, r)
		}
		after := sent(&fr, 0)
		if string(before) != string(after) {
			t.Fatalf("%s changes %x to %x", out, before, after)
		}
		if r != frame.Pass {
			return
		}
		// No mode but a tunnel shows a tag that is not its own.
		if got := sent(&fr, outer); out.Mode != vlan.Tunnel && outer == 0 && frame.IsTPID(uint16(got[12])<<8|uint16(got[13])) {
			t.Fatalf("%s exposes the tag inside: %x", out, got)
		}
	})
}

func fuzzPolicy(mode uint8, vid uint16, opt uint8) *vlan.Policy {
	p := &vlan.Policy{Mode: vlan.Mode(mode % 5), VLAN: vlan.ID(vid & 0xfff), PriorityTags: vlan.PriorityTags(opt % 3)}
	if opt&0x40 != 0 && p.Mode != vlan.Tunnel {
		p.TPID = 0x88a8
	}
	var list vlan.Set
	list.AddRange(vid>>4&0xff, vid&0x1ff)
	list.Add(10)
	switch {
	case opt&0x80 == 0:
	case p.Mode == vlan.Tunnel:
		p.CVLANs = &list
	case p.Mode != vlan.Access:
		p.Trunk = &list
	}
	if p.Mode == vlan.Trunk {
		p.VLAN = 0
	}
	return p
}
