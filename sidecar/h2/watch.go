package h2

import (
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// Watcher is a Handler that looks into the bodies of requests before it sends them anywhere.
type Watcher interface {
	// Body is told that more of the request's body has come, or its end, while the exchange is watched.
	Body(x *Exchange)
}

// Watch says whether the handler, a Watcher, is told of what comes of the request's body. Only before the first attempt.
func (x *Exchange) Watch(on bool) { x.watched = on }

// Body answers what has come of the request's body, of which nothing was sent, and whether that is all of it.
func (x *Exchange) Body() (b []byte, whole bool) { return x.req.buf[x.req.r:x.req.w], x.req.ended }

// moreWindow is what a client may send on a stream once it has used up its window and more of the body is needed. Where the window was made smaller
// meanwhile it has used up more than that: RFC 9113, section 6.9.2.
const moreWindow = 16 << 10

// More has the client send more of the body: it says 100 (Continue) where the client waits for that, and grants a larger window where that is
// used up.
func (x *Exchange) More() {
	d, p := x.down, &x.req
	if d == nil || p.ended {
		return
	}
	if !x.invited && p.came == 0 {
		if v, _ := x.Value("expect"); v == "100-continue" {
			x.invited = true
			d.appendHeaders(x.id, []hpack.Field{{Name: ":status", Value: "100"}}, false)
		}
	}
	if p.credit <= 0 {
		n := moreWindow - p.credit
		p.credit += n
		p.target += n
		d.room(32)
		d.out = frame.AppendWindowUpdate(d.out, x.id, uint32(n))
		d.dirty()
	}
}

// tellBody tells the handler of what came.
func (x *Exchange) tellBody() {
	if x.watched && x.down != nil {
		x.h.(Watcher).Body(x)
	}
}
