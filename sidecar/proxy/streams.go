package proxy

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// http2 serves the streams of a connection.
func (w *Worker) http2(s *h1.Stream, r *route) {
	d := h2.NewDownstream(s.Conn, s.Buffered(), &w.o.Upstream.HTTP2, streams{w, r}, r.settings().MaxStreamAge)
	s.Drop()
	d.Serve(w.pools.Connects(r.endpoints()))
}

// violation counts a connection that was ended because its peer broke a rule of HTTP/2 or met a limit.
func (w *Worker) violation(r frame.Reason, upstream bool) {
	if upstream {
		w.stats.UpstreamViolations[r].Add(1)
	} else {
		w.stats.Violations[r].Add(1)
	}
}

// streams is the way of each request of an HTTP/2 connection: what exchange is for HTTP/1.x, told in what happens instead of in
// calls that wait, since a stream has no coroutine.
type streams struct {
	w *Worker
	r *route
}

// call is what the proxy keeps of one stream's request. It is used again with its exchange.
type call struct {
	request
	attempt // the running one
	// held is an attempt that was answered with an error, while another endpoint is asked, or that is raced by the running one;
	// without ep there is none.
	held attempt
	timed
	// told says that the head of the answer said the call's grpc-status, which is judged already.
	told bool
}

// Request begins the way: pick and send.
func (s streams) Request(x *h2.Exchange) {
	c, _ := x.State.(*call)
	if c == nil {
		c = &call{}
		x.State = c
	}
	current := s.r.renewed()
	s.begin(x, c)
	if !s.enter(x) {
		s.reply(x, 503, codeUnavailable, s.r.crowded())
		return
	}
	if current {
		s.route(x, c)
		return
	}
	// The other streams of the connection do not wait for discovery.
	s.patiently(x, func(p *patient) {
		s.r.renew()
		if p.gone || s.w.l.Stopping() {
			return
		}
		x.Wait(nil)
		began := c.request.began
		s.begin(x, c)
		c.request.began = began
		s.route(x, c)
	})
}

// begin prepares a call by what the Service asks for now.
func (s streams) begin(x *h2.Exchange, c *call) {
	c.begin(s.r)
	if x.Request.GRPC {
		c.hurry(x.Request.Timeout)
	}
	c.held = attempt{}
	c.attempt = attempt{}
	s.asked(x, c)
	x.Keep(c.rules.ReplayLimit)
}

// route sends a request on its way.
func (s streams) route(x *h2.Exchange, c *call) {
	s.r.budget.Deposit()
	if c.rules.Scatter && s.scattered(x, c) {
		return
	}
	if c.sharded() {
		s.own(x, c)
		return
	}
	s.place(x, c)
}

func (s streams) send(x *h2.Exchange, c *call, ep *cluster.Endpoint, choice metrics.Choice) {
	c.attempt = c.start(ep, choice)
	s.number(x, c)
	if choice == metrics.Original {
		s.w.pools.Send(x, ep, true, 0)
	} else {
		s.w.pools.Send(x, ep, false, c.conns)
	}
	s.arm(x, c) // behind that, as what is due depends on whether there was a connection to send on
}

// Sending has the time of an attempt begin, as over HTTP/1.x: what it has waited for its connection says nothing of how long its endpoint takes.
func (s streams) Sending(x *h2.Exchange) { x.State.(*call).attempt.began = s.w.l.Now() }

// Awaits has the head of a gRPC call's answer wait for the call's status where the call may be sent again for that, or for what else ends the
// answer before its time: docs/decisions/0012. Nothing is due of the call while it waits: it is answered.
func (s streams) Awaits(x *h2.Exchange, held bool) bool {
	c := x.State.(*call)
	again := c.rules.Retry.On.Any(rules.OnReset|rules.OnUnavailable|rules.OnResourceExhausted) && c.extra < c.rules.Retry.Most || raced(x, c)
	if s.r.target == nil || c.nested || !again || !x.Replayable() || !held && !x.Sent() || !s.idempotent(x, c) {
		return false
	}
	a := &c.attempt
	if held {
		a = &c.held
	}
	a.came = s.w.l.Now()
	s.w.times.remove(c)
	return true
}

