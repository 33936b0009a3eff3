package h2

import (
	"io"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/head"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

const (
	// firstStreams is how many streams may be open before the endpoint has said how many it allows: RFC 9113, section 6.5.2, recommends
	// that it be no less than 100.
	firstStreams = 100
	// unsaidStreams is how many may be open where the endpoint does not say: "there is no limit".
	unsaidStreams = 1000
	// lastStream is where a connection is replaced, well before its identifiers run out at 2³¹.
	lastStream = 1<<31 - 1<<20
	// noneTime is how long a connection is kept, in nanoseconds, whose endpoint allows no streams.
	noneTime = int64(time.Second)
	// maxInterim bounds the 1xx answers of one request.
	maxInterim = 100

	// pingAfter is how long nothing may come while streams wait before PING asks whether the endpoint is still there, and pingTime
	// how long that may take before no more streams are opened. grpc-go's server ends a connection (too_many_pings) at the third PING that
	// came less than five minutes after the one before it, and begins to count anew once it has sent HEADERS or DATA (handlePing,
	// internal/transport/http2_server.go). So further ones keep that distance, or come behind HEADERS or DATA that came behind the
	// last one's acknowledgement. What PING cannot be asked meanwhile, the kernel is: see loop.Vigil.
	pingAfter = loop.VigilAfter
	pingTime  = int64(3 * time.Second)
	pingEvery = int64(5*time.Minute + 10*time.Second)
)

// Upstream is a connection to an endpoint.
type Upstream struct {
	conn
	Endpoint *cluster.Endpoint

	nextID     uint32
	maxStreams uint32
	away       bool   // the endpoint sent GOAWAY, or identifiers have run out
	awayLast   uint32 // its last stream
	idleAfter  int64
	idleSince  int64
	pinged     int64 // when the running PING was sent; 0 none runs
	lastPing   int64
	vigil      loop.Vigil
	mute       bool // its machine did not answer when it was last looked at
	unwell     bool // PING was not answered in time
	answered   bool // the head of an answer came, on any stream
	changed    func(u *Upstream)
	pending    pending
}

// NewUpstream makes an HTTP/2 connection of one that was just made. It is closed when it was idle for that long; changed is called
// whenever streams have ended or the connection stops or begins to take new ones.
func NewUpstream(c *loop.Conn, ep *cluster.Endpoint, o *Options, idle time.Duration, changed func(u *Upstream)) *Upstream {
	u := &Upstream{Endpoint: ep, nextID: 1, maxStreams: firstStreams, idleAfter: int64(idle), changed: changed}
	u.conn.init(c, o, u)
	u.idleSince, u.heard = u.begun, u.begun
	u.pending.init()
	u.room(128)
	u.out = append(u.out, frame.ClientPreface...)
	u.open(frame.Setting{ID: frame.EnablePush, Value: 0}, frame.Setting{ID: frame.MaxHeaderListSize, Value: uint32(o.headLimit())})
	return u
}

// Room answers how many more streams the connection takes now.
func (u *Upstream) Room() int {
	if !u.Lives() {
		return 0
	}
	return max(0, int(u.maxStreams)-len(u.streams))
}

// Lives reports whether the connection takes streams, now or when some of those that are open have ended.
func (u *Upstream) Lives() bool {
	return !u.away && !u.unwell && !u.closed && u.failed == nil && u.nextID < lastStream && u.maxStreams > 0
}

// Expect says how many streams the endpoint is likely to allow; what it says itself takes its place.
func (u *Upstream) Expect(n int) {
	if !u.started {
		u.maxStreams = uint32(n)
	}
}

// MaxStreams answers how many streams the endpoint allows.
func (u *Upstream) MaxStreams() int { return int(u.maxStreams) }

// Streams answers how many streams are open.
func (u *Upstream) Streams() int { return len(u.streams) }

// Open sends an exchange's request; there is Room.
func (u *Upstream) Open(x *Exchange) {
	id := u.nextID
	u.nextID += 2
	x.queue, x.up, x.upID, x.upPos, x.upAt = nil, u, id, u.position(), u.l.Now()
	x.h.Sending(x)
	u.adjust()
	u.streams[id] = x
	x.res.open(u.base)
	end := x.req.ended && x.req.waiting() == 0 && len(x.req.trailers) == 0
	u.appendHeaders(id, x.Fields, end)
	x.req.window, x.req.sent = u.initial, end
	if len(u.streams) == 1 {
		u.heard = u.l.Now()
	}
	if !end {
		x.req.pump()
	}
}

// Serve reads until the connection has ended, and closes it.
func (u *Upstream) Serve() {
	defer u.close(nil)
	rule, err := u.serve()
	if rule != nil {
		if u.o.Violation != nil && rule.Code != frame.NoError {
			u.o.Violation(rule.Reason, true)
		}
		err = rule
		u.room(64)
		u.out = frame.AppendGoAway(u.out, 0, rule.Code, rule.Reason.String())
		u.flush()
	}
	u.close(err)
}

// Close ends the connection; Serve sees to the rest.
func (u *Upstream) Close() {
	u.c.Close()
	u.nudge()
}

// Closed reports whether the connection has ended.
func (u *Upstream) Closed() bool { return u.closed }

// close fails what is still open.
func (u *Upstream) close(err error) {
	u.closed = true
	u.o.Memory.leave(&u.conn)
	if u.failed != nil && (err == nil || err == io.EOF) {
		err = u.failed
	}
	for len(u.streams) > 0 {
		for _, x := range u.streams {
			f := failureOf(err, u.unprocessed(x))
			f.Kept = x.upID > 1 && u.answered
			u.end(x, f)
		}
	}
	u.c.Close()
	u.dropOut()
	if u.in != nil {
		u.l.Release(u.in)
		u.in = nil
	}
	u.changed(u)
}

// failureOf answers how an attempt ended whose connection has ended with err. A connection that we end because the endpoint broke a rule is
// one thing, and one that we end because its peer is gone is another: that one is lost, like any.
func failureOf(err error, unprocessed bool) Failure {
	f := Failure{Err: err, Unprocessed: unprocessed}
	if e, ok := err.(*frame.ConnError); ok && e.Reason != frame.PeerGone {
		f.Malformed = !unprocessed
	}
	return f
}

// unprocessed reports whether the endpoint's program can have seen nothing of the request: it said so, or no byte of it was sent, or it
// closed without its kernel having acknowledged one (docs/decisions/0005).
func (u *Upstream) unprocessed(x *Exchange) bool {
	if u.away && x.upID > u.awayLast || u.c.Sent() <= x.upPos {
		return true
	}
	if !u.c.FinFirst() {
		return false
	}
	acknowledged, ok := u.c.Acknowledged()
	return ok && acknowledged <= x.upPos
}

// end takes an exchange off the connection whose stream has ended early.
func (u *Upstream) end(x *Exchange, f Failure) {
	if x.pending != nil {
		f.Unprocessed, f.Away = false, false // it has answered already
	}
	x.leaveUp()
	if x.res.ended {
		x.over()
		x.progress()
		return
	}
	x.fail(f)
}

func (u *Upstream) onHeaders(id uint32, end bool, fields []hpack.Field, size int) *frame.ConnError {
	x := u.streams[id]
	if x == nil {
		return u.onUnknown(frame.Header{Type: frame.Headers, Stream: id})
	}
	if x.res.ended {
		return &frame.ConnError{Code: frame.StreamClosed, Reason: frame.EndedStream}
	}
	if size > u.o.headLimit() {
		return u.onBroken(x, frame.EnhanceYourCalm)
	}
	if x.answered {
		return u.onTrailers(x, end, fields, size)
	}
	status, length, err := head.ParseResponse(fields)
	if err == nil && !x.hasContent(status) {
		length = -1 // it "MAY have a non-zero Content-Length header field": RFC 9113, section 8.1.1
	}
	if err != nil || end && status < 200 || end && length > 0 {
		return u.onBroken(x, frame.ProtocolError)
	}
	u.answered = true
	if status < 200 {
		if x.interim++; x.interim > maxInterim {
			return u.onBroken(x, frame.EnhanceYourCalm)
		}
		// A 100 (Continue) behind one that the client got already is for who was sent the request anew; others may come as often as attempts say them.
		if x.holder == nil && !(x.invited && status == 100) {
			x.invited = x.invited || status == 100
			x.down.appendHeaders(x.id, fields, false)
		}
		return nil
	}
	h := Head{Status: status, GRPC: -1, Last: end}
	if end && x.Request.GRPC {
		if code, ok := head.GRPCStatus(fields); ok {
			h.GRPC = code
		}
	}
	x.res.declared = length
	if u.waits(x, fields, h, size) {
		return nil
	}
	if x.holder != nil {
		x.onHeldHead(fields, h)
		return nil
	}
	x.answered, x.head, x.answer = true, h, fields
	pass := x.h.Head(x, h)
	x.answer = nil
	if !pass {
		return nil
	}
	x.begin(fields, h)
	if end {
		x.progress()
	}
	return nil
}

// hasContent reports whether an answer with that status can have a body: RFC 9110, section 6.4.1.
func (x *Exchange) hasContent(status int) bool {
	return x.Request.Method != "HEAD" && status != 304 && status != 204 && !(x.Request.Method == "CONNECT" && status < 300)
}

func (u *Upstream) onTrailers(x *Exchange, end bool, fields []hpack.Field, size int) *frame.ConnError {
	if !end || head.CheckTrailers(fields) != nil || x.res.declared >= 0 && x.res.came != x.res.declared {
		return u.onBroken(x, frame.ProtocolError)
	}
	if x.pending != nil {
		x.concluded(fields, size)
		return nil
	}
	if x.Request.GRPC {
		if code, ok := head.GRPCStatus(fields); ok {
			x.end.GRPC = code
		}
	}
	p := &x.res
	p.ended = true
	if p.waiting() == 0 && x.holder == nil {
		p.sent = true
		x.down.appendHeaders(x.id, fields, true)
		x.progress()
		return nil
	}
	p.trailers = append(p.trailers[:0], fields...)
	p.held(size)
	p.pump()
	return nil
}

func (u *Upstream) onUnknown(h frame.Header) *frame.ConnError {
	if h.Stream%2 == 0 || h.Stream >= u.nextID {
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.IdleStream}
	}
	return nil // of a stream that we have reset, or that ended on both sides
}

