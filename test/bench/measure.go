package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// bench is a run.
type bench struct {
	options
	rig     *rig
	peers   []*peer
	sizes   sizes
	round   int // from 1
	out     io.Writer
	samples []sample
}

// do makes all rounds of a case, and up to as many again while too few of them count. A peer that fails in a round has no figure in it; a proxy
// that is gone ends the run.
func (b *bench) do(c testcase) error {
	rounds := b.rounds
	if c.once {
		rounds = min(rounds, 2)
	}
	for round := 0; round < rounds || round < 2*rounds && judge(c, b.samples, b.limits).Noise != ""; round++ {
		b.round = round + 1
		if round == (rounds+1)/2 {
			// Idle connections that the proxies keep to the servers die: one that does not notice fails from here on.
			if err := b.rig.reloadServers(); err != nil {
				return err
			}
		}
		for i := range b.peers {
			p := b.peers[(i+round)%len(b.peers)]
			w := b.rig.way(p, c.mode)
			if w == nil || w.proxy == nil && !c.direct || c.only != nil && !slices.Contains(c.only, p.name) {
				continue
			}
			if err := b.sample(c, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) sample(c testcase, w *way) error {
	before, err := cpuNow()
	if err != nil {
		return err
	}
	stop := b.profiling(c, w)
	v, failure := c.measure(b, w)
	stop()
	after, err := cpuNow()
	if err != nil {
		return err
	}
	if err := b.rig.ctx.Err(); err != nil {
		return context.Cause(b.rig.ctx)
	}
	s := sample{Case: c.name, Peer: w.name, Round: b.round, Values: v, Others: after.othersSince(before), Load: loadAverage()}
	if failure != nil {
		s.Error = failure.Error()
		fmt.Fprintf(b.out, "  %s round %d, %s: %v\n", c.name, b.round, w.title, failure)
	}
	b.samples = append(b.samples, s)
	if failure != nil && w.proxy != nil {
		if _, err := tree(w.proxy.Process.Pid); err != nil {
			return fmt.Errorf("%s: %w: %s", w.title, err, w.log())
		}
	}
	return nil
}

// sleep waits, unless the run is interrupted.
func (b *bench) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.rig.ctx.Done():
		return context.Cause(b.rig.ctx)
	}
}
