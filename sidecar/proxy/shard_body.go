package proxy

import (
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// readKey reads as much of the body as the key takes. It reports false when the exchange has ended.
func (w *Worker) readKey(r *route, x *h1.Exchange) (shardkey.Outcome, bool) {
	q := &r.one
	defer x.DropPrefix()
	until := loop.Never
	if d := q.within; d > 0 {
		until = q.began + int64(d)
	}
	ended := false // the client has, within the body: what there is goes to the endpoint as it would without us
	for {
		b, whole := x.Prefix()
		if o := q.shard.keys.Body(b, whole || ended); o != shardkey.NeedMore {
			return o, true
		}
		err := x.More(until)
		_, unreadable := h1.ReasonOf(err)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			ended = true
		case errors.Is(err, h1.ErrNoRoom):
			return shardkey.TooLarge, true
		case unreadable:
			q.answered(400)
			x.Refuse(err)
			return 0, false
		case err == loop.ErrTimeout:
			w.reply(r, x, 408, "the request's body, which its shard key is in, did not come in time (sluice.mesh/timeout)")
			return 0, false
		default:
			return 0, w.unrefused(r, x, refusal{}, true)
		}
	}
}

// Body goes on with the look for the key, as more of the request has come.
func (s streams) Body(x *h2.Exchange) {
	c := x.State.(*call)
	if c.shard.scattering {
		s.scatter(x, c)
		return
	}
	b, whole := x.Body()
	o := c.shard.keys.Body(b, whole)
	if o == shardkey.NeedMore {
		x.More()
		return
	}
	x.Watch(false)
	s.owned(x, c, o)
}

// readKey reads as much of the body as the key takes.
func (s streams) readKey(x *h2.Exchange) {
	x.Watch(true)
	s.Body(x)
}
