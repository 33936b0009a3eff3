package proxy

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// http2 serves the streams of a connection.
func (w *Worker) http2(s *h1.Stream, r *route) {
	d := h2.NewDownstream(s.Conn, s.Buffered(), &w.o.Upstream.HTTP2, streams{w, r}, 0)
	s.Drop()
	d.Serve(false)
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
	ep     *cluster.Endpoint // of the running attempt
	choice metrics.Choice
	since  outlier.Since
	began  int64 // the loop's clock, of the running attempt
}

// Request begins the way: pick and send.
func (s streams) Request(x *h2.Exchange) {
	c, _ := x.State.(*call)
	if c == nil {
		c = &call{}
		x.State = c
	}
	s.r.renew()
	c.begin(s.r)
	s.r.budget.Deposit()
	s.send(x, c, classify.Answered, h2.Failure{})
}

// send picks an endpoint and sends the request there; when there is none left the exchange ends as its last attempt did.
func (s streams) send(x *h2.Exchange, c *call, last classify.Outcome, f h2.Failure) {
	ep, choice := c.next()
	if ep == nil {
		s.giveUp(x, c, last, f)
		return
	}
	c.ep, c.choice = ep, choice
	load := s.w.load(ep)
	load.InFlight++
	c.began = s.w.l.Now()
	c.since = outlier.Began(load, c.began, outlier.Defaults())
	s.w.pools.Send(x, ep, choice == metrics.Original)
}

// Failed goes on elsewhere where that may be done.
func (s streams) Failed(x *h2.Exchange, f h2.Failure) {
	c, r, w := x.State.(*call), s.r, s.w
	load := w.load(c.ep)
	balancer.GaveUp(load, w.l.Now()-c.began, w.l.Now())
	load.InFlight--
	outcome := classify.Cut
	switch {
	case f.Connect:
		outcome = classify.ConnectFailed
		outlier.ConnectFailed(load, w.l.Now())
	case f.Unprocessed:
		outcome = classify.Unprocessed
	case f.Malformed:
		outcome = classify.BadAnswer
	}
	r.stats.Attempts[c.choice][outcome].Add(1)
	switch classify.Decide(outcome, x.Replayable(), h1.IsIdempotent([]byte(x.Request.Method))) {
	case classify.No:
		s.giveUp(x, c, outcome, f)
		return
	case classify.Budgeted:
		if !r.budget.Withdraw(w.l.Now()) {
			r.stats.Refused.Add(1)
			s.giveUp(x, c, outcome, f)
			return
		}
	}
	r.stats.Retries[outcome].Add(1)
	c.failed(c.ep, outcome != classify.ConnectFailed)
	s.send(x, c, outcome, f)
}

// Head passes an answer on.
func (s streams) Head(x *h2.Exchange, h h2.Head) bool {
	c := x.State.(*call)
	load := s.w.load(c.ep)
	outlier.Connected(load)
	if now := s.w.l.Now(); h.Status < 500 && h.GRPC <= 0 {
		balancer.Observe(load, now-c.began, now)
	} else {
		balancer.GaveUp(load, now-c.began, now) // an error that is answered fast makes nobody fast
	}
	return true
}

// Ended counts how it ended.
func (s streams) Ended(x *h2.Exchange, e h2.End) {
	c := x.State.(*call)
	s.w.load(c.ep).InFlight--
	outcome := classify.Answered
	switch {
	case e.Gone:
		outcome = classify.ClientGone
	case e.Truncated:
		outcome = classify.Truncated
	}
	s.r.stats.Attempts[c.choice][outcome].Add(1)
	s.r.stats.Answered(e.Status)
	if e.GRPC >= 0 {
		s.r.stats.GRPC(e.GRPC)
	}
}

// giveUp ends an exchange that nothing more can be done for. What an endpoint said is passed on: that is what the client would have
// seen without us.
func (s streams) giveUp(x *h2.Exchange, c *call, last classify.Outcome, f h2.Failure) {
	r := s.r
	s.w.o.Log.Debug("request failed", slog.String("cluster", r.name()), slog.String("endpoint", c.ep.Addr.String()),
		slog.String("reason", last.String()), slog.String("code", f.Code.String()), slog.Any("error", f.Err))
	switch {
	case f.Reset && !f.Malformed:
		r.stats.Answered(0)
		x.Reset(f.Code)
	case notHTTP2(f):
		// "the endpoint requires that HTTP/1.1 be used": RFC 9113, section 7. Without us the client would have met HTTP/1.x bytes.
		r.stats.Answered(0)
		x.Reset(frame.HTTP11Required)
	case f.Malformed:
		s.reply(x, 502, codeInternal, fmt.Sprintf("endpoint %s of %s: malformed answer", c.ep.Addr, r.name()))
	case last == classify.ConnectFailed:
		s.reply(x, 503, codeUnavailable, fmt.Sprintf("no endpoint of %s can be reached: %d addresses tried, the last was %s: %v",
			r.name(), len(c.pick.Tried)+1, c.ep.Addr, f.Err))
	default:
		s.reply(x, 502, codeUnavailable, fmt.Sprintf("endpoint %s of %s: connection lost: %v", c.ep.Addr, r.name(), f.Err))
	}
}

// The gRPC statuses that we answer ourselves: INTERNAL and UNAVAILABLE.
const (
	codeInternal    = 13
	codeUnavailable = 14
)

// reply answers the request with a status and a text: to a gRPC client with trailers that say the same in its terms.
func (s streams) reply(x *h2.Exchange, status, grpc int, text string) {
	s.r.stats.Answered(status)
	if x.Request.GRPC {
		s.r.stats.GRPC(grpc)
		x.Reply([]hpack.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"},
			{Name: "grpc-status", Value: strconv.Itoa(grpc)}, {Name: "grpc-message", Value: "sluice: " + text}}, "")
		return
	}
	text = "sluice: " + text + "\n"
	fields := []hpack.Field{{Name: ":status", Value: strconv.Itoa(status)}, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		{Name: "content-length", Value: strconv.Itoa(len(text))}}
	if x.Request.Method == "HEAD" {
		text = ""
	}
	x.Reply(fields, text)
}

// notHTTP2 reports whether the endpoint does not speak HTTP/2.
func notHTTP2(f h2.Failure) bool {
	e, ok := f.Err.(*frame.ConnError)
	return ok && (e.Reason == frame.NotSettingsFirst || e.Reason == frame.FrameTooLarge)
}
