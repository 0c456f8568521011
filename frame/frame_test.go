package frame_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vswitch/vswitch/frame"
)

var (
	addresses = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	payload   = []byte{0x12, 0x34, 'p', 'a', 'y', 'l', 'o', 'a', 'd'}
)

// buffer returns a receive buffer with the bytes of a frame in it.
func buffer(b []byte) []byte { return append(make([]byte, frame.OffloadLen), b...) }

// wire returns a frame with tags in the bytes and rest behind them.
func wire(rest []byte, tags ...frame.Tag) []byte {
	b := bytes.Clone(addresses)
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, uint32(t))
	}
	return append(b, rest...)
}

// copyOf returns the copy of f that carries outer: its offload header, and the
// rest.
func copyOf(f *frame.Frame, outer frame.Tag) (frame.Offload, []byte) {
	var head [frame.HeadLen]byte
	n := f.Head(&head, outer)
	return frame.GetOffload(head[:]), append(bytes.Clone(head[frame.OffloadLen:n]), f.Rest()...)
}

func TestTagsComeOffAndGoOn(t *testing.T) {
	a, b, c, d := frame.NewTag(0x8100, 3, 10), frame.NewTag(0x88a8, 0, 20), frame.NewTag(0x8100, 15, 4095), frame.NewTag(0x8100, 0, 0)
	var f frame.Frame
	f.Reset(buffer(wire(payload, b, c)), a, frame.Offload{})
	if r := f.Check(); r != frame.Pass {
		t.Fatal(r)
	}
	want := func(outer frame.Tag, tags ...frame.Tag) {
		t.Helper()
		all := tags
		if outer != 0 {
			all = append([]frame.Tag{outer}, tags...)
		}
		if _, got := copyOf(&f, outer); !bytes.Equal(got, wire(payload, all...)) {
			t.Errorf("got  %x\nwant %x", got, wire(payload, all...))
		}
		first := frame.Tag(0)
		if len(tags) > 0 {
			first = tags[0]
		}
		if got, ok := f.Outer(); got != first || !ok {
			t.Errorf("outer tag: got %v, %v, want %v", got, ok, first)
		}
		if got := f.Len(); got != len(wire(payload, tags...)) {
			t.Errorf("length: got %d, want %d", got, len(wire(payload, tags...)))
		}
		if got := f.SegmentLen(outer); got != len(wire(payload, all...)) {
			t.Errorf("segment length: got %d, want %d", got, len(wire(payload, all...)))
		}
		if got := f.TagsLen(outer); got != len(all)*frame.TagLen {
			t.Errorf("length of tags: got %d, want %d", got, len(all)*frame.TagLen)
		}
	}
	want(0, a, b, c)
	want(d, a, b, c)
	f.Pop()
	want(0, b, c)
	f.Pop()
	want(0, c)
	want(d, c)
	f.Rewind()
	want(0, a, b, c)
	f.Pop()
	f.Pop()
	if !f.Push(b) || !f.Push(a) {
		t.Fatal("no room for two tags")
	}
	want(0, a, b, c)
	f.Pop()
	f.Pop()
	f.Pop()
	want(0)
	want(d)
	if dst, src := f.Addresses(); dst.MAC() != frame.MAC(addresses[:6]) || src.MAC() != frame.MAC(addresses[6:]) {
		t.Errorf("addresses: got %x, %x", dst, src)
	}
	for i := range frame.MaxBeside {
		if !f.Push(a) {
			t.Fatalf("no room for tag %d of %d", i+1, frame.MaxBeside)
		}
	}
	before := f
	if f.Push(b) {
		t.Error("room for more tags than MaxBeside")
	}
	var next frame.Frame
	if next.Cross(&f, b) {
		t.Error("room for a service tag above MaxBeside tags")
	}
	if _, got := copyOf(&f, 0); !bytes.Equal(got, wire(payload, a, a, a, a, a, a, a, a)) || f.Len() != before.Len() {
		t.Errorf("a tag that found no room changed the frame: %x", got)
	}
	want(c, a, a, a, a, a, a, a, a)
}

func TestCross(t *testing.T) {
	a, b := frame.NewTag(0x8100, 3, 10), frame.NewTag(0x88a8, 0, 20)
	var f, g frame.Frame
	f.Reset(buffer(wire(payload, a)), 0, frame.Offload{})
	if !g.Cross(&f, b) || g.Hops() != 1 || f.Hops() != 0 {
		t.Fatalf("hops: %d, %d", f.Hops(), g.Hops())
	}
	if _, got := copyOf(&g, 0); !bytes.Equal(got, wire(payload, b, a)) {
		t.Errorf("crossed with a service tag: %x", got)
	}
	if _, got := copyOf(&f, 0); !bytes.Equal(got, wire(payload, a)) {
		t.Errorf("crossing changed the frame that crossed: %x", got)
	}
	if !f.Cross(&g, 0) || f.Hops() != 2 {
		t.Errorf("second crossing: %d hops", f.Hops())
	}
}

