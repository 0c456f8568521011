package e2e

import (
	"strings"
	"testing"
)

// What happens to a frame that a port has let in: "Learning and forwarding",
// row by row, on every kind of port.

// MACs of groups and of nobody in particular.
const (
	someGroup = "01:00:5e:00:00:07"
	noMAC     = "00:00:00:00:00:00"
)

// station returns an address that no other row uses.
func (l *ledger) station() string {
	l.names++
	return MAC(l.names)
}

// pass sends a frame in by a port and wants it whole out of others, and
// nothing dropped.
func (l *ledger) pass(from string, e Eth, to ...string) {
	l.h.t.Helper()
	l.checkEth(from, e, to, nil)
}

// drop sends a frame in by a port and wants it dropped, by "port/reason".
func (l *ledger) drop(from string, e Eth, drops ...string) {
	l.h.t.Helper()
	l.checkEth(from, e, nil, drops)
}

func (l *ledger) checkEth(from string, e Eth, to, drops []string) {
	l.h.t.Helper()
	e.Payload = "hello" // the kernel wants something behind a tag
	row := entry{from: from, send: Frames(e), arrive: Arrive{}, drops: Drops{}}
	for _, port := range to {
		row.arrive[port] = Frames(e)
	}
	for _, d := range drops {
		row.drops[d] = 1
	}
	l.check(row)
}

// told has a station say something, so that the switch learns it if it may.
// Where the frame goes is another row's.
func (l *ledger) told(port, station string, tags ...Tag) {
	l.h.t.Helper()
	e := Eth{Src: station, Tags: tags, Payload: "here is " + station}
	to := map[string]int{}
	for _, p := range l.order {
		if p != port && strings.HasPrefix(p, "p") {
			to[p] = 1
		}
	}
	l.check(entry{from: port, send: Frames(e), number: to})
}

// option gives a port an option until the row ends.
func (l *ledger) option(port string, flags ...string) {
	t := l.h.t
	t.Helper()
	l.set(port, flags...)
	back := []string{}
	for _, f := range flags {
		switch name, _, _ := strings.Cut(f, "="); name {
		case "--max-macs":
			back = append(back, "--max-macs=0")
		case "--access", "--trunk":
			back = append(back, "--access=1")
		case "down":
			back = append(back, "up")
		default:
			back = append(back, name+"=false")
		}
	}
	t.Cleanup(func() {
		l.set(port, back...)
		l.h.AwaitState(port, "up")
	})
}

