package lab

import (
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
	apart     = 230.0 // two nodes of the core
	leafApart = 92.0  // two leaves of one node, on their arc
	leafOut   = 150.0 // a leaf from its node, at least
)

// layout places the nodes of a graph. Those that only one other hangs on are
// leaves, which fan out from it, away from the others; the rest, the core, find
// their places by springs along the links, and by pushing each other off
// (Fruchterman and Reingold, "Graph drawing by force-directed placement", 1991).
// The same graph always looks the same.
func (g *Graph) layout() map[string]point {
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
	for _, name := range core {
		fan(name, near, leaves[name], places)
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
	const steps = 400
	for step := range steps {
		moves := make(map[string]point)
		for i, a := range core {
			for _, b := range core[i+1:] {
				want := apart + radius(len(leaves[a])) + radius(len(leaves[b]))
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

// fan places the leaves of a node on an arc, away from its other neighbours.
func fan(name string, near map[string][]string, leaves []string, places map[string]point) {
	if len(leaves) == 0 {
		return
	}
	out, others := point{}, 0
	for _, other := range near[name] {
		if slices.Contains(leaves, other) {
			continue
		}
		if way := places[name].minus(places[other]); way.length() > 0 {
			out = out.plus(way.times(1 / way.length()))
			others++
		}
	}
	r := radius(len(leaves))
	width := 2 * math.Pi * float64(len(leaves)-1) / float64(len(leaves))
	if others > 0 {
		// The arc leaves room for the links to the others.
		width = min(float64(len(leaves)-1)*leafApart/r, 1.45*math.Pi)
		r = max(r, float64(len(leaves)-1)*leafApart/width)
		if len(leaves) == 1 {
			r = leafOut
		}
	}
	middle := -math.Pi / 2
	if out.length() > 0.01 {
		middle = out.angle()
	}
	for i, leaf := range leaves {
		angle := middle
		if len(leaves) > 1 {
			angle += width * (float64(i)/float64(len(leaves)-1) - 0.5)
		}
		places[leaf] = places[name].plus(at(angle, r))
	}
}
