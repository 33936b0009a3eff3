package classify

// Health is what an attempt's end says of its endpoint.
type Health uint8

const (
	// Silent says nothing of it. The zero value.
	Silent Health = iota
	// Good speaks for it.
	Good
	// Bad speaks against it.
	Bad
	// Doubtful speaks against it unless another endpoint answers the same request in the same way, or, where none is asked, others answer
	// other requests no better: then it is the request.
	Doubtful
)

// HealthOf answers what an outcome says; status is that of an answer over HTTP. reused says that the attempt went on a kept
// connection, whose endpoint may have closed it while it was idle. See docs/decisions/0008.
func HealthOf(o Outcome, status int, reused bool) Health {
	switch o {
	case Answered, ServerError:
		return healthOfStatus(status)
	case Cut:
		if reused {
			return Silent
		}
		return Bad
	case BadAnswer: // a head beyond the limit may be what the request asks for
		return Doubtful
	case Truncated, TimedOut, LostRace:
		return Bad
	}
	return Silent // a failed connect has a suspicion of its own, see package outlier
}

func healthOfStatus(status int) Health {
	switch {
	case status == 500:
		return Doubtful
	case status >= 502 && status <= 504:
		return Bad
	case status == 429 || status > 504:
		return Silent
	}
	return Good
}

// The gRPC statuses that are told apart here; the numbers are those of the gRPC specification, statuscodes.md.
const (
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// HealthOfGRPC answers what a gRPC status says.
func HealthOfGRPC(status int) Health {
	switch status {
	case grpcUnavailable:
		return Bad
	case grpcUnknown, grpcInternal:
		return Doubtful
	case grpcDeadlineExceeded, grpcResourceExhausted:
		return Silent
	}
	return Good
}
