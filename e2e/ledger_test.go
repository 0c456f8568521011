package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// ledger is a switch whose ports all end in the test's hands, in namespaces
// that say nothing by themselves, so that all that an exchange of frames causes
// is known: what comes out where, to the last octet, and what is counted.
//
// It is the [Rig] for long tables. It keeps the counters from row to row and
// sends no marks of its own: a frame that nobody asked for is not counted as
// the row expects; and where the switch did not even count it, the next row
// finds it before its own frames. What the counters say comes straight from the
// API's socket, and is held against `vsctl port list -j` by [ledger.close].
type ledger struct {
	h     *Host
	api   *http.Client
	ends  map[string]farEnd
	order []string
	last  map[string]tally
	names int
}

// farEnd is what hangs on a port: a [Station] or a [Monitor].
type farEnd interface {
	Wire
	next(time.Duration) (Received, error)
	TrySend(frame any) error
	SendOffload(Offload, []byte) error
	Drain()
}

// tally is what the API tells of a port.
type tally struct {
	Switch   string   `json:"switch"`
	Name     string   `json:"name"`
	State    string   `json:"state"`
	MTU      int      `json:"mtu"`
	Counters Counters `json:"counters"`
}

// full is the port's name with its switch, but for sw0.
func (t tally) full() string {
	if t.Switch == "sw0" {
		return t.Name
	}
	return t.Switch + "/" + t.Name
}

// newLedger starts a machine with a daemon and no ports.
func newLedger(t *testing.T) *ledger {
	return newLedgerOn(NewHost(t))
}

// newLedgerOn keeps the ledger of a host that has no ports yet.
func newLedgerOn(h *Host) *ledger {
	l := &ledger{h: h, ends: map[string]farEnd{}, api: &http.Client{
		Timeout: Patience,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.Socket)
		}},
	}}
	h.t.Cleanup(l.api.CloseIdleConnections)
	return l
}

// kinds are those of ports that frames of the kernel travel through, each in
// its way: packet sockets carry the outermost tag beside the bytes, TAPs in
// them; behind a --vm port a monitor puts frames into the TAP, behind a --dev
// port is whatever was there before.
var kinds = []string{"veth", "tap", "vm", "dev"}

// add adds a port of a kind to sw0, or to the switch that name begins with, and
// waits until frames can pass.
func (l *ledger) add(kind, name string, flags ...string) {
	h := l.h
	h.t.Helper()
	l.names++
	place := fmt.Sprintf("n%d", l.names) // of a namespace or a device
	argv := []string{"port", "add", name}
	switch kind {
	case "veth", "tap":
		ns := h.Quiet(place)
		h.VS(append(append(argv, "--"+kind, "--netns", place), flags...)...)
		l.ends[name] = ns.Station("eth0")
	case "dev":
		ns := h.Quiet(place)
		h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
		h.Run("ip", "link", "add", place, "type", "veth", "peer", "name", "eth0", "netns", place)
		ns.Run("ip", "link", "set", "eth0", "up", "mtu", "9000")
		h.VS(append(append(argv, "--dev", place), flags...)...)
		l.ends[name] = ns.Station("eth0")
	case "vm":
		h.VS(append(append(argv, "--vm", place), flags...)...)
		l.ends[name] = h.Monitor(place)
	default:
		h.t.Fatalf("no kind %q", kind)
	}
	h.AwaitState(name, "up")
	l.order = append(l.order, name)
	l.last = l.read()
}

// set changes a port.
func (l *ledger) set(port string, flags ...string) {
	l.h.t.Helper()
	l.h.VS(append([]string{"port", "set", port}, flags...)...)
}

