package metrics

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Sources are what a scrape asks besides the counters.
type Sources struct {
	// Loops answers the loops' own statistics.
	Loops func() []loop.Stats
	// Discovery answers whether the source has answered at least once, since when it is not current, and how many Service
	// ports are known.
	Discovery func() (synced bool, age time.Duration, targets int)
	// Replay answers how many bytes of requests' bodies are kept, and how often some were not. It may be nil.
	Replay func() (used int64, refused uint64)
}

// Collector makes the Prometheus view of m.
func (m *Metrics) Collector(s Sources) prometheus.Collector { return &collector{m: m, s: s} }

type collector struct {
	m *Metrics
	s Sources
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
	descRequests  = desc("requests_total", "Requests by Service port and class of the final answer's status; none: no answer was sent.", "service", "code_class")
	descAttempts  = desc("attempts_total", "Attempts by how their endpoint was chosen and how they ended.", "service", "choice", "outcome")
	descRetries   = desc("retries_total", "Requests sent again, by the outcome that led to it.", "service", "reason")
	descExhausted = desc("retries_refused_total", "Retries that the retry budget refused.", "service")
	descEjections = desc("ejections_total", "Times an endpoint was taken out of use for a while because of what it answered.", "service")
	descRaces     = desc("races_total", "Attempts without an answer that were raced by a further one, by which was answered first.", "service", "winner")
	descTimeouts  = desc("timeouts_total", "Attempts and whole requests that had no answer in the time the Service allows, or a gRPC call its caller.", "service", "limit")
	descProcess   = desc("process_limited_total", "Times a limit of the process was met: an application's connection had to wait until another ended, or there was no descriptor for one to an endpoint.", "limit")
	descLimited   = desc("limited_total", "Requests refused because of a limit of the Service, or of all that may wait, or be under way, in the proxy.", "service", "limit")
	descOpaque    = desc("opaque_connections_total", "Connections balanced as a whole, without parsing.", "service")

	descGRPC = desc("grpc_calls_total", "gRPC calls by grpc-status, or, where none came, by the status that a client takes the end for.", "service", "grpc_status")

	descAccepted  = desc("downstream_connections_total", "Connections accepted from applications.")
	descOpen      = desc("downstream_connections", "Connections of applications that are open now.")
	descGuard     = desc("loop_guard_total", "Connections refused because they were made to the proxy itself.")
	descPanics    = desc("panics_total", "Panics contained; each ended one connection.")
	descConnects  = desc("upstream_connects_total", "Connections made to endpoints.", "result")
	descReuses    = desc("upstream_reuses_total", "Exchanges that began on a kept connection.")
	descUpstreams = desc("upstream_connections", "Connections to endpoints by state.", "state")
	descRefusals  = desc("refused_requests_total", "Requests answered with an error because they could not be read, by reason.", "reason")
	descViolation = desc("http2_violations_total", "HTTP/2 connections ended because the peer broke a rule or met a limit, by side and reason.", "side", "reason")
	descPass      = desc("passthroughs_total", "Connections sent on to where they were going, by reason.", "reason")
	descBytes     = desc("opaque_bytes_total", "Bytes of opaque connections and tunnels by direction.", "direction")

	descReplay  = desc("replay_bytes", "Bytes of requests' bodies that are kept so that they can be sent again.")
	descForgone = desc("replay_refused_total", "Requests whose bodies were not kept because all that is kept had reached its bound.")

	descSynced  = desc("discovery_synced", "1 when discovery has answered at least once.")
	descAge     = desc("discovery_age_seconds", "Seconds since discovery was last known to be current; 0 while it is.")
	descTargets = desc("discovery_targets", "Service ports known.")

	descTurns = desc("loop_turn_seconds", "Length of the turns of the event loops: how long a ready connection waited at most.", "loop")
	descPolls = desc("loop_polls_total", "Times an event loop asked for events.", "loop")
	descShort = desc("loop_accept_failures_total", "Times an event loop could not accept for want of descriptors or memory.", "loop")

	all = []*prometheus.Desc{descRequests, descAttempts, descRetries, descExhausted, descEjections, descRaces, descTimeouts, descLimited, descProcess, descReplay, descForgone, descOpaque, descGRPC, descAccepted, descOpen, descGuard,
		descPanics, descConnects, descReuses, descUpstreams, descRefusals, descViolation, descPass, descBytes, descSynced, descAge, descTargets,
		descTurns, descPolls, descShort}
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
	for _, d := range allSharding {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.CounterValue, v, labels...) }
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }

	c.loops(counter, gauge)
	c.services(counter, gauge)
	synced, age, targets := c.s.Discovery()
	up := 0.0
	if synced {
		up = 1
	}
	gauge(descSynced, up)
	gauge(descAge, age.Seconds())
	gauge(descTargets, float64(targets))
	if c.s.Replay != nil {
		used, refused := c.s.Replay()
		gauge(descReplay, float64(used))
		counter(descForgone, float64(refused))
	}
	for i, s := range c.s.Loops() {
		name := strconv.Itoa(i)
		counter(descPolls, float64(s.Polls), name)
		counter(descShort, float64(s.AcceptFailures), name)
		buckets := map[float64]uint64{}
		n := uint64(0)
		for b, bound := range loop.TurnBuckets {
			n += s.Turns[b]
			buckets[bound.Seconds()] = n
		}
		n += s.Turns[len(loop.TurnBuckets)]
		ch <- prometheus.MustNewConstHistogram(descTurns, n, s.Busy.Seconds(), buckets, name)
	}
}

