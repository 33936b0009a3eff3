package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The screen is 80 columns wide: a margin, two columns, and a gap.
const (
	margin  = "  "
	gap     = "    "
	column  = 35
	barSize = column - len("pod-a ") - len("  3,000")
)

// painter prints the demo. Lines are plain text; colours are for terminals only.
type painter struct {
	out    io.Writer
	colour bool
	full   string // a cell of a bar
}

func newPainter(out *os.File) *painter {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	p := &painter{out: out, colour: err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", full: "#"}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first one that is set counts, POSIX chapter 8.2
		if v := strings.ToUpper(os.Getenv(name)); v != "" {
			if strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8") {
				p.full = "█"
			}
			break
		}
	}
	return p
}

const (
	bold, red, green, dim = "1", "31", "32", "2"
)

// in answers the text in a colour; it is padded already, since codes have no width.
func (p *painter) in(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p *painter) line(format string, args ...any) { fmt.Fprintf(p.out, margin+format+"\n", args...) }

func (p *painter) opening(rootless bool) {
	fmt.Fprintln(p.out)
	p.line("Two small networks side by side, each with a client's pod, three servers' pods")
	p.line("and a node that serves the ClusterIP %s with kube-proxy's rules. In", clusterIP.Addr())
	p.line("the right one the client's pod has Sluice's init container and sidecar.")
	if rootless {
		p.line("(Without root: the sidecar shares the client's user here, so the rule for its")
		p.line("own user is left out of the init container's rules.)")
	}
}

func (p *painter) scene(number, text string) {
	fmt.Fprintln(p.out)
	p.line("%s", p.in(bold, number+"  "+text))
	fmt.Fprintln(p.out)
}

func (p *painter) columns(colour, left, right string) {
	l, r := fmt.Sprintf("%-*s", column, left), fmt.Sprintf("%-*s", column, right)
	p.line("%s", strings.TrimRight(p.in(colour, l)+gap+p.in(colour, r), " "))
}

// shares prints who answered, as bars.
func (p *painter) shares(without, with counts) {
	p.columns(bold, "without Sluice", "with Sluice")
	for _, name := range podNames {
		p.line("%s%s%s", p.bar(name, without), gap, p.bar(name, with))
	}
	p.columns(dim, connections(without), connections(with))
}

func connections(c counts) string {
	if c.Failed > 0 {
		return fmt.Sprintf("connections: %d, failed requests: %d", c.Connections, c.Failed)
	}
	return fmt.Sprintf("connections: %d", c.Connections)
}

// bar is one pod's share of the requests: its whole length is all of them.
func (p *painter) bar(pod string, c counts) string {
	n := c.Pods[pod]
	cells := 0
	if c.Requests > 0 {
		cells = (n*barSize + c.Requests/2) / c.Requests
	}
	if n > 0 {
		cells = max(cells, 1)
	}
	colour := green
	if n == c.Requests {
		colour = red
	}
	full, empty := p.in(colour, strings.Repeat(p.full, cells)), strings.Repeat(" ", barSize-cells)
	return fmt.Sprintf("%s %s%s %6s", pod, full, empty, thousands(n))
}

// tableHead begins the table of seconds; its rows are made by second.
func (p *painter) tableHead() {
	names := strings.Join(podNames, " ") + " failed"
	p.line("%s", p.in(bold, fmt.Sprintf("     %-*s%s%s", len(names)+2, "without Sluice", gap, "with Sluice")))
	p.line("%s", p.in(dim, fmt.Sprintf(" s   %s  %s%s", names, gap, names)))
}

func (p *painter) second(n int, r row) {
	p.line("%2d   %s  %s%s", n, p.cells(r.without), gap, p.cells(r.with))
}

func (p *painter) cells(c counts) string {
	var b strings.Builder
	for _, name := range podNames {
		fmt.Fprintf(&b, "%*d ", len(name), c.Pods[name])
	}
	colour := ""
	if c.Failed > 0 {
		colour = red
	}
	return b.String() + p.in(colour, fmt.Sprintf("%6d", c.Failed))
}

func (p *painter) event(text string) { p.line("%s", p.in(dim, "     -- "+text)) }

// totals prints the second scene's result.
func (p *painter) totals(without, with counts) {
	fmt.Fprintln(p.out)
	for _, half := range []struct {
		name string
		counts
	}{{"without Sluice", without}, {"with Sluice", with}} {
		colour := green
		if half.Failed > 0 {
			colour = red
		}
		text := fmt.Sprintf("%-15s %s of %s requests failed", half.name, thousands(half.Failed), thousands(half.Requests))
		if half.Failed > 0 {
			text += fmt.Sprintf(" (%s)", half.mostFrequent())
		}
		p.line("%s", p.in(colour, text))
	}
}

func (p *painter) closing(took time.Duration) {
	fmt.Fprintln(p.out)
	p.line("Shown in %.0f s: one connection's requests spread over all pods, and the death", took.Seconds())
	p.line("of a pod that no request noticed. Client and servers knew nothing of it.")
	p.line("Next: your cluster, README.md; a real one-node Kubernetes, make cluster-up.")
}

// thousands writes 3000 as 3,000.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
