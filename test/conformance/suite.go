package main

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"
)

// suite is a set of tests that were written elsewhere, or a set of programs that were, and how they are run in a rig.
type suite struct {
	name    string
	source  string // where it comes from, with the version
	quick   bool   // part of a quick run
	timed   bool   // its time through the proxy is measured, and in a whole run held to slowest
	least   int    // cases that it has at least, in every column: see atLeast
	figures bool   // a case that passes has details too, which a verbose run prints
	columns []string
	// prepare fetches and builds what is needed, into a directory of the cache that is the suite's own. It runs once.
	prepare func(ctx context.Context, dir string) error
	// run runs all cases in a rig. An error says that it could not be run at all.
	run func(ctx context.Context, dir string, r *rig) (results, error)
	// again runs one case once more, so that what fails by chance is not taken for a difference; nil is none.
	again func(ctx context.Context, dir string, r *rig, name string) (verdict, error)
	// differences are those that are known, each with its reason.
	differences []difference
}

// difference is a case that passes directly and may fail through the proxy.
type difference struct {
	name   string // a pattern of path.Match
	column string // where; "" is in every column of ours
	reason string
}

// atLeast sets how many cases the suite has at least: what a pinned version has, or a little less than a version has that is not pinned. 0 is
// not known, and means one.
func (s *suite) atLeast(n int) *suite {
	s.least = n
	return s
}

type verdict struct {
	ok     bool
	detail string // why not; of a suite with figures, these
	took   time.Duration
}

type results map[string]verdict

// theRun is the case of a program's run as a whole. It is there only when it fails: the program ended badly though no case of it failed, or
// not in time, or not all of its cases came to an end.
const theRun = "the-run"

// endedBadly adds that case when nothing else among the results says why the program ended with an error.
func (rs results) endedBadly(err error, last string) {
	if err != nil && rs.passed() == len(rs) {
		rs[theRun] = verdict{detail: strings.TrimSuffix(fmt.Sprintf("no case failed, and yet %v: %s", err, last), ": ")}
	}
}

func (rs results) has(name string) bool {
	_, has := rs[name]
	return has
}

// again answers a case out of the results of having run it once more. A case that is not among them did not run, which says nothing of it.
func (rs results) again(name string) (verdict, error) {
	v, ran := rs[name]
	switch {
	case ran:
		return v, nil
	case name == theRun && len(rs) > 0:
		return verdict{ok: true}, nil
	}
	return v, fmt.Errorf("%s did not run", name)
}

func (rs results) passed() (n int) {
	for _, v := range rs {
		if v.ok {
			n++
		}
	}
	return n
}

// explain answers the reason for which a case may fail in a column.
func (s *suite) explain(name, column string) (string, bool) {
	for _, d := range s.differences {
		if match, _ := path.Match(fileName(d.name), fileName(name)); match && (d.column == "" || d.column == column) {
			return d.reason, true
		}
	}
	return "", false
}
