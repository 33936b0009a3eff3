package h1

import "github.com/sluice-mesh/sluice/sidecar/loop"

// Rival sends the request, which has to be InMemory, to another upstream while an attempt is under way, from a coroutine of its own,
// and waits for the head of an answer, interim ones but 100 (Continue) included, which it leaves in up's buffer. Whoever takes the upstream over goes on
// with Await. It passes nothing on and minds the client in nothing.
func (x *Exchange) Rival(up *Upstream) Result {
	up.begin()
	if err := x.sendTaken(up, new(outgoing)); err != nil { // the exchange's own is the other attempt's
		return x.fail(up, SideUpstream, err)
	}
	up.whole = true
	for {
		if b := up.Buffered(); len(b) > 0 {
			n, err := up.response.Parse(b, x.d.o.HeadLimit, x.Request.Method)
			if err == nil && n > 0 {
				_, err = up.response.Tunnel(x.Request)
			}
			if err != nil {
				return x.fail(up, SideUpstream, err)
			}
			if n > 0 && up.response.Status == 100 {
				up.Advance(n) // the body is on its way, and nobody has to be told to send it
				continue
			}
			if n > 0 {
				up.answerHead = n
				return Result{Status: up.response.Status}
			}
		}
		if err := up.Fill(loop.Medium); err != nil {
			return x.fail(up, SideUpstream, err)
		}
	}
}

// Adopt goes on with an upstream that a Rival sent the request to, in the place of old, which is of no further use. Await comes next.
func (x *Exchange) Adopt(up, old *Upstream) {
	x.Leave(old)
	if !x.whole {
		x.pump = pump{done: true}
	}
	x.told = false
	up.response.Reset()
}

// Interrupt ends what a Rival on this upstream waits for; Resume makes the connection ready to be used again, and reports whether
// it can be: the request has gone out whole.
func (u *Upstream) Interrupt() {
	now := u.Conn.Loop().Now()
	u.Conn.SetReadDeadline(now)
	u.Conn.SetWriteDeadline(now)
}

// Resume is described at Interrupt.
func (u *Upstream) Resume() bool {
	u.Conn.SetReadDeadline(loop.Never)
	u.Conn.SetWriteDeadline(loop.Never)
	return u.whole
}
