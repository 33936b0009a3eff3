package proxy

import (
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// courseTo answers how ep was picked, where an attempt begins, and counts it where the key has picked it: a pick may come to nothing.
func (q *request) courseTo(ep *cluster.Endpoint) (c course) {
	a := &q.shard
	if a.owned != unowned && ep != a.owner.Endpoint {
		c = a.course
	}
	if a.picked == ep {
		a.picked = nil
		q.route.stats.Decisions[c.passed].Add(1)
	}
	return c
}

// tell notes that the answer of attempt a is the request's.
func (q *request) tell(a *attempt) { q.shard.told, q.shard.went = true, a.course }

// refuse notes why an answer of our own is given: what is the matter with the owner, and what the Service says of that.
func (q *request) refuse(owner, rule string) { q.shard.refused = and(owner, rule) }

// What explanations say besides of requests that were sent to nobody.
const (
	unreachable = "no endpoint can be reached"
	turnTaken   = "other requests of the key are under way"
)

// fullOwner says who is full whom a request with an owner waits for.
func (q *request) fullOwner() string {
	switch a := &q.shard; {
	case a.owned == unowned || a.owner.Member == nil:
		return "every endpoint has its most requests"
	case a.passed != metrics.ToOwner:
		return and(a.past.String(), "the next pod has its most requests")
	}
	return "owner has its most requests"
}

func and(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// keyTale says what the request's key has to do with where it went, in an explanation and in the access log. It answers the zero value where no key
// was looked for.
func (q *request) keyTale() (t explanation.Key) {
	r, a := q.route, &q.shard
	if a.keys == nil {
		return t
	}
	t.Waited = a.since != 0
	defer func() {
		if a.told {
			return
		}
		if !a.sent {
			t.To = explanation.None
		}
		t.Reason = and(t.Reason, a.refused)
	}()
	switch {
	case a.owned == bySession && r.session != nil:
		t.Session = r.session.Name
	case a.ended && a.outcome != shardkey.Found:
		t.Key, t.Reason = explanation.None, fmt.Sprintf("%s of %s", a.outcome, a.place)
	case a.owned == byKey || a.ended:
		t.Key, t.Hash = fmt.Sprint(r.keys), fmt.Sprintf("%016x", a.keys.Key().Hash)
	case r.keys != nil && !a.ended:
		t.Key = explanation.None // the look for it has not come to its end
	case r.session != nil && a.cookie:
		t.Session, t.Reason = r.session.Name, metrics.SessionNew.String()
	}
	if a.owned == unowned && (!a.ended || a.outcome != shardkey.Found) {
		return t
	}
	if m := r.shards(); m != nil && a.owned == byKey {
		t.Map = m.Place(a.keys.Key())
	}
	if a.owner.Member == nil {
		t.Owner, t.Reason = explanation.None, a.owner.Why.String()
		return t
	}
	t.Owner, t.To = a.owner.Member.Name, a.went.passed.String()
	if (a.told || a.sent) && a.went.passed != metrics.ToOwner {
		t.Reason = a.went.past.String()
	}
	return t
}
