package vlan_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/vlan"
)

func TestParseID(t *testing.T) {
	for s, want := range map[string]vlan.ID{"1": 1, "10": 10, "4094": 4094} {
		if got, err := vlan.ParseID(s); err != nil || got != want {
			t.Errorf("ParseID(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "4095", "4096", "65537", "99999999999999999999", "-1", "+1", "01", " 1", "1 ", "1_0", "0x10", "ten", "١"} {
		got, err := vlan.ParseID(s)
		if err == nil {
			t.Errorf("ParseID(%q) = %d, want an error", s, got)
		} else if !strings.Contains(err.Error(), strconv.Quote(s)) || !strings.Contains(err.Error(), "1 to 4094") {
			t.Errorf("ParseID(%q): %q names neither the value nor the way out", s, err)
		}
	}
}

func TestParseSet(t *testing.T) {
	for _, tt := range []struct {
		in     string
		lowest uint16
		out    string
		n      int
	}{
		{"10", 1, "10", 1},
		{"10,20-30", 1, "10,20-30", 12},
		{"20-30,10", 1, "10,20-30", 12},
		{"1-4094", 1, "1-4094", 4094},
		{"0", 0, "0", 1},
		{"0-4094", 0, "0-4094", 4095},
		{"1,2,3", 1, "1-3", 3},
		{"63,64,127-128", 1, "63-64,127-128", 4},
		{"5-5", 1, "5", 1},
		{"4094,1", 1, "1,4094", 2},
	} {
		got, err := vlan.ParseSet(tt.in, tt.lowest)
		if err != nil || got.String() != tt.out || got.Len() != tt.n {
			t.Errorf("ParseSet(%q, %d) = %s (%d VIDs), %v, want %s (%d)", tt.in, tt.lowest, &got, got.Len(), err, tt.out, tt.n)
		}
	}
	for _, tt := range []struct {
		in     string
		lowest uint16
		names  string // what the message has to name
		advice string
	}{
		{"", 1, "empty", "10,20-30"},
		{",", 1, `","`, "10,20-30"},
		{"10,", 1, `"10,"`, "one comma"},
		{"10,,20", 1, `"10,,20"`, "one comma"},
		{"0", 1, `"0"`, "1 to 4094"},
		{"0-10", 1, `"0"`, "1 to 4094"},
		{"4095", 1, `"4095"`, "1 to 4094"},
		{"4095", 0, `"4095"`, "0 to 4094"},
		{"10-4095", 1, `"4095"`, "1 to 4094"},
		{"30-20", 1, `"30-20"`, "20-30"},
		{"10,30-20", 1, `"30-20"`, "20-30"},
		{"10,10", 1, "10 twice", "once"},
		{"10-20,15", 1, "15 twice", "once"},
		{"10-20,20-30", 1, "20 twice", "once"},
		{"0,0-1", 0, "0 twice", "once"},
		{"10-", 1, `""`, "1 to 4094"},
		{"-10", 1, `""`, "1 to 4094"},
		{"10-20-30", 1, `"20-30"`, "1 to 4094"},
		{"10 20", 1, `"10 20"`, "1 to 4094"},
		{"10, 20", 1, `" 20"`, "1 to 4094"},
		{"all", 1, `"all"`, "1 to 4094"},
		{"10\n", 1, `"10\n"`, "1 to 4094"},
		{strings.Repeat("x", 1<<20), 1, `xxx"…`, "1 to 4094"},
	} {
		got, err := vlan.ParseSet(tt.in, tt.lowest)
		if err == nil {
			t.Errorf("ParseSet(%q, %d) = %s, want an error", tt.in, tt.lowest, &got)
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, tt.names) || !strings.Contains(msg, tt.advice) || len(msg) > 400 {
			t.Errorf("ParseSet(%.20q, %d): %.400q does not name %s, or not the way out, %s", tt.in, tt.lowest, msg, tt.names, tt.advice)
		}
		if !got.Empty() {
			t.Errorf("ParseSet(%q, %d) fails and returns %s, want nothing", tt.in, tt.lowest, &got)
		}
	}
}

func TestSet(t *testing.T) {
	var s vlan.Set
	if !s.Empty() || s.Len() != 0 || s.String() != "" || s.Ranges() == nil || len(s.Ranges()) != 0 {
		t.Errorf("the zero Set is not empty: %q, %d, %#v", s.String(), s.Len(), s.Ranges())
	}
	s.AddRange(20, 30)
	s.AddRange(9, 8)
	s.Add(0)
	s.Add(10)
	s.Add(10)
	s.AddRange(4094, 4095)
	if s.Empty() || s.Len() != 15 {
		t.Errorf("%s has %d VIDs, want 15", &s, s.Len())
	}
	if got, want := s.Ranges(), []string{"0", "10", "20-30", "4094-4095"}; !slices.Equal(got, want) {
		t.Errorf("ranges: got %q, want %q", got, want)
	}
	var ids []vlan.ID
	s.Each(func(id vlan.ID) { ids = append(ids, id) })
	if want := []vlan.ID{10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 4094}; !slices.Equal(ids, want) {
		t.Errorf("Each: got %d, want %d", ids, want)
	}
	for vid := range uint16(4096) {
		want := vid == 0 || vid == 10 || vid >= 20 && vid <= 30 || vid >= 4094
		if s.Contains(vid) != want {
			t.Errorf("Contains(%d) = %v, want %v", vid, !want, want)
		}
	}
}