// Head passes an answer on, or keeps it while another endpoint is asked that might do better.
func (s streams) Head(x *h2.Exchange, h h2.Head) bool {
	c := x.State.(*call)
	a := &c.attempt
	outlier.Connected(s.w.load(a.ep), s.w.l.Now())
	a.status = h.Status
	c.pushedBack(x.Said, h, a)
	if x.Sent() && h.Status < 500 {
		s.r.latency.Note(time.Duration(a.took(s.w.l.Now())))
	}
	c.head(a, healthOf(h))
	c.told = h.GRPC >= 0
	if raced(x, c) {
		if s.fails(c, h) {
			s.rivalFailed(x, c, classify.ServerError)
			return false
		}
		s.wonByRival(x, c)
		s.explain(x, c)
		return true
	}
	if s.fails(c, h) && !c.enough && !c.nested && x.Replayable() && s.idempotent(x, c) {
		a.outcome = classify.ServerError
		ep, choice := c.again(a, true, true)
		wait, pauses, crowded := time.Duration(0), false, false
		if ep == nil {
			wait, pauses = c.pause(a, true, true)
			crowded = !pauses && x.Sent() && c.crowdedOut(a)
		}
		if ep != nil || pauses || crowded {
			s.release(c)
			c.held = *a
			x.Hold()
			switch {
			case pauses:
				s.pause(x, c, wait, h2.Failure{})
			case crowded:
				s.queue(x, c)
			default:
				s.send(x, c, ep, choice)
			}
			return false
		}
		a.outcome = classify.Answered
	}
	s.release(c)
	x.DropHeld()
	s.w.times.remove(c)
	s.explain(x, c)
	return true
}

// pushedBack reads for how long an answer, which said has the fields of, asks that its endpoint be left alone, and whether the request may be
// sent again at all.
func (c *call) pushedBack(said func(name string) (string, bool), h h2.Head, a *attempt) {
	if h.Status == 503 {
		if v, ok := said("retry-after"); ok {
			a.after, _ = retry.After(v, time.Now())
		}
	} else if h.GRPC > 0 {
		if v, ok := said("grpc-retry-pushback-ms"); ok {
			after, again := retry.Pushback(v)
			a.after, c.enough = after, c.enough || !again
		}
	}
}

// fails reports whether an answer is an error that another endpoint might do better than.
func (s streams) fails(c *call, h h2.Head) bool {
	on := c.rules.Retry.On
	return on.Status(h.Status) || h.GRPC > 0 && on.GRPC(h.GRPC)
}

// release ends the count of the held attempt.
func (s streams) release(c *call) {
	if c.held.ep != nil {
		c.done(&c.held)
		c.held = attempt{}
	}
}

// drop does so where nobody needs that attempt any more; o is why, if it is not answered.
func (s streams) drop(c *call, o classify.Outcome) {
	if !c.held.heard {
		c.held.outcome = o
	}
	s.release(c)
}

// healthOf answers what the head of an answer says of its endpoint.
func healthOf(h h2.Head) classify.Health {
	if h.GRPC >= 0 {
		return classify.HealthOfGRPC(h.GRPC)
	}
	return classify.HealthOf(classify.Answered, h.Status, false)
}

// idempotent reports whether the request may be sent again after it may have had an effect.
func (s streams) idempotent(x *h2.Exchange, c *call) bool {
	rules := &c.rules.Retry
	return h1.IsIdempotent([]byte(x.Request.Method)) ||
		len(rules.Idempotent) > 0 && rules.Idempotent.Match(x.Request.Method, x.Request.Path) ||
		rules.IdempotencyKey && x.Has("idempotency-key")
}

