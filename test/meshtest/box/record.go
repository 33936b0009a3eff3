package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// outcome is how one call ended.
type outcome struct {
	status int    // 0 when there was no answer
	pod    string // from X-Pod
	effect string // the request's name for what it was to do; empty for none
	key    string // in the request; empty for none
	err    error  // no answer, a broken one, or not the one expected
}

// record collects outcomes. It is safe for concurrent use.
type record struct {
	mu          sync.Mutex
	now         counts // since the last second
	all         counts
	latencies   []time.Duration
	effects     []string // of the requests that were answered as expected
	owners      owners
	connections int
}

// counts are in the JSON of both a second and the summary.
type counts struct {
	Requests int            `json:"requests"`
	OK       int            `json:"ok"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors,omitempty"` // by text
	Status   map[int]int    `json:"status,omitempty"`
	Pods     map[string]int `json:"pods,omitempty"` // who answered, by X-Pod
}

func newCounts() counts {
	return counts{Errors: map[string]int{}, Status: map[int]int{}, Pods: map[string]int{}}
}

func (c *counts) add(o outcome) {
	c.Requests++
	if o.err != nil {
		c.Failed++
		c.Errors[o.err.Error()]++
	} else {
		c.OK++
	}
	if o.status != 0 {
		c.Status[o.status]++
	}
	if o.pod != "" {
		c.Pods[o.pod]++
	}
}

// summary is the last line that "box load" prints.
type summary struct {
	Final bool `json:"final"` // tells it from the lines of --follow
	counts
	Missed      int     `json:"missed"`      // due by --rate, but never made
	Connections int     `json:"connections"` // opened
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"` // requests per second
	P50         float64 `json:"p50Ms"`
	P99         float64 `json:"p99Ms"`
	Max         float64 `json:"maxMs"`
	Over100     int     `json:"over100Ms"` // requests that took longer than 100 ms

	Effects []string `json:"effects,omitempty"` // names of what was acknowledged
	Owners  owners   `json:"owners,omitempty"`
}

func newRecord() *record { return &record{now: newCounts(), all: newCounts(), owners: owners{}} }

func (r *record) add(o outcome, latency time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.add(o)
	r.all.add(o)
	r.latencies = append(r.latencies, latency)
	if o.effect != "" && o.err == nil {
		r.effects = append(r.effects, o.effect)
	}
	if o.key != "" && o.pod != "" {
		r.owners.add(o.key, o.pod)
	}
}

func (r *record) connected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections++
}

// second gives the counts since the last call, and starts anew.
func (r *record) second() counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.now
	r.now = newCounts()
	return c
}

func (r *record) summary(took time.Duration) summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := summary{Final: true, counts: r.all, Connections: r.connections, Seconds: took.Seconds()}
	s.Errors, s.Status, s.Pods = maps.Clone(r.all.Errors), maps.Clone(r.all.Status), maps.Clone(r.all.Pods)
	if took > 0 {
		s.Rate = float64(s.Requests) / took.Seconds()
	}
	s.Effects, s.Owners = slices.Clone(r.effects), r.owners.clone()
	for _, l := range r.latencies {
		if l > 100*time.Millisecond {
			s.Over100++
		}
	}
	sorted := slices.Sorted(slices.Values(r.latencies))
	s.P50, s.P99, s.Max = ms(quantile(sorted, 0.50)), ms(quantile(sorted, 0.99)), ms(quantile(sorted, 1))
	return s
}

// quantile is the smallest of the sorted values that at least the share q of
// them does not exceed; 0 when there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
