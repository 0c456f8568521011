package vswitch

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port/porttest"
)

// FuzzSwitch sends any bytes, with any offload header, into a port of each
// mode. Frames without offloads are held against the plain model; of all, none
// may vanish uncounted.
func FuzzSwitch(f *testing.F) {
	plain := make([]byte, frame.OffloadLen)
	for _, m := range []string{"", "\x81\x00", "\x81\x00\x00\x01\x08\x00", "\x81\x00\xe0\x00\x81\x00\x01\x00\x08\x00", "\x88\xa8\x0f\xff\x08\x00"} {
		f.Add(append(ether(frame.Broadcast, mac(1), 0)[:12], m...), plain)
	}
	for _, c := range lies {
		vnet := make([]byte, frame.OffloadLen)
		c.Offload.Put(vnet)
		f.Add(ether(frame.Broadcast, mac(2), 100), vnet)
	}
	h := newHostileRig(f)
	h.must(h.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.FDBSize = 64; return nil }))
	f.Fuzz(func(t *testing.T, data, vnet []byte) {
		if len(vnet) != frame.OffloadLen || len(data) > 1<<16 {
			return
		}
		if _, err := h.FlushFDB(context.Background(), "sw0", "", 0); err != nil {
			t.Fatal(err)
		}
		clear(h.model.stations)
		if bytes.Equal(vnet, plain) {
			h.try(t, data)
			return
		}
		h.TB = t
		for in, p := range h.model.ports {
			before := h.at
			h.send(p.name, porttest.Wire{Bytes: data, Offload: frame.GetOffload(vnet)})
			h.at = allCounters(h.sw)
			if h.at[in].RxFrames != before[in].RxFrames+1 || changes(before, h.at) == 0 {
				t.Errorf("into %s: neither sent nor counted: %+v", p.name, h.at[in])
			}
			for _, q := range h.model.ports {
				h.took(q.name)
			}
		}
	})
}

// changes is how many copies were sent, and frames and copies dropped.
func changes(before, after []Counters) (n uint64) {
	for i := range after {
		n += after[i].TxFrames - before[i].TxFrames
		for r := range after[i].Drops {
			n += after[i].Drops[r] - before[i].Drops[r]
		}
	}
	return n
}

// FuzzCheckName holds names of switches and ports against the words that
// describe them.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"p1", "sw0", "", ".", "-p", "p/1", "p 1", "p\x00", "é", "a.b_c-d", strings.Repeat("x", 32), strings.Repeat("x", 33), "p1\n"} {
		f.Add(s)
	}
	odd := regexp.MustCompile(`[^A-Za-z0-9._-]`)
	f.Fuzz(func(t *testing.T, s string) {
		good := len(s) >= 1 && len(s) <= 32 && !odd.MatchString(s) && !strings.ContainsAny(s[:1], "._-")
		if err := CheckName("port", s); (err == nil) != good {
			t.Errorf("%q: got %v, want it to be a name: %v", s, err, good)
		}
	})
}
