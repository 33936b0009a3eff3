package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// row is a measurement of one case with one peer.
type row struct {
	Case  string `json:"case"`
	Title string `json:"title"`
	Peer  string `json:"peer"`
	result
	Broken  []string `json:"broken,omitempty"` // promises that were not kept
	Pending string   `json:"pending,omitempty"`
	Error   string   `json:"error,omitempty"` // it could not be measured
	Seen    []string `json:"seen,omitempty"`  // what failures were like
}

// caseName is how a client under a fault is asked for.
func caseName(c client, f fault) string { return f.name + "/" + strings.ReplaceAll(c.name, " ", "") }

// Shares of the whole run.
const (
	warmPart  = 5 // the run before the fault is a fifth
	faultPart = 4 // the fault begins after about a quarter
	h2Part    = 5 // so many times as many requests over HTTP/2, which are as much faster
)

// errLate is a fault that came when the client had ended.
var errLate = errors.New("the client had ended when the fault began")

// faulted measures, and again when the client was too fast for the fault.
func faulted(ctx context.Context, programs programs, p *peer, c client, f fault, a amount) (r result, err error) {
	for range 3 {
		if r, err = faultedOnce(ctx, programs, p, c, f, a); !errors.Is(err, errLate) {
			return r, err
		}
	}
	return r, err
}

// faultedOnce makes a network with two pods, runs the client once in peace, and once more with the fault beginning in the middle.
func faultedOnce(ctx context.Context, programs programs, p *peer, c client, f fault, a amount) (r result, err error) {
	n, err := openNetwork(ctx, programs, p, shape{pods: 2, h2: c.h2})
	defer n.close()
	if err != nil {
		return r, err
	}
	if c.h2 {
		a.requests *= h2Part
	}
	before, err := c.run(n.ctx, n, a.part(warmPart))
	if err != nil {
		return r, fmt.Errorf("before the fault: %w", err)
	}
	if before.Failed+before.Non2xx > 0 {
		return r, fmt.Errorf("before the fault %d requests failed and %d were not answered with 2xx: %s", before.Failed, before.Non2xx, before.Note)
	}
	ended, begun := make(chan struct{}), make(chan error, 1)
	go func() { begun <- n.beginInTheMiddle(c, f, a, ended) }()
	r, err = c.run(n.ctx, n, a)
	close(ended)
	r.P99Before = before.P99
	err = errors.Join(err, <-begun)
	if n.pods[1].server != nil {
		_ = n.pods[1].server.Process.Kill() // a stopped one cannot end otherwise
	}
	return r, err
}

// beginInTheMiddle makes the second pod turn bad once a quarter of the run is behind: of the requests, as the pods count them, or of
// the time.
func (n *network) beginInTheMiddle(c client, f fault, a amount, ended <-chan struct{}) error {
	const look = 2 * time.Millisecond
	begin, warm, err := time.Now().Add(a.duration/faultPart), 0, error(nil)
	if warm, err = n.served(); err != nil {
		return err
	}
	for {
		select {
		case <-ended:
			return errLate
		case <-time.After(look):
		}
		due := c.timed && !time.Now().Before(begin)
		if !c.timed {
			now, err := n.served()
			if err != nil {
				return err
			}
			due = now-warm >= a.requests/faultPart
		}
		if due {
			return f.begin(n, n.pods[1])
		}
	}
}

// served answers how many requests the pods have got.
func (n *network) served() (sum int, err error) {
	all, err := n.requests()
	for _, one := range all {
		sum += one
	}
	return sum, err
}
