package lab

import (
	"maps"
	"math"
	"slices"
)

// point is a place in a drawing, in pixels.
type point struct{ x, y float64 }

func (p point) minus(q point) point   { return point{p.x - q.x, p.y - q.y} }
func (p point) plus(q point) point    { return point{p.x + q.x, p.y + q.y} }
func (p point) times(f float64) point { return point{p.x * f, p.y * f} }
func (p point) length() float64       { return math.Hypot(p.x, p.y) }
func at(angle, radius float64) point {
	return point{math.Cos(angle) * radius, math.Sin(angle) * radius}
}
func (p point) angle() float64 { return math.Atan2(p.y, p.x) }

// Measures of a drawing, in pixels.
const (
	apart     = 190.0 // two nodes of the core
	leafApart = 104.0 // two leaves of one node, on their arc
	leafOut   = 165.0 // a leaf from its node, at least
	leafWide  = 1.25  // so much farther beside it, as words are wide
)

// layout places the nodes of a graph: each part that hangs together by itself, and
// the parts side by side.
func (g *Graph) layout() map[string]point {
	places := make(map[string]point)
	var parts []box
	for _, part := range g.parts() {
		own := part.layoutPart()
		maps.Copy(places, own)
		parts = append(parts, part.bounds(own))
	}
	for i, shift := range shelve(parts) {
		for _, name := range parts[i].names {
			places[name] = places[name].plus(shift)
		}
	}
	return places
}

// parts returns what of a graph hangs together, in the order of the nodes.
func (g *Graph) parts() (all []*Graph) {
	near, partOf := g.neighbours(), make(map[string]*Graph)
	for _, n := range g.Nodes {
		if partOf[n.Name] != nil {
			continue
		}
		part := new(Graph)
		all = append(all, part)
		partOf[n.Name] = part
		for reached := []string{n.Name}; len(reached) > 0; reached = reached[1:] {
			for _, other := range near[reached[0]] {
				if partOf[other] == nil {
					partOf[other] = part
					reached = append(reached, other)
				}
			}
		}
	}
	for _, n := range g.Nodes {
		partOf[n.Name].Nodes = append(partOf[n.Name].Nodes, n)
	}
	for _, l := range g.Edges {
		partOf[l.From].Edges = append(partOf[l.From].Edges, l)
	}
	return all
}

// box is the room that a part takes.
type box struct {
	names       []string
	least, most point
}

func (b *box) size() point { return b.most.minus(b.least) }

// bounds returns the room that a graph takes with its nodes at some places.
func (g *Graph) bounds(places map[string]point) box {
	b := box{least: point{math.Inf(1), math.Inf(1)}, most: point{math.Inf(-1), math.Inf(-1)}}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		p, w, h := places[n.Name], n.width()/2, n.height()/2
		b.names = append(b.names, n.Name)
		b.least = point{min(b.least.x, p.x-w), min(b.least.y, p.y-h)}
		b.most = point{max(b.most.x, p.x+w), max(b.most.y, p.y+h)}
	}
	return b
}

// partApart is between two parts of a drawing.
const partApart = 60.0

// shelve returns by how much parts are to be shifted so that they stand in rows, in
// a drawing that is wide rather than high.
func shelve(parts []box) (shifts []point) {
	area, widest := 0.0, 0.0
	for i := range parts {
		s := parts[i].size()
		area += (s.x + partApart) * (s.y + partApart)
		widest = max(widest, s.x)
	}
	wide := max(widest, math.Sqrt(area*1.8))
	var corner point
	high := 0.0
	for i := range parts {
		s := parts[i].size()
		if corner.x > 0 && corner.x+s.x > wide {
			corner = point{0, corner.y + high + partApart}
			high = 0
		}
		shifts = append(shifts, corner.minus(parts[i].least))
		corner.x += s.x + partApart
		high = max(high, s.y)
	}
	return shifts
}

// layoutPart places the nodes of what hangs together. Those that only one other
// hangs on are leaves, which fan out from it, away from the others; the rest, the
// core, find their places by springs along the links, and by pushing each other off
// (Fruchterman and Reingold, "Graph drawing by force-directed placement", 1991).
// The same graph always looks the same.
func (g *Graph) layoutPart() map[string]point {
	near := g.neighbours()
	leafOf := make(map[string]string)
	for _, n := range g.Nodes {
		if around := near[n.Name]; len(around) == 1 && (len(near[around[0]]) > 1 || n.Kind != Switch && g.node(around[0]).Kind == Switch) {
			leafOf[n.Name] = around[0]
		}
	}
	leaves := make(map[string][]string)
	var core []string
	for _, n := range g.Nodes {
		if parent, ok := leafOf[n.Name]; ok {
			leaves[parent] = append(leaves[parent], n.Name)
		} else {
			core = append(core, n.Name)
		}
	}
	places := spring(core, near, leaves)
	lay(places)
	for _, name := range core {
		g.fan(name, near, leaves[name], places)
	}
	return places
}

