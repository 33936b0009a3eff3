package proxy

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// Shared is what the workers of a process share of its Services, so that what a Service asks of a proxy holds for the proxy and not for
// each loop. A request asks a Worker's own map for its Service's part; nothing here is looked up or locked on its way.
type Shared struct {
	mu       sync.Mutex
	services map[string]*common // by name; guarded by mu
}

// NewShared makes what the workers of a process share.
func NewShared() *Shared { return &Shared{services: map[string]*common{}} }

// common is what loops share of one Service port. Each part says who touches it and when.
type common struct {
	turns  turns
	tokens retry.Tokens
	queue  queue
	// owners is how many requests wait for the owners of their keys.
	owners atomic.Int64
}

func (s *Shared) of(service string) *common {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.services[service]
	if c == nil {
		c = &common{turns: turns{lines: map[uint64]*ticket{}}}
		s.services[service] = c
	}
	return c
}
