package lab

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/vswitch/vswitch/api"
)

// Colours of kinds of nodes, of which people who do not see red from green tell
// all apart.
var fills = map[string]string{Switch: "#2a78b8", Router: "#8a5bb5", Host: "#f4f6f8", VM: "#fff3d6", External: "#e3f1e3"}

// Measures of a drawing, in pixels.
const (
	nodeHeight = 32.0 // of a box with a name alone
	lineHeight = 14.0 // of each address in it
	margin     = 50.0
)

// SVG draws the graph as a picture that needs nothing else.
func (g *Graph) SVG() string {
	places := g.layout()
	room := g.bounds(places)
	if len(places) == 0 {
		room = box{}
	}
	const title = 30
	shift := point{margin - room.least.x, margin + title - room.least.y}
	width, height := room.size().x+2*margin, room.size().y+2*margin+title
	var b, words strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", html.EscapeString(g.Name))
	fmt.Fprintf(&b, `<text x="20" y="30" font-size="18" font-weight="bold">%s</text>`+"\n", html.EscapeString(g.Name))
	for i := range g.Edges {
		g.drawLine(&b, &words, i, places, shift)
	}
	b.WriteString(words.String()) // over all lines
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.draw(&b, places[n.Name].plus(shift))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// width and height are those of the box, which has the addresses in it.
func (n *Dot) width() float64 {
	w := float64(len([]rune(n.Name)))*8.5 + 24
	for _, a := range n.lines {
		w = max(w, float64(len(a))*6.6+16)
	}
	return max(w, 60)
}

func (n *Dot) height() float64 { return nodeHeight + lineHeight*float64(len(n.lines)) }

// draw draws a node.
func (n *Dot) draw(b *strings.Builder, p point) {
	w, h := n.width(), n.height()
	stroke, dash, ink := "#445", "", "#223"
	if n.Kind == Switch || n.Kind == Router {
		ink = "#fff"
	}
	if n.State != api.StateUp {
		stroke, dash = "#c0392b", ` stroke-dasharray="5,3"`
	}
	corner := map[string]float64{Switch: 4, Router: 16, Host: 10, VM: 4, External: 0}[n.Kind]
	fmt.Fprintf(b, `<g><title>%s %s, %s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="%.0f" fill="%s" stroke="%s" stroke-width="1.5"%s/>`,
		n.Kind, html.EscapeString(n.Name), n.State, p.x-w/2, p.y-h/2, w, h, corner, fills[n.Kind], stroke, dash)
	top := p.y - h/2
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="%s" font-weight="bold">%s</text>`, p.x, top+21, ink, html.EscapeString(n.Name))
	for i, a := range n.lines {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="11" fill="%s">%s</text>`, p.x, top+21+lineHeight*float64(i+1), ink, html.EscapeString(a))
	}
	b.WriteString("</g>\n")
}

// plainVLAN is the VLAN of a port that was told none, which is not worth saying.
const plainVLAN = "access 1"

