package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/test/figures"
)

// writeMarkdown writes the tables into a document.
func (r *report) writeMarkdown(path string) error {
	var b strings.Builder
	r.markdown(&b)
	return figures.Write(path, b.String())
}

// readReport reads what an earlier run has written to results.json.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// markdown writes the targets and all cases as tables.
func (r *report) markdown(out io.Writer) {
	m := r.Machine
	fmt.Fprintf(out, "`%s`, %s: %.0f min. %d CPUs (%s), %s, %s, %s, load average %.1f before", r.Command, r.Date, r.Seconds/60, m.CPUs, m.CPU, m.RAM,
		m.Kernel, m.Go, m.Load)
	for _, p := range allPeers() {
		if v := r.Versions[p.name]; v != "" {
			fmt.Fprintf(out, "; %s %s", p.title, v)
		}
	}
	fmt.Fprintf(out, ". %d rounds, threads of each proxy: %d.\n", r.Rounds, r.Threads)
	if r.Quick {
		fmt.Fprintln(out, "Of a quick run: short measurements.")
	}
	for _, s := range r.LeftOut {
		fmt.Fprintf(out, "Left out: %s.\n", s)
	}
	fmt.Fprint(out, "\n### Targets\n\n| target | at most | aim | is | |\n|---|---|---|---|---|\n")
	for _, t := range r.Targets {
		verdict := string(t.Verdict)
		if t.Verdict == short {
			verdict = "**falls short**"
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", t.Text, t.Gate, t.Aim, t.Got, verdict)
	}
	for _, c := range allCases() {
		if o := r.outcome(c.name); o != nil {
			markdownCase(out, c, o)
		}
	}
}

// markdownCase writes a case's table, with a column for each peer that did it.
func markdownCase(out io.Writer, c testcase, o *outcome) {
	var peers []string
	fmt.Fprintf(out, "\n### %s\n\n| |", c.title)
	for _, p := range allPeers() {
		if o.Figures[p.name] != nil {
			peers = append(peers, p.name)
			fmt.Fprintf(out, " %s |", p.title)
		}
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("---|", len(peers)))
	for _, m := range c.metrics {
		row := func(title string, cell func(figure) string) {
			cells := make([]string, len(peers))
			for i, p := range peers {
				if f, ok := o.Figures[p][m.key]; ok {
					cells[i] = cell(f)
				}
			}
			if slices.ContainsFunc(cells, func(s string) bool { return s != "" }) {
				fmt.Fprintf(out, "| %s | %s |\n", title, strings.Join(cells, " | "))
			}
		}
		row(strings.TrimSuffix(m.title+", "+m.unit, ", "), func(f figure) string {
			if m.format(f.Min) == m.format(f.Max) {
				return m.format(f.Median)
			}
			return fmt.Sprintf("%s (%s–%s)", m.format(f.Median), m.format(f.Min), m.format(f.Max))
		})
		switch {
		case m.ratio:
			row("… to HAProxy, worst round", func(f figure) string {
				if f.Ratio == 0 {
					return ""
				}
				return fmt.Sprintf("**%.2f×**, %.2f×", f.Ratio, f.RatioWorst)
			})
		case m.apart:
			row("… above HAProxy, worst round", func(f figure) string {
				if f.Apart == nil {
					return ""
				}
				return fmt.Sprintf("**%+.*f**, %+.*f", m.digits, f.Apart.Median, m.digits, f.Apart.Most)
			})
		}
	}
	fmt.Fprintf(out, "\n`%s`.", c.how)
	switch {
	case o.Noise != "":
		fmt.Fprintf(out, " **Too noisy to conclude**: %s.", o.Noise)
	case len(o.Kept) < o.Rounds:
		fmt.Fprintf(out, " %d of %d rounds count; in the others the machine was not quiet.", len(o.Kept), o.Rounds)
	}
	fmt.Fprintln(out)
	if strings.HasPrefix(c.name, "syscalls") {
		var calls strings.Builder
		printCalls(&calls, o)
		for line := range strings.Lines(calls.String()) {
			fmt.Fprintf(out, "\n%s", strings.TrimLeft(line, " "))
		}
	}
}
