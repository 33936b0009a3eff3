package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// report is what became of one suite.
type report struct {
	suite   *suite
	err     error                // it could not be run
	results map[string]results   // by column
	rounds  map[string][]results // of timed suites
	chances []chance
	took    time.Duration
}

// slowCase is how much longer a case of a timed suite takes through a proxy for it to be named.
const slowCase = 40 * time.Millisecond

// runs reports whether the suite is run in a column.
func (s *suite) runs(column string) bool {
	return s.columns == nil || slices.Contains(s.columns, column)
}

// measure runs a suite in every rig; a timed one timedRounds times when its time is to be judged.
func measure(ctx context.Context, s *suite, rigs []*rig, judge bool) *report {
	rep := &report{suite: s, results: map[string]results{}, rounds: map[string][]results{}}
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
	rounds := 1
	if s.timed && judge {
		rounds = timedRounds
		for _, r := range rigs {
			if rep.err = r.renew(); rep.err != nil {
				return rep
			}
		}
	}
	for range rounds {
		if rep.err = rep.round(ctx, dir, rigs); rep.err != nil {
			return rep
		}
	}
	if s.again != nil {
		rep.repeat(ctx, dir, rigs)
	}
	return rep
}

// round runs the suite once in each column. Quick suites run in all of them at once, so that what the machine does meanwhile happens to all;
// others write files into the directory they share.
func (rep *report) round(ctx context.Context, dir string, rigs []*rig) error {
	got, errs := make([]results, len(rigs)), make([]error, len(rigs))
	var all sync.WaitGroup
	for i, r := range rigs {
		if !rep.suite.runs(r.name) {
			continue
		}
		all.Go(func() {
			if got[i], errs[i] = rep.suite.run(ctx, dir, r); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", r.name, errs[i])
			}
		})
		if !rep.suite.quick {
			all.Wait()
		}
	}
	all.Wait()
	for i, r := range rigs {
		if got[i] == nil {
			continue
		}
		rep.add(r.name, got[i])
		if rep.suite.timed {
			rep.rounds[r.name] = append(rep.rounds[r.name], got[i])
		}
	}
	return errors.Join(errs...)
}

// add takes the results of a round; what failed in a round before and passes now passes.
func (rep *report) add(column string, rs results) {
	all := rep.results[column]
	if all == nil {
		all = results{}
		rep.results[column] = all
	}
	for name, v := range rs {
		if old, ran := all[name]; !ran || v.ok && !old.ok {
			all[name] = v
		}
	}
}

// repeats is how often what failed is run again, alone, before it counts.
const repeats = 3

// repeatedMissing is how many cases that did not run are run again, alone. More of them are no chance.
const repeatedMissing = 30

// repeat runs again what passes directly and failed elsewhere, or did not run there, without a reason. A case that goes on failing has
// to pass directly as often: one that fails there by chance, on a busy machine, says nothing.
func (rep *report) repeat(ctx context.Context, dir string, rigs []*rig) {
	direct := rep.results[directly]
	for _, r := range rigs {
		if r.name == directly || rep.results[r.name] == nil {
			continue
		}
		missing := 0
		for name := range rep.names() {
			if !rep.differs(r.name, name) {
				continue
			}
			if _, explained := rep.suite.explain(name, r.name); explained {
				continue
			}
			if !rep.results[r.name].has(name) {
				if missing++; missing > repeatedMissing {
					continue
				}
			}
			first := "did not run"
			if rep.results[r.name].has(name) {
				first = firstLine(rep.results[r.name][name].detail)
			}
			chanced := func(what string) {
				rep.chances = append(rep.chances, chance{fmt.Sprintf("%s, %s: %s", rep.suite.name, r.name, name), what + "; at first: " + first})
			}
			if again, runs := rep.tryAgain(ctx, dir, r, name, false); runs > 0 {
				if chanced(fmt.Sprintf("passed in run %d", runs+1)); name == theRun {
					delete(rep.results[r.name], name)
				} else {
					rep.results[r.name][name] = again
				}
			} else if direct != nil {
				if again, runs := rep.tryAgain(ctx, dir, rigs[0], name, true); runs > 0 {
					chanced(fmt.Sprintf("failed %d times, and directly in run %d", repeats+1, runs+1))
					direct[name] = again
				}
			}
		}
	}
}

// tryAgain runs a case up to repeats times, until it fails or until it passes, and answers in which of these it did; 0 is none.
func (rep *report) tryAgain(ctx context.Context, dir string, r *rig, name string, untilItFails bool) (verdict, int) {
	for i := range repeats {
		v, err := rep.suite.again(ctx, dir, r, name)
		if err == nil && v.ok != untilItFails {
			return v, i + 1
		}
	}
	return verdict{}, 0
}

// chance is what counts as no difference only because it was run again: a fault that shows in one run of three looks like that, too.
type chance struct{ where, what string }