// Failed goes on elsewhere where that may be done.
func (s streams) Failed(x *h2.Exchange, f h2.Failure) {
	c := x.State.(*call)
	a := &c.attempt
	a.err, a.reused = f.Err, f.Kept
	a.outcome = outcomeOfStream(f)
	if raced(x, c) {
		c.judge(a, classify.HealthOf(a.outcome, 0, a.reused))
		s.rivalFailed(x, c, a.outcome)
		return
	}
	s.lost(x, c, f)
}

func outcomeOfStream(f h2.Failure) classify.Outcome {
	switch {
	case f.Connect:
		return classify.ConnectFailed
	case f.Unprocessed:
		return classify.Unprocessed
	case f.Malformed:
		return classify.BadAnswer
	}
	return classify.Cut
}

// lost goes on behind the running attempt, which has ended without an answer.
func (s streams) lost(x *h2.Exchange, c *call, f h2.Failure) {
	a := &c.attempt
	c.judge(a, a.health())
	c.done(a)
	if ep, choice := c.again(a, x.Replayable(), s.idempotent(x, c)); ep != nil {
		s.send(x, c, ep, choice)
		return
	}
	if c.held.ep == nil && s.stay(x, c) {
		return
	}
	if c.waits(a) {
		s.ownerAway(x, c, a)
		return
	}
	if c.crowdedOut(a) {
		s.queue(x, c)
		return
	}
	if wait, pauses := c.pause(a, x.Replayable(), s.idempotent(x, c)); pauses {
		s.pause(x, c, wait, f)
		return
	}
	s.exhausted(x, c, f)
}

// stay has the request wait for room at an endpoint that no further connection to could be made, and that is there: it has one which is full.
// It reports false where there is none.
func (s streams) stay(x *h2.Exchange, c *call) bool {
	if c.attempt.outcome != classify.ConnectFailed {
		return false
	}
	var crowded *cluster.Endpoint
	for _, ep := range c.pick.Tried {
		if !s.w.pools.Lives(x, ep) {
			continue
		}
		if !c.take(ep) {
			crowded = ep
			continue
		}
		c.attempt = c.start(ep, metrics.Again)
		c.attempt.stays = true
		s.number(x, c)
		s.arm(x, c)
		s.w.pools.Stay(x, ep)
		return true
	}
	if crowded != nil { // its place was given to another meanwhile: the request waits for one there
		c.pick.Tried = slices.DeleteFunc(c.pick.Tried, func(ep *cluster.Endpoint) bool { return ep == crowded })
	}
	return false
}

// exhausted ends what nothing more can be done for: an answer that was held is better than none.
func (s streams) exhausted(x *h2.Exchange, c *call, f h2.Failure) {
	if c.held.ep != nil {
		c.attempt, c.held = c.held, attempt{}
		c.attempt.outcome = classify.Answered
		s.w.times.remove(c)
		s.explain(x, c)
		x.Adopt()
		return
	}
	s.giveUp(x, c, f)
}

// Ended counts how it ended.
func (s streams) Ended(x *h2.Exchange, e h2.End) {
	c := x.State.(*call)
	a := &c.attempt
	switch {
	case e.Gone:
		a.outcome = classify.ClientGone
		c.judge(a, c.abandoned(x))
	case e.Truncated:
		a.outcome = classify.Truncated
		c.judge(a, classify.Bad)
	default:
		a.outcome = classify.Answered
		if h := healthOf(h2.Head{Status: e.Status, GRPC: e.GRPC}); h == classify.Good || e.GRPC > 0 && !c.told {
			// The rest was said of the head, which is no better answer than what comes behind it.
			c.better = c.better && h != classify.Doubtful
			c.judge(a, h)
		}
	}
	s.w.times.remove(c)
	if a.ep != nil {
		c.done(a)
	}
	s.drop(c, a.outcome)
	c.settle()
	c.answered(e.Status)
	if status := statusOf(x, e); status >= 0 {
		s.r.stats.GRPC(status)
	}
	s.log(x, c)
	c.leave()
}

