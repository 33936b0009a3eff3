package kube

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// minPause and maxPause bound the time between two attempts at an API server that is away. The upper one bounds how
	// stale endpoints are after it has come back; one request per sidecar in that time is little.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// gate lets requests pass while the API server answers, and one at a time, after growing pauses, while it does not. It
// is safe for concurrent use.
type gate struct {
	jitter func() float64  // in [0, 1)
	onTurn func(err error) // called when the server is away for the first time (err), and when it is back (nil)

	mu      sync.Mutex
	changed chan struct{} // closed and made anew at each change
	down    bool
	since   time.Time     // when it went down
	pause   time.Duration // before the next attempt
	next    time.Time
	trying  bool // an attempt is under way
}

func newGate(onTurn func(error)) *gate {
	return &gate{jitter: rand.Float64, onTurn: onTurn, changed: make(chan struct{})}
}

// do waits until a request may be sent, sends it and learns from its error. It answers ctx's error when that ends first.
func (g *gate) do(ctx context.Context, send func() error) error {
	trying, err := g.wait(ctx)
	if err != nil {
		return err
	}
	err = send()
	if ctx.Err() != nil {
		g.abandon(trying)
		return err
	}
	g.learn(err, trying)
	return err
}

// wait answers whether the caller is the one that tries a server which is down.
func (g *gate) wait(ctx context.Context) (trying bool, err error) {
	for {
		g.mu.Lock()
		if !g.down {
			g.mu.Unlock()
			return false, ctx.Err()
		}
		pause := time.Until(g.next)
		if pause <= 0 && !g.trying {
			g.trying = true
			g.mu.Unlock()
			return true, nil
		}
		changed := g.changed
		if g.trying {
			pause = maxPause // the end of the attempt wakes us
		}
		g.mu.Unlock()

		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
		timer.Stop()
	}
}

// learn draws the conclusion from a request that was sent, through the gate or beside it.
func (g *gate) learn(err error, trying bool) {
	g.mu.Lock()
	turn := false
	switch {
	case answered(err):
		turn = g.down
		g.down, g.trying, g.pause = false, false, 0
		err = nil
		if turn {
			g.wake()
		}
	case !g.down:
		turn, g.down, g.since = true, true, time.Now()
		g.delay(err, minPause)
	case trying:
		g.trying = false
		g.delay(err, min(2*g.pause, maxPause))
	}
	g.mu.Unlock()
	if turn {
		g.onTurn(err)
	}
}

// delay sets the pause before the next attempt, jittered to between half and all of it; a server that says how long it
// wants to be left alone is. The gate is locked.
func (g *gate) delay(err error, pause time.Duration) {
	g.pause = pause
	wait := pause/2 + time.Duration(g.jitter()*float64(pause/2))
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		wait = max(wait, min(time.Duration(seconds)*time.Second, 2*maxPause))
	}
	g.next = time.Now().Add(wait)
	g.wake()
}

// abandon gives the turn back.
func (g *gate) abandon(trying bool) {
	if trying {
		g.mu.Lock()
		g.trying = false
		g.wake()
		g.mu.Unlock()
	}
}

func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// downSince answers when the server went away; ok is false while it is there, and since is of the last time, if any.
func (g *gate) downSince() (since time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.since, g.down
}