func (u *Upstream) pipeOf(x *Exchange) *pipe { return &x.res }
func (u *Upstream) toward(x *Exchange) *pipe { return &x.req }

// onReset is the endpoint's RST_STREAM.
func (u *Upstream) onReset(x *Exchange, code frame.Code) *frame.ConnError {
	u.end(x, Failure{Reset: true, Code: code, Unprocessed: code == frame.RefusedStream})
	return nil
}

// onBroken ends an attempt whose endpoint broke a rule on its stream.
func (u *Upstream) onBroken(x *Exchange, code frame.Code) *frame.ConnError {
	u.resetStream(x.upID, code)
	u.end(x, Failure{Malformed: true, Reset: true, Code: code})
	return nil
}

// onGoAway hands back the streams that the endpoint has not looked at: RFC 9113, section 6.8.
func (u *Upstream) onGoAway(last uint32, _ frame.Code) {
	if u.away {
		last = min(last, u.awayLast)
	}
	u.away, u.awayLast = true, last
	for id, x := range u.streams {
		if id > last {
			u.end(x, Failure{Unprocessed: true, Away: true, Kept: id > 1})
		}
	}
	u.changed(u)
}

func (u *Upstream) onSettings() { u.changed(u) }

// leaving reports whether the connection ends with its last stream. One that has yet to say what it speaks is waited for: somebody may have asked,
// see package upstream.
func (u *Upstream) leaving() bool {
	return u.away || u.started && u.maxStreams > 0 && u.Endpoint.Gone.Load() // one that takes no streams has its own time: see tick
}

