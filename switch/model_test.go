package vswitch

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port/porttest"
	"github.com/vswitch/vswitch/vlan"
)

// The plain model: what the documentation of the switch says about a frame,
// written down a second time, without any of the switch's code and without a
// thought to speed. It works on whole wire bytes and lists of tags.

type modelTag struct{ tpid, pcpDEI, vid int }

type modelFrame struct {
	dst, src string
	tags     []modelTag
	rest     []byte // type and payload
}

func modelParse(wire []byte) modelFrame {
	f := modelFrame{dst: string(wire[:6]), src: string(wire[6:12]), rest: wire[12:]}
	for len(f.rest) >= 6 {
		tpid := int(binary.BigEndian.Uint16(f.rest))
		if tpid != 0x8100 && tpid != 0x88a8 {
			break
		}
		tci := int(binary.BigEndian.Uint16(f.rest[2:]))
		f.tags = append(f.tags, modelTag{tpid, tci >> 12, tci & 4095})
		f.rest = f.rest[4:]
	}
	return f
}

// cut reports whether a tag begins where no whole one fits.
func (f modelFrame) cut() bool {
	tpid := int(binary.BigEndian.Uint16(f.rest))
	return tpid == 0x8100 || tpid == 0x88a8
}

func (f modelFrame) wire() []byte {
	b := []byte(f.dst + f.src)
	for _, t := range f.tags {
		b = binary.BigEndian.AppendUint16(b, uint16(t.tpid))
		b = binary.BigEndian.AppendUint16(b, uint16(t.pcpDEI<<12|t.vid))
	}
	return append(b, f.rest...)
}

func (f modelFrame) startsWithTag() bool { return len(f.tags) > 0 || f.cut() }

type modelPort struct {
	name                        string
	mode                        string
	vid                         int // access, native, tunnel; 0 none
	list                        map[int]bool
	all                         bool
	cvids                       map[int]bool // nil: all
	tpid                        int
	priorityTags                string
	down                        bool
	noFlood, noMcast, noBcast   bool
	noLearn, hairpin, isolated  bool
	pass                        map[int]bool
	mtu                         int
	ingressDrops, decided, rx   uint64
	tx, egressDrops, namedCount uint64
}

type modelSwitch struct {
	ports    []*modelPort
	dropBPDU bool
	stations map[string]int // "vid mac" → index of the port, or a value below
}

const modelFilter = -1

func (p *modelPort) member(vid int) bool {
	switch p.mode {
	case "access", "tunnel":
		return vid == p.vid
	}
	return p.all || p.list[vid] || vid == p.vid
}

// ingress returns the VLAN and the frame as the VLAN carries it, or a reason.
func (p *modelPort) ingress(f modelFrame) (vid, prio int, inner modelFrame, reason string) {
	if len(f.tags) == 0 && f.cut() {
		return 0, 0, f, "truncated"
	}
	if p.mode == "tunnel" {
		if len(f.tags) > 0 && f.tags[0].vid == 0 {
			prio = f.tags[0].pcpDEI
			f.tags = f.tags[1:]
			if len(f.tags) == 0 && f.cut() {
				return 0, 0, f, "truncated"
			}
		}
		cvid := 0
		if len(f.tags) > 0 {
			cvid = f.tags[0].vid
		}
		if cvid == 4095 {
			return 0, 0, f, "bad-vid"
		}
		if p.cvids != nil && !p.cvids[cvid] {
			return 0, 0, f, "cvlan-not-allowed"
		}
		return p.vid, prio, f, ""
	}
	if len(f.tags) > 0 {
		if f.tags[0].tpid != p.tpid {
			return 0, 0, f, "bad-tpid"
		}
		if f.tags[0].vid == 4095 {
			return 0, 0, f, "bad-vid"
		}
	}
	if len(f.tags) == 0 || f.tags[0].vid == 0 {
		if p.mode == "trunk" {
			return 0, 0, f, "untagged-on-trunk"
		}
		if len(f.tags) > 0 {
			prio = f.tags[0].pcpDEI
			f.tags = f.tags[1:]
		}
		if p.mode == "access" && f.startsWithTag() {
			return 0, 0, f, "tagged-on-access"
		}
		return p.vid, prio, f, ""
	}
	if p.mode == "access" {
		return 0, 0, f, "tagged-on-access"
	}
	if !p.member(f.tags[0].vid) {
		return 0, 0, f, "vlan-not-allowed"
	}
	vid, prio = f.tags[0].vid, f.tags[0].pcpDEI
	f.tags = f.tags[1:]
	return vid, prio, f, ""
}

