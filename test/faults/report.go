package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a run writes to faults.json.
type report struct {
	Date    string  `json:"date"`
	Command string  `json:"command"`
	Machine string  `json:"machine"`
	Quick   bool    `json:"quick"`
	Seconds float64 `json:"seconds"`
	Rows    []row   `json:"rows"`

	kept, failed, pending int // cases of Sluice
}

// add takes a measurement and judges it when it is Sluice's.
func (rep *report) add(r row, err error, p promise, timed bool) {
	if r.Peer == sluice {
		r.Broken, r.Pending = p.judge(r.result, timed), p.Pending
	}
	rep.judged(r, err)
}

// judged takes a measurement that was judged already. An error breaks every promise.
func (rep *report) judged(r row, err error) {
	if err != nil {
		r.Error = err.Error()
		r.Broken = append(r.Broken, r.Error)
	}
	if r.Peer == sluice {
		switch {
		case len(r.Broken) == 0:
			rep.kept++
		case r.Pending != "":
			rep.pending++
		default:
			rep.failed++
		}
	}
	rep.Rows = append(rep.Rows, r)
}

// broken answers how many cases of Sluice did not hold what is promised of them.
func (rep *report) broken() int { return rep.failed }

// print writes a case's table.
func (rep *report) print(out io.Writer, name string) {
	t := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	first := true
	for _, r := range rep.Rows {
		if r.Case != name {
			continue
		}
		if first {
			fmt.Fprintf(out, "\n%s  (%s)\n", r.Title, r.Case)
			fmt.Fprintln(t, "\trequests\tfailed\tnot 2xx\tp99 before, ms\twith\tlongest\tover 100 ms\t")
			first = false
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t  %s\n", r.Peer, r.Requests, r.Failed, r.Non2xx, known(r.P99Before),
			known(r.P99), known(r.Longest), known(float64(r.Slow)), r.verdict())
	}
	t.Flush() // out is a terminal or a file: an error shows itself
}

// known writes a figure that a client may not have told.
func known(x float64) string {
	if x == unknown {
		return "?"
	}
	return fmt.Sprintf("%.0f", x)
}

func (r row) verdict() string {
	words := r.Broken
	if r.Note != "" && !slices.Contains(words, r.Note) {
		words = append([]string{r.Note}, words...)
	}
	if len(r.Seen) > 0 {
		words = append(slices.Clone(words), "("+strings.Join(r.Seen, ", ")+")")
	}
	text := strings.Join(words, "; ")
	switch {
	case r.Peer != sluice:
		return text
	case len(r.Broken) == 0 && r.Pending != "":
		return "holds, though marked as pending (" + r.Pending + ") " + text
	case len(r.Broken) == 0:
		return "holds  " + text
	case r.Pending != "":
		return "pending (" + r.Pending + "): " + text
	}
	return "BROKEN: " + text
}

// summary writes the last line.
func (rep *report) summary(out io.Writer) {
	rep.overview(out)
	fmt.Fprintf(out, "\n%d cases hold, %d are pending, %d are broken; %.0f s\n", rep.kept, rep.pending, rep.failed, rep.Seconds)
}

func (rep *report) write(dir string) error {
	if err := resultsDir(dir); err != nil {
		return err
	}
	text, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "faults.json"), append(text, '\n'), 0o644)
}