// TestShortFrames goes through all lengths from 0 to 64 with stacks of tags to
// the end of the frame.
func TestShortFrames(t *testing.T) {
	for n := range 65 {
		for _, fill := range [][]byte{{0}, {0x81, 0}, {0x88, 0xa8}, {0x81, 0, 0, 10}, {0xff}} {
			b := append(bytes.Clone(addresses), bytes.Repeat(fill, 64)...)[:n]
			for _, tag := range []frame.Tag{0, frame.NewTag(0x8100, 0, 7)} {
				var f frame.Frame
				f.Reset(buffer(b), tag, frame.Offload{})
				r := f.Check()
				if (n < 14) != (r == frame.Runt) || n >= 14 && r != frame.Pass {
					t.Fatalf("%d octets, %x: %v", n, b, r)
				}
				if r != frame.Pass {
					continue
				}
				for outer, whole := f.Outer(); outer != 0; outer, whole = f.Outer() {
					if !whole {
						if len(f.Rest()) >= 6 {
							t.Errorf("%x: tag %v with %d octets behind the addresses is not whole", b, outer, len(f.Rest()))
						}
						break
					}
					f.Pop()
				}
				if _, got := copyOf(&f, 0); len(got) != f.Len() || len(got) < 14 {
					t.Errorf("%x: without tags %x, length %d", b, got, f.Len())
				}
			}
		}
	}
}

func TestOuterTagCutOff(t *testing.T) {
	tag := frame.NewTag(0x8100, 2, 10)
	whole := wire(payload[:2], tag)
	for n := 14; n <= len(whole); n++ {
		var f frame.Frame
		f.Reset(buffer(whole[:n]), 0, frame.Offload{})
		got, ok := f.Outer()
		if ok != (n == len(whole)) || got == 0 || got.TPID() != 0x8100 {
			t.Errorf("%x: got %v, whole %v", whole[:n], got, ok)
		}
		if ok && got != tag {
			t.Errorf("%x: got %v, want %v", whole[:n], got, tag)
		}
	}
}

func TestWhole(t *testing.T) {
	tag := frame.NewTag(0x8100, 2, 10)
	off := frame.Offload{Flags: frame.NeedsCsum | frame.DataValid, CsumStart: 18, CsumOffset: 2}
	for name, tt := range map[string]struct {
		beside, outer frame.Tag
		pop           bool
		whole         bool
	}{
		"as received":         {whole: true},
		"tag put on":          {outer: tag},
		"tag beside":          {beside: tag},
		"tag came off":        {pop: true},
		"tag beside came off": {beside: tag, pop: true, whole: true},
	} {
		b := buffer(wire(payload, tag))
		var f frame.Frame
		f.Reset(b, tt.beside, off)
		if tt.pop {
			f.Pop()
		}
		got := f.Whole(tt.outer)
		if (got != nil) != tt.whole {
			t.Errorf("%s: %x", name, got)
		}
		if got == nil {
			continue
		}
		head, data := copyOf(&f, tt.outer)
		if frame.GetOffload(got) != head || !bytes.Equal(got[frame.OffloadLen:], data) || &got[0] != &b[0] {
			t.Errorf("%s: %x is not head and rest: %+v, %x", name, got, head, data)
		}
	}
}

func TestOffloadMovesWithTags(t *testing.T) {
	tag := frame.NewTag(0x8100, 2, 10)
	long := append(bytes.Clone(payload), make([]byte, 200)...)
	off := frame.Offload{Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: 70, GSOSize: 100, CsumStart: 38, CsumOffset: 16}
	var f frame.Frame
	f.Reset(buffer(wire(long, tag)), tag, off)
	if r := f.Check(); r != frame.Pass {
		t.Fatal(r)
	}
	check := func(outer frame.Tag, moved int) {
		t.Helper()
		want := off
		want.CsumStart += uint16(moved)
		want.HdrLen += uint16(moved)
		if got, _ := copyOf(&f, outer); got != want {
			t.Errorf("moved by %d: got %+v, want %+v", moved, got, want)
		}
	}
	check(0, 4) // one tag was beside
	check(tag, 8)
	f.Pop()
	check(0, 0)
	f.Pop()
	check(0, -4)
	check(tag, 0)

	// Nothing moves that does not count.
	f.Reset(buffer(wire(long, tag)), 0, frame.Offload{Flags: frame.DataValid, HdrLen: 9999, GSOSize: 1, CsumStart: 5, CsumOffset: 7})
	if r := f.Check(); r != frame.Pass {
		t.Errorf("fields that no flag makes count: %v", r)
	}
	if got, _ := copyOf(&f, tag); got != (frame.Offload{}) {
		t.Errorf("fields that no flag makes count: got %+v, want nothing", got)
	}
}

