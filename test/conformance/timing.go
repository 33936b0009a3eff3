package main

import (
	"slices"
	"time"
)

// timedRounds are run of a timed suite when its time is judged, each in all columns at once: whatever the
// machine does meanwhile happens to all of them.
const timedRounds = 5

// slowest is how many times as long a timed suite may take as directly: protocols in which the server speaks first show every wait of a
// proxy for bytes that do not come.
const slowest = 1.2

// timing is a column's time beside the direct one, each the sum of the cases' medians over the rounds.
type timing struct {
	ratio float64       // 0 is unknown
	more  time.Duration // a case; negative when it is less
}

func (t timing) long() bool { return t.ratio > slowest }

// timing compares the cases that passed in every round of both columns.
func (rep *report) timing(column string) (t timing) {
	direct := rep.rounds[directly]
	if column == directly || len(direct) == 0 || len(rep.rounds[column]) == 0 {
		return t
	}
	var ours, theirs time.Duration
	cases := 0
	for name := range direct[0] {
		theirTime, passed := typical(direct, name)
		ourTime, also := typical(rep.rounds[column], name)
		if passed && also {
			ours += ourTime
			theirs += theirTime
			cases++
		}
	}
	if cases == 0 || theirs == 0 {
		return t
	}
	return timing{ratio: ours.Seconds() / theirs.Seconds(), more: (ours - theirs) / time.Duration(cases)}
}

// typical answers the median time of a case; false when it failed in a round.
func typical(rounds []results, name string) (time.Duration, bool) {
	var took []time.Duration
	for _, rs := range rounds {
		v := rs[name]
		if !v.ok {
			return 0, false
		}
		took = append(took, v.took)
	}
	slices.Sort(took)
	return (took[(len(took)-1)/2] + took[len(took)/2]) / 2, true
}

// judged reports whether the times say anything about us: they were measured often enough, and a proxy that only copies bytes did not
// take too long itself, which is a machine that has better things to do.
func (rep *report) judged() bool {
	return rep.suite.timed && len(rep.rounds[directly]) >= timedRounds && !rep.timing(copied).long()
}

// slow reports whether a timed suite takes too long in a column.
func (rep *report) slow(column string) bool { return rep.judged() && rep.timing(column).long() }