// egress returns the wire bytes, or a reason.
func (p *modelPort) egress(from *modelPort, f modelFrame, vid, prio int) ([]byte, string) {
	if !p.member(vid) {
		return nil, "not-member"
	}
	if p.down {
		return nil, "port-down"
	}
	untagged := false
	switch {
	case p.mode == "tunnel":
		cvid, known := 0, true
		if len(f.tags) > 0 {
			cvid = f.tags[0].vid
		} else if f.cut() {
			known = false
		}
		if p.cvids != nil && !(known && p.cvids[cvid]) {
			return nil, "cvlan-not-allowed"
		}
		untagged = !f.startsWithTag()
	case p.mode == "access", p.mode == "native-untagged" && vid == p.vid:
		if f.startsWithTag() {
			return nil, "inner-tag-on-access"
		}
		untagged = true
	default:
		f.tags = append([]modelTag{{p.tpid, prio, vid}}, f.tags...)
	}
	if untagged && (p.priorityTags == "always" || p.priorityTags == "if-nonzero" && prio != 0) {
		f.tags = append([]modelTag{{p.tpid, prio, 0}}, f.tags...)
	}
	if from.isolated && p.isolated && from != p {
		return nil, "isolated"
	}
	room := 0
	if f.startsWithTag() && len(f.tags) > 0 {
		room = 4
	}
	wire := f.wire()
	if len(wire) > p.mtu+14+room {
		return nil, "too-big"
	}
	return wire, ""
}

// forward returns what leaves by each port, with the reasons of the copies
// that do not; or the reason why all of the frame is dropped.
func (s *modelSwitch) forward(in int, wire []byte) (out map[int][]byte, dropped map[int]string, reason string) {
	p := s.ports[in]
	if len(wire) < 14 {
		return nil, nil, "runt"
	}
	if p.down {
		return nil, nil, "port-down"
	}
	f := modelParse(wire)
	vid, prio, f, reason := p.ingress(f)
	if reason != "" {
		return nil, nil, reason
	}
	if f.src[0]&1 == 1 {
		return nil, nil, "src-multicast"
	}
	if f.src == "\x00\x00\x00\x00\x00\x00" {
		return nil, nil, "src-zero"
	}
	group := f.dst[0]&1 == 1
	broadcast := f.dst == "\xff\xff\xff\xff\xff\xff"
	reserved := f.dst[:5] == "\x01\x80\xc2\x00\x00" && f.dst[5] < 16
	x := int(f.dst[5])
	if reserved && (x == 1 || x == 0 && s.dropBPDU || x > 1 && !p.pass[x]) {
		return nil, nil, "reserved"
	}
	key := func(mac string) string { return fmt.Sprint(vid, " ", mac) }
	if at, ok := s.stations[key(f.src)]; ok && at == modelFilter {
		return nil, nil, "fdb-filter"
	}
	if at, ok := s.stations[key(f.dst)]; ok && at == modelFilter {
		return nil, nil, "fdb-filter"
	}
	if !p.noLearn {
		s.stations[key(f.src)] = in
	}
	var named []int
	if to, known := s.stations[key(f.dst)]; known && !group {
		if to == in && !p.hairpin {
			return nil, nil, "same-port"
		}
		named = []int{to}
	} else {
		for i, q := range s.ports {
			withheld := !group && q.noFlood || group && !broadcast && !(reserved && x > 1) && q.noMcast || broadcast && q.noBcast
			if i != in && q.member(vid) && !withheld {
				named = append(named, i)
			}
		}
	}
	if len(named) == 0 {
		return nil, nil, "no-destination"
	}
	out, dropped = make(map[int][]byte), make(map[int]string)
	for _, i := range named {
		if b, r := s.ports[i].egress(p, f, vid, prio); r != "" {
			dropped[i] = r
		} else {
			out[i] = b
		}
	}
	return out, dropped, ""
}