// found is a difference in a run.
type found struct {
	column, name, detail, reason string
	explained                    bool
}

// names are those of the cases that ran in any column.
func (rep *report) names() map[string]bool {
	all := map[string]bool{}
	for _, rs := range rep.results {
		for name := range rs {
			all[name] = true
		}
	}
	return all
}

// differs reports whether a case tells a proxy's column from the direct one: it fails there and does not fail directly, or it does not run
// there though it passes directly. Without a direct column each has to pass, and to run in all columns.
func (rep *report) differs(column, name string) bool {
	direct := rep.results[directly]
	if rep.results[column].has(name) {
		return !rep.results[column][name].ok && (direct[name].ok || !direct.has(name))
	}
	return name != theRun && (direct == nil || direct[name].ok)
}

// differences are the cases in which our columns differ. Besides them, a column may have fewer cases than the suite has at least.
func (rep *report) differences() (ds []found) {
	for _, column := range columns {
		rs, ran := rep.results[column]
		if least := max(rep.suite.least, 1); ran && rep.err == nil && len(rs) < least {
			ds = append(ds, found{column: column, name: "cases", detail: fmt.Sprintf("%d cases ran, at least %d were expected", len(rs), least)})
		}
	}
	for _, column := range []string{throughUs, asAService} {
		if rep.results[column] == nil {
			continue
		}
		for name := range rep.names() {
			if !rep.differs(column, name) {
				continue
			}
			d := found{column: column, name: name, detail: rep.results[column][name].detail}
			if !rep.results[column].has(name) {
				d.detail = "did not run"
			}
			d.reason, d.explained = rep.suite.explain(name, column)
			ds = append(ds, d)
		}
		if t := rep.timing(column); rep.slow(column) {
			ds = append(ds, found{column: column, name: "time", detail: fmt.Sprintf("%.2f times as long as directly, at most %.1f; a case takes %v longer",
				t.ratio, slowest, t.more.Round(time.Millisecond/10))})
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
	if verbose && rep.suite.figures {
		for _, c := range columns {
			for _, name := range slices.Sorted(maps.Keys(rep.results[c])) {
				if v := rep.results[c][name]; v.ok {
					fmt.Fprintf(w, "  %s: %s: %s\n", c, name, v.detail)
				}
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
	timed := false
	const row = "%-26s %6s %9s %10s %8s %13s  %s\n"
	fmt.Fprintf(w, row, "suite", "cases", directly, copied, throughUs, asAService, "from")
	for _, rep := range reports {
		if rep.err != nil {
			unexplained++
			fmt.Fprintf(w, row, rep.suite.name, "-", "-", "-", "-", "-", "not run: "+rep.err.Error())
			continue
		}
		cells := []any{rep.suite.name, fmt.Sprint(len(rep.names()))}
		for _, c := range columns {
			cell := "-"
			if rs, ran := rep.results[c]; ran {
				cell = fmt.Sprint(rs.passed())
			}
			if t := rep.timing(c); t.ratio > 0 {
				cell += fmt.Sprintf(" %.2fx", t.ratio)
				timed = true
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(w, row, append(cells, rep.suite.source)...)
	}
	if timed {
		fmt.Fprintf(w, "\nx: time as a multiple of directly; at most %.1f where %d rounds were made and the byte copy takes no longer\n", slowest, timedRounds)
	}
	for _, rep := range reports {
		if t := rep.timing(copied); rep.suite.timed && t.long() {
			fmt.Fprintf(w, "%s: time not concluded, as the byte copy takes %.2f times as long\n", rep.suite.name, t.ratio)
		}
	}
	beyondTheCopy(w, reports)
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
	var chances []chance
	for _, rep := range reports {
		chances = append(chances, rep.chances...)
	}
	if len(chances) > 0 {
		fmt.Fprintln(w, "\nno differences once they were run again")
	}
	for _, c := range chances {
		fmt.Fprintf(w, "  %s\n    %s\n", c.where, c.what)
	}
	fmt.Fprintf(w, "\n%d differences without a reason, %d that were none when run again\n", unexplained, len(chances))
	return unexplained
}

// beyondTheCopy says which cases pass through a proxy that copies bytes and not through ours.
func beyondTheCopy(w io.Writer, reports []*report) {
	for _, rep := range reports {
		var beyond []string
		if rep.results[throughUs] == nil {
			continue // the suite is for other columns
		}
		for _, name := range slices.Sorted(maps.Keys(rep.names())) {
			if rep.results[copied][name].ok && rep.differs(throughUs, name) {
				beyond = append(beyond, name)
			}
		}
		if len(beyond) > 0 {
			fmt.Fprintf(w, "%s: more than the byte copy, %s differs in %s\n", rep.suite.name, throughUs, strings.Join(beyond, ", "))
		}
	}
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
