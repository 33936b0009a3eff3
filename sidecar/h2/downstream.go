package h2

import (
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/head"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

const (
	// lingerTime and lingerBytes bound how long a connection that is being ended still takes what its peer sends.
	lingerTime  = time.Second
	lingerBytes = 256 << 10
	// resetTime is how long frames of a stream that we have reset may still be on their way.
	resetTime = int64(10 * time.Second)
	// goAwayTime lies between the announcement of a graceful end and the end of new streams: RFC 9113, section 6.8.
	goAwayTime = int64(time.Second)
)

// Downstream is an application's connection.
type Downstream struct {
	conn
	h    Handler
	last uint32 // the highest stream the client has opened
	// taken is the highest stream that may have been looked at: above it are only streams that came behind our last GOAWAY.
	taken uint32

	offered bool // extended CONNECT: RFC 8441

	reset  int64  // when we last reset a stream; 0 never
	theirs uint32 // the last stream that the client reset after its end here: it knows of that, and sends nothing more
	lately lately
	rapid  rapid
	// age is when the connection is to be ended gracefully, 0 never; leaving is how far that has got.
	age     int64
	leaving leaving
}

type leaving uint8

const (
	staying   leaving = iota
	announced         // GOAWAY with the highest stream was sent
	draining          // GOAWAY with the last stream was sent
)

// lately are the streams that ended last, to tell a frame of an ended stream from one of a stream that never was.
type lately struct {
	ids [16]uint32
	at  int
}

func (l *lately) add(id uint32) {
	l.ids[l.at] = id
	l.at = (l.at + 1) % len(l.ids)
}

func (l *lately) has(id uint32) bool {
	for _, i := range l.ids {
		if i == id {
			return true
		}
	}
	return false
}

// NewDownstream takes over a connection whose client has sent the HTTP/2 preface. ahead is what was read of it, from the preface on;
// it is copied. With maxAge the connection is ended gracefully when it has lasted that long; 0 is never.
func NewDownstream(c *loop.Conn, ahead []byte, o *Options, h Handler, maxAge time.Duration) *Downstream {
	d := &Downstream{h: h}
	d.conn.init(c, o, d)
	d.rapid.init(d.begun)
	if maxAge > 0 {
		d.age = d.begun + int64(maxAge)
	}
	ahead = ahead[len(frame.ClientPreface):]
	if len(ahead) > 0 {
		d.in = d.l.Buffer(max(len(ahead), loop.Medium))
		d.w = copy(d.in, ahead)
	}
	return d
}

// Serve serves the connection until it has ended, and is closed.
func (d *Downstream) Serve(connect bool) {
	defer d.close() // also when a panic passes
	settings := []frame.Setting{{ID: frame.MaxConcurrentStreams, Value: d.o.maxStreams()}, {ID: frame.MaxHeaderListSize, Value: uint32(d.o.headLimit())}}
	if d.offered = connect; connect {
		settings = append(settings, frame.Setting{ID: frame.EnableConnectProtocol, Value: 1})
	}
	d.open(settings...)
	rule, _ := d.serve()
	if rule == nil {
		return
	}
	if d.o.Violation != nil && rule.Code != frame.NoError {
		d.o.Violation(rule.Reason, false)
	}
	d.giveUpStreams()
	d.say(d.taken, rule)
}

// close ends everything.
func (d *Downstream) close() {
	d.giveUpStreams()
	d.closed = true
	d.o.Memory.leave(&d.conn)
	d.c.Close()
	d.dropOut()
	if d.in != nil {
		d.l.Release(d.in)
		d.in = nil
	}
}

// giveUpStreams ends all exchanges: their client is gone.
func (d *Downstream) giveUpStreams() {
	for len(d.streams) > 0 {
		for _, x := range d.streams {
			d.lost(x, frame.Cancel)
		}
	}
}

// lost ends an exchange whose client has gone.
func (d *Downstream) lost(x *Exchange, code frame.Code) {
	x.end.Gone = !x.res.ended
	x.leaveDown()
	x.cutUp(code)
	x.over()
}

func (d *Downstream) onHeaders(id uint32, end bool, fields []hpack.Field, size int) *frame.ConnError {
	if x := d.streams[id]; x != nil {
		return d.onTrailers(x, end, fields, size)
	}
	if id%2 == 0 {
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.BadStream}
	}
	if id <= d.last {
		return d.onUnknown(frame.Header{Type: frame.Headers, Stream: id})
	}
	d.last = id
	if d.leaving == draining {
		return nil // "ignore frames on streams … higher": RFC 9113, section 6.8
	}
	d.taken = id
	if len(d.streams) >= int(d.o.maxStreams()) {
		if !d.rapid.spend(d.l.Now()) {
			return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyStreams}
		}
		d.resetStream(id, frame.RefusedStream)
		d.reset = d.l.Now()
		return nil
	}
	if d.o.Memory.full() {
		d.resetStream(id, frame.RefusedStream)
		d.reset = d.l.Now()
		return nil
	}
	d.adjust()
	x := d.begin(id, end, fields, size)
	if size > d.o.headLimit() {
		x.Reply([]hpack.Field{{Name: ":status", Value: "431"}, {Name: "content-length", Value: "0"}}, "")
		return nil
	}
	var err error
	x.Request, err = head.ParseRequest(x.Fields)
	if err == nil && end && x.Request.ContentLength > 0 {
		err = errLength
	}
	if err == nil && x.Extended() && !d.offered {
		err = errNotOffered
	}
	if err != nil {
		x.Reset(frame.ProtocolError)
		if !d.rapid.spend(d.l.Now()) {
			return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyMalformed}
		}
		return nil
	}
	x.req.declared = x.Request.ContentLength
	d.h.Request(x)
	return nil
}

