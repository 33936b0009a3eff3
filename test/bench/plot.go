package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// Sizes of the plot in SVG units.
const (
	plotWidth  = 760
	labelWidth = 150
	barsWidth  = 470
	barHeight  = 16
	barGap     = 6
	panelGap   = 34
)

// panels are the figures that are drawn: one each of the cases.
var panels = []struct{ name, metric string }{
	{"full", "cpu_us"}, {"rate", "cpu_us"}, {"latency", "p50"}, {"latency", "p99"}, {"bodies", "cpu_gib"}, {"opaque", "cpu_gib"},
	{"connect", "cpu_us"}, {"memory", "idle_mib"}, {"memory", "conn_kib"}, {"syscalls", "all"},
}

// plot draws the medians as bars, with a line from the least to the most. Bars that leave the panel are cut at four times
// HAProxy's, and say so by an arrow.
func plot(r *report) []byte {
	var body bytes.Buffer
	y := 30
	for _, p := range panels {
		c, m, ok := find(p.name, p.metric)
		o := r.outcome(p.name)
		if !ok || o == nil {
			continue
		}
		y = panel(&body, y, c, m, o)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth, y)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, y)
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// find answers a case and one of its metrics.
func find(name, key string) (testcase, metric, bool) {
	for _, c := range allCases() {
		for _, m := range c.metrics {
			if c.name == name && m.key == key {
				return c, m, true
			}
		}
	}
	return testcase{}, metric{}, false
}

// panel draws one figure and answers where the next panel begins.
func panel(b *bytes.Buffer, y int, c testcase, m metric, o *outcome) int {
	most := 0.0
	for _, p := range allPeers() {
		most = max(most, o.Figures[p.name][m.key].Max)
	}
	if base := o.Figures[haproxy][m.key].Median; base > 0 {
		most = min(most, 4*base)
	}
	if most <= 0 {
		return y
	}
	x := func(v float64) int { return labelWidth + int(min(max(v, 0)/most, 1)*barsWidth) }
	title := fmt.Sprintf("%s: %s %s", c.title, m.title, m.unit)
	if o.Noise != "" {
		title += " (too noisy to conclude)"
	}
	text(b, 10, y, "start", "#000", ` font-weight="bold"`, title)
	y += 10
	for _, p := range allPeers() {
		f, ok := o.Figures[p.name][m.key]
		if !ok {
			continue
		}
		middle := y + barHeight/2
		colour := "#9aa5b1"
		if p.name == sluice {
			colour = "#1f6feb"
		}
		text(b, labelWidth-8, middle+4, "end", "#000", "", p.title)
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", labelWidth, y, max(x(f.Median)-labelWidth, 1), barHeight, colour)
		fmt.Fprintf(b, `<path d="M%d %d H%d" stroke="#333" stroke-width="1.5"/>`+"\n", x(f.Min), middle, x(f.Max))
		label := m.format(f.Median)
		if f.Median > most {
			label += " →"
		}
		if m.ratio && f.Ratio != 0 && p.name != haproxy {
			label += fmt.Sprintf(" (%.2f×)", f.Ratio)
		}
		text(b, labelWidth+barsWidth+8, middle+4, "start", "#000", "", label)
		y += barHeight + barGap
	}
	return y + panelGap - barGap
}

func text(b *bytes.Buffer, x, y int, anchor, colour, more, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="%s"%s>`, x, y, anchor, colour, more)
	_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
	b.WriteString("</text>\n")
}
