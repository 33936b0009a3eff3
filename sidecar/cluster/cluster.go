// Package cluster holds the nouns that discovery, balancing and the proxy share: a Service port's declared
// protocol, its endpoints, and the immutable sets they are published in. It decides nothing and opens nothing.
package cluster

import (
	"net/netip"
	"sync/atomic"
	"unique"
)

// Protocol is what a Service port declares of its bytes, by appProtocol or by the prefix of its name.
type Protocol uint8

const (
	// Undeclared leaves the answer to the first bytes. It is the zero value.
	Undeclared Protocol = iota
	// HTTP1 is declared by appProtocol http or kubernetes.io/ws and by the name http or http-….
	HTTP1
	// HTTP2 is declared by appProtocol kubernetes.io/h2c or grpc and by the names http2, h2c, grpc, …-….
	HTTP2
	// TLS is declared by appProtocol https, tls or kubernetes.io/wss and by the names https, tls, …-….
	TLS
	// Opaque is declared by appProtocol tcp and by the names tcp, mysql, redis, …: bytes nobody parses.
	Opaque
)

// String answers the word used in metrics and logs.
func (p Protocol) String() string {
	switch p {
	case HTTP1:
		return "http"
	case HTTP2:
		return "http2"
	case TLS:
		return "tls"
	case Opaque:
		return "tcp"
	}
	return "undeclared"
}

// Endpoint is one address of a Service port: a pod. Identity, and so the pointer, lasts as long as the same pod
// (UID, else address) at the same address and port stays in the published set: a set that is published anew holds the same
// pointers for those that stayed, and new ones, with a new Load, for those that come back. All fields but Load, Places and Gone are immutable.
type Endpoint struct {
	Addr     netip.AddrPort
	Name     string // the pod's name; the address where the slice names no pod
	UID      string // the pod's UID; may be empty
	Hostname string // the endpoint's hostname (StatefulSet pods); may be empty
	// Location is where it runs; many endpoints have it in common. The zero value is unknown; At reads it.
	Location unique.Handle[Location]
	// Since is when the endpoint joined a set that was in use already, in nanoseconds of the loops' clock; 0 for those that
	// were there from the beginning, of whose age nothing is known.
	Since int64

	// Load has one element for each loop of the process; element i is read and written by loop i only.
	Load []Load
	// Places are all loops'.
	Places Places
	// Gone is set once the endpoint has left the set that was published last, or the Service port has gone: what is under way goes on, and connections to it are not kept.
	Gone atomic.Bool
}

// Location is the names of a node and of its zone; "" is unknown.
type Location struct{ Node, Zone string }

// At answers where the endpoint runs.
func (e *Endpoint) At() Location {
	if e.Location == (unique.Handle[Location]{}) {
		return Location{}
	}
	return e.Location.Value()
}

// Load is what one loop knows of its own use of an endpoint. It fills a cache line, so that loops do not share any.
type Load struct {
	InFlight int64  // attempts, or opaque connections, that run now
	LastPick uint64 // the loop's pick counter when this endpoint was last picked; 0 is never
	Picks    uint64 // picks since the endpoint was first seen

	// Until SuspectUntil (nanoseconds of the loop's clock) pickers pass the endpoint over while others are left: a connect
	// failed, or it is ejected, or an attempt is under way that finds out whether it may return. It is all that pickers need
	// to look at; package outlier moves it. Fails counts failed connects in a row.
	SuspectUntil int64
	Fails        uint8

	// Bad counts bad outcomes in a row (errors answered, connections cut, lost races); Ejections how often the endpoint was
	// ejected lately, which doubles the time; Probing says that one attempt finds out whether it may return; Turns counts how often it
	// went out or came back. They are package outlier's.
	Ejections uint8
	Probing   bool
	Bad       uint16
	Turns     uint16

	// Latency is the peak EWMA of the time to an answer's head in nanoseconds, as of LatencyAt (0: no answer yet); AskedAt is
	// when the endpoint was first picked since its last answer (0: not since). They are package balancer's.
	Latency   float64
	LatencyAt int64
	AskedAt   int64
}

// NewEndpoint makes an endpoint for a process of that many loops.
func NewEndpoint(addr netip.AddrPort, loops int) *Endpoint {
	return &Endpoint{Addr: addr, Name: addr.String(), Load: make([]Load, loops)}
}

// EndpointSet is the endpoints of one Service port that may be picked at one moment. It is immutable once published.
type EndpointSet struct {
	// Generation grows with each publication for the same Service port.
	Generation uint64
	// Endpoints are the ready ones; when there are none, those that still serve while they terminate (KEP-1669);
	// it may be empty. The order is by address and has no meaning.
	Endpoints []*Endpoint
	// Terminating says that Endpoints are the serving, terminating ones.
	Terminating bool
	// Hints has one element for each of Endpoints, or is nil where none has a hint.
	Hints []unique.Handle[Hints]
	// Weights has one element for each of Endpoints, or is nil where all are 1: what pods and EndpointSlices say of their shares. Like
	// hints they change while the pod stays. A weight that the Service gives by name goes before.
	Weights []uint32
}

// Leave says which endpoints are gone when next is published where this set was; an empty one stands for none. Both are in the order of addresses. In the order in which they are
// published, one at a time.
func (s *EndpointSet) Leave(next *EndpointSet) {
	rest := next.Endpoints
	for _, e := range s.Endpoints {
		for len(rest) > 0 && rest[0].Addr.Compare(e.Addr) < 0 {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0] != e {
			e.Gone.Store(true)
		}
	}
	for _, e := range next.Endpoints {
		if e.Gone.Load() { // it has come back, or the order was another one
			e.Gone.Store(false)
		}
	}
}

// Hints say for which clients an EndpointSlice means an endpoint. They change while the pod stays, so they belong to the set.
type Hints struct {
	Zones, Nodes string // names, a space between two; "" is none
}
