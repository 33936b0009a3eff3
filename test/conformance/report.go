package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report is what became of one suite.
type report struct {
	suite   *suite
	err     error              // it could not be run
	results map[string]results // by column
	ratio   map[string]float64 // of time against directly, of timed suites
	took    time.Duration
}

// timedRounds are run of a timed suite, at most: further ones when it was slow, and the quickest counts.
const timedRounds = 5

// slowCase is how much longer a case of a timed suite takes through a proxy for it to be named.
const slowCase = 40 * time.Millisecond

// slow reports whether a timed suite took too long through us.
func (rep *report) slow() bool {
	return rep.ratio[throughUs] > slowest || rep.ratio[asAService] > slowest
}

// measure runs a suite in every rig.
func measure(ctx context.Context, s *suite, rigs []*rig) *report {
	rep := &report{suite: s, results: map[string]results{}, ratio: map[string]float64{}}
	began := time.Now()
	defer func() { rep.took = time.Since(began) }()
	dir, err := cacheDir(s.name)
	if err == nil && s.prepare != nil {
		err = s.prepare(ctx, dir)
	}
	if err != nil {
		rep.err = err
		return rep
	}
	for round := 0; round == 0 || s.timed && round < timedRounds && rep.slow(); round++ {
		for _, r := range rigs {
			if s.columns != nil && !slices.Contains(s.columns, r.name) {
				continue
			}
			rs, err := s.run(ctx, dir, r)
			if err != nil {
				rep.err = fmt.Errorf("%s: %w", r.name, err)
				return rep
			}
			rep.add(r.name, rs)
			if s.timed && r.name != directly {
				rep.ratio[r.name] = ratio(rs, rep.results[directly], rep.ratio[r.name])
			}
		}
	}
	for _, r := range rigs {
		if s.again != nil {
			rep.repeat(ctx, dir, r)
		}
	}
	return rep
}

// add takes the results of a round; what failed in a round before and passes now passes, and the quickest time counts.
func (rep *report) add(column string, rs results) {
	all := rep.results[column]
	if all == nil {
		all = results{}
		rep.results[column] = all
	}
	for name, v := range rs {
		if old, ran := all[name]; !ran || v.ok && (!old.ok || v.took < old.took) {
			all[name] = v
		}
	}
}

// ratio answers how much longer rs took than base, over the cases that passed in both, or what it was before when that was less.
func ratio(rs, base results, before float64) float64 {
	var ours, theirs time.Duration
	for name, v := range rs {
		if b := base[name]; v.ok && b.ok {
			ours += v.took
			theirs += b.took
		}
	}
	now := ours.Seconds() / max(theirs.Seconds(), 1e-9)
	if before > 0 {
		return min(now, before)
	}
	return now
}

// repeat runs what passes directly and failed here alone and a second time.
func (rep *report) repeat(ctx context.Context, dir string, r *rig) {
	for name, v := range rep.results[r.name] {
		if v.ok || r.name != directly && !rep.results[directly][name].ok {
			continue
		}
		if _, explained := rep.suite.explain(name, r.name); explained {
			continue
		}
		if again, err := rep.suite.again(ctx, dir, r, name); err == nil && again.ok {
			rep.results[r.name][name] = again
		}
	}
}

// found is a difference in a run.
type found struct {
	column, name, detail, reason string
	explained                    bool
}

// differences are the cases that pass directly, or have to pass without that column, and fail through us.
func (rep *report) differences() (ds []found) {
	for _, column := range []string{throughUs, asAService} {
		for name, v := range rep.results[column] {
			if base, ran := rep.results[directly]; v.ok || ran && !base[name].ok {
				continue
			}
			d := found{column: column, name: name, detail: v.detail}
			d.reason, d.explained = rep.suite.explain(name, column)
			ds = append(ds, d)
		}
		if ratio := rep.ratio[column]; ratio > slowest {
			ds = append(ds, found{column: column, name: "time", detail: fmt.Sprintf("%.2f times as long as directly, at most %.1f", ratio, slowest)})
		}
	}
	slices.SortFunc(ds, func(a, b found) int { return strings.Compare(a.name+a.column, b.name+b.column) })
	return ds
}

// progress says what came of a suite as soon as that is known.
func (rep *report) progress(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%s: %.0f s", rep.suite.name, rep.took.Seconds())
	if rep.err != nil {
		fmt.Fprintf(w, ", not run: %v", rep.err)
	}
	fmt.Fprintln(w)
	for name, v := range rep.results[directly] {
		if verbose && !v.ok {
			fmt.Fprintf(w, "  fails directly: %s: %s\n", name, v.detail)
		}
		for _, c := range columns[1:] {
			if more := rep.results[c][name].took - v.took; verbose && rep.suite.timed && rep.results[c][name].ok && more > slowCase {
				fmt.Fprintf(w, "  slower, %s: %s: %v more than %v\n", c, name, more.Round(time.Millisecond/10), v.took.Round(time.Millisecond/10))
			}
		}
	}
	for _, d := range rep.differences() {
		if d.explained {
			continue
		}
		fmt.Fprintf(w, "  differs, %s: %s\n", d.column, d.name)
		if verbose {
			fmt.Fprintf(w, "%s\n", d.detail)
		}
	}
}

// table prints one line a suite and one a difference. It answers how many differences have no reason; a suite that could not be run
// counts as one.
func table(w io.Writer, reports []*report) (unexplained int) {
	const row = "%-26s %6s %9s %10s %8s %13s  %s\n"
	fmt.Fprintf(w, row, "suite", "cases", directly, copied, throughUs, asAService, "from")
	for _, rep := range reports {
		if rep.err != nil {
			unexplained++
			fmt.Fprintf(w, row, rep.suite.name, "-", "-", "-", "-", "-", "not run: "+rep.err.Error())
			continue
		}
		cases := map[string]bool{}
		for _, rs := range rep.results {
			for name := range rs {
				cases[name] = true
			}
		}
		cells := []any{rep.suite.name, fmt.Sprint(len(cases))}
		for _, c := range columns {
			cell := "-"
			if rs, ran := rep.results[c]; ran {
				cell = fmt.Sprint(rs.passed())
			}
			if ratio := rep.ratio[c]; ratio > 0 {
				cell += fmt.Sprintf(" %.2fx", ratio)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(w, row, append(cells, rep.suite.source)...)
	}
	reasons := map[string][]string{}
	var order []string
	for _, rep := range reports {
		for _, d := range rep.differences() {
			if !d.explained {
				unexplained++
				d.reason = "NO REASON: " + firstLine(d.detail)
			}
			if reasons[d.reason] == nil {
				order = append(order, d.reason)
			}
			reasons[d.reason] = append(reasons[d.reason], fmt.Sprintf("%s, %s: %s", rep.suite.name, d.column, d.name))
		}
	}
	if len(order) > 0 {
		fmt.Fprintln(w, "\ndifferences")
	}
	for _, reason := range order {
		fmt.Fprintf(w, "  %s\n", reason)
		for _, where := range reasons[reason] {
			fmt.Fprintf(w, "    %s\n", where)
		}
	}
	fmt.Fprintf(w, "\n%d differences without a reason\n", unexplained)
	return unexplained
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func panicked(log []byte) bool { return bytes.Contains(log, []byte("panic")) }

// fileName makes a directory's name of a suite's.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' {
			return '-'
		}
		return r
	}, s)
}
