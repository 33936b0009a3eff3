package proxy

import (
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// sharding is what a worker keeps of the keys of one Service port.
type sharding struct {
	keys    *shardkey.Spec    // where keys are; nil is none
	session *shardkey.Session // nil is none
	turns   *turns            // nil where a key's requests need not go one at a time
}

// follow reads what new rules say.
func (s *sharding) follow(with *Shared, c *common, r *rules.Rules) {
	*s = sharding{keys: r.Shard.Keys(), session: r.Shard.Session()}
	if r.Shard.Serialize && s.keys != nil {
		s.turns = with.turnsOf(c)
	}
}

// affinity is what the key of a request, or its session, says of where it may go. The zero value says nothing.
type affinity struct {
	// keys is lent to the request from look to leave; the key's text is in it.
	keys  *shardkey.Extraction
	ended bool // of the look for the key: outcome holds
	// outcome is how that ended, and place the part of the key that decided it.
	outcome shardkey.Outcome
	place   string
	owned   ownership
	owner   shard.Owner       // as of the last pick
	course                    // how the last pick came about
	picked  *cluster.Endpoint // by that, for its owner or past it, and not begun yet
	// away says that the last pick found that the owner cannot be used, or that there is none for the key, and that nobody else may be.
	away   bool
	cookie bool  // the request's path is one that the session's cookie is for
	since  int64 // when the first wait for the owner began; 0 is not yet
	tries  int   // attempts that such waits led to
	ticket *ticket
	// sent says that an attempt got further than a connect, and told that an endpoint's answer is passed on; went is how the pick of that attempt,
	// the last one, came about. refused is why an answer of our own is given.
	sent, told bool
	went       course
	refused    string
	// scattering says that the request goes to every endpoint once its body has come; reading, that a stream waits for its body.
	scattering, reading bool
}

// course is how a pick by key came about. The zero value is the owner's own.
type course struct {
	passed metrics.Decision
	past   past // why not to the owner
}

// ownership says what fixes a request's endpoint.
type ownership uint8

const (
	unowned ownership = iota
	byKey
	bySession
)

// refusal is an answer of our own; without status it is none.
type refusal struct {
	status, grpc int
	text         string
}

// sharded reports whether the request may have an owner.
func (q *request) sharded() bool {
	r := q.route
	return (r.keys != nil || r.session != nil) && r.shards() != nil
}

// look looks for the key in the request's head. The answer is NeedMore where the rest of it is in the body.
func (q *request) look(src shardkey.Source) shardkey.Outcome {
	a := &q.shard
	a.keys = q.route.w.lend()
	if s := q.route.session; s != nil {
		a.cookie = s.Covers(src.Target())
	}
	if q.route.keys == nil {
		return shardkey.Absent
	}
	return a.keys.Begin(q.route.keys, src)
}

// found takes the end of the look for the key: from here on the request has an owner, or goes wherever the policy says, or is refused.
func (q *request) found(o shardkey.Outcome, src shardkey.Source) refusal {
	r, a := q.route, &q.shard
	if r.keys != nil {
		a.ended, a.outcome, a.place = true, o, a.keys.Place()
		r.stats.Keys[o].Add(1)
		if m := r.shards(); m == nil {
			return refusal{} // keys are asked for no longer
		} else if o == shardkey.Found {
			a.owner = m.Owner(a.keys.Key())
			why := a.owner.Why
			if !unlisted(why) {
				a.owned = byKey
				return refusal{}
			}
			if q.rules.Shard.NoKey == rules.KeyReject {
				return q.keyless(400, lacks[why])
			}
			r.stats.Decisions[metrics.Unowned].Add(1)
		} else if rule := q.rules.Shard.NoKey; o == shardkey.NoMemory {
			if insists(&q.rules.Shard) {
				ref := q.keyless(503, misses[o])
				ref.grpc = codeUnavailable // it is no fault of the request's
				return ref
			}
		} else if o == shardkey.TooLarge {
			if q.rules.Shard.Overflow == rules.KeyReject {
				return q.keyless(413, misses[o])
			}
		} else if rule == rules.KeyReject {
			return q.keyless(400, misses[o])
		}
	}
	if r.session != nil && a.cookie {
		m := r.shards()
		if m != nil && a.keys.Session(r.session, src, func(value []byte) bool { return m.Resume(value).Endpoint != nil }) {
			a.owned = bySession
		}
	}
	return refusal{}
}

// insists reports whether a Service would rather have a request refused than sent to a pod that may not own its key.
func insists(s *rules.Shard) bool {
	return s.Fallback != rules.FallOver || s.Serialize || s.NoKey == rules.KeyReject || s.Overflow == rules.KeyReject
}

// misses says of each outcome what it means of the place where the key was to be, and lacks of a key what it is to its map.
var misses = [shardkey.LastOutcome + 1]string{
	shardkey.Absent:     "is not there",
	shardkey.Several:    "is there more than once, with different values",
	shardkey.Bad:        "cannot be read",
	shardkey.TooLarge:   "is not in the first 64 KiB of the body (sluice.mesh/shard-overflow: reject)",
	shardkey.Unreadable: "is in a body whose encoding is not read",
	shardkey.NoMemory:   "may be in the body, and no memory is left in this proxy to look into it",
}

var lacks = [shard.LastWhy + 1]string{
	shard.NoEntry: "has a value that the Service's map has no entry for",
	shard.NoPlace: "is no latitude and longitude",
}

// unlisted reports whether a map has nothing for a key, which goes like one that is missing.
func unlisted(why shard.Why) bool { return lacks[why] != "" }

// disowned reports whether a request that had an owner, or was to have one, is refused as the map has nothing for its key any more.
func (q *request) disowned(o shard.Owner) bool {
	return q.shard.owned == byKey && unlisted(o.Why) && q.rules.Shard.NoKey == rules.KeyReject
}

// disown is the answer to such a request.
func (q *request) disown() refusal {
	q.route.stats.Decisions[metrics.OwnerAway].Add(1)
	return q.keyless(400, lacks[q.shard.owner.Why])
}

// codeInvalid is gRPC's INVALID_ARGUMENT.
const codeInvalid = 3

func (q *request) keyless(status int, what string) refusal {
	return refusal{status, codeInvalid, fmt.Sprintf("requests to %s need a shard key, which is %s (sluice.mesh/shard-key): %s %s",
		q.route.name(), q.rules.Shard.Keys(), q.shard.place, what)}
}

// ownerIn answers who owns the request in a map.
func (q *request) ownerIn(m *shard.Map) shard.Owner {
	key := q.shard.keys.Key()
	if q.shard.owned == bySession {
		return m.Resume(key.Text)
	}
	return m.Owner(key)
}

// nextOwner is next for a request that has an owner. Without ok the policy chooses.
func (q *request) nextOwner(s *discovery.Snapshot) (ep *cluster.Endpoint, ok bool) {
	a := &q.shard
	o := q.ownerIn(s.Shard)
	a.owner, a.away, q.full = o, false, false
	switch {
	case q.disowned(o):
		a.away = true // and awaitOwner says why
		return nil, true
	case o.Member == nil && (a.owned == bySession || unlisted(o.Why)):
		return nil, false
	case q.rules.Shard.Fallback == rules.FallOver:
		ep, ok = q.failOver(s, o)
	default:
		ep, ok = q.ownerAlone(o), true
	}
	if ep != nil && !q.take(ep) {
		return nil, true // another loop was faster
	}
	if ep != nil {
		q.pick.Now = q.route.w.l.Now()
		q.pick.Take(ep)
		a.picked = ep
	}
	return ep, ok
}

// ownerAlone answers the owner, or nil where it cannot be used at present.
func (q *request) ownerAlone(o shard.Owner) *cluster.Endpoint {
	a := &q.shard
	a.passed = metrics.ToOwner
	switch ep := o.Endpoint; {
	case ep == nil, slices.Contains(q.pick.Tried, ep):
		a.away = true
	case q.fullAt(ep):
		q.full = true
	default:
		return ep
	}
	return nil
}

// failOver answers the first in the key's order that was not tried, is in good health and not too busy; or else one that is; or
// else one that was not tried. One in good health that has as many requests as it may is waited for: it is no reason to give its keys to another.
func (q *request) failOver(s *discovery.Snapshot, o shard.Owner) (*cluster.Endpoint, bool) {
	a, w := &q.shard, q.route.w
	if o.Member == nil {
		q.route.stats.Decisions[metrics.Unowned].Add(1)
		return nil, false
	}
	a.passed = metrics.ToOwner
	now := w.l.Now()
	if ep := o.Endpoint; ep != nil && len(q.pick.Tried) == 0 && q.rules.Shard.BoundedLoad <= 1 && w.load(ep).SuspectUntil <= now && !q.fullAt(ep) {
		return ep, true // as nearly always
	}
	along := s.Shard.From(a.keys.Key(), o)
	var busy, spare *cluster.Endpoint
	bound := loadBound{of: s.Shard, on: q.rules.Shard.BoundedLoad > 1 && a.owned == byKey, loop: w.l.Index(), now: now}
	for o.Member != nil {
		ep, to, why := o.Endpoint, metrics.FailedOver, pastDown
		if ep != nil && slices.Contains(q.pick.Tried, ep) {
			why = pastTried
		} else if ep != nil {
			load := w.load(ep)
			switch well := load.SuspectUntil <= now; {
			case well && bound.met(load):
				to, why = metrics.PastBusy, pastBusy
				if busy == nil {
					busy = ep
				}
			case well && q.fullAt(ep):
				q.full = true
				return nil, true
			case well:
				return ep, true
			default:
				why = pastSuspect
				if spare == nil {
					spare = ep
				}
			}
		}
		if a.passed == metrics.ToOwner {
			a.course = course{to, why}
		}
		if a.owned == bySession {
			return nil, false
		}
		o = along.Next()
	}
	if busy != nil {
		spare = busy // much to do is better than ill health
	}
	if spare != nil && q.fullAt(spare) {
		q.full = true
		return nil, true
	}
	if spare != nil && spare == a.owner.Endpoint {
		a.passed = metrics.ToOwner
	}
	return spare, spare != nil || !q.unsent
}

// past is why a request goes past its owner.
type past uint8

const (
	pastBusy past = iota
	pastDown
	pastSuspect
	pastTried
)

var pasts = [...]string{"owner has more than its share", "owner is not ready", "owner fails", "owner was tried"}

// String answers what an explanation says of it.
func (p past) String() string { return pasts[p] }

// lend answers an Extraction that nobody uses.
func (w *Worker) lend() *shardkey.Extraction {
	k := len(w.keys)
	if k == 0 {
		return &shardkey.Extraction{}
	}
	x := w.keys[k-1]
	w.keys = w.keys[:k-1]
	return x
}

// keysKept bounds the Extractions that are kept.
const keysKept = 256

// leave ends what the request has of its key, at the latest when the request ends. It may be called more than once.
func (q *request) leave() {
	a, w := &q.shard, q.route.w
	if a.ticket != nil {
		a.ticket.done()
		a.ticket = nil
	}
	if a.keys == nil {
		return
	}
	a.keys.Release()
	if len(w.keys) < keysKept {
		w.keys = append(w.keys, a.keys)
	}
	a.keys, a.owned = nil, unowned
}
