package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// request is where one request, or one opaque connection, may go and where it has been. It belongs to its connection's loop.
type request struct {
	route *route
	pick  balancer.Request
	tried [8]*cluster.Endpoint // the first of pick.Tried
	// unsent says that no attempt so far got further than a connect.
	unsent bool
}

// begin prepares the picks of one request or connection.
func (q *request) begin(r *route) {
	q.route = r
	q.pick = r.w.pickRequest()
	q.pick.Tried = q.tried[:0]
	q.unsent = true
}

// next picks an endpoint that was not tried yet, or answers nil. A Service without any, as a destination without a Service, is
// reached at the original destination, where kube-proxy takes over; so is one none of whose endpoints could be connected to, as
// the last way out: nothing was sent yet, and what we know may be old.
func (q *request) next() (*cluster.Endpoint, metrics.Choice) {
	r := q.route
	choice := metrics.First
	if len(q.pick.Tried) > 0 {
		choice = metrics.Again
	}
	if r.target != nil {
		if s := r.target.Snapshot(); len(s.Set.Endpoints) > 0 {
			q.pick.Now = r.w.l.Now()
			if ep := s.Picker.Pick(&q.pick); ep != nil || !q.unsent {
				return ep, choice
			}
		}
	}
	ep := r.w.directTo(r.dst)
	for _, t := range q.pick.Tried {
		if t == ep {
			return nil, choice
		}
	}
	return ep, metrics.Original
}

// failed notes that the request is not to be sent to ep again, and whether it may have been sent there.
func (q *request) failed(ep *cluster.Endpoint, sent bool) {
	q.pick.Tried = append(q.pick.Tried, ep)
	q.unsent = q.unsent && !sent
}
