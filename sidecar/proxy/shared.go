package proxy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// Shared is what the workers of a process share of its Services, so that what a Service asks of a proxy holds for the proxy and not for
// each loop. A request asks a Worker's own map for its Service's part; nothing here is looked up or locked on its way.
type Shared struct {
	// MaxRequests bounds the requests and streams that are under way at a time in the process; 0 does not, and none are counted. Set before use.
	MaxRequests int
	underWay    cluster.Places

	// MaxPending bounds the requests that wait at a time in all queues of the process; 0 does not. Set before use.
	MaxPending int
	pending    atomic.Int64

	mu       sync.Mutex
	services map[string]*common // by name, of Services that a loop keeps; guarded by mu
}

// NewShared makes what the workers of a process share.
func NewShared() *Shared { return &Shared{services: map[string]*common{}} }

// common is what loops share of one Service port, and, of turns, all ports of a Service. Each part says who touches it and when.
type common struct {
	name   string // namespace/service:port
	loops  int    // that keep the Service; guarded by Shared.mu
	turns  *turns // with the other ports of the Service; nil until one asks for turns; guarded by Shared's mu
	inLine int    // requests that wait for their turn; guarded by turns.mu
	tokens retry.Tokens
	queue  queue
	// owners is how many requests wait for the owners of their keys.
	owners atomic.Int64
}

// of answers what loops share of a Service port, for one more loop, which is to leave it.
func (s *Shared) of(service string) *common {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.services[service]
	if c == nil {
		c = &common{name: service}
		s.services[service] = c
	}
	c.loops++
	return c
}

// turnsOf answers the turns of a port's Service: those that another port of it has already, or new ones. Of Services that ask for turns each port looks
// once for another, through all ports of all Services, which takes 25 µs at 1,000 of them.
func (s *Shared) turnsOf(c *common) *turns {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := strings.IndexByte(c.name, ':'); i > 0 && c.turns == nil {
		for name, other := range s.services {
			if other.turns != nil && strings.HasPrefix(name, c.name[:i+1]) {
				c.turns = other.turns
				break
			}
		}
	}
	if c.turns == nil {
		c.turns = &turns{lines: map[uint64]*ticket{}}
	}
	return c.turns
}

// leave is what a loop does that keeps the Service port no more. The last one to leave takes with it what they shared, so that there are never two of
// one name that anybody uses.
func (s *Shared) leave(service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.services[service]
	if c.loops--; c.loops == 0 {
		delete(s.services, service)
	}
}

// admit reports whether one more request may wait, for whatever it is; one that may is to be dismissed.
func (s *Shared) admit() bool {
	if s.pending.Add(1) > int64(s.MaxPending) && s.MaxPending > 0 {
		s.pending.Add(-1)
		return false
	}
	return true
}

func (s *Shared) dismiss() { s.pending.Add(-1) }

// proxyFull counts a request that is not admitted, and answers why.
func (r *route) proxyFull() string {
	r.stats.Limited[metrics.LimitProxyPending].Add(1)
	return fmt.Sprintf("%d requests wait in this proxy already (--max-pending)", r.w.o.Shared.MaxPending)
}
