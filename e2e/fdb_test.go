package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The forwarding database end to end; what it does for single frames is in
// learningTable.

func TestFDBAgeing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for _, p := range []string{"p1", "p2", "p3"} {
		l.add("veth", p)
	}
	h := l.h
	talks, silent, static := l.station(), l.station(), l.station()
	l.static(static, 1, "--port", "p2")

	h.Case("0 turns it off", func(t *testing.T) {
		h.VS("switch", "set", "sw0", "--ageing", "0")
		l.told("p2", silent)
		h.Eventually(0, func() error {
			for _, e := range l.entries("") {
				if e.MAC == silent && *e.Age > 1.5 {
					return nil
				}
			}
			return fmt.Errorf("%s is not there, or not old enough yet", silent)
		})
	})
	h.Case("who says nothing is forgotten, who says something is not", func(t *testing.T) {
		h.VS("switch", "set", "sw0", "--ageing", "1s")
		aged := l.stats()["aged"]
		l.told("p2", talks)
		h.Eventually(0, func() error {
			l.told("p2", talks)
			// It is not believed from the moment on, and counted when the
			// table is swept next.
			if got := l.stats()["aged"] - aged; got != 1 || l.knows(silent) != "" {
				return fmt.Errorf("%s is known as %q, and fdb stats counts %d aged entries", silent, l.knows(silent), got)
			}
			return nil
		})
		l.told("p2", talks)
		l.pass("p1", Eth{Src: l.station(), Dst: talks}, "p2")
		l.wantKnown(static, "p2 static")
		l.pass("p1", Eth{Src: l.station(), Dst: silent}, "p2", "p3")
	})
	h.Case("any frame from the station renews its entry, in its VLAN", func(t *testing.T) {
		l.told("p2", talks)
		h.Eventually(0, func() error {
			sent := time.Now()
			l.pass("p2", Eth{Src: talks, Dst: someGroup}, "p1", "p3")
			i := slices.IndexFunc(l.entries(""), func(e Entry) bool { return e.MAC == talks })
			// A machine that is busy may have let a second pass since.
			if took := time.Since(sent); i < 0 && took < time.Second {
				t.Errorf("%s is forgotten %v after it has said something", talks, took)
			}
			if aged := l.stats()["aged"]; aged < 3 {
				return fmt.Errorf("%d are aged, the others are to be, too", aged)
			}
			return nil
		})
	})
	l.close()
}

func TestFDBSizeAndFairness(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add("veth", "p1")
	l.add("tap", "p2")
	h := l.h
	h.VS("switch", "set", "sw0", "--fdb-size", "16")
	behind := func(port string) int { return len(l.entries("?switch=sw0&type=dynamic&port=" + port)) }
	want := func(p1, p2 int) {
		h.t.Helper()
		if g1, g2 := behind("p1"), behind("p2"); g1 != p1 || g2 != p2 {
			h.t.Errorf("p1 has %d entries and p2 %d, want %d and %d", g1, g2, p1, p2)
		}
	}
	var first, invented []string
	h.Case("when full, the newcomer takes the place of the oldest of the port that holds the most", func(t *testing.T) {
		for range 3 {
			first = append(first, l.station())
			l.told("p2", first[len(first)-1])
		}
		for range 100 {
			invented = append(invented, l.station())
			l.told("p1", invented[len(invented)-1])
		}
		want(13, 3)
		for _, m := range slices.Concat(first, invented[87:]) {
			if l.knows(m) == "" {
				t.Errorf("%s is not known, but is no victim", m)
			}
		}
		if s := l.stats(); s["evicted"] != 87 || s["learned"] != 103 || s["dynamic"] != 16 || s["size"] != 16 {
			t.Errorf("fdb stats says %v, want 103 learned, 87 evicted, 16 of 16", s)
		}
	})
	h.Case("a newcomer on another port takes from the one that holds the most", func(t *testing.T) {
		l.told("p2", l.station())
		want(12, 4)
	})
	h.Case("static entries and filters need no room", func(t *testing.T) {
		for range 20 {
			l.static(l.station(), 1, "--port", "p1")
			l.static(l.station(), 1, "--drop")
		}
		want(12, 4)
	})
	h.Case("smaller while frames flow: the largest port pays", func(t *testing.T) {
		h.VS("switch", "set", "sw0", "--fdb-size", "8")
		want(4, 4)
	})
	h.Case("larger: there is room again", func(t *testing.T) {
		h.VS("switch", "set", "sw0", "--fdb-size", "32")
		want(4, 4)
		for range 50 {
			l.told("p1", l.station())
		}
		want(28, 4)
	})
	h.Case("a port's own limit, taken back", func(t *testing.T) {
		l.set("p2", "--max-macs", "5")
		l.told("p2", l.station())
		e := Frames(Eth{Src: l.station(), Payload: "one too many"})
		l.check(entry{from: "p2", send: e, arrive: Arrive{"p1": e}, notices: Drops{"p2/mac-limit": 1}})
		want(27, 5)
		l.set("p2", "--max-macs", "0")
		l.told("p2", l.station())
		want(26, 6)
	})
	l.close()
}