// neighbours returns for each node those that it is linked with, once each.
func (g *Graph) neighbours() map[string][]string {
	near := make(map[string][]string)
	for _, l := range g.Edges {
		for _, e := range [][2]string{{l.From, l.To}, {l.To, l.From}} {
			if e[0] != e[1] && !slices.Contains(near[e[0]], e[1]) {
				near[e[0]] = append(near[e[0]], e[1])
			}
		}
	}
	return near
}

// radius is how much room a node needs with its leaves around it.
func radius(leaves int) float64 {
	if leaves == 0 {
		return 0
	}
	return max(leafOut, float64(leaves)*leafApart/(2*math.Pi))
}

// spring places the core.
func spring(core []string, near map[string][]string, leaves map[string][]string) map[string]point {
	places := make(map[string]point)
	for i, name := range core {
		places[name] = at(2*math.Pi*float64(i)/float64(len(core)), apart*math.Sqrt(float64(len(core))))
	}
	const steps = 600
	for step := range steps {
		moves := make(map[string]point)
		for i, a := range core {
			for _, b := range core[i+1:] {
				want := apart + float64(len(leaves[a])+len(leaves[b]))*leafApart/5
				way := places[a].minus(places[b])
				d := max(way.length(), 1)
				force := want * want / (d * d) // pushes
				if slices.Contains(near[a], b) {
					force -= d / want // pulls
				} else if d > 2.5*want {
					force -= 0.02 * d / want // keeps what is apart in one picture
				}
				push := way.times(force / d * want / 4)
				moves[a] = moves[a].plus(push)
				moves[b] = moves[b].minus(push)
			}
		}
		heat := apart * (1 - float64(step)/steps)
		for name, m := range moves {
			if l := m.length(); l > heat {
				m = m.times(heat / l)
			}
			places[name] = places[name].plus(m)
		}
	}
	return places
}

// lay turns a drawing so that it is wide rather than high, as screens are.
func lay(places map[string]point) {
	names := slices.Sorted(maps.Keys(places)) // sums depend on their order
	var middle point
	for _, name := range names {
		middle = middle.plus(places[name].times(1 / float64(len(places))))
	}
	var xx, xy, yy float64
	for _, name := range names {
		d := places[name].minus(middle)
		xx, xy, yy = xx+d.x*d.x, xy+d.x*d.y, yy+d.y*d.y
	}
	sin, cos := math.Sincos(-0.5 * math.Atan2(2*xy, xx-yy)) // of the main axis
	for name, p := range places {
		d := p.minus(middle)
		places[name] = point{math.Round(cos*d.x - sin*d.y), math.Round(sin*d.x + cos*d.y)}
	}
}

// fan places the leaves of a node around it, in the gaps that its links to others
// leave, the widest first.
func (g *Graph) fan(name string, near map[string][]string, leaves []string, places map[string]point) {
	var taken []float64 // angles of links to others
	for _, other := range near[name] {
		if !slices.Contains(leaves, other) {
			taken = append(taken, places[other].minus(places[name]).angle())
		}
	}
	slices.Sort(taken)
	if len(taken) == 0 {
		taken = []float64{math.Pi / 2}
	}
	type gap struct {
		from, width float64
		leaves      []string
	}
	var gaps []gap
	for i, angle := range taken {
		next := taken[(i+1)%len(taken)]
		if i == len(taken)-1 {
			next += 2 * math.Pi
		}
		gaps = append(gaps, gap{from: angle, width: next - angle})
	}
	for _, leaf := range leaves {
		widest := &gaps[0]
		for i := range gaps {
			if share(gaps[i].width, len(gaps[i].leaves)) > share(widest.width, len(widest.leaves))+1e-9 {
				widest = &gaps[i]
			}
		}
		widest.leaves = append(widest.leaves, leaf)
	}
	r := radius(len(leaves) + len(taken))
	for _, gap := range gaps {
		// A few stand close together in the middle of a gap.
		between := min(share(gap.width, len(gap.leaves)-1), leafApart/r)
		first := gap.from + gap.width/2 - between*float64(len(gap.leaves)-1)/2
		for i, leaf := range gap.leaves {
			far := r * (1 + 0.3*float64(g.between(name, leaf)-1)) // words of each need their room
			out := at(first+between*float64(i), far)
			out.x *= leafWide
			places[leaf] = places[name].plus(out)
		}
	}
}

// between counts the links between two nodes.
func (g *Graph) between(a, b string) (n int) {
	for _, l := range g.Edges {
		if l.From == a && l.To == b || l.From == b && l.To == a {
			n++
		}
	}
	return n
}

// share is how much of a gap one more leaf would have to either side.
func share(width float64, leaves int) float64 { return width / float64(leaves+2) }
