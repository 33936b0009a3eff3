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
)

// faulted makes a network with two pods, runs the client once in peace, and once more with the fault beginning in the middle.
func faulted(ctx context.Context, programs programs, p *peer, c client, f fault, a amount) (r result, err error) {
	n, err := openNetwork(ctx, programs, p, shape{pods: 2, h2: c.h2})
	defer n.close()
	if err != nil {
		return r, err
	}
	warm := a.part(warmPart)
	began := time.Now()
	before, err := c.run(n.ctx, n, warm)
	if err != nil {
		return r, fmt.Errorf("before the fault: %w", err)
	}
	if before.Failed+before.Non2xx > 0 {
		return r, fmt.Errorf("before the fault %d requests failed and %d were not answered with 2xx: %s", before.Failed, before.Non2xx, before.Note)
	}
	took := time.Since(began) * warmPart / faultPart
	if c.program == "wrk" {
		took = a.duration / faultPart
	}
	begun := make(chan error, 1)
	go func() {
		select {
		case <-time.After(took):
			begun <- f.begin(n, n.pods[1])
		case <-n.ctx.Done():
			begun <- n.ctx.Err()
		}
	}()
	r, err = c.run(n.ctx, n, a)
	r.P99Before = before.P99
	err = errors.Join(err, <-begun)
	if n.pods[1].server != nil {
		_ = n.pods[1].server.Process.Kill() // a stopped one cannot end otherwise
	}
	return r, err
}
