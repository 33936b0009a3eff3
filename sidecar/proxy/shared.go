package proxy

import (
	"fmt"
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

// common is what loops share of one Service port. Each part says who touches it and when.
type common struct {
	loops  int // that keep the Service; guarded by Shared.mu
	turns  turns
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
		c = &common{turns: turns{lines: map[uint64]*ticket{}}}
		s.services[service] = c
	}
	c.loops++
	return c
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