func TestFDBFlush(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	h := l.h
	h.VS("switch", "add", "sw1")
	for _, p := range []string{"p1", "p2", "sw1/p3"} {
		l.add("veth", p, "--trunk", "10,20")
	}
	// All are told anew for each row; a static entry stands in all of them.
	static := l.station()
	l.static(static, 10, "--port", "p1")
	type at struct {
		port string
		vlan uint16
	}
	stations := map[at]string{}
	for _, p := range l.order {
		for _, v := range []uint16{10, 20} {
			stations[at{p, v}] = l.station()
		}
	}
	for _, c := range []struct {
		name, flags string
		goes        func(at) bool
	}{
		{"by nothing: sw0", "", func(a at) bool { return a.port != "sw1/p3" }},
		{"by port", "--port p1", func(a at) bool { return a.port == "p1" }},
		{"by VLAN", "--vlan 20", func(a at) bool { return a.port != "sw1/p3" && a.vlan == 20 }},
		{"by port and VLAN", "--port p2 --vlan 10", func(a at) bool { return a == at{"p2", 10} }},
		{"by switch", "sw1", func(a at) bool { return a.port == "sw1/p3" }},
		{"by switch and VLAN", "sw1 --vlan 10", func(a at) bool { return a == at{"sw1/p3", 10} }},
		{"by a port of another switch", "--port sw1/p3", func(a at) bool { return a.port == "sw1/p3" }},
		{"by a VLAN that nobody is in", "--vlan 30", func(at) bool { return false }},
	} {
		h.Case(c.name, func(t *testing.T) {
			for a, mac := range stations {
				l.ends[a.port].Send(Eth{Src: mac, Tags: Tags(C(a.vlan)), Payload: "here I am"})
			}
			h.Eventually(0, func() error {
				for a := range stations {
					if !l.has(a.port, a.vlan, stations[a]) {
						return fmt.Errorf("the switch does not know %s in VLAN %d at %s", stations[a], a.vlan, a.port)
					}
				}
				return nil
			})
			going := 0
			for a := range stations {
				if c.goes(a) {
					going++
				}
			}
			var done struct{ Flushed int }
			h.JSON(&done, append([]string{"fdb", "flush"}, strings.Fields(c.flags)...)...)
			if done.Flushed != going {
				t.Errorf("fdb flush %s says that %d entries went, want %d", c.flags, done.Flushed, going)
			}
			for a, mac := range stations {
				if got := l.has(a.port, a.vlan, mac); got == c.goes(a) {
					t.Errorf("after fdb flush %s %s in VLAN %d at %s is there: %v", c.flags, mac, a.vlan, a.port, got)
				}
			}
			if !l.has("p1", 10, static) {
				t.Error("the static entry is gone")
			}
		})
	}
}

// Each number of `fdb stats` goes up with what it counts, and with nothing else.
func TestFDBStats(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add("veth", "p1")
	l.add("veth", "p2")
	h := l.h
	a, b, c := l.station(), l.station(), l.station()
	filter, static := l.station(), l.station()
	refused := func(port, other string, e Eth, notice string) {
		l.check(entry{from: port, send: Frames(e), arrive: Arrive{other: Frames(e)}, notices: Drops{port + "/" + notice: 1}})
	}
	for _, step := range []struct {
		name string
		do   func()
		want string // what has changed
	}{
		{"nothing", func() {}, ""},
		{"learn", func() { l.told("p1", a) }, "learned+1 dynamic+1"},
		{"renew", func() { l.told("p1", a) }, ""},
		{"move", func() { l.told("p2", a) }, "moved+1"},
		{"static", func() { h.VS("fdb", "add", static, "--vlan", "1", "--port", "p1") }, "static+1"},
		{"filter", func() { h.VS("fdb", "add", filter, "--vlan", "1", "--drop") }, "filter+1"},
		{"refuse", func() { refused("p2", "p1", Eth{Src: static}, "move-refused") }, "refused+1"},
		{"limit", func() {
			l.set("p2", "--max-macs", "1")
			refused("p2", "p1", Eth{Src: b}, "mac-limit")
		}, "limited+1"},
		{"size", func() { h.VS("switch", "set", "sw0", "--fdb-size", "1") }, "size-16383"},
		{"evict", func() { l.told("p1", c) }, "learned+1 evicted+1"},
		{"flush", func() { h.VS("fdb", "flush") }, "dynamic-1 flushed+1"},
		{"age", func() {
			l.told("p1", c)
			h.VS("switch", "set", "sw0", "--ageing", "1s")
			h.Eventually(0, func() error {
				if l.stats()["dynamic"] != 0 {
					return fmt.Errorf("%s is not forgotten", c)
				}
				return nil
			})
		}, "learned+1 aged+1"},
		{"delete", func() {
			h.VS("fdb", "del", static, "--vlan", "1")
			h.VS("fdb", "del", filter, "--vlan", "1")
		}, "static-1 filter-1"},
	} {
		h.Case(step.name, func(t *testing.T) {
			before := l.stats()
			step.do()
			var got []string
			for _, name := range []string{"size", "learned", "moved", "aged", "evicted", "flushed", "refused", "limited", "dynamic", "static", "filter"} {
				if n := int(l.stats()[name]) - int(before[name]); n != 0 {
					got = append(got, fmt.Sprintf("%s%+d", name, n))
				}
			}
			want := strings.Fields(step.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("changed %v, want %v", got, want)
			}
		})
	}
	l.close()
}