type sender func(d *prometheus.Desc, v float64, labels ...string)

func (c *collector) loops(counter, gauge sender) {
	sum := func(f func(*Loop) *atomic.Uint64) float64 {
		var n uint64
		for _, l := range c.m.loops {
			n += f(l).Load()
		}
		return float64(n)
	}
	level := func(f func(*Loop) *atomic.Int64) float64 {
		var n int64
		for _, l := range c.m.loops {
			n += f(l).Load()
		}
		return float64(n)
	}
	counter(descAccepted, sum(func(l *Loop) *atomic.Uint64 { return &l.Accepted }))
	gauge(descOpen, level(func(l *Loop) *atomic.Int64 { return &l.Open }))
	counter(descGuard, sum(func(l *Loop) *atomic.Uint64 { return &l.LoopGuard }))
	counter(descPanics, sum(func(l *Loop) *atomic.Uint64 { return &l.Panics }))
	counter(descConnects, sum(func(l *Loop) *atomic.Uint64 { return &l.Connects }), "connected")
	counter(descConnects, sum(func(l *Loop) *atomic.Uint64 { return &l.ConnectFailures }), "failed")
	counter(descReuses, sum(func(l *Loop) *atomic.Uint64 { return &l.Reuses }))
	gauge(descUpstreams, level(func(l *Loop) *atomic.Int64 { return &l.Idle }), "idle")
	gauge(descUpstreams, level(func(l *Loop) *atomic.Int64 { return &l.Upstreams }), "active")
	counter(descBytes, sum(func(l *Loop) *atomic.Uint64 { return &l.TunnelUp }), "up")
	counter(descBytes, sum(func(l *Loop) *atomic.Uint64 { return &l.TunnelDown }), "down")
	for i, w := range processLimitNames {
		counter(descProcess, sum(func(l *Loop) *atomic.Uint64 { return &l.Limited[i] }), w)
	}
	for i, w := range c.m.words.Refusals {
		counter(descRefusals, sum(func(l *Loop) *atomic.Uint64 { return &l.Refusals[i] }), w)
	}
	for i, w := range c.m.words.Violations {
		// Those that never happened are left out.
		if n := sum(func(l *Loop) *atomic.Uint64 { return &l.Violations[i] }); n > 0 {
			counter(descViolation, n, "downstream", w)
		}
		if n := sum(func(l *Loop) *atomic.Uint64 { return &l.UpstreamViolations[i] }); n > 0 {
			counter(descViolation, n, "upstream", w)
		}
	}
	for i, w := range c.m.words.Passthroughs {
		counter(descPass, sum(func(l *Loop) *atomic.Uint64 { return &l.Passthroughs[i] }), w)
	}
}

var classNames = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// services adds up the loops' counters of each Service port. Attempts and retries that never happened are left out; they would be
// most of the page.
func (c *collector) services(counter, gauge sender) {
	c.m.mu.Lock()
	byName := map[string][]*Service{}
	for name, f := range c.m.services {
		for _, s := range f.parts {
			if s != nil {
				byName[name] = append(byName[name], s)
			}
		}
	}
	c.m.mu.Unlock()
	for name, parts := range byName {
		sum := func(f func(*Service) *atomic.Uint64) float64 {
			var n uint64
			for _, s := range parts {
				n += f(s).Load()
			}
			return float64(n)
		}
		for i, class := range classNames {
			if i != 1 {
				counter(descRequests, sum(func(s *Service) *atomic.Uint64 { return &s.Classes[i] }), name, class)
			}
		}
		for i, outcome := range c.m.words.Outcomes {
			for choice := range choices {
				if n := sum(func(s *Service) *atomic.Uint64 { return &s.Attempts[choice][i] }); n > 0 {
					counter(descAttempts, n, name, choiceNames[choice], outcome)
				}
			}
			if n := sum(func(s *Service) *atomic.Uint64 { return &s.Retries[i] }); n > 0 {
				counter(descRetries, n, name, outcome)
			}
		}
		for i := range (&Service{}).Statuses {
			if n := sum(func(s *Service) *atomic.Uint64 { return &s.Statuses[i] }); n > 0 {
				counter(descGRPC, n, name, grpcName(i))
			}
		}
		counter(descExhausted, sum(func(s *Service) *atomic.Uint64 { return &s.Refused }), name)
		counter(descEjections, sum(func(s *Service) *atomic.Uint64 { return &s.Ejections }), name)
		for i, winner := range []string{"first", "further"} {
			counter(descRaces, sum(func(s *Service) *atomic.Uint64 { return &s.Races[i] }), name, winner)
		}
		for i, limit := range []string{"attempt", "request"} {
			counter(descTimeouts, sum(func(s *Service) *atomic.Uint64 { return &s.Timeouts[i] }), name, limit)
		}
		for i, limit := range limitNames {
			counter(descLimited, sum(func(s *Service) *atomic.Uint64 { return &s.Limited[i] }), name, limit)
		}
		c.sharding(name, parts, counter, gauge)
		counter(descOpaque, sum(func(s *Service) *atomic.Uint64 { return &s.Opaque }), name)
	}
}

// grpcNames are the statuses of gRPC by number (google.golang.org/grpc/codes).
var grpcNames = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED"}

func grpcName(status int) string {
	if status < len(grpcNames) {
		return grpcNames[status]
	}
	return "other"
}
