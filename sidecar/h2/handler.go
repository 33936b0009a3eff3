package h2

import "github.com/sluice-mesh/sluice/sidecar/h2/frame"

// Handler decides where requests go. Its methods are called on the loop and must not wait. For each exchange the order is Request, then
// for each attempt Sending, unless no connection comes about, and either Failed, or Head and, if that answered true, Ended. An exchange whose client gives up before an
// answer began gets Ended as well. After it has called Reply or Reset it hears no more of the exchange.
type Handler interface {
	// Request is told of a request whose head has come. It has the exchange sent somewhere (Upstream.Open), now or later, or calls
	// Reply or Reset.
	Request(x *Exchange)
	// Sending is told that the running attempt begins to go out: it has its connection.
	Sending(x *Exchange)
	// Awaits is asked whether the head of an answer to a gRPC call may wait until the call's status has come, which is the case when the call
	// could be sent elsewhere for it; held says that it is the held attempt that was answered. Head, or HeldAnswered, is told of
	// the head when the status has come or the wait is over; an attempt that ends in between counts as one without an answer.
	Awaits(x *Exchange, held bool) bool
	// Head is told of the head of a final answer before it is passed on. It answers true to have it passed on; else it has called
	// Drop or Hold, and sent the exchange elsewhere, or it has gone on with a held attempt: Adopt, Resume or Swap.
	Head(x *Exchange, h Head) bool
	// Failed is told that an attempt ended before its answer's head was passed on. The handler has the exchange sent elsewhere,
	// or calls Reply or Reset.
	Failed(x *Exchange, f Failure)
	// HeldAnswered is told that an attempt that was held unanswered has got the head of its answer, and HeldFailed that it ended
	// without one; it is not held any more then.
	HeldAnswered(x *Exchange, h Head)
	HeldFailed(x *Exchange, f Failure)
	// Ended is told that nothing more happens upstream.
	Ended(x *Exchange, e End)
}

// Head is the head of a final answer.
type Head struct {
	Status int
	// GRPC is the grpc-status of an answer that is nothing but its head (Trailers-Only), or whose head has waited for its trailers; -1 where
	// there is none, or none yet.
	GRPC int
	// Last says that the answer has neither body nor trailers.
	Last bool
}

// Failure is how an attempt ended that gave no answer.
type Failure struct {
	// Unprocessed says that the endpoint's program has seen nothing of the request, or said so: connect failed, REFUSED_STREAM, above
	// GOAWAY's last stream.
	Unprocessed bool
	// Connect says that there was no connection.
	Connect bool
	// Away says that the endpoint ends the connection (GOAWAY) and has not looked at the request.
	Away bool
	// Kept says that the connection, which has ended or is going to, had carried other streams before, and answers if it has ended.
	Kept bool
	// Malformed says that the endpoint's answer breaks the rules.
	Malformed bool
	// Reset says that the endpoint ended the stream with RST_STREAM and Code.
	Reset bool
	Code  frame.Code
	Err   error // where a connection failed
}

// End is how an exchange's last attempt ended.
type End struct {
	Status int
	GRPC   int // grpc-status; -1 where there was none
	// Truncated says that the endpoint's stream or connection ended within the answer.
	Truncated bool
	Code      frame.Code // of the reset by which the client was told, where it was
	// Gone says that the client gave up.
	Gone bool
}