// modelRandom draws configurations and frames in which things happen: few
// VLANs, few stations.
type modelRandom struct{ *rand.Rand }

func (r modelRandom) flip(percent int) bool { return r.IntN(100) < percent }

func (r modelRandom) vid() int { return []int{1, 2, 3, 10, 20, 4094}[r.IntN(6)] }

func (r modelRandom) set(extra ...int) map[int]bool {
	set := make(map[int]bool)
	for range 1 + r.IntN(4) {
		set[r.vid()] = true
	}
	for _, v := range extra {
		if r.flip(50) {
			set[v] = true
		}
	}
	return set
}

func toSet(m map[int]bool) *vlan.Set {
	var s vlan.Set
	for v := range m {
		s.Add(uint16(v))
	}
	return &s
}

// port draws a port, in the model's terms and in the switch's.
func (r modelRandom) port(name string) (*modelPort, PortConfig) {
	p := &modelPort{name: name, tpid: 0x8100, priorityTags: "never", mtu: 100, pass: make(map[int]bool)}
	cfg := PortConfig{Switch: "sw0", Name: name}
	pol := &cfg.VLAN
	switch r.IntN(5) {
	case 0:
		p.mode, pol.Mode = "access", vlan.Access
	case 1:
		p.mode, pol.Mode = "trunk", vlan.Trunk
	case 2:
		p.mode, pol.Mode = "native-untagged", vlan.NativeUntagged
	case 3:
		p.mode, pol.Mode = "native-tagged", vlan.NativeTagged
	case 4:
		p.mode, pol.Mode = "tunnel", vlan.Tunnel
		if r.flip(50) {
			p.cvids = r.set(0)
			pol.CVLANs = toSet(p.cvids)
		}
	}
	if p.mode != "trunk" {
		p.vid = r.vid()
		pol.VLAN = vlan.ID(p.vid)
	}
	if p.mode != "access" && p.mode != "tunnel" {
		if p.all = r.flip(30); !p.all {
			p.list = r.set()
			if p.vid != 0 {
				p.list[p.vid] = true
			}
			pol.Trunk = toSet(p.list)
		}
	}
	if r.flip(25) && p.mode != "tunnel" {
		p.tpid, pol.TPID = 0x88a8, 0x88a8
	}
	switch r.IntN(3) {
	case 1:
		p.priorityTags, pol.PriorityTags = "if-nonzero", vlan.IfNonzero
	case 2:
		p.priorityTags, pol.PriorityTags = "always", vlan.Always
	}
	o := &cfg.Options
	p.noFlood, p.noMcast, p.noBcast = r.flip(10), r.flip(10), r.flip(10)
	p.noLearn, p.hairpin, p.isolated, p.down = r.flip(10), r.flip(20), r.flip(30), r.flip(5)
	o.NoFlood, o.NoMcastFlood, o.NoBcastFlood = p.noFlood, p.noMcast, p.noBcast
	o.NoLearn, o.Hairpin, o.Isolated, cfg.Down = p.noLearn, p.hairpin, p.isolated, p.down
	if r.flip(50) {
		list := frame.ReservedSet(r.Uint32()) & frame.AllReserved
		o.PassReserved = &list
		for x := 2; x < 16; x++ {
			p.pass[x] = list.Passes(uint8(x))
		}
	}
	return p, cfg
}