func TestOffloadThatLies(t *testing.T) {
	const n = 200
	data := wire(make([]byte, n-16), frame.NewTag(0x8100, 0, 10))
	ok := frame.Offload{Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, HdrLen: n, GSOSize: 64, CsumStart: 18, CsumOffset: 16}
	for name, tt := range map[string]struct {
		change func(*frame.Offload)
		want   frame.Reason
	}{
		"nothing":                        {func(o *frame.Offload) {}, frame.Pass},
		"no GSO":                         {func(o *frame.Offload) { o.GSOType = 0 }, frame.Pass},
		"no checksum":                    {func(o *frame.Offload) { o.Flags = 0 }, frame.Pass},
		"ECN":                            {func(o *frame.Offload) { o.GSOType |= frame.GSOECN }, frame.Pass},
		"TCPv6":                          {func(o *frame.Offload) { o.GSOType = frame.GSOTCPv6 }, frame.Pass},
		"UDP":                            {func(o *frame.Offload) { o.GSOType, o.CsumOffset = frame.GSOUDPL4, 6 }, frame.Pass},
		"checksum at the very end":       {func(o *frame.Offload) { o.CsumStart = n - 18 }, frame.Pass},
		"checksum past the end":          {func(o *frame.Offload) { o.CsumStart = n - 17 }, frame.BadOffload},
		"checksum offset past the end":   {func(o *frame.Offload) { o.GSOType, o.CsumOffset = 0, n-19 }, frame.BadOffload},
		"offsets that overflow 16 bits":  {func(o *frame.Offload) { o.GSOType, o.CsumStart, o.CsumOffset = 0, 18, 65530 }, frame.BadOffload},
		"checksum from inside the tag":   {func(o *frame.Offload) { o.CsumStart = 17 }, frame.BadOffload},
		"checksum from the addresses on": {func(o *frame.Offload) { o.CsumStart = 0 }, frame.BadOffload},
		"TCP with another's checksum":    {func(o *frame.Offload) { o.CsumOffset = 6 }, frame.BadOffload},
		"UDP with another's checksum":    {func(o *frame.Offload) { o.GSOType = frame.GSOUDPL4 }, frame.BadOffload},
		"UDP with ECN":                   {func(o *frame.Offload) { o.GSOType, o.CsumOffset = frame.GSOUDPL4|frame.GSOECN, 6 }, frame.BadOffload},
		"ECN of nothing":                 {func(o *frame.Offload) { o.GSOType = frame.GSOECN }, frame.BadOffload},
		"GSO type UFO":                   {func(o *frame.Offload) { o.GSOType = 3 }, frame.BadOffload},
		"GSO type 2":                     {func(o *frame.Offload) { o.GSOType = 2 }, frame.BadOffload},
		"GSO type of UDP tunnels":        {func(o *frame.Offload) { o.GSOType |= 0x20 }, frame.BadOffload},
		"GSO size 63":                    {func(o *frame.Offload) { o.GSOSize = 63 }, frame.BadOffload},
		"GSO size 0":                     {func(o *frame.Offload) { o.GSOSize = 0 }, frame.BadOffload},
		"header longer than the frame":   {func(o *frame.Offload) { o.HdrLen = n + 1 }, frame.BadOffload},
		"unknown flag":                   {func(o *frame.Offload) { o.Flags |= 4 }, frame.BadOffload},
	} {
		off := ok
		tt.change(&off)
		var f frame.Frame
		f.Reset(buffer(data), 0, off)
		if got := f.Check(); got != tt.want {
			t.Errorf("%s: got %v, want %v (%+v)", name, got, tt.want, off)
		}
	}
}

// TestOffloadAtTheEndOfTheRange holds that tags do not push csum_start over
// 65535, where it would begin again at 0.
func TestOffloadAtTheEndOfTheRange(t *testing.T) {
	data := wire(make([]byte, 70000))
	for start := 65535 - 64; start <= 65535; start++ {
		var f frame.Frame
		f.Reset(buffer(data), 0, frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(start)})
		if f.Check() != frame.Pass {
			continue
		}
		for f.Push(frame.NewTag(0x8100, 0, 1)) {
		}
		if got, _ := copyOf(&f, frame.NewTag(0x8100, 0, 1)); int(got.CsumStart) != start+36 {
			t.Fatalf("csum_start %d with nine tags: %d", start, got.CsumStart)
		}
	}
}

func TestFramePathAllocatesNothing(t *testing.T) {
	tag := frame.NewTag(0x8100, 2, 10)
	buf := buffer(wire(payload, tag))
	off := frame.Offload{Flags: frame.NeedsCsum, CsumStart: 18, CsumOffset: 2}
	var head [frame.HeadLen]byte
	if n := testing.AllocsPerRun(100, func() {
		var f, g frame.Frame
		f.Reset(buf, tag, off)
		if f.Check() != frame.Pass {
			t.Fatal("frame does not pass")
		}
		f.Pop()
		f.Outer()
		g.Cross(&f, tag)
		g.SegmentLen(tag)
		g.Head(&head, tag)
		f.Whole(0)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkHead(b *testing.B) {
	tag := frame.NewTag(0x8100, 2, 10)
	buf := buffer(wire(payload, tag))
	var head [frame.HeadLen]byte
	var f frame.Frame
	for b.Loop() {
		f.Reset(buf, 0, frame.Offload{})
		if f.Check() == frame.Pass {
			f.Pop()
			f.Head(&head, tag)
		}
	}
}
