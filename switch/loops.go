package vswitch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// A loop of cables has frames come back by other ports than they left by, and with
// them the addresses of stations: these move back and forth, without end. A station
// that was carried to another port moves once. The guard makes sure by probes.

// Loop is one that a switch has noticed.
type Loop struct {
	Ports  [2]string // between which it is, sorted; twice the same where frames come back by the port that they left by
	VLAN   vlan.ID
	Since  time.Time
	Probed bool // a probe came back: else only a station moves back and forth
	Cut    bool // as one of the ports is barred
}

const (
	// loopFlips is how often in [loopTime] one station has to come back to the port
	// that it moved from for it to be a loop. Two stations with one address, both
	// at work, are taken for one, and are as bad for those who speak to them.
	loopFlips = 10
	loopTime  = time.Second

	// probedFlips is from how often on the ports are probed. What goes round in a loop
	// does so thousands of times a second, and stations that are carried about, or
	// have one address, are better not sent what they have not asked for.
	probedFlips = 200

	// loopCalm is how long nothing may move for the loop to be over.
	loopCalm = 5 * time.Second
)

// loopWatch counts what comes back. It belongs to the housekeeper.
type loopWatch struct {
	last  map[mover]fdb.Event
	flips map[loopPorts]flip
	began time.Time
}

// mover is a station that moves.
type mover struct {
	vlan vlan.ID
	mac  frame.MAC
}

type loopPorts [2]fdb.PortID

type flip struct {
	n    int
	vlan vlan.ID
}

// note takes note of a move.
func (w *loopWatch) note(ev fdb.Event) {
	if w.last == nil {
		w.last, w.flips = make(map[mover]fdb.Event), make(map[loopPorts]flip)
	}
	key := mover{ev.VLAN, ev.MAC}
	if before, ok := w.last[key]; ok && before.From == ev.To {
		ports := loopPorts{min(ev.From, ev.To), max(ev.From, ev.To)}
		w.flips[ports] = flip{w.flips[ports].n + 1, ev.VLAN}
	}
	w.last[key] = ev
}

// take returns the ports between which there is a loop, and counts anew, once
// [loopTime] is over.
func (w *loopWatch) take(now time.Time) (found map[loopPorts]flip, over bool) {
	if now.Sub(w.began) < loopTime {
		return nil, false
	}
	found = make(map[loopPorts]flip)
	for ports, f := range w.flips {
		if f.n >= loopFlips {
			found[ports] = f
		}
	}
	*w = loopWatch{began: now}
	return found, true
}

// standing is a loop that was noticed.
type standing struct {
	Loop
	seen   time.Time // last
	fast   bool      // so that the ports are probed
	probed time.Time // last, by the guard
	sure   time.Time // what is probed from then on and comes back has a port barred
}

// floodRate is how many frames for many a second have a switch doubt that they come
// from stations, where two ports bring so many, and maxDoubts from how many of them it
// makes sure at a time. Where nothing is learned, no station moves.
const (
	floodRate = 1000
	maxDoubts = 16
)

// floodBits are those of the count in lane.flooded, which has the VLAN above: one store
// a frame.
const floodBits = 52

func (l *lane) countFlood(id vlan.ID) {
	l.flooded.Store(uint64(id)<<floodBits | (l.flooded.Load()+1)&(1<<floodBits-1))
}

// doubtsOf returns ports that have brought that many since it was last called.
func (sw *Switch) doubtsOf(d time.Duration) map[string]vlan.ID {
	doubts := make(map[string]vlan.ID)
	for _, v := range sw.snapshot.Load().views {
		if v == nil {
			continue
		}
		var n uint64
		id := vlan.ID(0)
		for _, l := range v.lanes {
			of := l.flooded.Load()
			n += of & (1<<floodBits - 1)
			if of > 0 {
				id = vlan.ID(of >> floodBits)
			}
		}
		if float64(n-v.core.flooded) > floodRate*d.Seconds() && len(doubts) < maxDoubts {
			doubts[v.core.name] = id
		}
		v.core.flooded = n
	}
	if len(doubts) < 2 {
		return nil
	}
	return doubts
}

// forgetLoopsLocked forgets the loops by a port.
func (sw *Switch) forgetLoopsLocked(name string) {
	delete(sw.doubts, name)
	maps.DeleteFunc(sw.loops, func(pair [2]string, _ *standing) bool { return pair[0] == name || pair[1] == name })
}

// cutLocked reports whether a loop is cut, as one of its ports is barred.
func (sw *Switch) cutLocked(pair [2]string) bool {
	for _, name := range pair {
		if p := sw.ports[name]; p != nil && p.bar.on() {
			return true
		}
	}
	return false
}

func pairOf(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// tellLoop tells of a loop that began or ended.
func (e *Engine) tellLoop(kind EventKind, sw *Switch, l Loop) {
	e.events.send(Event{Kind: kind, Switch: sw.name, Port: l.Ports[0], From: l.Ports[1], VLAN: l.VLAN})
}

// watchLoops draws the conclusions from what moved.
func (e *Engine) watchLoops(sw *Switch, now time.Time) {
	began := sw.watch.began
	found, over := sw.watch.take(now)
	if !over {
		return
	}
	doubts := sw.doubtsOf(now.Sub(began))
	sn := sw.snapshot.Load()
	var fresh, ended []Loop
	e.mu.Lock()
	sw.doubts = doubts
	for ports, f := range found {
		a, b := sn.name(ports[0]), sn.name(ports[1])
		if a == "" || b == "" {
			continue // deleted meanwhile
		}
		pair := pairOf(a, b)
		l := sw.loops[pair]
		if l == nil {
			l = &standing{Loop: Loop{Ports: pair, VLAN: f.vlan, Since: now}}
			sw.loops[pair] = l
			fresh = append(fresh, l.Loop)
		}
		l.seen, l.fast = now, f.n >= probedFlips
	}
	for pair, l := range sw.loops {
		if now.Sub(l.seen) > loopCalm && !sw.cutLocked(pair) {
			delete(sw.loops, pair)
			ended = append(ended, l.Loop)
		}
	}
	e.mu.Unlock()
	if len(doubts) > 0 {
		e.raiseAlarm()
	}
	for _, l := range fresh {
		e.log.Warn("there is a loop, or two stations have one address: they move back and forth between two ports", "switch", sw.name, "ports", l.Ports, "vlan", l.VLAN)
		e.tellLoop(LoopBegan, sw, l)
		e.raiseAlarm()
	}
	for _, l := range ended {
		e.log.Info("the loop is gone", "switch", sw.name, "ports", l.Ports)
		e.tellLoop(LoopEnded, sw, l)
	}
}

// Loops returns the loops that a switch has noticed and that are not over.
func (e *Engine) Loops(name string) []Loop {
	e.mu.RLock()
	defer e.mu.RUnlock()
	sw, err := e.findLocked(name)
	if err != nil {
		return nil
	}
	var all []Loop
	for pair, l := range sw.loops {
		loop := l.Loop
		loop.Cut = sw.cutLocked(pair)
		all = append(all, loop)
	}
	slices.SortFunc(all, func(a, b Loop) int {
		return cmp.Or(cmp.Compare(a.Ports[0], b.Ports[0]), cmp.Compare(a.Ports[1], b.Ports[1]))
	})
	return all
}
