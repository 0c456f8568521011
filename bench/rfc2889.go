package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vswitch/vswitch/api"
)

// inquiry is one of RFC 2889's questions, asked of one case.
type inquiry struct {
	topic   string
	of      string // the case, which stands where peers have their name
	ask     func(ctx context.Context, p *plan) ([]reading, error)
	figures []string // that it finds
}

// What RFC 2889 asks for, and what is asked beside it.
const (
	byStations = "forwarding, by stations in the table"
	byPorts    = "forwarding, by ports that are there"
	byBoth     = "forwarding, by both"
	byMesh     = "fully meshed forwarding"
	byWorkers  = "fully meshed forwarding of 8 ports, by workers"
	copiesOut  = "broadcast, copies"
	framesIn   = "broadcast, frames"
	capacity   = "address caching capacity"
	learning   = "address learning rate"
	besideAll  = "known traffic beside a flood, as much as goes"
	besideSome = "known traffic beside a flood, 80000/s"
	atRest     = "processor at rest"
	atRestMiB  = "memory at rest"

	streamBeside = "TCP, one stream, beside changes of settings"
)

var inquired = []figure{
	{name: byStations, unit: "1000/s", baseline: "1 station"},
	{name: byPorts, unit: "1000/s", baseline: "2 ports"},
	{name: byBoth, unit: "1000/s", baseline: "2 ports, 2 stations"},
	{name: byMesh, unit: "1000/s", baseline: "2 ports"},
	{name: byWorkers, unit: "1000/s", baseline: "1 worker"},
	{name: copiesOut, unit: "1000/s", baseline: "8 ports"},
	{name: framesIn, unit: "1000/s", baseline: "8 ports"},
	{name: capacity, unit: "stations", baseline: "table of 16384"},
	{name: learning, unit: "1000/s", baseline: "table of 16384"},
	{name: besideAll, unit: "1000/s", baseline: oneStation},
	{name: besideSome, unit: "1000/s", baseline: noFlood},
	{name: streamBeside, unit: "Gbit/s", baseline: noChanges},
	{name: atRest, unit: "% of a core", lower: true, baseline: "2 ports"},
	{name: atRestMiB, unit: "MiB", lower: true, baseline: "2 ports"},
}

// Kinds of floods.
const (
	noFlood     = "no flood"
	oneStation  = "flood of one station"
	newStations = "flood of new stations"
)

// noChanges is where settings stay as they are.
const noChanges = "no changes"

// inquiries returns all, in the order in which they are asked.
func inquiries() (all []inquiry) {
	add := func(topic, of string, ask func(ctx context.Context, p *plan) ([]reading, error), figures ...string) {
		all = append(all, inquiry{topic, of, ask, figures})
	}
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		add("stations", plural(n, "station"), forwarding(byStations, 2, n), byStations)
	}
	for _, n := range []int{2, 64, 1_000} {
		add("idle", plural(n, "port"), forwarding(byPorts, n, 1), byPorts)
	}
	add("both", "2 ports, 2 stations", forwarding(byBoth, 2, 2), byBoth)
	add("both", "1002 ports, 100000 stations", forwarding(byBoth, 1_002, 100_000), byBoth)
	for _, n := range []int{2, 8} {
		add("mesh", plural(n, "port"), mesh(byMesh, n), byMesh)
	}
	for _, n := range []int{1, 2, 3} {
		add("workers", plural(n, "worker"), mesh(byWorkers, 8, "--workers", fmt.Sprint(n)), byWorkers)
	}
	for _, n := range []int{8, 64, 512} {
		add("broadcast", plural(n, "port"), broadcast(n), copiesOut, framesIn)
	}
	for _, n := range []int{1 << 14, 1 << 20} {
		add("caching", fmt.Sprintf("table of %d", n), caching(n), capacity)
		add("learning", fmt.Sprintf("table of %d", n), learningRate(n), learning)
	}
	for _, s := range []string{noFlood, oneStation, newStations} {
		add("storm", s, storm(s), besideAll, besideSome)
	}
	add("changes", noChanges, besideChanges(0), streamBeside)
	add("changes", fmt.Sprintf("%d changes/s", changesPerSecond), besideChanges(changesPerSecond), streamBeside)
	for _, n := range []int{2, 100, 1_000} {
		add("rest", plural(n, "port"), rest(n), atRest, atRestMiB)
	}
	return all
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// inquire asks all that were chosen, of the switch alone.
func (p *plan) inquire(ctx context.Context) error {
	all, err := chosen(inquiries(), inquiry.title, "-trials", p.trials)
	if err != nil {
		return err
	}
	all, err = chosen(all, inquiry.system, "-systems", p.systems)
	if err != nil {
		return err
	}
	r := newReport(p, inquired)
	for round := range p.rounds {
		for _, q := range all {
			readings, err := q.ask(ctx, p)
			if ctx.Err() != nil {
				return r.interrupted(ctx.Err())
			}
			r.add(q.of, q.figures, readings, err)
			r.tell(round, q.of, q.topic, readings, err)
		}
	}
	return r.write()
}

