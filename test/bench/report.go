package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run writes to results.json.
type report struct {
	Command  string            `json:"command"`
	Date     string            `json:"date"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Threads  int               `json:"threads"`
	Rounds   int               `json:"rounds"`
	Quick    bool              `json:"quick"`
	Partial  bool              `json:"partial"` // only some cases or peers were asked for
	Limits   limits            `json:"limits"`
	Seconds  float64           `json:"seconds"`
	LeftOut  []string          `json:"leftOut,omitempty"`
	Outcomes []outcome         `json:"outcomes"`
	Targets  []targetResult    `json:"targets"`
	Samples  []sample          `json:"samples"`

	options options
}

// targetResult is a target and what came of it.
type targetResult struct {
	Text    string  `json:"text"`
	Gate    string  `json:"gate"`
	Aim     string  `json:"aim,omitempty"`
	Got     string  `json:"got,omitempty"`
	Verdict verdict `json:"verdict"`
	value   float64
}

func newReport(m machine, o options) *report {
	return &report{Command: o.command, Date: time.Now().UTC().Format(time.DateOnly), Machine: m, Threads: o.threads, Rounds: o.rounds, Quick: o.quick,
		Partial: len(o.cases)+len(o.peers) > 0, Limits: o.limits, options: o}
}

// outcome answers a case's, nil when it was not done.
func (r *report) outcome(name string) *outcome {
	for i := range r.Outcomes {
		if r.Outcomes[i].Case == name {
			return &r.Outcomes[i]
		}
	}
	return nil
}

// printCase writes a case's table.
func (r *report) printCase(out io.Writer, c testcase) {
	o := r.outcome(c.name)
	fmt.Fprintf(out, "\n%s  (%s)\n", c.title, c.name)
	t := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	for _, m := range c.metrics {
		fmt.Fprintf(t, "%s\tmedian\tleast\tmost\t", strings.TrimSpace(m.title+" "+m.unit))
		if m.ratio {
			fmt.Fprint(t, "to HAProxy\tworst\t")
		}
		if m.apart {
			fmt.Fprint(t, "above HAProxy\tmost\tin rounds\t")
		}
		fmt.Fprintln(t)
		for _, p := range allPeers() {
			f, ok := o.Figures[p.name][m.key]
			if !ok {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t", p.title, m.format(f.Median), m.format(f.Min), m.format(f.Max))
			if m.ratio && f.Ratio != 0 {
				fmt.Fprintf(t, "%.2f×\t%.2f×\t", f.Ratio, f.RatioWorst)
			}
			if m.apart && f.Apart != nil {
				fmt.Fprintf(t, "%+.*f\t%+.*f\t%d of %d\t", m.digits, f.Apart.Median, m.digits, f.Apart.Most, f.Apart.Above, f.Apart.Rounds)
			}
			fmt.Fprintln(t)
		}
		t.Flush()
	}
	if strings.HasPrefix(c.name, "syscalls") {
		printCalls(out, o)
	}
	switch {
	case o.Noise != "":
		fmt.Fprintf(out, "  Too noisy to conclude: %s.\n", o.Noise)
	case len(o.Kept) < o.Rounds:
		fmt.Fprintf(out, "  %d of %d rounds count; in the others the machine was not quiet.\n", len(o.Kept), o.Rounds)
	}
}

func (m metric) format(x float64) string { return fmt.Sprintf("%.*f", m.digits, x) }

// printCalls says which system calls the proxies made.
func printCalls(out io.Writer, o *outcome) {
	for _, p := range allPeers() {
		var parts []string
		for _, e := range syscallEvents {
			if f := o.Figures[p.name][e]; f.Median >= 0.005 {
				parts = append(parts, fmt.Sprintf("%s %.2f", e, f.Median))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(out, "  %s: %s\n", p.title, strings.Join(parts, ", "))
		}
	}
}

// finish judges the targets, writes the files and answers the exit code.
func (r *report) finish(out io.Writer, dir string) (code int, err error) {
	fmt.Fprintln(out, "\nTargets")
	t := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	reasons := make(map[string]bool)
	var lacking []string
	for _, target := range allTargets() {
		v, x, why := target.check(r.Outcomes)
		if v == missing && !r.options.judges(target) {
			continue // nobody asked for it
		}
		res := targetResult{Text: target.Text, Gate: target.limit(target.Gate), Verdict: v, value: x}
		if target.Aim > 0 {
			res.Aim = target.limit(target.Aim)
		}
		if v != missing {
			res.Got = target.limit(x)
			switch f := r.outcome(target.Case).Figures[sluice][target.Metric]; {
			case target.Ratio:
				res.Got += fmt.Sprintf(" (worst round %.2f×)", f.RatioWorst)
			case target.Apart:
				res.Got += fmt.Sprintf(" (worst round %s %s)", difference(f.Apart.Most), target.Unit)
			}
		}
		r.Targets = append(r.Targets, res)
		fmt.Fprintf(t, "  %s\tat most %s\taim %s\tis %s\t%s\n", res.Text, res.Gate, dash(res.Aim), dash(res.Got), v)
		switch {
		case v == short:
			code = missed
		case v == unsure:
			reasons[why] = true
		case v == missing:
			lacking = append(lacking, res.Text)
		}
	}
	t.Flush()
	lacking = append(lacking, r.failures()...)
	for _, s := range r.LeftOut {
		fmt.Fprintln(out, "Left out:", s)
	}
	if len(reasons) > 0 {
		fmt.Fprintln(out, "\nThis machine was too noisy to conclude; repeat it when the machine is quiet:")
		for why := range reasons {
			fmt.Fprintf(out, "  %s\n", why)
		}
		code = noisy
	}
	if len(lacking) > 0 {
		fmt.Fprintln(out, "\nNot measured, or not in every round:")
		for _, what := range lacking {
			fmt.Fprintf(out, "  %s\n", what)
		}
		if code == 0 {
			code = failed
		}
	}
	if err := r.write(dir); err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "\n%.0f s; load average before %.2f; written: %s\n", r.Seconds, r.Machine.Load, dir)
	return code, nil
}

// failures says in which cases measurements of Sluice failed. What the other rounds show is not all of it.
func (r *report) failures() (all []string) {
	made, void, last := make(map[string]int), make(map[string]int), make(map[string]string)
	for _, s := range r.Samples {
		if s.Peer != sluice {
			continue
		}
		made[s.Case]++
		if s.Error != "" {
			void[s.Case]++
			last[s.Case] = s.Error
		}
	}
	for _, c := range allCases() {
		if void[c.name] > 0 {
			all = append(all, fmt.Sprintf("%s: Sluice failed in %d of %d rounds, at last: %s", c.name, void[c.name], made[c.name], last[c.name]))
		}
	}
	return all
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// write puts results.json and results.svg into the directory.
func (r *report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.svg"), plot(r), 0o644)
}
