package main

import (
	"fmt"
	"strings"
)

// line is one curve of a plot; points with a negative value are left out.
type line struct {
	name, unit, colour string
	values             []float64
}

// plotGrowth draws, as small panels above one another, how the cost of one
// call depends on the number of calls.
func plotGrowth(rows []grown) []byte {
	lines := []line{
		{name: "CPU per 1,000 calls", unit: "s", colour: "#1b6ca8"},
		{name: "memory per held call", unit: "kB", colour: "#7a4f9a"},
		{name: "CPU per million packets", unit: "s", colour: "#2e7d4f"},
		{name: "BYE to 200, median", unit: "ms", colour: "#b3541e"},
	}
	for _, r := range rows {
		packet := -1.0
		if r.media {
			packet = r.packet
		}
		for i, v := range []float64{r.call, r.memory, packet, float64(r.answer.Microseconds()) / 1000} {
			lines[i].values = append(lines[i].values, v)
		}
	}
	const width, height, left, right, top = 640.0, 130.0, 60.0, 20.0, 26.0
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height*float64(len(lines))+24)
	s.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	most := float64(rows[len(rows)-1].calls)
	x := func(calls int) float64 { return left + (width-left-right)*float64(calls)/most }
	for k, l := range lines {
		base := height*float64(k+1) - 8
		high := 0.0
		for _, v := range l.values {
			high = max(high, v)
		}
		high *= 1.15
		y := func(v float64) float64 { return base - (height-top-8)*v/max(high, 1e-9) }
		fmt.Fprintf(&s, `<text x="%.0f" y="%.0f" fill="%s" font-weight="bold">%s (%s)</text>`+"\n", left, base-height+top+6, l.colour, l.name, l.unit)
		fmt.Fprintf(&s, `<path d="M%.0f %.1fH%.0f" stroke="#999"/>`+"\n", left, base, width-right)
		fmt.Fprintf(&s, `<text x="%.0f" y="%.1f" text-anchor="end" fill="#555">0</text><text x="%.0f" y="%.1f" text-anchor="end" fill="#555">%.3g</text>`+"\n", left-6, base, left-6, y(high/1.15)+4, high/1.15)
		var points []string
		for i, v := range l.values {
			if v < 0 {
				continue
			}
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(rows[i].calls), y(v)))
			fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(rows[i].calls), y(v), l.colour)
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), l.colour)
	}
	for _, r := range rows {
		fmt.Fprintf(&s, `<text x="%.1f" y="%.0f" text-anchor="middle" fill="#555">%d</text>`+"\n", x(r.calls), height*float64(len(lines))+12, r.calls)
	}
	s.WriteString("</svg>\n")
	return []byte(s.String())
}
