package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/scatter"
)

// A request with the field sluice-scatter: all goes to every endpoint of a Service that allows it, and is answered with the list of what they
// answered: see package scatter.
const (
	scatterField = "sluice-scatter"
	scatterAll   = "all"
	// scattersMost is how many such requests one loop has under way, until their answers have gone: each of those is a list of 4 MiB and more.
	scattersMost = 8
	// scatterBody is the largest body of such a request, in bytes.
	scatterBody = h1.PrefixMost
)

// unscattered are the fields that belong to one connection, or are made anew.
var unscattered = map[string]bool{"connection": true, "keep-alive": true, "proxy-connection": true, "transfer-encoding": true, "upgrade": true,
	"http2-settings": true, "te": true, "trailer": true, "host": true, "content-length": true, "expect": true, scatterField: true}

// mayScatter answers why a request that asks for it is not sent to everybody; nothing where it is.
func (q *request) mayScatter(value string, plain bool) refusal {
	switch {
	case value != scatterAll:
		return refusal{400, codeInvalid, fmt.Sprintf("%s: %q is unknown, allowed is %s", scatterField, value, scatterAll)}
	case !plain:
		return refusal{400, codeUnimplemented, "neither gRPC, nor CONNECT, nor an upgrade can be sent to every endpoint"}
	case len(q.route.endpoints()) == 0:
		return q.nobody()
	}
	return q.route.w.scatterable()
}

func (q *request) nobody() refusal {
	return refusal{503, codeUnavailable, q.route.name() + " has no endpoints"}
}

// scatterable answers why no further request is sent to everybody at present; nothing where it is. Whoever waits for a body counts for
// nothing yet, and so asks again behind it.
func (w *Worker) scatterable() refusal {
	if w.scatters >= scattersMost {
		return refusal{503, codeUnavailable, fmt.Sprintf("%d requests are on their way to every endpoint, or their answers back, already", scattersMost)}
	}
	return refusal{}
}

var (
	scatterTooLarge = refusal{413, codeInvalid, "the body is too large to be sent to every endpoint: at most 64 KiB are"}
	scatterNoMemory = refusal{503, codeUnavailable, "no memory is left in this proxy for the body, which is to go to every endpoint"}
)

// codeUnimplemented is gRPC's UNIMPLEMENTED.
const codeUnimplemented = 12

// scatter sends a request to every endpoint, and waits. Without an answer it was refused, or the client has gone. With one, scatters counts it
// until the caller has passed it on.
func (q *request) scatter(p *patient, s scatter.Request) (*scatter.Answer, refusal) {
	r, w := q.route, q.route.w
	if ref := w.scatterable(); ref.status != 0 {
		return nil, ref
	}
	eps := r.endpoints()
	if len(eps) == 0 {
		return nil, q.nobody() // they have gone while the body came
	}
	to := make([]scatter.Endpoint, len(eps))
	limited, kept := q.limit > 0, r.service
	w.services.use(kept)
	for i, ep := range eps {
		w.load(ep).InFlight++
		if limited {
			ep.Places.Exceed()
		}
		to[i] = scatter.Endpoint{Pod: ep.Name, Addr: ep.Addr}
	}
	r.stats.Scattered.Add(1)
	w.scatters++
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var answer *scatter.Answer
	left := false
	task, name := w.l.Current(), r.name()
	o := scatter.Options{Timeout: q.within, ConnectTimeout: w.o.Upstream.ConnectTimeout}
	if q.within > 0 {
		o.Began = time.Now().Add(time.Duration(q.began - w.l.Now())) // its body has taken of the time
	}
	go func() {
		a := scatter.Run(ctx, name, s, to, o)
		w.l.Post(func() {
			for _, ep := range eps {
				w.load(ep).InFlight--
				if limited {
					ep.Places.Give()
				}
			}
			if limited {
				kept.common.queue.free(w.l)
			}
			w.services.done(kept)
			if left {
				w.scatters--
			}
			answer = a
			task.Wake()
		})
	}()
	if !p.wait(loop.Never, func() bool { return answer != nil }) {
		if left = true; answer != nil {
			w.scatters--
		}
		return nil, refusal{}
	}
	return answer, refusal{}
}

