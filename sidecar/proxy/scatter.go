package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

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
	// scattersMost is how many such requests one loop has under way.
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
	case len(q.route.target.Snapshot().Set.Endpoints) == 0:
		return refusal{503, codeUnavailable, q.route.name() + " has no endpoints"}
	case q.route.w.scatters >= scattersMost:
		return refusal{503, codeUnavailable, fmt.Sprintf("%d requests are on their way to every endpoint already", scattersMost)}
	}
	return refusal{}
}

// codeUnimplemented is gRPC's UNIMPLEMENTED.
const codeUnimplemented = 12

// scatter sends a request to every endpoint, and waits. It answers nil when the client has gone.
func (q *request) scatter(p *patient, s scatter.Request) *scatter.Answer {
	r, w := q.route, q.route.w
	eps := r.target.Snapshot().Set.Endpoints
	to := make([]scatter.Endpoint, len(eps))
	limited, waiting := q.limit > 0, &r.common.queue
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
	task, name := w.l.Current(), r.name()
	o := scatter.Options{Timeout: q.rules.Timeout, ConnectTimeout: w.o.Upstream.ConnectTimeout}
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
				waiting.free(w.l)
			}
			w.scatters--
			answer = a
			task.Wake()
		})
	}()
	if !p.wait(loop.Never, func() bool { return answer != nil }) {
		return nil
	}
	return answer
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
	body, whole := x.Prefix()
	for !whole && len(body) < scatterBody {
		err := x.More(loop.Never)
		if _, unreadable := h1.ReasonOf(err); unreadable {
			q.answered(400)
			x.Refuse(err)
			return true
		}
		if errors.Is(err, h1.ErrNoRoom) {
			break
		}
		if err != nil {
			w.unrefused(r, x, refusal{}, true)
			return true
		}
		body, whole = x.Prefix()
	}
	if !whole {
		w.unrefused(r, x, refusal{413, codeInvalid, "the body is too large to be sent to every endpoint: at most 64 KiB are"}, false)
		return true
	}
	s := scatter.Request{Method: string(req.Method), Target: string(req.Path()), Authority: string(req.Host), Body: bytes.Clone(body)}
	x.DropPrefix()
	for i := range req.Fields {
		if f := &req.Fields[i]; !unscattered[string(bytes.ToLower(f.Name))] {
			s.Fields = append(s.Fields, scatter.Field{Name: string(f.Name), Value: string(f.Value)})
		}
	}
	a := q.scatter(&patient{w: w, conn: x.Downstream().Conn}, s)
	if a == nil {
		w.unrefused(r, x, refusal{}, true)
		return true
	}
	q.answered(a.Status)
	x.Answer(a.Status, "application/json", a.JSON())
	return true
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
	x.Watch(true)
	s.Body(x)
	return true
}

// scatter goes on once the body, or more of it, has come.
func (s streams) scatter(x *h2.Exchange, c *call) {
	body, whole := x.Body()
	if len(body) > scatterBody {
		x.Watch(false)
		s.refuse(x, refusal{413, codeInvalid, "the body is too large to be sent to every endpoint: at most 64 KiB are"})
		return
	}
	if !whole {
		x.More()
		return
	}
	x.Watch(false)
	q := scatter.Request{Method: x.Request.Method, Target: x.Request.Path, Authority: x.Request.Authority, Body: bytes.Clone(body), HTTP2: true}
	for _, f := range x.Fields {
		if f.Name[0] != ':' && !unscattered[f.Name] {
			q.Fields = append(q.Fields, scatter.Field{Name: f.Name, Value: f.Value})
		}
	}
	s.patiently(x, func(p *patient) {
		a := c.scatter(p, q)
		if a == nil {
			return
		}
		x.Wait(nil)
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
