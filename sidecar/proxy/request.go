package proxy

import (
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// request is where one request, or one opaque connection, may go and where it has been. It belongs to its connection's loop.
type request struct {
	route *route
	rules *rules.Rules // of the Service when the request began
	pick  balancer.Request
	began int64 // the loop's clock
	// within is how long the request may take to the head of its answer, waits and all attempts included; 0 is without limit.
	within time.Duration
	tried  [8]*cluster.Endpoint // the first of pick.Tried
	// unsent says that no attempt so far got further than a connect.
	unsent bool
	// pardons are the endpoints, the first pardoned of them, that may be asked again since it was a kept connection that failed; cut says
	// that one of these was cut.
	pardons  [4]*cluster.Endpoint
	pardoned int
	cut      bool
	// limit is how many attempts the process may have at one endpoint at a time, 0 without limit; full says that the last pick found
	// none but for that. A pick takes a place, at placed, which start makes the attempt's.
	limit  int64
	full   bool
	placed *cluster.Endpoint
	queued int64 // when the request began to wait for room or for its turn the first time; 0 is not yet
	// conns is how many HTTP/2 connections this loop may have to one endpoint, 0 without limit; connsFull says that full is due to that.
	conns     int
	connsFull bool
	// crowded says that the request waits for room behind an attempt that ended with behind, for which it is counted once it is sent again.
	crowded bool
	behind  classify.Outcome
	// begun counts the attempts, and ended how they did; nested says that the request is itself a further attempt of a proxy before us, and before how many of
	// that one's came before it, which ours are counted on from: proxies behind us are to know.
	begun  int
	ended  classify.Count
	nested bool
	before int
	trace  trace
	shard  affinity
	// extra counts the further attempts that cost budget; unspent says that one of these was seen by nobody, so that the next costs nothing.
	extra   int
	unspent bool
	// fresh says that a kept connection has failed: over HTTP/1.x further attempts go on new ones, as the others may be dead as well.
	fresh bool
	// ranOut says that the last again found no endpoint that was not tried, and rounds how often the request has begun anew for it.
	ranOut bool
	rounds int
	// enough says that an endpoint has asked that there be no further attempt.
	enough bool
	// resting are the endpoints that have asked to be left alone for a while.
	resting []resting

	// doubts are attempts that were answered in a way that speaks against their endpoints or against the request, whichever the
	// further attempts show; see settle.
	doubts [4]doubt
	unsure int  // how many there are
	better bool // another endpoint answered the request well
}

type doubt struct {
	ep    *cluster.Endpoint
	since outlier.Since
	heard bool // with the head of an answer
}

// attempt is one try of a request at an endpoint, in any protocol.
type attempt struct {
	ep      *cluster.Endpoint
	choice  metrics.Choice
	since   outlier.Since
	began   int64 // the loop's clock, once there was a connection
	reused  bool  // on a connection that was kept
	heard   bool  // the head of an answer came
	came    int64 // when that came; 0 is not yet
	owed    bool  // its time was over before the client had sent the request whole
	outcome classify.Outcome
	status  int
	after   time.Duration // how long the endpoint asked to be left alone
	place   *queue        // who waits for the place that it takes; nil takes none
	room    *queue        // who waits for room on its connection; nil is nobody
	course  course        // how its pick came about, of a request with an owner
	unsent  bool          // its time was over before there was a connection to send it on
	refused bool          // the budget refused it a rival
	stays   bool          // it waits for room where no further connection could be made, for want of another endpoint
	err     error
}

// begin prepares the picks of one request or connection.
func (q *request) begin(r *route) {
	q.route = r
	q.rules = r.settings()
	q.pick = r.w.pickRequest()
	q.pick.Client, q.pick.Destination = r.client, r.dst.Addr()
	q.pick.Now = r.w.l.Now()
	q.pick.Tried = q.tried[:0]
	q.began = q.pick.Now
	q.within = q.rules.Timeout
	q.unsent, q.pardoned, q.cut = true, 0, false
	q.ranOut, q.rounds, q.enough = false, 0, false
	q.resting = q.resting[:0]
	q.extra, q.unspent, q.fresh = 0, false, false
	q.unsure, q.better = 0, false
	q.limit, q.full, q.placed, q.queued, q.crowded = 0, false, nil, 0, false
	q.conns, q.connsFull = 0, false
	q.begun, q.nested, q.before = 0, false, 0
	q.ended = classify.Count{}
	q.trace.reset()
	q.shard = affinity{}
}

// next picks an endpoint that was not tried yet, or answers nil. A Service without any, as a destination without a Service, is
// reached at the original destination, where kube-proxy takes over; so is one none of whose endpoints could be connected to, as
// the last way out: nothing was sent yet, and what we know may be old.
func (q *request) next() (*cluster.Endpoint, metrics.Choice) {
	r := q.route
	q.unpick()
	choice := metrics.First
	if len(q.pick.Tried) > 0 {
		choice = metrics.Again
	}
	if r.target != nil {
		s := r.target.Snapshot()
		if q.shard.owned != unowned && s.Shard != nil {
			if ep, ok := q.nextOwner(s); ok {
				return ep, choice
			}
		}
		if len(s.Set.Endpoints) > 0 {
			q.pick.Now = r.w.l.Now()
			ep := s.Picker.Pick(&q.pick)
			if q.bounded() {
				ep = q.below(s.Picker, ep)
			}
			if ep != nil || !q.unsent || q.full {
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
	q.unsent = q.unsent && !sent
	if !slices.Contains(q.pick.Tried, ep) {
		q.pick.Tried = append(q.pick.Tried, ep)
	}
}

// beside picks an endpoint for an attempt beside a, which runs; that costs budget. It answers nil where there is none for now.
// It may be asked often: what is sure to come to nothing costs no pick, and is counted as refused once for a.
func (q *request) beside(a *attempt) (*cluster.Endpoint, metrics.Choice) {
	if !q.untried(a.ep) {
		return nil, 0
	}
	if !q.affords() {
		if !a.refused {
			a.refused = true
			q.route.stats.Refused.Add(1)
		}
		return nil, 0
	}
	q.failed(a.ep, true)
	rival, choice := q.next()
	if rival == nil || choice == metrics.Original || !q.withdraw() {
		q.unpick()
		return nil, 0
	}
	q.route.stats.Retries[classify.LostRace].Add(1)
	return rival, choice
}

// besides notes that an attempt beside another one has failed. A kept connection is pardoned as in again, and what nobody saw costs nothing.
func (q *request) besides(a *attempt) {
	if !a.reused || !q.pardon(a.ep, a.outcome) {
		q.failed(a.ep, a.outcome != classify.ConnectFailed)
	}
	q.unspent = q.unspent || a.outcome == classify.ConnectFailed || a.outcome == classify.Unprocessed
}

// start begins an attempt at ep, which counts as in flight until the attempt's done.
func (q *request) start(ep *cluster.Endpoint, choice metrics.Choice) attempt {
	w := q.route.w
	load, now := w.load(ep), w.l.Now()
	load.InFlight++
	q.begun++
	return attempt{ep: ep, choice: choice, began: now, since: outlier.Began(load, now, outlier.Settings(q.rules.Ejection)), place: q.settled(ep), room: q.room(),
		course: q.courseTo(ep)}
}

// done ends an attempt's count, with a.outcome.
func (q *request) done(a *attempt) {
	load, now := q.route.w.load(a.ep), q.route.w.l.Now()
	if !a.heard {
		balancer.GaveUp(load, now-a.began, now)
	}
	if !slices.Contains(q.doubts[:q.unsure], doubt{a.ep, a.since, a.heard}) {
		outlier.Silent(load, a.since, now, a.heard) // where it said something it is of the past
	}
	load.InFlight--
	q.route.w.giveUpPlace(a.ep, &a.place)
	if a.room != nil {
		a.room.free(q.route.w.l)
		a.room = nil
	}
	q.trace.add(a, now)
	q.ended[a.outcome]++
	if !q.shard.told && !a.unsent && a.outcome != classify.ConnectFailed {
		q.shard.sent, q.shard.went = true, a.course
	}
	q.route.stats.Attempts[a.choice][a.outcome].Add(1)
}

// health answers what an attempt without an answer says of its endpoint: nothing, where the client kept it waiting.
func (a *attempt) health() classify.Health {
	if a.owed {
		return classify.Silent
	}
	return classify.HealthOf(a.outcome, 0, a.reused)
}

// took answers how long the head of an attempt's answer took, which is told now.
func (a *attempt) took(now int64) int64 {
	if a.came != 0 {
		now = a.came
	}
	return now - a.began
}

// head notes what the head of an answer says of its endpoint's latency and health. How the attempt ends may yet speak against it.
func (q *request) head(a *attempt, h classify.Health) {
	a.heard = true
	load, now := q.route.w.load(a.ep), q.route.w.l.Now()
	if a.after > 0 {
		q.resting = append(q.resting, resting{a.ep, now + int64(a.after)})
	}
	if a.came == 0 {
		a.came = now
	}
	if h == classify.Good {
		balancer.Observe(load, a.took(now), now)
	} else {
		balancer.GaveUp(load, a.took(now), now) // an error that is answered fast makes nobody fast
	}
	if h != classify.Good {
		q.judge(a, h)
		return
	}
	q.better = true
	a.since = outlier.Heard(load, a.since, now, outlier.Settings(q.rules.Ejection))
}

// judge notes what an attempt's end says of its endpoint's health.
func (q *request) judge(a *attempt, h classify.Health) {
	w := q.route.w
	switch h {
	case classify.Good:
		outlier.Good(w.load(a.ep), a.since, w.l.Now())
		q.route.doubts.Good()
	case classify.Bad:
		q.blame(a.ep, a.since, a.after, false)
	case classify.Doubtful:
		if q.unsure < len(q.doubts) {
			q.doubts[q.unsure] = doubt{a.ep, a.since, a.heard}
			q.unsure++
		}
	}
}

// settle resolves the doubts, once it is known how the request ends: what two endpoints answer, and none answers better, is due to
// the request. What nobody else was asked about stays doubtful, and others' answers to other requests decide.
func (q *request) settle() {
	for _, d := range q.doubts[:q.unsure] {
		if q.better || q.unsure == 1 {
			q.blame(d.ep, d.since, 0, !q.better)
		} else {
			outlier.Silent(q.route.w.load(d.ep), d.since, q.route.w.l.Now(), d.heard)
		}
	}
	q.unsure = 0
}

func (q *request) blame(ep *cluster.Endpoint, since outlier.Since, after time.Duration, doubtful bool) {
	r := q.route
	if r.target == nil {
		return
	}
	s := outlier.Scene{Settings: outlier.Settings(q.rules.Ejection), Endpoints: r.endpoints(),
		Loop: r.w.l.Index(), Now: r.w.l.Now(), Jitter: r.w.rand.Float64(), AtLeast: after,
		Doubtful: doubtful, Doubts: &r.doubts}
	if outlier.Bad(ep, since, s) {
		r.stats.Ejections.Add(1)
	}
}

// again decides whether the request is sent once more behind attempt a, and answers where to; nil is nowhere. A kept connection that
// failed says nothing of its endpoint, which may be asked once more. What the budget does not allow costs no pick: that would take the
// turn of an endpoint which gets nothing then. A request that is for its owner alone takes nobody else's, and may wait for it first.
func (q *request) again(a *attempt, replayable, idempotent bool) (*cluster.Endpoint, metrics.Choice) {
	r := q.route
	o := a.outcome
	q.ranOut = false
	q.full, q.shard.away = false, false // say what next finds from here on
	decision := q.decide(o, replayable, idempotent)
	if decision == classify.No || q.enough {
		return nil, 0
	}
	if !a.reused || !q.pardon(a.ep, o) {
		q.failed(a.ep, o != classify.ConnectFailed)
	}
	if decision == classify.Budgeted && q.others(nil) && !q.affords() {
		if !q.spent() && !a.refused {
			r.stats.Refused.Add(1)
		}
		return nil, 0
	}
	ep, choice := q.next()
	q.ranOut = ep == nil
	if ep == nil || decision == classify.Budgeted && !q.withdraw() {
		q.unpick()
		return nil, 0
	}
	r.stats.Retries[o].Add(1)
	return ep, choice
}

// decide says whether the request may be sent once more behind an attempt that ended with o. The connection of one whose answer cannot be
// understood has ended as well: the Service's word on the one holds for the other.
func (q *request) decide(o classify.Outcome, replayable, idempotent bool) classify.Retry {
	if o == classify.Cut || o == classify.BadAnswer {
		idempotent = idempotent && q.rules.Retry.On.Has(rules.OnReset)
	}
	return classify.Decide(o, replayable, idempotent)
}

// pardon reports whether ep may be asked again, one of whose kept connections has failed with o: once in a request, for an endpoint may
// end every connection, and only once at all where it may have seen the request.
func (q *request) pardon(ep *cluster.Endpoint, o classify.Outcome) bool {
	switch {
	case o != classify.Unprocessed && (o != classify.Cut || q.cut):
		return false
	case q.pardoned == len(q.pardons) || slices.Contains(q.pardons[:q.pardoned], ep):
		return false
	}
	q.pick.Tried = slices.DeleteFunc(q.pick.Tried, func(t *cluster.Endpoint) bool { return t == ep }) // if it was raced, or was to be
	q.pardons[q.pardoned] = ep
	q.pardoned++
	q.cut = q.cut || o == classify.Cut
	return true
}

// answered counts the status of the request's final answer; 0 is none.
func (q *request) answered(status int) {
	q.trace.status = status
	q.route.stats.Answered(status)
}

// spent reports whether the request has had as many further attempts that cost budget as it may.
func (q *request) spent() bool { return q.extra >= q.rules.Retry.Most && !q.unspent }

// affords reports whether withdraw would grant one more attempt, as long as no other loop is faster.
func (q *request) affords() bool {
	return !q.spent() && (q.unspent || q.route.budget.Has(q.route.w.l.Now()))
}

// withdraw asks for one more attempt that costs budget.
func (q *request) withdraw() bool {
	if q.spent() {
		return false
	}
	if q.unspent {
		q.unspent = false
		return true
	}
	if !q.route.budget.Withdraw(q.route.w.l.Now()) {
		q.route.stats.Refused.Add(1)
		return false
	}
	q.extra++
	return true
}
