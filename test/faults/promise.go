package main

import "fmt"

// promise is what Sluice holds in a case. Times are for a machine that is not starved: they are kept in a full run.
type promise struct {
	Longest float64 // milliseconds; 0 promises nothing
	Slow    int     // requests over 100 ms
	Pending string  // why it is not kept yet: a row that breaks it is shown and does not fail the run
}

// promised is the promise for a client under a fault. In all of them nothing fails and everything is answered with 2xx.
func promised(c client, f fault) promise {
	p := promise{Longest: 1000, Slow: 50}
	switch f.name {
	case "stop", "drop":
		p.Longest = 1100 // the race begins after a second
	case "slow":
		p.Longest, p.Slow = 1100, 100 // who is sent to the slow pod gets its answer: all at once at first, a few each second then
	}
	if c.h2 {
		p.Slow = 100 // as many are under way at once
	}
	p.Pending = pending[f.name]
	return p
}

// pending names what is being built, by fault.
var pending = map[string]string{}

// calm is the 99th percentile before the fault, in milliseconds, above which a machine is too busy for promises about time.
const calm = 20

// judge answers what of the promise was broken.
func (p promise) judge(r result, timed bool) (broken []string) {
	add := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if r.Requests == 0 {
		add("no request was made")
	}
	if r.Failed > 0 {
		add("%d failed", r.Failed)
	}
	if r.Non2xx > 0 {
		add("%d not answered with 2xx", r.Non2xx)
	}
	if r.Note != "" {
		add("%s", r.Note)
	}
	if !timed || r.P99Before > calm {
		return broken
	}
	if p.Longest > 0 && r.Longest > p.Longest {
		add("the longest took %.0f ms, at most %.0f are promised", r.Longest, p.Longest)
	}
	if r.Slow > p.Slow {
		add("%d took over %d ms, at most %d are promised", r.Slow, slowAbove, p.Slow)
	}
	return broken
}