// scattered sends the request to every endpoint where it asks for that and the Service allows it. It reports whether the exchange has ended.
func (w *Worker) scattered(r *route, x *h1.Exchange) bool {
	q, req := &r.one, x.Request
	value, asked := req.Nth(scatterField, 0)
	if !asked || r.target == nil {
		return false
	}
	ref := q.mayScatter(string(value), string(req.Method) != "CONNECT" && req.Upgrade == nil)
	if ref.status != 0 {
		w.unrefused(r, x, ref, false)
		return true
	}
	q.shard.scattering = true
	body, whole := x.Prefix()
	for !whole && !x.Cut() {
		err := x.More(q.end())
		if _, unreadable := h1.ReasonOf(err); unreadable {
			q.answered(400)
			x.Refuse(err)
			return true
		}
		if errors.Is(err, h1.ErrNoRoom) {
			break
		}
		if errors.Is(err, h1.ErrNoMemory) {
			w.unrefused(r, x, scatterNoMemory, false)
			return true
		}
		if err == loop.ErrTimeout {
			r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
			w.unrefused(r, x, q.bodyLate(), false)
			return true
		}
		if err != nil {
			w.unrefused(r, x, refusal{}, true)
			return true
		}
		body, whole = x.Prefix()
	}
	if !whole || len(body) > scatterBody {
		w.unrefused(r, x, scatterTooLarge, false)
		return true
	}
	s := scatter.Request{Method: string(req.Method), Target: string(req.Path()), Authority: string(req.Host), Body: bytes.Clone(body)}
	x.DropPrefix()
	own := ofConnection(req)
	for i := range req.Fields {
		if f := &req.Fields[i]; !unscattered[string(bytes.ToLower(f.Name))] && !own[string(bytes.ToLower(f.Name))] {
			s.Fields = append(s.Fields, scatter.Field{Name: string(f.Name), Value: string(f.Value)})
		}
	}
	a, ref := q.scatter(&patient{w: w, conn: x.Downstream().Conn}, s)
	if a == nil {
		w.unrefused(r, x, ref, ref.status == 0)
		return true
	}
	defer func() { w.scatters-- }()
	q.answered(a.Status)
	x.Answer(a.Status, "application/json", a.JSON())
	return true
}

// ofConnection answers the names of the fields that belong to the client's connection, as its Connection fields say: "intermediaries MUST …
// remove" them (RFC 9110, section 7.6.1).
func ofConnection(req *h1.Request) map[string]bool {
	var names map[string]bool
	for i := 0; ; i++ {
		v, ok := req.Nth("connection", i)
		if !ok {
			return names
		}
		if names == nil {
			names = map[string]bool{}
		}
		for name := range bytes.SplitSeq(v, []byte(",")) {
			names[string(bytes.ToLower(bytes.Trim(name, " \t")))] = true
		}
	}
}

// scattered is the same for a stream; where the body has yet to come, Body goes on.
func (s streams) scattered(x *h2.Exchange, c *call) bool {
	value, asked := x.Value(scatterField)
	if !asked || s.r.target == nil {
		return false
	}
	if ref := c.mayScatter(value, x.Request.Method != "CONNECT" && !x.Request.GRPC); ref.status != 0 {
		s.refuse(x, ref)
		return true
	}
	c.shard.scattering = true
	s.watch(x, c)
	return true
}

// scatter goes on once the body, or more of it, has come.
func (s streams) scatter(x *h2.Exchange, c *call) {
	body, whole := x.Body()
	if len(body) > scatterBody {
		s.unwatch(x, c)
		s.refuse(x, scatterTooLarge)
		return
	}
	if !whole {
		s.more(x, c)
		return
	}
	s.unwatch(x, c)
	q := scatter.Request{Method: x.Request.Method, Target: x.Request.Path, Authority: x.Request.Authority, Body: bytes.Clone(body), HTTP2: true}
	for _, f := range x.Fields {
		if f.Name[0] != ':' && !unscattered[f.Name] {
			q.Fields = append(q.Fields, scatter.Field{Name: f.Name, Value: f.Value})
		}
	}
	s.patiently(x, func(p *patient) {
		a, ref := c.scatter(p, q)
		if a == nil && ref.status == 0 {
			return
		}
		x.Wait(nil)
		if a == nil {
			s.refuse(x, ref)
			return
		}
		x.Done = func() { s.w.scatters-- }
		c.answered(a.Status)
		s.log(x, c)
		text := a.JSON()
		fields := []hpack.Field{{Name: ":status", Value: strconv.Itoa(a.Status)}, {Name: "content-type", Value: "application/json"},
			{Name: "content-length", Value: strconv.Itoa(len(text))}}
		if x.Request.Method == "HEAD" {
			text = nil
		}
		x.Reply(fields, string(text))
	})
}