// forwarding floods port 1 from port 0, in turns to each of the stations behind
// it; the other ports are idle (RFC 2889, section 5.4).
func forwarding(figure string, ports, stations int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newRig(ctx, p.own, ports, max(stations+stations/32, 1<<14))
		if err != nil {
			return nil, err
		}
		defer r.close()
		// What teaches goes to where it comes from, and not to all ports.
		if err := r.announce(ctx, 1); err != nil {
			return nil, err
		}
		if err := r.teach(ctx, 1, uint64(stations), gentle); err != nil {
			return nil, err
		}
		if err := r.holds(ctx, stations+1); err != nil {
			return nil, err
		}
		g, err := r.generate(0, station(0))
		if err != nil {
			return nil, err
		}
		// A stride with no factor in common with the number of stations, so
		// that no cache guesses which one comes next.
		g.write = func(n uint64, f []byte) { putStation(f, n*7919%uint64(stations)) }
		rate, err := arrives(ctx, pace{length: p.length}, r.heard, []*generator{g})
		return []reading{{figure, rate / 1e3}}, err
	}
}

// mesh makes each port send to all others, in turns (section 5.1).
func mesh(figure string, ports int, flags ...string) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newRig(ctx, p.own, ports, 0, flags...)
		if err != nil {
			return nil, err
		}
		defer r.close()
		var all []*generator
		var numbers []int
		for i := range ports {
			g, err := r.generate(i, hardware(i))
			if err != nil {
				return nil, err
			}
			g.write = func(n uint64, f []byte) {
				other := (i + 1 + int(n%uint64(ports-1))) % ports
				putStation(f, 1<<32+uint64(other))
			}
			all, numbers = append(all, g), append(numbers, i)
		}
		if err := r.announce(ctx, numbers...); err != nil {
			return nil, err
		}
		rate, err := arrives(ctx, pace{length: p.length}, r.heard, all)
		return []reading{{figure, rate / 1e3}}, err
	}
}

// broadcast floods all ports from one (section 5.10).
func broadcast(ports int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newRig(ctx, p.own, ports, 0)
		if err != nil {
			return nil, err
		}
		defer r.close()
		g, err := r.generate(0, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		if err != nil {
			return nil, err
		}
		rate, err := arrives(ctx, pace{length: p.length}, r.heard, []*generator{g})
		return []reading{{copiesOut, rate / 1e3}, {framesIn, rate / 1e3 / float64(ports-1)}}, err
	}
}