// get reads what the API has at path.
func (l *ledger) get(path string, into any) {
	l.h.t.Helper()
	resp, err := l.api.Get("http://vswitchd" + path)
	if err != nil {
		l.h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		l.h.t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
}

// read returns all ports as they stand.
func (l *ledger) read() map[string]tally {
	l.h.t.Helper()
	var list []tally
	l.get("/v1/ports", &list)
	all := make(map[string]tally, len(list))
	for _, p := range list {
		all[p.full()] = p
	}
	return all
}

// entry is one row of a ledger: what goes in at one port, and all that comes of
// it. Ports are named as in [ledger.add].
type entry struct {
	from    string
	send    []any          // an [Eth], bytes, or an [offloaded]
	arrive  Arrive         // likewise, in their order
	number  map[string]int // or only how many
	drops   Drops          // by "port/reason": at ingress on from, at egress elsewhere
	notices Drops          // likewise; frames go on
	lost    int            // of those sent, how many the kernel keeps from the switch

	refusable bool // the kernel may refuse to send, with an error
}

// offloaded is a frame with offload metadata, as it is sent and as it arrives.
type offloaded struct {
	Offload
	frame []byte
}

// offloadedOf returns a frame of a row; what is no offloaded has nothing left
// to do.
func offloadedOf(f any) offloaded {
	if o, ok := f.(offloaded); ok {
		return o
	}
	return offloaded{frame: wireBytes(f)}
}

// octets is how long frames are together.
func octets(frames []any) (n uint64) {
	for _, f := range frames {
		n += uint64(len(offloadedOf(f).frame))
	}
	return n
}

// check carries out a row. When it fails, the ledger starts anew with the
// counters as they are.
func (l *ledger) check(e entry) {
	t := l.h.t
	t.Helper()
	for _, f := range e.send {
		o := offloadedOf(f)
		if err := l.ends[e.from].SendOffload(o.Offload, o.frame); err != nil && !e.refusable {
			t.Fatalf("%s: send %s (%+v): %v", e.from, Describe(o.frame), o.Offload, err)
		}
	}
	var now map[string]tally
	err := poll(countTime, func() error {
		now = l.read()
		return l.compare(e, now)
	})
	if err != nil {
		t.Errorf("after %d frames into %s:\n    %v", len(e.send), e.from, err)
	}
	for _, port := range l.order {
		l.arrived(port, e)
	}
	if t.Failed() {
		for _, end := range l.ends {
			end.Drain()
		}
		now = l.read()
	}
	l.last = now
}

// arrived takes what a row expects out of a port, and nothing else.
func (l *ledger) arrived(port string, e entry) {
	t := l.h.t
	t.Helper()
	for range e.number[port] {
		if _, err := l.ends[port].next(countTime); err != nil {
			t.Error(err)
			return
		}
	}
	frames := e.arrive[port]
	for i, f := range frames {
		want := offloadedOf(f)
		// The switch has counted it as sent, so it is here, or nearly.
		got, err := l.ends[port].next(countTime)
		if err != nil {
			t.Errorf("%v; want frame %d of %d:\n    %s", err, i+1, len(frames), Describe(want.frame))
			return
		}
		if !bytes.Equal(got.Bytes, want.frame) {
			t.Errorf("%s: frame %d of %d: %s", port, i+1, len(frames), difference(got.Bytes, want.frame))
		}
		if !want.Offload.like(got.Offload) {
			t.Errorf("%s: frame %d of %d has offload %+v, want %+v", port, i+1, len(frames), got.Offload, want.Offload)
		}
	}
}

// like compares offload headers but for what is a hint.
func (o Offload) like(got Offload) bool {
	const dataValid = 2
	o.HdrLen, got.HdrLen = 0, 0
	got.Flags &^= dataValid
	return o == got
}

// compare holds the counters against a row, and the laws of conservation.
func (l *ledger) compare(e entry, now map[string]tally) error {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	differ := func(port, what string, got, want uint64) {
		if got != want {
			say("%s: %s went up by %d, want %d", port, what, got, want)
		}
	}
	var decided, ingress, named, sent, egress uint64
	for _, port := range slices.Sorted(maps.Keys(now)) {
		was, is := l.last[port].Counters, now[port].Counters
		received := uint64(0)
		if port == e.from {
			received = uint64(len(e.send) - e.lost)
			if e.lost == 0 {
				differ(port, "rx_bytes", is.RxBytes-was.RxBytes, octets(e.send))
			}
		}
		differ(port, "rx_frames", is.RxFrames-was.RxFrames, received)
		arrive := uint64(len(e.arrive[port]) + e.number[port])
		if _, ours := l.ends[port]; ours {
			differ(port, "tx_frames", is.TxFrames-was.TxFrames, arrive)
			if e.number[port] == 0 {
				differ(port, "tx_bytes", is.TxBytes-was.TxBytes, octets(e.arrive[port]))
			}
		}
		for _, c := range []struct {
			was, is  map[string]uint64
			expected Drops
		}{{was.Drops, is.Drops, e.drops}, {was.Notices, is.Notices, e.notices}} {
			for _, reason := range reasons(port, c.is, c.expected) {
				differ(port, reason, c.is[reason]-c.was[reason], c.expected[port+"/"+reason])
			}
		}
		var drops uint64
		for reason, n := range is.Drops {
			if reason != "rx-full" { // outside rx_frames
				drops += n - was.Drops[reason]
			}
		}
		if port == e.from {
			ingress = drops
			decided = is.RxFrames - was.RxFrames - ingress
		} else {
			egress += drops
		}
		sent += is.TxFrames - was.TxFrames
		named += arrive + sumOf(e.drops, port, port != e.from)
	}
	if ingress+decided != uint64(len(e.send)-e.lost) || sent+egress != named {
		say("conservation: %d frames received, %d dropped at ingress, %d decided; %d copies named, %d sent, %d dropped at egress",
			len(e.send)-e.lost, ingress, decided, named, sent, egress)
	}
	if problems == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(problems, "\n    "))
}

// reasons lists those that a port has counted, or should have.
func reasons(port string, counted map[string]uint64, expected Drops) []string {
	all := slices.Collect(maps.Keys(counted))
	for key := range expected {
		if p, reason := splitReason(key); p == port && counted[reason] == 0 {
			all = append(all, reason)
		}
	}
	slices.Sort(all)
	return all
}

// splitReason splits "port/reason", where port may have a switch in front.
func splitReason(key string) (port, reason string) {
	i := strings.LastIndexByte(key, '/')
	return key[:i], key[i+1:]
}

func sumOf(drops Drops, port string, wanted bool) (n uint64) {
	for key, v := range drops {
		if p, _ := splitReason(key); p == port && wanted {
			n += v
		}
	}
	return n
}

// close holds what the rows have read against what vsctl prints, for a last
// time after all frames are through.
func (l *ledger) close() {
	t := l.h.t
	t.Helper()
	now := l.read()
	for _, p := range l.h.Ports() {
		full := tally{Switch: p.Switch, Name: p.Name}.full()
		api, row := now[full].Counters, l.last[full].Counters
		if fmt.Sprint(p.Counters) != fmt.Sprint(api) {
			t.Errorf("%s: vsctl says %+v, the API says %+v", full, p.Counters, api)
		}
		if fmt.Sprint(row) != fmt.Sprint(api) {
			t.Errorf("%s: frames came after the last row: %+v, then %+v", full, row, api)
		}
	}
	for _, port := range l.order {
		if r, err := l.ends[port].next(0); err == nil {
			t.Errorf("%s: a frame that no row expects: %s", port, Describe(r.Bytes))
		}
	}
}
