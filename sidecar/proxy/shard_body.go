package proxy

import (
	"errors"
	"fmt"
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
	until := q.end()
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
		case errors.Is(err, h1.ErrNoMemory):
			return shardkey.NoMemory, true
		case unreadable:
			q.answered(400)
			x.Refuse(err)
			return 0, false
		case err == loop.ErrTimeout:
			r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
			return 0, w.unrefused(r, x, q.bodyLate(), false)
		default:
			return 0, w.unrefused(r, x, refusal{}, true)
		}
	}
}

// bodyLate is the answer to a request whose time was over before as much of its body had come as is needed.
func (q *request) bodyLate() refusal {
	why := "which its shard key is in"
	if q.shard.scattering {
		why = "which is to go to every endpoint"
	}
	q.refuse("the body with the key did not come", q.timeOver())
	return refusal{504, codeDeadlineExceeded, fmt.Sprintf("the body of the request to %s, %s, did not come within %v, which is %s",
		q.route.name(), why, q.within, q.whose())}
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
		s.more(x, c)
		return
	}
	s.unwatch(x, c)
	s.owned(x, c, o)
}

// watch has Body told of what comes of the body, as much as the key takes.
func (s streams) watch(x *h2.Exchange, c *call) {
	c.shard.reading = true
	x.Watch(true)
	s.Body(x)
}

// more waits for more of the body, until the request's time is over.
func (s streams) more(x *h2.Exchange, c *call) {
	if !c.listed {
		s.w.times.set(s.w, s, x, c, loop.Never)
	}
	x.More()
}

func (s streams) unwatch(x *h2.Exchange, c *call) {
	c.shard.reading = false
	x.Watch(false)
	s.w.times.remove(c)
}
