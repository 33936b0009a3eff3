// Package metrics holds every metric family of the sidecar. Loops count into structs of their own, each field written by one
// loop; a scrape adds them up. No label is looked up on a request's way, and the label "service" has only the values of the
// Services this pod calls: those that a loop uses, until it leaves them.
package metrics

import (
	"sync"
	"sync/atomic"
)

// Metrics are the process's counters. Safe for concurrent use.
type Metrics struct {
	words Words
	loops []*Loop

	mu       sync.Mutex
	services map[string]*family // by name; guarded by mu
}

// Words are the values of labels whose packages stand above this one, in the order of their numbers.
type Words struct {
	Refusals     []string // why a request was refused as unreadable
	Outcomes     []string // how attempts end
	Passthroughs []string // why a connection passed through
	Violations   []string // why an HTTP/2 connection was ended
	Keys         []string // how looking for the key of a request ends
}

// family is what the loops count of one Service port. Its parts stay until no loop uses any of them: a sum that lost one of them would fall, and who
// reads it would take the rest for what has happened since.
type family struct {
	parts []*Service // by loop; nil is of one that never used it
	users int        // loops
}

// New makes the counters of a process with that many loops.
func New(loops int, w Words) *Metrics {
	m := &Metrics{words: w, services: map[string]*family{}}
	for range loops {
		m.loops = append(m.loops, &Loop{
			Refusals:     make([]atomic.Uint64, len(w.Refusals)),
			Passthroughs: make([]atomic.Uint64, len(w.Passthroughs)),

			Violations:         make([]atomic.Uint64, len(w.Violations)),
			UpstreamViolations: make([]atomic.Uint64, len(w.Violations)),
		})
	}
	return m
}

// Loop is what one loop counts of itself.
type Loop struct {
	Accepted, LoopGuard, Panics       atomic.Uint64
	Open                              atomic.Int64 // downstream connections
	Connects, ConnectFailures, Reuses atomic.Uint64
	Idle                              atomic.Int64 // upstream connections kept for later
	Upstreams                         atomic.Int64 // upstream connections in use
	Refusals                          []atomic.Uint64
	Passthroughs                      []atomic.Uint64
	TunnelUp, TunnelDown              atomic.Uint64
	// Violations are HTTP/2 connections that were ended because their peer, an application or an endpoint, broke a rule.
	Violations, UpstreamViolations []atomic.Uint64
	Limited                        [processLimits]atomic.Uint64 // what met a limit of the process
}

// ProcessLimit says which limit of the process was met.
type ProcessLimit uint8

// The limits: as many connections of applications are open as may be, and one had to wait; there was no descriptor for a connection to
// an endpoint.
const (
	LimitConnections ProcessLimit = iota
	LimitDescriptors

	processLimits
)

var processLimitNames = [processLimits]string{"max-connections", "descriptors"}

// Loop answers the counters of loop i.
func (m *Metrics) Loop(i int) *Loop { return m.loops[i] }

// Choice says how an attempt's endpoint was come by.
type Choice uint8

// The choices: picked for the first attempt, for a further one, or the original destination because there was none to pick.
const (
	First Choice = iota
	Again
	Original

	choices
)

var choiceNames = [choices]string{"first", "again", "original"}

// Limit says which limit a request met.
type Limit uint8

// The limits: more requests wait for an endpoint than may, or one has waited for too long, or more wait in the proxy for anything, or are under way
// in it; or every endpoint has its most connections that are passed on as they are, which do not wait.
const (
	LimitPending Limit = iota
	LimitQueue
	LimitProxyPending
	LimitProxyRequests
	LimitOpaque

	limits
)

var limitNames = [limits]string{"pending", "queue-timeout", "proxy-pending", "proxy-requests", "opaque-connections"}

// String answers the word used in metrics and answers.
func (l Limit) String() string { return limitNames[l] }

// Service is what one loop counts of one Service port.
type Service struct {
	used bool // the loop uses it; guarded by Metrics.mu

	Classes  [6]atomic.Uint64 // final answers by status class; 0 is none
	Attempts [choices][]atomic.Uint64
	Retries  []atomic.Uint64 // by the outcome that led to them
	Refused  atomic.Uint64   // retries the budget refused, once for each attempt
	// Ejections counts how often an endpoint was taken out for what it answered.
	Ejections atomic.Uint64
	Races     [2]atomic.Uint64      // attempts without an answer that were raced, by the winner: the first or the further attempt
	Timeouts  [2]atomic.Uint64      // attempts, and requests, without an answer in their time
	Limited   [limits]atomic.Uint64 // requests refused because of a limit
	Opaque    atomic.Uint64         // connections that were not parsed

	// Statuses are gRPC calls by grpc-status; the last one is any other.
	Statuses [18]atomic.Uint64

	Sharding
}

// Service answers loop i's counters of the Service port of that name, which are the loop's until it calls Leave. It makes them where there are none,
// and else they go on from where they were.
func (m *Metrics) Service(name string, i int) *Service {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.services[name]
	if f == nil {
		f = &family{parts: make([]*Service, len(m.loops))}
		m.services[name] = f
	}
	s := f.parts[i]
	if s == nil {
		s = &Service{Retries: make([]atomic.Uint64, len(m.words.Outcomes)),
			Sharding: Sharding{Keys: make([]atomic.Uint64, len(m.words.Keys))}}
		for c := range s.Attempts {
			s.Attempts[c] = make([]atomic.Uint64, len(m.words.Outcomes))
		}
		f.parts[i] = s
	}
	if !s.used {
		s.used = true
		f.users++
	}
	return s
}

// Leave says that loop i counts nothing more of the Service port of that name, unless it asks for its counters again. Once all loops that did have
// left, it is on the page no more.
func (m *Metrics) Leave(name string, i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.services[name]
	if f == nil || f.parts[i] == nil || !f.parts[i].used {
		return
	}
	f.parts[i].used = false
	if f.users--; f.users == 0 {
		delete(m.services, name)
	}
}

// Answered counts a final answer's status.
func (s *Service) Answered(status int) {
	class := status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	s.Classes[class].Add(1)
}

// GRPC counts a call's grpc-status.
func (s *Service) GRPC(status int) {
	if status < 0 || status >= len(s.Statuses) {
		status = len(s.Statuses) - 1
	}
	s.Statuses[status].Add(1)
}
