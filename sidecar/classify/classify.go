// Package classify says what the end of one attempt means, over HTTP/1.x, HTTP/2 and gRPC alike: whether the request may be sent
// again, and what it says of the endpoint. It decides only; the proxy acts and counts.
package classify

// Outcome is the end of an attempt.
type Outcome uint8

const (
	// Answered is an answer with any status; the zero value.
	Answered Outcome = iota
	// ConnectFailed says that no connection to the endpoint came about.
	ConnectFailed
	// Unprocessed says that no program saw the request: the connection failed before the endpoint's kernel had acknowledged a
	// byte of it, or the endpoint refused the stream (REFUSED_STREAM, or a stream above GOAWAY's last).
	Unprocessed
	// Cut says that the connection failed after that and before the answer's head was whole.
	Cut
	// BadAnswer says that the endpoint's answer cannot be understood.
	BadAnswer
	// Truncated says that the connection failed within the answer's body.
	Truncated
	// ClientGone says that the client ended the connection, or sent a body that cannot be read.
	ClientGone
	// ServerError is an answer with a status that the Service's rules take for a reason to ask another endpoint, and of which
	// nothing was passed on.
	ServerError
	// TimedOut says that no answer's head came within the attempt's time.
	TimedOut
	// LostRace says that another attempt of the same request was answered first.
	LostRace

	outcomes
)

// Count is how many attempts have ended in each way.
type Count [outcomes]uint16

var outcomeNames = [outcomes]string{"answered", "connect-failed", "unprocessed", "cut", "bad-answer", "truncated", "client-gone",
	"server-error", "timed-out", "lost-race"}

// String answers the word used in metrics and logs.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes answers the words of all outcomes, in order.
func Outcomes() []string { return outcomeNames[:] }

// Retry is what to do about an outcome.
type Retry uint8

const (
	// No leaves it at that.
	No Retry = iota
	// Free sends the request again at no cost: the endpoint has seen nothing of it.
	Free
	// Budgeted sends it again if the retry budget allows it.
	Budgeted
)

// Decide says whether a request may be sent once more, to an endpoint it was not sent to before. replayable says that it is still
// whole in memory and that nothing of an answer was passed on; idempotent is RFC 9110, section 9.2.2, or the Service's word.
func Decide(o Outcome, replayable, idempotent bool) Retry {
	if !replayable {
		return No
	}
	switch o {
	case ConnectFailed, Unprocessed:
		return Free
	case Cut, BadAnswer, ServerError, TimedOut:
		// RFC 9110, section 9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests."
		if idempotent {
			return Budgeted
		}
	}
	return No
}
