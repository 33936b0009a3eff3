package proxy

import (
	"bytes"
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// A session (sluice.mesh/shard-cookie) is kept at the pod that its cookie names. The answer to a request without one, or from another pod
// than the one named, brings a cookie of the pod that answered. Requests for other paths than the cookie's have no part in it: clients send no
// cookie with them, and would take one that their answers brought for the session's.

// cookie answers the value of the Set-Cookie field that the answer of attempt a is to bring; nil is none.
func (q *request) cookie(a *attempt) []byte {
	r, s := q.route, &q.shard
	if r.session == nil || !s.cookie || s.keys == nil || a.ep == nil {
		return nil
	}
	m := r.shards()
	if m == nil {
		return nil
	}
	if s.owned == bySession && m.Resume(s.keys.Key().Text).Endpoint == a.ep {
		r.stats.Sessions[metrics.SessionKept].Add(1)
		return nil
	}
	member := m.MemberAt(a.ep)
	if member == nil {
		return nil // the original destination, or a pod that has just gone
	}
	var buf [32]byte
	value := member.Session(buf[:0])
	end := metrics.SessionNew
	if s.owned == bySession {
		if bytes.Equal(value, s.keys.Key().Text) { // of two pods with one hash
			r.stats.Sessions[metrics.SessionKept].Add(1)
			return nil
		}
		end = metrics.SessionMoved
	}
	r.stats.Sessions[end].Add(1)
	return r.session.AppendSetCookie(nil, value)
}

// issue adds the cookie to the answer, where there is one to add.
func (q *request) issue(x *h1.Exchange, a *attempt) {
	if q.route.session == nil {
		return
	}
	if value := q.cookie(a); value != nil {
		x.Extra.Line = fmt.Appendf(x.Extra.Line, "Set-Cookie: %s\r\n", value)
	}
}

// issue is the same for a stream.
func (s streams) issue(x *h2.Exchange, c *call) {
	if value := c.cookie(&c.attempt); value != nil {
		x.Extra = append(x.Extra, hpack.Field{Name: "set-cookie", Value: string(value)})
	}
}
