package frame_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/frame"
)

func TestParseMAC(t *testing.T) {
	for in, want := range map[string]string{
		"02:00:00:00:00:01": "02:00:00:00:00:01",
		"02-AB-cd-EF-00-01": "02:ab:cd:ef:00:01",
		"0200.0000.00Ab":    "02:00:00:00:00:ab",
		"ff:ff:ff:ff:ff:ff": "ff:ff:ff:ff:ff:ff",
		"00:00:00:00:00:00": "00:00:00:00:00:00",
	} {
		if got, err := frame.ParseMAC(in); err != nil || got.String() != want {
			t.Errorf("ParseMAC(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "02", "02:00:00:00:00", "02:00:00:00:00:00:01", "02:00:00:00:00:00:00:01", "02:00-00:00:00:01", "02.00.00.00.00.01", "02:00:00:00:00:0g", "2:0:0:0:0:1", " 02:00:00:00:00:01"} {
		got, err := frame.ParseMAC(in)
		if err == nil {
			t.Errorf("ParseMAC(%q) = %v, want an error", in, got)
		} else if !strings.Contains(err.Error(), "six octets") || got != (frame.MAC{}) {
			t.Errorf("ParseMAC(%q) = %v, %q", in, got, err)
		}
	}
}

func TestParseStation(t *testing.T) {
	if got, err := frame.ParseStation("02:00:00:00:00:01"); err != nil || got != (frame.MAC{2, 0, 0, 0, 0, 1}) {
		t.Errorf("got %v, %v", got, err)
	}
	for in, says := range map[string]string{
		"01:00:5e:00:00:01": "multicast",
		"ff:ff:ff:ff:ff:ff": "multicast",
		"00:00:00:00:00:00": "not the address of a station",
		"nonsense":          "not a MAC address",
	} {
		if got, err := frame.ParseStation(in); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), in) || got != (frame.MAC{}) {
			t.Errorf("ParseStation(%q) = %v, %v, want an error that says %q", in, got, err, says)
		}
	}
}

func TestMAC(t *testing.T) {
	m := frame.MAC{0x02, 0x34, 0x56, 0x78, 0x9a, 0xbc}
	if m.Address() != 0x023456789abc || frame.Address(m.Address()).MAC() != m {
		t.Errorf("%v as a number: %#x", m, m.Address())
	}
	b, err := json.Marshal(map[frame.MAC]frame.MAC{m: m})
	var back map[frame.MAC]frame.MAC
	if err != nil || json.Unmarshal(b, &back) != nil || back[m] != m {
		t.Errorf("%s, %v reads back as %v", b, err, back)
	}
	if json.Unmarshal([]byte(`"x"`), &m) == nil {
		t.Error("x is read as an address")
	}
	for in, want := range map[string]struct {
		multicast, reserved bool
		x                   uint8
	}{
		"01:80:c2:00:00:00": {true, true, 0},
		"01:80:c2:00:00:01": {true, true, 1},
		"01:80:c2:00:00:0e": {true, true, 0xe},
		"01:80:c2:00:00:0f": {true, true, 0xf},
		"01:80:c2:00:00:10": {true, false, 0},
		"01:80:c2:00:01:00": {true, false, 0},
		"00:80:c2:00:00:00": {false, false, 0},
		"ff:ff:ff:ff:ff:ff": {true, false, 0},
		"02:00:00:00:00:01": {false, false, 0},
	} {
		m, _ := frame.ParseMAC(in)
		a := m.Address()
		x, reserved := a.Reserved()
		if m.IsMulticast() != want.multicast || a.IsMulticast() != want.multicast || a.IsBroadcast() != (m == frame.Broadcast) || reserved != want.reserved || reserved && x != want.x {
			t.Errorf("%s: multicast %v, reserved %v :0%X", in, m.IsMulticast(), reserved, x)
		}
	}
	if !frame.Broadcast.IsMulticast() || frame.Broadcast.IsZero() || !(frame.MAC{}).IsZero() {
		t.Error("broadcast and zero are mixed up")
	}
}

func TestTag(t *testing.T) {
	tag := frame.NewTag(0x88a8, 0xb, 0x123)
	if tag.TPID() != 0x88a8 || tag.TCI() != 0xb123 || tag.VID() != 0x123 || tag.Priority() != 0xb {
		t.Errorf("%v: %#x %#x %#x %#x", tag, tag.TPID(), tag.TCI(), tag.VID(), tag.Priority())
	}
	if frame.TagFromTCI(0x88a8, 0xb123) != tag || frame.NewTag(0x88a8, 0xfb, 0xf123) != tag {
		t.Error("tags from the same fields differ")
	}
	if got := tag.String(); got != "0x88a8 vid 291 prio 5 dei 1" {
		t.Errorf("got %q", got)
	}
	if got := frame.Tag(0).String(); got != "untagged" {
		t.Errorf("got %q", got)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]frame.Reason{}
	for r := frame.Pass + 1; r < frame.NumReasons; r++ {
		name := r.String()
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("reason %d has the name %q", r, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("reasons %d and %d are both %q", other, r, name)
		}
		seen[name] = r
	}
	if frame.Pass.String() != "" || frame.Reason(200).String() != "unknown" {
		t.Errorf("%q, %q", frame.Pass, frame.Reason(200))
	}
}