// drawLine draws a link, and its words: several between the same two are bowed
// apart.
func (g *Graph) drawLine(b, words *strings.Builder, i int, places map[string]point, shift point) {
	l := &g.Edges[i]
	from, to := places[l.From].plus(shift), places[l.To].plus(shift)
	way := to.minus(from)
	length := max(way.length(), 1)
	unit := way.times(1 / length)
	bow, along := g.bow(i)
	aside := point{-unit.y, unit.x}.times(bow)
	bend := from.plus(to).times(0.5).plus(aside.times(2))
	// The point of the curve at which the words stand.
	middle := from.times((1 - along) * (1 - along)).plus(bend.times(2 * along * (1 - along))).plus(to.times(along * along))
	stroke, dash, thick := "#667", "", 1.5
	if strings.HasPrefix(l.VLAN, "trunk") {
		thick = 3
	}
	switch {
	case l.State != api.StateUp:
		stroke, dash = "#c0392b", ` stroke-dasharray="6,4"`
	case l.Impair != "":
		stroke = "#d98200"
	}
	fmt.Fprintf(b, `<g><title>%s</title><path d="M%.1f,%.1f Q%.1f,%.1f %.1f,%.1f" fill="none" stroke="%s" stroke-width="%.1f"%s/></g>`+"\n",
		html.EscapeString(l.From+":"+l.Ends[0]+" – "+l.To+":"+l.Ends[1]+" "+l.label()), from.x, from.y, bend.x, bend.y, to.x, to.y, stroke, thick, dash)
	text := func(p point, size int, fill, s string) {
		fmt.Fprintf(words, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="%d" fill="%s" stroke="#fff" stroke-width="3" paint-order="stroke">%s</text>`+"\n", p.x, p.y, size, fill, html.EscapeString(s))
	}
	// Along a link that lies flat there is no room for all: names of ends stand
	// above it, and what it carries below.
	above, below := 0.0, 0.0
	if math.Abs(unit.x) > 0.93 {
		above, below = 8, 12
	}
	// Names of ends lie on the line, just outside the boxes. A port that is named
	// after whom it leads to says nothing new.
	name := func(n *Dot, from point, way point, end, far string) {
		if end == far {
			return
		}
		off := 12 + 3*float64(len(end))*math.Abs(way.x) + min(n.width()/2/max(math.Abs(way.x), 0.01), n.height()/2/max(math.Abs(way.y), 0.01))
		text(from.plus(way.times(off)).plus(aside.times(0.6)).plus(point{0, 4 - above}), 10, "#778", end)
	}
	name(g.node(l.From), from, unit, l.Ends[0], l.To)
	name(g.node(l.To), to, unit.times(-1), l.Ends[1], l.From)
	var carries []string
	for _, w := range []string{l.VLAN, l.Impair} {
		if w != "" && w != plainVLAN {
			carries = append(carries, w)
		}
	}
	for k, w := range carries {
		fill := "#336"
		if w == l.Impair {
			fill = "#b06000"
		}
		down := 13*float64(k) - 6.5*float64(len(carries)-1) + 4
		if below > 0 {
			down = 13*float64(k) + below
		}
		text(middle.plus(point{0, down}), 11, fill, w)
	}
}

// bow is how far a link is bowed aside, and how far along it its words stand:
// those between the same two share out the room.
func (g *Graph) bow(i int) (aside, along float64) {
	n, which := 0, 0
	same := func(a, b *Line) bool {
		return a.From == b.From && a.To == b.To || a.From == b.To && a.To == b.From
	}
	for k := range g.Edges {
		if same(&g.Edges[k], &g.Edges[i]) {
			if k == i {
				which = n
			}
			n++
		}
	}
	share := 0.0
	if n > 1 {
		share = float64(which)/float64(n-1) - 0.5
	}
	aside, along = 34*share*float64(n-1), 0.5+0.3*share
	if g.Edges[i].From > g.Edges[i].To {
		aside, along = -aside, 1-along
	}
	return aside, along
}

// HTML is a page with the picture, which can be moved and made larger, and a
// table of the links. It needs no network.
func (g *Graph) HTML() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%s</title><style>
body{font-family:sans-serif;margin:0;color:#223}
#picture{height:70vh;overflow:hidden;border-bottom:1px solid #ccd;cursor:grab}
#picture svg{width:100%%;height:100%%}
table{border-collapse:collapse;margin:1em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #eef}
.down,.lost{color:#c0392b}
</style></head><body><div id="picture">
%s</div><table><tr><th>link</th><th>state</th><th>VLAN</th><th>impaired</th></tr>
`, html.EscapeString(g.Name), g.SVG())
	for _, l := range g.Edges {
		fmt.Fprintf(&b, "<tr><td>%s</td><td class=\"%s\">%s</td><td>%s</td><td>%s</td></tr>\n", html.EscapeString(l.From+":"+l.Ends[0]+" – "+l.To+":"+l.Ends[1]), l.State, l.State, html.EscapeString(l.VLAN), html.EscapeString(l.Impair))
	}
	b.WriteString(`</table><script>
const svg=document.querySelector("svg");let [x,y,w,h]=svg.getAttribute("viewBox").split(" ").map(Number);
const show=()=>svg.setAttribute("viewBox",[x,y,w,h].join(" "));
svg.addEventListener("wheel",e=>{e.preventDefault();const f=e.deltaY<0?.9:1.1,r=svg.getBoundingClientRect(),
px=x+w*(e.clientX-r.left)/r.width,py=y+h*(e.clientY-r.top)/r.height;x=px-(px-x)*f;y=py-(py-y)*f;w*=f;h*=f;show()},{passive:false});
let drag=null;svg.addEventListener("mousedown",e=>drag=[e.clientX,e.clientY]);addEventListener("mouseup",()=>drag=null);
addEventListener("mousemove",e=>{if(!drag)return;const r=svg.getBoundingClientRect(),s=Math.max(w/r.width,h/r.height);
x-=(e.clientX-drag[0])*s;y-=(e.clientY-drag[1])*s;drag=[e.clientX,e.clientY];show()});
</script></body></html>
`)
	return b.String()
}