func (r modelRandom) mac(source bool) frame.MAC {
	switch n := r.IntN(20); {
	case n == 0:
		return frame.Broadcast
	case n == 1:
		return frame.MAC{1, 0, 0x5e, 0, 0, 7}
	case n == 2 && !source:
		return frame.MAC{1, 0x80, 0xc2, 0, 0, byte(r.IntN(17))}
	case n == 3 && source:
		return frame.MAC{}
	}
	return mac(r.IntN(6))
}

// wire draws a frame, at times one that is cut off anywhere.
func (r modelRandom) wire() []byte {
	var tags []frame.Tag
	for r.flip(55) && len(tags) < 4 {
		tpid := frame.TPIDCustomer
		if r.flip(25) {
			tpid = frame.TPIDService
		}
		vid := r.vid()
		if n := r.IntN(20); n < 3 {
			vid = 0
		} else if n == 3 {
			vid = 4095
		}
		tags = append(tags, frame.NewTag(tpid, frame.Priority(r.IntN(16)*r.IntN(2)), uint16(vid)))
	}
	b := ether(r.mac(false), r.mac(true), 80+r.IntN(30), tags...)
	if r.flip(5) {
		b = b[:r.IntN(40)]
	}
	return b
}

// modelConfigurations is how many configurations the model is tried with; with
// 200 frames each they are a million pairs. One goroutine has no races: with the
// detector there are fewer, and make test runs the million without it.
func modelConfigurations() int {
	if racing {
		return 500
	}
	return 5000
}