// newTable starts a switch with three ports and a table of that size: stations
// are behind port 1, port 0 asks for them and is none itself, and what port 2
// hears was flooded.
func newTable(ctx context.Context, own programs, size int) (*rig, error) {
	r, err := newRig(ctx, own, 3, size)
	if err != nil {
		return nil, err
	}
	yes := true
	_, err = r.api.SetPort(ctx, api.DefaultSwitch, device(0), api.PortChange{Options: &api.OptionsSpec{NoLearn: &yes}})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// flooded makes the switch learn so many stations anew, at a rate, sends a frame
// to each, and returns how many of those went to all.
func (r *rig) flooded(ctx context.Context, stations uint64, rate float64) (uint64, error) {
	if _, err := r.api.FlushFDB(ctx, api.FDBFlush{}); err != nil {
		return 0, err
	}
	if err := r.teach(ctx, 1, stations, rate); err != nil {
		return 0, err
	}
	time.Sleep(drain)
	g, err := r.generate(0, station(0))
	if err != nil {
		return 0, err
	}
	g.write = func(n uint64, f []byte) { putStation(f, n) }
	before, err := received(r.a, device(2))
	if err != nil {
		return 0, err
	}
	if _, _, err := (pace{rate: 2 * gentle, frames: stations}).send(ctx, g); err != nil {
		return 0, err
	}
	time.Sleep(drain)
	after, err := received(r.a, device(2))
	return after - before, err
}

// caching finds how many stations a table holds at once: as many as it was told
// to, and one more pushes out another (section 5.7).
func caching(size int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newTable(ctx, p.own, size)
		if err != nil {
			return nil, err
		}
		defer r.close()
		lost := uint64(0)
		for _, rate := range []float64{2 * gentle, gentle, gentle / 2} { // a frame that is lost on the way teaches nothing
			if lost, err = r.flooded(ctx, uint64(size), rate); err != nil {
				return nil, err
			}
			if lost == 0 {
				break
			}
		}
		if lost > 0 {
			return nil, fmt.Errorf("of %d stations, %d were not known", size, lost)
		}
		if lost, err = r.flooded(ctx, uint64(size)+1, 2*gentle); err == nil && lost == 0 {
			err = fmt.Errorf("%d stations were known, one more than there is room for", size+1)
		}
		return []reading{{capacity, float64(size)}}, err
	}
}

// learningRate finds the highest rate at which frames of new stations can come
// so that all of them are known afterwards (section 5.8).
func learningRate(size int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newTable(ctx, p.own, size)
		if err != nil {
			return nil, err
		}
		defer r.close()
		most := min(uint64(size), 200_000) // what a second brings
		best, err := search(400_000, func(rate float64) (float64, bool, error) {
			lost, err := r.flooded(ctx, most, rate)
			return rate, lost == 0, err
		})
		return []reading{{learning, best / 1e3}}, err
	}
}

// offered is the known traffic beside a flood that is no faster, in frames a
// second.
const offered = 80_000

// storm measures what arrives from port 0 at port 1 while frames of the same
// number go from port 2 to port 3: none, of one station, or each of a new one.
// One thread sends both in turns, so that the flood costs the sender the same.
func storm(kind string) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newRig(ctx, p.own, 4, 0)
		if err != nil {
			return nil, err
		}
		defer r.close()
		if err := r.announce(ctx, 0, 1, 2, 3); err != nil {
			return nil, err
		}
		known, err := r.generate(0, hardware(1))
		if err != nil {
			return nil, err
		}
		flood, err := r.generate(2, hardware(3))
		if err != nil {
			return nil, err
		}
		all := []*generator{known, flood}
		switch kind {
		case noFlood:
			all = all[:1]
		case newStations:
			flood.write = func(n uint64, f []byte) { putStation(f[6:12], n) }
		}
		count := func() (uint64, error) { return received(r.a, device(1)) }
		most, err := arrives(ctx, pace{length: p.length}, count, all)
		if err != nil {
			return nil, err
		}
		some, err := arrives(ctx, pace{length: p.length, rate: offered * float64(len(all))}, count, all)
		return []reading{{besideAll, most / 1e3}, {besideSome, some / 1e3}}, err
	}
}

// arrives measures at which rate frames are counted while generators send, once
// the rate is steady.
func arrives(ctx context.Context, p pace, count func() (uint64, error), generators []*generator) (perSecond float64, err error) {
	begin := p
	begin.length /= 3
	if _, _, err := begin.send(ctx, generators...); err != nil {
		return 0, err
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	_, took, err := p.send(ctx, generators...)
	if err != nil {
		return 0, err
	}
	after, err := count()
	return float64(after-before) / took.Seconds(), err
}

// settled is how long stations take until they have said all that a new device
// has them say, most of it for IPv6 (RFC 4861, section 6.3.7).
const settled = 15 * time.Second

// rest measures what the switch uses while nothing happens on its ports.
func rest(ports int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) ([]reading, error) {
		r, err := newRig(ctx, p.own, ports, 0)
		if err != nil {
			return nil, err
		}
		defer r.close()
		if err := sleep(ctx, settled); err != nil {
			return nil, err
		}
		before, _, err := r.spent()
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := sleep(ctx, 2*p.length); err != nil {
			return nil, err
		}
		after, _, err := r.spent()
		used := (after.seconds - before.seconds) / time.Since(begin).Seconds()
		return []reading{{atRest, used * 100}, {atRestMiB, after.memory}}, err
	}
}
