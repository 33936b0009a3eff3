// Package discovery turns an original destination into a Target: the Service port behind it and its endpoints, kept
// current. kube and files below it are the two sources. Loops only read: a Target publishes each change as one
// immutable Snapshot behind an atomic pointer.
package discovery

import (
	"context"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Snapshot is everything a request needs to know of a Service port, as of one moment. Immutable once published.
type Snapshot struct {
	Protocol cluster.Protocol
	Rules    *rules.Rules // what the Service asks for; never nil once published
	Set      *cluster.EndpointSet
	Picker   balancer.Picker // over Set
	// Shard says who owns which key; nil for a Service without a shard key and without a session's cookie.
	Shard *shard.Map
}

// Target is one Service port. It is safe for concurrent use.
type Target struct {
	Namespace string
	Service   string
	Port      uint16
	PortName  string
	// Name is "namespace/service:port", the value of the label "service" in metrics and of the key "cluster" in logs.
	Name string

	// ServerFirst is set when a connection was seen on which the server spoke first, so that later ones need not wait.
	ServerFirst atomic.Bool
	// ClientFirst is set when a connection was seen on which the client spoke first, so that later ones are given more time
	// before an endpoint is dialled in case it is the server's turn.
	ClientFirst atomic.Bool
	// HTTP2 is set when an endpoint that was asked has answered HTTP/2, or nothing, and cleared when one is found not to speak it. While it is
	// not set, clients of HTTP/2 wait until an endpoint was asked.
	HTTP2 atomic.Bool

	removed  atomic.Bool
	snapshot atomic.Pointer[Snapshot]
	holds    atomic.Int64 // connections that use the target; negative once retired
	lastUse  atomic.Int64 // Unix nanoseconds of the last Release
	watchers watchers
}

// NewTarget makes a target that already has a snapshot.
func NewTarget(namespace, service, portName string, port uint16, s *Snapshot) *Target {
	t := &Target{Namespace: namespace, Service: service, Port: port, PortName: portName,
		Name: namespace + "/" + service + ":" + strconv.Itoa(int(port))}
	t.Publish(s)
	t.lastUse.Store(time.Now().UnixNano())
	return t
}

// Snapshot answers the newest snapshot; never nil.
func (t *Target) Snapshot() *Snapshot { return t.snapshot.Load() }

// Publish replaces the snapshot, and tells those who watch. One without rules is given the defaults.
func (t *Target) Publish(s *Snapshot) {
	if s.Rules == nil {
		s.Rules = rules.Default()
	}
	if old := t.snapshot.Swap(s); old != nil && old.Set != nil && s.Set != nil {
		old.Set.Leave(s.Set)
	}
	t.watchers.tell()
}

// Remove says that the Service, or this address or port of it, exists no more, or that the source may no longer be asked
// about it. The last snapshot stays. Those who watch are told.
func (t *Target) Remove() {
	t.removed.Store(true)
	t.watchers.tell()
}

// Removed reports whether the target no longer is what its destination leads to, and is no longer kept current. Those
// who hold it go on with its last snapshot, or look the destination up again.
func (t *Target) Removed() bool { return t.removed.Load() }

// Hold keeps the target's watches alive until Release. It reports false when the target was retired: ask again then.
func (t *Target) Hold() bool {
	for {
		n := t.holds.Load()
		if n < 0 {
			return false
		}
		if t.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends one Hold.
func (t *Target) Release() {
	t.lastUse.Store(time.Now().UnixNano())
	t.holds.Add(-1)
}

// Idle reports whether nobody holds the target and nobody used it since the given time.
func (t *Target) Idle(unusedSince time.Time) bool {
	return t.lastUse.Load() < unusedSince.UnixNano() && t.holds.Load() == 0
}

// Retire marks a target that nobody holds and nobody used since the given time; it reports whether it did.
func (t *Target) Retire(unusedSince time.Time) bool {
	return t.lastUse.Load() < unusedSince.UnixNano() && t.holds.CompareAndSwap(0, -1<<40)
}

// Answer is what is known of an original destination.
type Answer struct {
	// Target is the Service port, held for the caller, who calls Release once; nil where there is none.
	Target *Target
	// Reason says why Target is nil.
	Reason Reason
}

// Reason says why a destination has no target, and so passes through.
type Reason uint8

const (
	// Found is the zero value: there is a target.
	Found Reason = iota
	// Pending is Lookup's answer for a destination that was not resolved yet.
	Pending
	// UnknownService means that no Service has this address.
	UnknownService
	// UnknownPort means that the Service has no such TCP port.
	UnknownPort
	// Unavailable means that the source (the API server) did not answer.
	Unavailable
	// SessionAffinity means that the Service asks for sessionAffinity ClientIP. Only kube-proxy keeps that promise the same
	// for all clients, so it does.
	SessionAffinity
	// NodeLocal means that the Service asks for internalTrafficPolicy Local, which is kube-proxy's to keep.
	NodeLocal
	// OtherProxy means that the Service names another proxy in the label service.kubernetes.io/service-proxy-name.
	OtherProxy
	// Forbidden means that the source (the API server) refuses to answer: there is no permission for the Service or its
	// endpoints, or there is no longer any.
	Forbidden

	// LastReason is the last of the above.
	LastReason = Forbidden
)

// String answers the word used in metrics and logs.
func (r Reason) String() string {
	switch r {
	case Pending:
		return "pending"
	case UnknownService:
		return "unknown-service"
	case UnknownPort:
		return "unknown-port"
	case Unavailable:
		return "discovery-unavailable"
	case SessionAffinity:
		return "session-affinity"
	case NodeLocal:
		return "internal-traffic-policy"
	case OtherProxy:
		return "service-proxy-name"
	case Forbidden:
		return "discovery-forbidden"
	}
	return "found"
}

// Resolver is a source of targets.
type Resolver interface {
	// Lookup answers at once from what is known; Reason is Pending where Resolve has to ask. It takes no lock and is
	// called on loops.
	Lookup(dst netip.AddrPort) Answer
	// Resolve finds out and calls done exactly once, from any goroutine and possibly before it returns. It does not
	// block; the caller bounds its own waiting, and gives back a late answer's target by Release.
	Resolve(dst netip.AddrPort, done func(Answer))
	// Run keeps targets current until ctx ends. Lookup and Resolve may be called before it.
	Run(ctx context.Context) error
	// Status answers the state for readiness and metrics.
	Status() Status
}

// Status is a source's state.
type Status struct {
	Source  string        // "kube" or "files"
	Synced  bool          // the source has answered at least once
	Age     time.Duration // since the source was last known to be current: 0 while its watches are up
	Targets []*Target     // all current targets, by name

	// Problems are what the source offers and cannot be used at present, a sentence each, sorted: a broken file, a wrong
	// annotation, a missing permission.
	Problems []string
}
