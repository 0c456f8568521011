package vswitch

import (
	"context"
	"testing"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/impair"
	"github.com/vswitch/vswitch/storm"
)

// TestStormLimits holds that a port lets in as much for many ports as its limits
// say, each kind by itself, that what is dropped teaches nothing, and that stations
// which are known reach each other meanwhile.
func TestStormLimits(t *testing.T) {
	b := newLineBench(t)
	limits, err := storm.Parse("bcast=10pps,mcast=20pps,unicast=30pps")
	if err != nil {
		t.Fatal(err)
	}
	b.add(PortConfig{Name: "p1", Options: Options{Storm: limits}})
	b.add(PortConfig{Name: "p2"})
	b.send("p2", untagged(frame.Broadcast, mac(2)))
	b.took("p1")
	kinds := map[string]frame.MAC{"bcast": frame.Broadcast, "mcast": {1, 0, 0x5e, 0, 0, 1}, "unicast": mac(99), "known": mac(2), "lldp": {1, 0x80, 0xc2, 0, 0, 0xe}}
	b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.PassReserved = frame.AllReserved; return nil }))
	got := make(map[string]int)
	for ms := 1; ms <= 10_000; ms += 5 {
		b.time = impair.Time(ms) * msec
		b.w.begun = 0
		for kind, dst := range kinds {
			b.send("p1", untagged(dst, mac(1)))
			got[kind] += len(b.took("p2"))
		}
	}
	for kind, want := range map[string]int{"bcast": 102, "mcast": 203, "unicast": 304, "known": 2000, "lldp": 2000} {
		if n := got[kind]; n < want-3 || n > want+3 {
			t.Errorf("%s: %d frames in 10 s, want %d", kind, n, want)
		}
	}
	if n, want := b.counters("p1").Drops[frame.Storm], uint64(6000-got["bcast"]-got["mcast"]-got["unicast"]); n != want {
		t.Errorf("%d drops are counted, want %d", n, want)
	}

	// What is dropped teaches nothing.
	for range 100 {
		b.send("p1", untagged(frame.Broadcast, mac(50)))
	}
	b.send("p1", untagged(frame.Broadcast, mac(51)))
	entries, err := b.FDB("sw0")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type == fdb.Dynamic && e.MAC == mac(51) {
			t.Error("a frame that was dropped has taught where its station lives")
		}
	}

	// Without the limit, all comes in.
	_, err = b.SetPort(context.Background(), "sw0", "p1", false, func(c *PortConfig) error { c.Options.Storm = storm.Limits{}; return nil })
	b.must(err)
	b.took("p2")
	for range 100 {
		b.send("p1", untagged(frame.Broadcast, mac(1)))
	}
	if n := len(b.took("p2")); n != 100 {
		t.Errorf("without a limit %d of 100 came in", n)
	}
}