// TestDecisionAgainstPlainModel holds the decision against the model, on a
// million random pairs of configuration and frame. VSWITCH_MODEL_SEED repeats
// a run.
func TestDecisionAgainstPlainModel(t *testing.T) {
	const framesEach, ports = 200, 4
	seed := rand.Uint64()
	if s := os.Getenv("VSWITCH_MODEL_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("VSWITCH_MODEL_SEED=%d", seed)
	r := modelRandom{rand.New(rand.NewPCG(seed, 1))}

	b := newBench(t)
	b.host.mtu = 100
	for i := range ports {
		b.add(PortConfig{Name: fmt.Sprint("p", i)})
	}
	// Room for all stations there are, and small, as each change sweeps it.
	b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.FDBSize = 256; return nil }))
	sw, _ := b.find("sw0")
	for n := range modelConfigurations() {
		m := b.configure(r, ports)
		before := allCounters(sw)
		at := before
		for k := range framesEach {
			in, wire := r.IntN(ports), r.wire()
			at = b.compare(sw, m, in, wire, r, at)
			if t.Failed() {
				t.Fatalf("configuration %d, frame %d: into p%d\n%x\nports:\n%s", n, k, in, wire, m)
			}
		}
		b.conserved(m, before, at)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// configure gives the bench a random configuration, and returns its model.
func (b *bench) configure(r modelRandom, ports int) *modelSwitch {
	m := &modelSwitch{stations: make(map[string]int), dropBPDU: r.flip(30)}
	b.must(b.SetSwitch(context.Background(), "sw0", func(s *Settings) error { s.DropBPDU = m.dropBPDU; return nil }))
	for i := range ports {
		name := fmt.Sprint("p", i)
		p, cfg := r.port(name)
		m.ports = append(m.ports, p)
		_, err := b.SetPort(context.Background(), "sw0", name, false, func(c *PortConfig) error { *c = cfg; return nil })
		b.must(err)
	}
	sw, _ := b.find("sw0")
	for _, en := range sw.table.Entries(b.clock()) {
		b.must(sw.table.Delete(en.VLAN, en.MAC))
	}
	if r.flip(50) {
		vid, station := r.vid(), mac(r.IntN(6))
		b.must(b.AddFDB(context.Background(), "sw0", vlan.ID(vid), station, ""))
		m.stations[fmt.Sprint(vid, " ", string(station[:]))] = modelFilter
	}
	return m
}

// compare takes one frame through both, and returns the counters after it.
func (b *bench) compare(sw *Switch, m *modelSwitch, in int, wire []byte, r modelRandom, before []Counters) (after []Counters) {
	name := m.ports[in].name
	b.send(name, delivered(wire, r))
	after = allCounters(sw)

	out, dropped, reason := m.forward(in, wire)
	m.count(in, out, dropped, reason)
	for i, p := range m.ports {
		var got [][]byte
		for _, w := range b.took(p.name) {
			got = append(got, w.Bytes)
		}
		var expected [][]byte
		if w, ok := out[i]; ok {
			expected = append(expected, w)
		}
		if !slices.EqualFunc(got, expected, bytes.Equal) {
			b.Errorf("out of %s: got %x, want %x (whole: %q)", p.name, got, expected, reason)
		}
		want := before[i].Drops
		for _, r := range []string{dropped[i], reasonAt(i == in, reason)} {
			want[reasonCalled(r)]++
		}
		want[frame.Pass] = after[i].Drops[frame.Pass]
		if after[i].Drops != want {
			b.Errorf("%s: drops by reason: got %d, want %d", p.name, after[i].Drops, want)
		}
	}
	return after
}

func reasonAt(here bool, reason string) string {
	if here {
		return reason
	}
	return ""
}

// reasonCalled returns the reason of that name.
func reasonCalled(name string) frame.Reason {
	for r := range frame.Reason(frame.NumReasons) {
		if r.String() == name {
			return r
		}
	}
	panic("no reason is called " + name)
}

// delivered is the frame as a packet socket (the outermost tag beside) or a TAP
// (in the bytes) hands it up.
func delivered(wire []byte, r modelRandom) porttest.Wire {
	if len(wire) >= 18 && r.flip(50) {
		if tpid := binary.BigEndian.Uint16(wire[12:]); frame.IsTPID(tpid) {
			tag := frame.TagFromTCI(tpid, binary.BigEndian.Uint16(wire[14:]))
			return porttest.Wire{Bytes: append(append([]byte(nil), wire[:12]...), wire[16:]...), Tag: tag}
		}
	}
	return porttest.Wire{Bytes: wire}
}

// allCounters returns the counters of a switch's ports, by port ID.
func allCounters(sw *Switch) []Counters {
	all := make([]Counters, len(sw.ids))
	for i, p := range sw.ids {
		for _, l := range p.core.lanes {
			l.addTo(&all[i])
		}
	}
	return all
}

func (m *modelSwitch) count(in int, out map[int][]byte, dropped map[int]string, reason string) {
	p := m.ports[in]
	p.rx++
	if reason != "" {
		p.ingressDrops++
		return
	}
	p.decided++
	for i := range out {
		m.ports[i].tx++
		m.ports[i].namedCount++
	}
	for i := range dropped {
		m.ports[i].egressDrops++
		m.ports[i].namedCount++
	}
}

// conserved holds the two laws: a port's frames are dropped at ingress or
// decided; the copies that decisions named are sent or dropped at egress.
func (b *bench) conserved(m *modelSwitch, before, after []Counters) {
	b.Helper()
	var named, sentOrDropped uint64
	for i, c := range after {
		p := m.ports[i]
		var drops uint64
		for d := range c.Drops {
			drops += c.Drops[d] - before[i].Drops[d]
		}
		rx, tx := c.RxFrames-before[i].RxFrames, c.TxFrames-before[i].TxFrames
		if rx != p.rx || rx != p.ingressDrops+p.decided {
			b.Errorf("%s: received %d, want %d dropped at ingress and %d decided", p.name, rx, p.ingressDrops, p.decided)
		}
		named += p.namedCount
		sentOrDropped += tx + drops - p.ingressDrops
	}
	if named != sentOrDropped {
		b.Errorf("copies: %d named, %d sent or dropped", named, sentOrDropped)
	}
}

func (m *modelSwitch) String() string {
	var b bytes.Buffer
	for _, p := range m.ports {
		fmt.Fprintf(&b, "%+v\n", *p)
	}
	return b.String()
}