func (u *Upstream) freed() {
	if len(u.streams) == 0 {
		u.idleSince = u.l.Now()
		if u.leaving() {
			u.nudge() // it is to be closed
		}
	}
	u.changed(u)
}

// tick keeps the connection alive and checked. heard is taken from the fact that the connection was read.
func (u *Upstream) tick(now int64) (next int64, err *frame.ConnError) {
	next = loop.Never
	due := func(t int64) bool {
		if t > now && (next == loop.Never || t < next) {
			next = t
		}
		return t <= now
	}
	if t := u.pending.due(now); t != loop.Never {
		due(t)
	}
	if !u.started && due(u.begun+int64(settingsTime)) && !u.unwell {
		u.unwell = true // it takes connections and says nothing: no more streams, but those that wait go on waiting
		u.changed(u)
	}
	switch {
	case len(u.streams) > 0:
		err = u.check(now, due)
	case u.leaving() || due(u.idleSince+u.idleAfter) || u.started && u.maxStreams == 0 && due(u.idleSince+noneTime):
		return 0, errDone
	default:
		u.pinged, u.mute = 0, false
		u.vigil.Begin(now)
		due(now + pingAfter) // streams may be opened meanwhile, which does not wake us
	}
	return next, err
}

// check asks an endpoint that is silent while streams wait whether it is still there. One that does not answer gets no more streams;
// the connection ends only when its kernel does not answer either: a program may be stopped, or very busy, and go on.
func (u *Upstream) check(now int64, due func(int64) bool) *frame.ConnError {
	if u.pinged != 0 && u.heard > u.pinged {
		u.pinged = 0
	}
	if !due(u.heard + pingAfter) {
		u.vigil.Begin(u.heard)
		u.mute = false
		u.feel(!u.started && u.unwell)
		return nil
	}
	if u.pinged == 0 && (u.lastPing == 0 || u.spoke || due(u.lastPing+pingEvery)) {
		u.room(32)
		u.out = frame.AppendPing(u.out, 0, nil)
		u.dirty()
		u.pinged, u.lastPing = now, now
		u.ponged, u.spoke = false, false
	}
	if due(u.vigil.Next()) {
		var gone bool
		if u.mute, gone = u.vigil.Look(u.c, now); gone {
			return &frame.ConnError{Code: frame.InternalError, Reason: frame.PeerGone}
		}
		due(u.vigil.Next())
	}
	u.feel(u.mute || u.pinged != 0 && due(u.pinged+pingTime) || !u.started && u.unwell)
	return nil
}

// feel says whether the endpoint is to get no more streams for the present.
func (u *Upstream) feel(unwell bool) {
	if u.unwell != unwell {
		u.unwell = unwell
		u.changed(u)
	}
}
