package proxy

import (
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// A process may have a limit to the requests that are under way in it (--max-requests), whatever they wait for. A request of HTTP/1.x is from its
// head on until its answer has gone out, or until the tunnel that it opened ends; what its client still sends behind an answer that refused
// it is only the connection's. A stream is until both its sides have ended. One that is sent to more than one endpoint is under way once. Loops
// count together: a share for each would refuse at one loop what another has room for, as connections are not shared out evenly.

// enter reports whether one more request may be under way on a connection that carries one at a time; one that may is to exit.
func (r *route) enter() bool {
	s := r.w.o.Shared
	if s.MaxRequests == 0 {
		return true
	}
	r.underWay = s.underWay.Take(int64(s.MaxRequests))
	return r.underWay
}

// exit ends what enter began, unless a tunnel goes on with it: then endTunnel comes back, which the connection's end does in any case.
func (r *route) exit() {
	if r.underWay && r.tunnel == nil {
		r.underWay = false
		r.w.o.Shared.underWay.Give()
	}
}

// enter is the same for a stream, which exits by itself.
func (s streams) enter(x *h2.Exchange) bool {
	k := s.w.o.Shared
	if k.MaxRequests == 0 {
		return true
	}
	if !k.underWay.Take(int64(k.MaxRequests)) {
		return false
	}
	x.Place = &k.underWay
	return true
}

// crowded counts a request that may not enter, and answers why.
func (r *route) crowded() string {
	r.stats.Limited[metrics.LimitProxyRequests].Add(1)
	return fmt.Sprintf("%d requests are under way in this proxy already (--max-requests)", r.w.o.Shared.MaxRequests)
}
