package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// overview writes all cases with all peers in one table: how many requests were lost (failed, or not answered with 2xx) of how
// many, and how long the longest took.
func (rep *report) overview(out io.Writer) {
	var cases []string
	cells := map[string]row{}
	for _, r := range rep.Rows {
		if !slices.Contains(cases, r.Case) {
			cases = append(cases, r.Case)
		}
		cells[r.Case+" "+r.Peer] = r
	}
	fmt.Fprintf(out, "\nlost of all requests, the longest in ms\n")
	t := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	for _, p := range allPeers() {
		fmt.Fprintf(t, "\t%s", p.title)
	}
	fmt.Fprintln(t, "\t")
	for _, c := range cases {
		fmt.Fprint(t, c)
		for _, p := range allPeers() {
			fmt.Fprintf(t, "\t%s", cells[c+" "+p.name].cell())
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush() // out is a terminal or a file: an error shows itself
}

func (r row) cell() string {
	switch {
	case r.Case == "":
		return "-"
	case r.Error != "":
		return "error"
	}
	return fmt.Sprintf("%d of %d, %s", r.Failed+r.Non2xx, r.Requests, known(r.Longest))
}