var (
	errLength     = errors.New("data that content-length does not announce")
	errNotOffered = errors.New("extended CONNECT that was not offered")
)

// begin makes an exchange of a new stream.
func (d *Downstream) begin(id uint32, end bool, fields []hpack.Field, size int) *Exchange {
	x := d.o.Memory.exchange()
	req, res := x.req, x.res
	// The exchange keeps the fields, and the connection goes on with the exchange's old ones.
	d.fields = x.Fields[:0]
	*x = Exchange{Fields: fields, kept: x.kept, State: x.State, l: d.l, o: d.o, down: d, id: id, h: d.h, opened: d.l.Now(), end: End{GRPC: -1}}
	x.req.trailers, x.res.trailers = req.trailers, res.trailers
	x.size = size
	d.o.Memory.add(size)
	x.req.begin(x, true)
	x.req.open(d.base)
	x.req.keep, x.req.ended = true, end
	x.res.begin(x, false)
	x.res.window = d.initial
	d.streams[id] = x
	d.l.Share(1)
	return x
}

func (d *Downstream) onTrailers(x *Exchange, end bool, fields []hpack.Field, size int) *frame.ConnError {
	if x.req.ended {
		return &frame.ConnError{Code: frame.StreamClosed, Reason: frame.EndedStream}
	}
	if !end || size > d.o.headLimit() || head.CheckTrailers(fields) != nil || x.req.declared >= 0 && x.req.came != x.req.declared {
		return d.onBroken(x, frame.ProtocolError)
	}
	x.req.trailers = append(x.req.trailers[:0], fields...)
	x.req.held(size)
	x.req.ended = true
	x.req.pump()
	x.tellBody()
	return nil
}

func (d *Downstream) onUnknown(h frame.Header) *frame.ConnError {
	switch {
	case h.Stream > d.last || h.Stream%2 == 0:
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.IdleStream}
	case h.Type == frame.WindowUpdate || h.Type == frame.ResetStream:
		if h.Type == frame.ResetStream {
			d.theirs = h.Stream
		}
		return nil // "for a short period after": RFC 9113, section 5.1
	case d.reset != 0 && d.l.Now()-d.reset < resetTime && h.Stream != d.theirs, d.leaving == draining:
		return nil
	case h.Type == frame.Headers && !d.lately.has(h.Stream):
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.StreamIDNotGrowing}
	}
	return &frame.ConnError{Code: frame.StreamClosed, Reason: frame.ClosedStream}
}

func (d *Downstream) pipeOf(x *Exchange) *pipe { return &x.req }
func (d *Downstream) toward(x *Exchange) *pipe { return &x.res }

// onReset is the client's RST_STREAM.
func (d *Downstream) onReset(x *Exchange, code frame.Code) *frame.ConnError {
	now := d.l.Now()
	if !x.begun && now-x.opened < rapidTime && !d.rapid.spend(now) {
		return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyResets}
	}
	d.lost(x, code)
	return nil
}

// onBroken ends an exchange whose client broke a rule on its stream. A client could have us reset streams by that as fast as by
// resetting them itself (CVE-2025-8671).
func (d *Downstream) onBroken(x *Exchange, code frame.Code) *frame.ConnError {
	d.resetStream(x.id, code)
	d.reset = d.l.Now()
	d.lost(x, frame.Cancel)
	if !d.rapid.spend(d.reset) {
		return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyMalformed}
	}
	return nil
}

func (d *Downstream) onGoAway(uint32, frame.Code) {} // it speaks of streams that servers open
func (d *Downstream) onSettings()                 {}

func (d *Downstream) freed() {
	if d.leaving == draining && len(d.streams) == 0 {
		d.nudge()
	}
}

var (
	errSettingsTime = &frame.ConnError{Code: frame.SettingsTimeout, Reason: frame.SettingsNotAcknowledged}
	errDone         = &frame.ConnError{Code: frame.NoError}
)

// Leave ends the connection gracefully: streams that are open go on.
func (d *Downstream) Leave() {
	if d.leaving == staying {
		d.age = d.l.Now()
		d.nudge()
	}
}

func (d *Downstream) tick(now int64) (next int64, err *frame.ConnError) {
	next = loop.Never
	due := func(t int64) bool {
		if t > now && (next == loop.Never || t < next) {
			next = t
		}
		return t <= now
	}
	if !d.acked && due(d.begun+int64(settingsTime)) {
		return 0, errSettingsTime
	}
	if d.leaving == staying && d.age != 0 && due(d.age) {
		d.goAway(frame.LargestWindow)
		d.leaving, d.age = announced, now+goAwayTime
	}
	if d.leaving == announced && due(d.age) {
		d.goAway(d.taken)
		d.leaving = draining
	}
	if d.leaving == draining && len(d.streams) == 0 {
		return 0, errDone
	}
	return next, nil
}

func (d *Downstream) goAway(last uint32) {
	d.room(64)
	d.out = frame.AppendGoAway(d.out, last, frame.NoError, "")
	d.dirty()
}
