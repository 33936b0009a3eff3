package listener

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Gate bounds how many connections of applications a process serves at a time. Each listener that finds it closed holds the one connection
// that it has accepted and accepts no more until another ends: the rest waits in the kernel, connected, as at a busy server, and nobody is
// refused. Safe for concurrent use. A nil one is always open.
type Gate struct {
	most int64
	log  *slog.Logger
	open atomic.Int64
	n    atomic.Int64 // of held: who leaves sees by it that nobody waits
	told atomic.Int64 // when the log was last told, on the loops' clock

	mu   sync.Mutex
	held []*arrival // guarded by mu
}

// arrival is a connection that waits to be served. Its fields are its loop's.
type arrival struct {
	l    *loop.Loop
	task *loop.Task
	in   bool // it has a place
	left bool // it does not want one any more
	g    *Gate
}

// NewGate makes one for at most that many connections.
func NewGate(most int, log *slog.Logger) *Gate { return &Gate{most: int64(most), log: log} }

// tellEvery is how often the log is told that connections wait.
const tellEvery = time.Minute

// enter waits until the connection that the current coroutine holds may be served; it calls waits where it has to. It errs when the loop
// stops. What has entered is to leave.
func (g *Gate) enter(l *loop.Loop, waits func()) error {
	if g == nil || g.take() {
		return nil
	}
	waits()
	if last, now := g.told.Load(), l.Now(); (last == 0 || now-last > int64(tellEvery)) && g.told.CompareAndSwap(last, now) {
		g.log.Warn("connections wait: as many are open as may be", slog.Int64("max-connections", g.most))
	}
	a := &arrival{l: l, task: l.Current(), g: g}
	g.mu.Lock()
	g.held = append(g.held, a)
	g.n.Add(1)
	g.mu.Unlock()
	if g.take() { // one may have left before it could see that this one waits
		g.leave()
	}
	if err := l.Wait(loop.Never, nil, nil, func() bool { return a.in }); err != nil {
		a.left = true
		if g.forget(a); a.in {
			g.leave()
		}
		return err
	}
	return nil
}

func (g *Gate) take() bool {
	for {
		n := g.open.Load()
		if n >= g.most {
			return false
		}
		if g.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave ends a connection. Its place is that of the one that has waited longest.
func (g *Gate) leave() {
	if g == nil {
		return
	}
	if g.n.Load() > 0 && g.pass() {
		return
	}
	g.open.Add(-1)
	if g.n.Load() > 0 && g.take() { // one has come to wait meanwhile
		g.leave()
	}
}

func (g *Gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.held) > 0 {
		a := g.held[0]
		g.held = slices.Delete(g.held, 0, 1)
		g.n.Add(-1)
		if a.l.Post(a.admit) {
			return true
		}
	}
	return false
}

// admit gives an arrival a place. On its loop.
func (a *arrival) admit() {
	if a.left {
		a.g.leave()
		return
	}
	a.in = true
	a.task.Wake()
}

func (g *Gate) forget(a *arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.held, a); i >= 0 {
		g.held = slices.Delete(g.held, i, i+1)
		g.n.Add(-1)
	}
}
