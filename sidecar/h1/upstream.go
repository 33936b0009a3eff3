package h1

import (
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Upstream is one connection to an endpoint. It serves one exchange at a time and belongs to its loop; between exchanges the
// pool of package upstream keeps it.
type Upstream struct {
	Stream
	Endpoint *cluster.Endpoint
	// Reused says that the connection served an exchange before this one.
	Reused bool
	// IdleSince is when the connection went idle, by the loop's clock.
	IdleSince int64
	// Extra goes into the heads of the requests sent.
	Extra Extra

	// Of the running exchange's attempt:
	response   Response
	answerHead int    // bytes of the final answer's head in the buffer
	began      uint64 // how many bytes had been sent when the request began
	whole      bool   // the request went out whole
	told       bool   // the client's FIN was passed on, so that no further request can be sent
	vigil      loop.Vigil
}

// NewUpstream makes an upstream of a fresh connection.
func NewUpstream(c *loop.Conn, ep *cluster.Endpoint) *Upstream {
	return &Upstream{Stream: Stream{Conn: c}, Endpoint: ep}
}

// begin makes the connection ready for the answer to a request that is about to be sent.
func (u *Upstream) begin() {
	u.began = u.Conn.Sent()
	u.response.Reset()
	u.whole, u.told = false, false
	u.vigil.Begin(u.Conn.Loop().Now())
}

// Answer answers the head of the running exchange's answer, as of its Send. Its views hold until Forward or Drain.
func (u *Upstream) Answer() *Response { return &u.response }

// Fresh reports whether an idle connection may serve another request: nothing came on it, no bytes, no FIN, no reset.
func (u *Upstream) Fresh() bool { return !u.Conn.Readable() }

// unprocessed reports whether it is certain that no program can have seen a byte of the running request: none was sent, or the
// peer's FIN came before anything else and did not acknowledge one. A reset proves nothing, since it says nothing of what had come
// before it, and kernels hold acknowledgements back for 40 ms and more on connections that go to and fro. Only asked after a
// failure, since it costs a system call.
func (u *Upstream) unprocessed() bool {
	if u.Conn.Sent() == u.began {
		return true
	}
	n, ok := u.Conn.Acknowledged()
	return ok && n <= u.began && u.Conn.FinFirst()
}