// giveUp ends an exchange that nothing more can be done for. What an endpoint said is passed on: that is what the client would have
// seen without us.
func (s streams) giveUp(x *h2.Exchange, c *call, f h2.Failure) {
	r, a := s.r, &c.attempt
	s.w.times.remove(c)
	c.settle()
	s.w.o.Log.Debug("request failed", slog.String("cluster", r.name()), slog.String("endpoint", a.ep.Addr.String()),
		slog.String("reason", a.outcome.String()), slog.String("code", f.Code.String()), slog.Any("error", f.Err))
	switch {
	case f.Reset && !f.Malformed:
		s.reset(x, c, f.Code)
	case notHTTP2(f):
		// "the endpoint requires that HTTP/1.1 be used": RFC 9113, section 7. Without us the client would have met HTTP/1.x bytes.
		s.mistaken(x)
		s.reset(x, c, frame.HTTP11Required)
	case f.Away:
		// "REFUSED_STREAM … Any request that was sent on the reset stream can be safely retried": RFC 9113, section 7. It says of the
		// stream what GOAWAY would have told the client.
		s.reset(x, c, frame.RefusedStream)
	case f.Malformed:
		s.reply(x, 502, codeInternal, fmt.Sprintf("endpoint %s of %s: malformed answer", a.ep.Addr, r.name()))
	case a.outcome == classify.TimedOut:
		s.reply(x, 504, codeDeadlineExceeded, timedOut(r, &c.request, a))
	case a.outcome == classify.ConnectFailed:
		c.shard.refused = unreachable
		s.reply(x, 503, codeUnavailable, fmt.Sprintf("no endpoint of %s can be reached: %d addresses tried, the last was %s: %v",
			r.name(), len(c.pick.Tried), a.ep.Addr, f.Err))
	default:
		s.reply(x, 502, codeUnavailable, fmt.Sprintf("endpoint %s of %s: connection lost: %v", a.ep.Addr, r.name(), f.Err))
	}
}

// The gRPC statuses that we answer ourselves: DEADLINE_EXCEEDED, INTERNAL and UNAVAILABLE.
const (
	codeDeadlineExceeded = 4
	codeInternal         = 13
	codeUnavailable      = 14
)

// reply answers the request with a status and a text: to a gRPC client with trailers that say the same in its terms.
func (s streams) reply(x *h2.Exchange, status, grpc int, text string) {
	var explained []hpack.Field
	if c, ok := x.State.(*call); ok {
		c.settle()
		c.answered(status)
		if c.trace.explained {
			explained = []hpack.Field{{Name: explainField, Value: c.request.explain(nil)}}
		}
		s.log(x, c)
		c.leave()
	}
	if x.Request.GRPC {
		s.r.stats.GRPC(grpc)
		x.Reply(append([]hpack.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"},
			{Name: "grpc-status", Value: strconv.Itoa(grpc)}, {Name: "grpc-message", Value: "sluice: " + text}}, explained...), "")
		return
	}
	text = "sluice: " + text + "\n"
	fields := []hpack.Field{{Name: ":status", Value: strconv.Itoa(status)}, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		{Name: "content-length", Value: strconv.Itoa(len(text))}}
	if x.Request.Method == "HEAD" {
		text = ""
	}
	x.Reply(append(fields, explained...), text)
}

// notHTTP2 reports whether the endpoint does not speak HTTP/2: its bytes begin with no SETTINGS. One that speaks it, and breaks its rules
// then, is another thing.
func notHTTP2(f h2.Failure) bool {
	e, ok := f.Err.(*frame.ConnError)
	return ok && e.Reason == frame.NotSettingsFirst
}
