package main

import (
	"fmt"
	"html"
	"strings"
)

// charted are the figures of the chart, side by side.
var charted = [...]string{"TCP, one stream", "60-byte frames under a flood", "latency p50"}

// Measures of the chart, in pixels.
const (
	chartNames = 250 // room for names of systems
	chartBars  = 190 // length of the longest bar
	chartGap   = 50  // between panels; holds the number behind a bar
	chartRow   = 24
	chartHead  = 56
)

// drawChart draws ratios to the baseline as an SVG image: a panel for each
// figure, a bar for each system, and a line where the baseline is.
func (r *report) drawChart() string {
	width := chartNames + len(charted)*(chartBars+chartGap)
	height := chartHead + len(r.systems)*chartRow + 24
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text := func(x, y int, attributes, s string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
	}
	for i, s := range r.systems {
		text(chartNames-10, chartHead+i*chartRow+16, `text-anchor="end"`, s)
	}
	for n, name := range charted {
		left := chartNames + n*(chartBars+chartGap)
		f := r.figure(name)
		text(left, 20, `font-weight="bold"`, name)
		text(left, 38, `fill="#666"`, f.base()+" = 1; "+f.better())
		most := 1.0
		for _, s := range r.systems {
			if q, ok := r.ratio(s, f); ok {
				most = max(most, q)
			}
		}
		scale := chartBars / most
		for i, s := range r.systems {
			y := chartHead + i*chartRow
			q, ok := r.ratio(s, f)
			if !ok {
				text(left, y+16, `fill="#999"`, "not measured")
				continue
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y+4, q*scale, chartRow-8, color(s))
			text(left+int(q*scale)+5, y+16, `fill="#333"`, fmt.Sprintf("%.2f", q))
		}
		x := left + int(scale)
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#aaa" stroke-dasharray="3,3"/>`+"\n", x, chartHead-4, x, chartHead+len(r.systems)*chartRow)
	}
	text(10, height-8, `fill="#666" font-size="11"`, r.begin.Format("2006-01-02")+", "+machine())
	b.WriteString("</svg>\n")
	return b.String()
}

func color(system string) string {
	if strings.HasPrefix(system, "vswitch") {
		return "#2a78b8"
	}
	return "#b8b8b8"
}