// learningTable is a switch with the ports p1, p2 and p3, of one kind, in VLAN
// 1; and q, of VLAN 99, which gets nothing of it.
var learningTable = []struct {
	row   string
	story func(l *ledger)
}{
	{"source: multicast is dropped, src-multicast", func(l *ledger) {
		l.drop("p1", Eth{Src: someGroup}, "p1/src-multicast")
		l.drop("p1", Eth{Src: someGroup, Dst: MAC(1)}, "p1/src-multicast")
	}},
	{"source: broadcast is dropped, src-multicast", func(l *ledger) {
		l.drop("p1", Eth{Src: broadcast}, "p1/src-multicast")
	}},
	{"source: all zero is dropped, src-zero", func(l *ledger) {
		l.drop("p1", Eth{Src: noMAC}, "p1/src-zero")
		l.wantKnown(noMAC, "")
	}},
	{"source: learned in its VLAN", func(l *ledger) {
		a := l.station()
		l.pass("p1", Eth{Src: a}, "p2", "p3")
		l.wantKnown(a, "p1 dynamic", 1)
	}},
	{"source: not learned with --no-learn", func(l *ledger) {
		a, b := l.station(), l.station()
		l.option("p2", "--no-learn")
		l.pass("p2", Eth{Src: b}, "p1", "p3")
		l.wantKnown(b, "")
		l.pass("p1", Eth{Src: a, Dst: b}, "p2", "p3")
	}},
	{"source: a frame dropped at ingress teaches nothing", func(l *ledger) {
		a := l.station()
		l.static(l.station(), 1, "--drop")
		filtered := MAC(l.names)
		l.drop("p1", Eth{Src: a, Tags: Tags(C(1))}, "p1/tagged-on-access")
		l.drop("p1", Eth{Src: a, Tags: Tags(S(1))}, "p1/bad-tpid")
		l.drop("p1", Eth{Src: a, Dst: "01:80:c2:00:00:02"}, "p1/reserved")
		l.drop("p1", Eth{Src: a, Dst: filtered}, "p1/fdb-filter")
		l.wantKnown(a, "")
	}},
	{"unknown unicast: to every member port but the one it came from", func(l *ledger) {
		l.pass("p1", Eth{Src: l.station(), Dst: l.station()}, "p2", "p3")
		l.pass("p3", Eth{Src: l.station(), Dst: l.station()}, "p1", "p2")
	}},
	{"broadcast: to every member port but the one it came from", func(l *ledger) {
		l.pass("p2", Eth{Src: l.station()}, "p1", "p3")
	}},
	{"multicast: to every member port but the one it came from", func(l *ledger) {
		l.pass("p1", Eth{Src: l.station(), Dst: someGroup}, "p2", "p3")
		l.pass("p1", Eth{Src: l.station(), Dst: "33:33:00:00:00:01"}, "p2", "p3")
	}},
	{"flooding: withheld by --no-flood, unknown unicast alone", func(l *ledger) {
		l.option("p2", "--no-flood")
		a, b := l.station(), l.station()
		l.pass("p1", Eth{Src: a, Dst: l.station()}, "p3")
		l.pass("p1", Eth{Src: a, Dst: someGroup}, "p2", "p3")
		l.pass("p1", Eth{Src: a}, "p2", "p3")
		l.told("p2", b)
		l.pass("p1", Eth{Src: a, Dst: b}, "p2") // known, so not flooded
	}},
	{"flooding: withheld by --no-mcast-flood, multicast alone", func(l *ledger) {
		l.option("p2", "--no-mcast-flood")
		a := l.station()
		l.pass("p1", Eth{Src: a, Dst: l.station()}, "p2", "p3")
		l.pass("p1", Eth{Src: a, Dst: someGroup}, "p3")
		l.pass("p1", Eth{Src: a}, "p2", "p3")
	}},
	{"flooding: withheld by --no-bcast-flood, broadcast alone", func(l *ledger) {
		l.option("p2", "--no-bcast-flood")
		a := l.station()
		l.pass("p1", Eth{Src: a, Dst: l.station()}, "p2", "p3")
		l.pass("p1", Eth{Src: a, Dst: someGroup}, "p2", "p3")
		l.pass("p1", Eth{Src: a}, "p3")
	}},
	{"flooding: a decision that names none is no-destination", func(l *ledger) {
		l.option("p2", "--no-flood")
		l.option("p3", "--no-flood")
		l.drop("p1", Eth{Src: l.station(), Dst: l.station()}, "p1/no-destination")
		l.drop("q", Eth{Src: l.station()}, "q/no-destination")
	}},
	{"known unicast: to its port, never to others", func(l *ledger) {
		a, b := l.station(), l.station()
		l.told("p2", b)
		l.pass("p1", Eth{Src: a, Dst: b}, "p2")
		l.pass("p3", Eth{Src: l.station(), Dst: b}, "p2")
		l.pass("p2", Eth{Src: b, Dst: a}, "p1")
	}},
	{"known unicast: to the port it came from is dropped, same-port", func(l *ledger) {
		b := l.station()
		l.told("p1", b)
		l.drop("p1", Eth{Src: l.station(), Dst: b}, "p1/same-port")
		l.drop("p1", Eth{Src: b, Dst: b}, "p1/same-port")
	}},
	{"known unicast: to the port it came from, with --hairpin", func(l *ledger) {
		b := l.station()
		l.told("p1", b)
		l.option("p1", "--hairpin")
		l.pass("p1", Eth{Src: l.station(), Dst: b}, "p1")
		l.pass("p1", Eth{Src: l.station()}, "p2", "p3") // floods never return
	}},
	{"every VLAN learns and looks up by itself", func(l *ledger) {
		for _, p := range []string{"p1", "p2", "p3"} {
			l.option(p, "--trunk=10,20")
		}
		a, b := l.station(), l.station()
		l.told("p2", b, C(10))
		l.wantKnown(b, "p2 dynamic", 10)
		l.wantKnown(b, "", 20)
		l.pass("p1", Eth{Src: a, Dst: b, Tags: Tags(C(10))}, "p2")
		l.pass("p1", Eth{Src: a, Dst: b, Tags: Tags(C(20))}, "p2", "p3")
		l.told("p3", b, C(20)) // the same address, another station
		l.pass("p1", Eth{Src: a, Dst: b, Tags: Tags(C(10))}, "p2")
		l.pass("p1", Eth{Src: a, Dst: b, Tags: Tags(C(20))}, "p3")
	}},
	{"egress is checked for known unicast too: not-member", func(l *ledger) {
		b := l.station()
		l.static(b, 1, "--port", "q")
		l.drop("p1", Eth{Src: l.station(), Dst: b}, "q/not-member")
	}},
	{"a station that moves is followed at once, counted, and reported", func(l *ledger) {
		a, b := l.station(), l.station()
		l.told("p2", b)
		moved := l.stats()["moved"]
		next := l.events()
		l.told("p3", b)
		l.pass("p1", Eth{Src: a, Dst: b}, "p3")
		l.wantKnown(b, "p3 dynamic")
		if got := l.stats()["moved"] - moved; got != 1 {
			l.h.t.Errorf("fdb stats counts %d moves, want 1", got)
		}
		for {
			e := next()
			if e.Kind != "fdb-moved" || e.MAC != b {
				continue // of a row before
			}
			if e.From != "p2" || e.Port != "p3" || e.VLAN != 1 || e.Switch != "sw0" {
				l.h.t.Errorf("the event says %+v, want from p2 to p3 in VLAN 1 of sw0", e)
			}
			break
		}
	}},
	{"a static entry never moves: forwarded, not learned, move-refused", func(l *ledger) {
		a, b := l.station(), l.station()
		l.static(b, 1, "--port", "p2")
		e := Eth{Src: b, Dst: a}
		l.check(entry{from: "p3", send: Frames(e), arrive: Arrive{"p1": Frames(e), "p2": Frames(e)}, notices: Drops{"p3/move-refused": 1}})
		l.wantKnown(b, "p2 static")
		l.pass("p1", Eth{Src: a, Dst: b}, "p2")
	}},
	{"a static entry takes the place of a dynamic one", func(l *ledger) {
		a, b := l.station(), l.station()
		l.told("p3", b)
		l.static(b, 1, "--port", "p2")
		l.wantKnown(b, "p2 static")
		l.pass("p1", Eth{Src: a, Dst: b}, "p2")
	}},
	{"a different static entry there is an error", func(l *ledger) {
		b := l.station()
		l.static(b, 1, "--port", "p2")
		l.h.Refused(1, []string{b, "p2"}, "fdb", "add", b, "--vlan", "1", "--port", "p3")
		l.h.Refused(1, []string{b, "p2"}, "fdb", "add", b, "--vlan", "1", "--drop")
		l.h.VS("fdb", "add", b, "--vlan", "1", "--port", "p2") // stands just so
		l.wantKnown(b, "p2 static")
	}},
	{"what a sticky port learned does not move away: forwarded, move-refused", func(l *ledger) {
		a, b := l.station(), l.station()
		l.option("p2", "--sticky")
		l.told("p2", b)
		e := Eth{Src: b, Dst: a}
		l.check(entry{from: "p3", send: Frames(e), arrive: Arrive{"p1": Frames(e), "p2": Frames(e)}, notices: Drops{"p3/move-refused": 1}})
		l.wantKnown(b, "p2 dynamic")
		l.told("p3", a)
		l.told("p2", a) // towards it is another matter
		l.wantKnown(a, "p2 dynamic")
	}},
	{"--max-macs: past it not learned, counted, and forwarded", func(l *ledger) {
		l.h.VS("fdb", "flush")
		a, b, c := l.station(), l.station(), l.station()
		l.static(l.station(), 1, "--port", "p2") // does not count
		l.option("p2", "--max-macs=2")
		l.told("p2", a)
		l.told("p2", b)
		e := Eth{Src: c, Dst: someGroup}
		l.check(entry{from: "p2", send: Frames(e, e), arrive: Arrive{"p1": Frames(e, e), "p3": Frames(e, e)}, notices: Drops{"p2/mac-limit": 2}})
		l.wantKnown(c, "")
		l.told("p2", a) // those it has are renewed
	}},
	{"a filter entry: frames to it are dropped, fdb-filter", func(l *ledger) {
		b := l.station()
		l.told("p2", b)
		l.static(b, 1, "--drop")
		l.drop("p1", Eth{Src: l.station(), Dst: b}, "p1/fdb-filter")
		l.wantKnown(b, "filter")
	}},
	{"a filter entry: frames from it are dropped, fdb-filter", func(l *ledger) {
		b := l.station()
		l.static(b, 1, "--drop")
		l.drop("p1", Eth{Src: b}, "p1/fdb-filter")
		l.drop("p2", Eth{Src: b, Dst: someGroup}, "p2/fdb-filter")
		l.option("p1", "--no-learn")
		l.drop("p1", Eth{Src: b}, "p1/fdb-filter")
	}},
	{"isolated: nothing from one to another, all else as usual", func(l *ledger) {
		a, b := l.station(), l.station()
		l.told("p1", a)
		l.told("p2", b)
		l.option("p1", "--isolated")
		l.option("p2", "--isolated")
		e := Eth{Src: a}
		l.checkEth("p1", e, []string{"p3"}, []string{"p2/isolated"})
		l.drop("p1", Eth{Src: a, Dst: b}, "p2/isolated")
		l.pass("p3", Eth{Src: l.station()}, "p1", "p2")
		l.pass("p3", Eth{Src: l.station(), Dst: b}, "p2")
		l.option("p2", "--hairpin") // from a port to itself is not to another
		l.pass("p2", Eth{Src: l.station(), Dst: b}, "p2")
	}},
	{"taking a VLAN from a port removes the entries that this makes wrong", func(l *ledger) {
		a, b, c := l.station(), l.station(), l.station()
		for _, p := range []string{"p1", "p2", "p3"} {
			l.option(p, "--trunk=10,20")
		}
		l.told("p2", b, C(10))
		l.told("p2", c, C(20))
		l.set("p2", "--trunk", "20")
		l.wantKnown(b, "")
		l.wantKnown(c, "p2 dynamic")
		l.pass("p1", Eth{Src: a, Dst: b, Tags: Tags(C(10))}, "p3")
		l.pass("p1", Eth{Src: a, Dst: c, Tags: Tags(C(20))}, "p2")
	}},
	{"fdb flush removes dynamic entries only", func(l *ledger) {
		a, b, c := l.station(), l.station(), l.station()
		l.told("p1", a)
		l.static(b, 1, "--port", "p2")
		l.static(c, 1, "--drop")
		l.h.VS("fdb", "flush")
		l.wantKnown(a, "")
		l.wantKnown(b, "p2 static")
		l.wantKnown(c, "filter")
	}},
	{"taking a port down removes its entries", func(l *ledger) {
		a, b, c := l.station(), l.station(), l.station()
		l.told("p2", b)
		l.static(c, 1, "--port", "p2")
		l.option("p2", "down")
		l.wantKnown(b, "")
		l.wantKnown(c, "p2 static")
		l.checkEth("p1", Eth{Src: a, Dst: b}, []string{"p3"}, []string{"p2/port-down"})
		l.drop("p1", Eth{Src: a, Dst: c}, "p2/port-down")
	}},
	{"removing a port removes its entries", func(l *ledger) {
		b, c := l.station(), l.station()
		l.told("p3", b)
		l.h.VS("fdb", "add", c, "--vlan", "1", "--port", "p3")
		l.h.VS("port", "del", "p3")
		l.order = l.order[:len(l.order)-1]
		delete(l.ends, "p3")
		l.last = l.read()
		l.wantKnown(b, "")
		l.wantKnown(c, "")
		l.pass("p1", Eth{Src: l.station(), Dst: b}, "p2")
	}},
}

func TestLearning(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add("veth", "q", "--access", "99")
			for _, p := range []string{"p1", "p2", "p3"} {
				l.add(kind, p)
			}
			for _, row := range learningTable {
				l.h.Case(row.row, func(*testing.T) { row.story(l) })
			}
			l.close()
		})
	}
}
