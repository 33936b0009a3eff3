package proxy

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// keepUnused is how long what a proxy has learnt and counted of a Service port stays when no connection uses it. It is long beside what a connection
// leaves behind for the next turn of its loop, beside all that is remembered for a while (ejections, budgets), and beside the time between two
// scrapes; and pods that call a Service for every job, or every preview of a change, do not gather them for ever.
const keepUnused = time.Hour

const (
	// unusedAtATime bounds how many Services a loop lets go of in one turn. Each takes about a microsecond.
	unusedAtATime = 256
	// unusedLate is the part of its time that one may stay longer, so that a loop does not wake for each.
	unusedLate = 60
)

// services are those that a worker keeps. A connection uses one, and so does what may outlive it; one that nobody has used for keep is let go of, with
// its counters and with what loops share of it, unless other loops keep it. They belong to the worker's loop. Requests have no part in this.
type services struct {
	w    *Worker
	by   map[string]*service // by name
	keep time.Duration       // the constant but for tests
	// first and last are of those that nobody uses, in the order in which that began.
	first, last *service
	timer       *time.Timer // nil before its first use
	armed       bool        // letGo will be called, or no more
}

// unused is how a service is kept while nobody uses it.
type unused struct {
	users         int
	since         int64 // the loops' clock: when the last of them left
	before, after *service
}

// of answers the Service port of that name, which the caller uses until it calls done.
func (k *services) of(name string) *service {
	s := k.by[name]
	if s == nil {
		w := k.w
		common := w.o.Shared.of(name)
		s = &service{name: name, stats: w.o.Metrics.Service(name, w.l.Index()), common: common,
			budget: retry.Budget{Settings: w.o.Budget, Tokens: &common.tokens}}
		s.users = 1
		k.by[name] = s
		return s
	}
	k.use(s)
	return s
}

// use has one more use s, until it calls done.
func (k *services) use(s *service) {
	if s.users++; s.users == 1 {
		k.unlink(s)
	}
}

// done ends one's use of s.
func (k *services) done(s *service) {
	if s.users--; s.users > 0 {
		return
	}
	s.since = loop.Clock()
	if s.before = k.last; s.before != nil {
		s.before.after = s
	} else {
		k.first = s
	}
	k.last = s
	if !k.armed {
		k.arm(k.keep)
	}
}

func (k *services) unlink(s *service) {
	if s.before != nil {
		s.before.after = s.after
	} else {
		k.first = s.after
	}
	if s.after != nil {
		s.after.before = s.before
	} else {
		k.last = s.before
	}
	s.before, s.after = nil, nil
}

// arm has letGo called after d. That needs no coroutine, and no turn of the loop before.
func (k *services) arm(d time.Duration) {
	k.armed = true
	if k.timer == nil {
		k.timer = time.AfterFunc(d, func() { k.w.l.Post(k.letGo) })
	} else {
		k.timer.Reset(d)
	}
}

// letGo lets go of those that nobody has used for long.
func (k *services) letGo() {
	k.armed = false
	now := loop.Clock()
	for n := 0; k.first != nil; n++ {
		s := k.first
		left := time.Duration(s.since-now) + k.keep
		if left > 0 {
			k.arm(max(left, k.keep/unusedLate))
			return
		}
		if n == unusedAtATime {
			k.arm(0)
			return
		}
		k.unlink(s)
		delete(k.by, s.name)
		k.w.o.Metrics.Leave(s.name, k.w.l.Index())
		k.w.o.Shared.leave(s.name)
	}
}

// close has nothing let go of any more.
func (k *services) close() {
	k.armed = true
	if k.timer != nil {
		k.timer.Stop()
	}
}
