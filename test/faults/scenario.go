package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"
)

// scenario is a case with steps of its own. Its promises are among the steps.
type scenario struct {
	name, title string
	shape
	peers   []string // that it makes sense with; empty: all
	quick   bool     // a quick run makes it, too
	pending string   // why it is not kept yet
	run     func(x *trial) error
}

// followers are the peers that learn of changes of a Service's endpoints.
var followers = []string{kubeProxy, sluice}

// trial is a scenario's run with one peer.
type trial struct {
	*network
	result
	broken []string
	seen   []string // what failures were like, for a reader
	quick  bool
	timed  bool // promises about time count
}

// broke notes that something was not as promised.
func (x *trial) broke(format string, args ...any) {
	x.broken = append(x.broken, fmt.Sprintf(format, args...))
}

// long answers full, or in a quick run the shorter time.
func (x *trial) long(full, quick time.Duration) time.Duration {
	if x.quick {
		return quick
	}
	return full
}

// sleep waits, unless the run is interrupted.
func (x *trial) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
}

// none notes all requests that failed or were not answered with 2xx.
func (x *trial) none() {
	r := x.result
	r.Note = "" // it is the scenario's own here
	x.broken = append(x.broken, promise{}.judge(r, false)...)
}

func allScenarios() (all []scenario) {
	for _, s := range [][]scenario{answerScenarios(), postScenarios(), changeScenarios(), spreadScenarios(), callScenarios(),
		policyScenarios(), toxicScenarios(), churnScenarios(), conntrackScenarios()} {
		all = append(all, s...)
	}
	return all
}

// scenarios runs those that are asked for.
func scenarios(ctx context.Context, had programs, o options, rep *report, out io.Writer) error {
	for _, s := range allScenarios() {
		if match, err := path.Match(o.only, s.name); err != nil {
			return err
		} else if !match || o.quick && !o.named() && !s.quick {
			continue
		}
		if err := had.need(ctx, s.shape); err != nil {
			return err
		}
		for _, p := range o.peers {
			if len(s.peers) > 0 && !slices.Contains(s.peers, p.name) {
				continue
			}
			x, err := try(ctx, had, p, s, o)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if o.quick && s.pending == "" && (err != nil || len(x.broken) > 0) {
				// A quick run says nothing of a machine that others use: what is not kept twice is not kept.
				fmt.Fprintf(out, "%s once more, since it did not hold: %v %q\n", s.name, err, x.broken)
				if x, err = try(ctx, had, p, s, o); ctx.Err() != nil {
					return context.Cause(ctx)
				}
			}
			rep.judged(row{Case: s.name, Title: s.title, Peer: p.name, result: x.result, Pending: s.pending, Broken: x.broken, Seen: x.seen}, err)
		}
		rep.print(out, s.name)
	}
	return nil
}

// try runs a scenario with one peer.
func try(ctx context.Context, had programs, p *peer, s scenario, o options) (*trial, error) {
	n, err := openNetwork(ctx, had, p, s.shape)
	defer n.close()
	x := &trial{network: n, quick: o.quick, timed: o.timed,
		result: result{P99Before: unknown, P99: unknown, Longest: unknown, Slow: unknown}}
	if err != nil {
		return x, err
	}
	err = s.run(x)
	for _, p := range n.pods {
		if p.server != nil {
			_ = p.server.Process.Kill() // a stopped one cannot end otherwise
		}
	}
	if err != nil && n.proxy != nil {
		err = errors.Join(err, fmt.Errorf("%s's log ends with: %s", p.title, n.log()))
	}
	return x, err
}
