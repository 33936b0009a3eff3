package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// The gRPC statuses of calls that end without one: CANCELLED, UNKNOWN, PERMISSION_DENIED, RESOURCE_EXHAUSTED and UNAUTHENTICATED.
const (
	codeCancelled         = 1
	codeUnknown           = 2
	codePermissionDenied  = 7
	codeResourceExhausted = 8
	codeUnauthenticated   = 16
)

// statusOf answers the gRPC status that a call ended with: the one that came, or else what its client takes the end for; -1 for a request that is no
// call.
func statusOf(x *h2.Exchange, e h2.End) int {
	switch {
	case e.GRPC >= 0:
		return e.GRPC
	case !x.Request.GRPC:
		return -1
	case e.Gone:
		return codeCancelled
	case e.Truncated:
		return statusOfReset(e.Code)
	}
	return statusOfHTTP(e.Status)
}

// statusOfReset is what a client takes RST_STREAM for where no status came: "Errors" in gRPC over HTTP2.
func statusOfReset(code frame.Code) int {
	switch code {
	case frame.RefusedStream:
		return codeUnavailable
	case frame.Cancel:
		return codeCancelled
	case frame.EnhanceYourCalm:
		return codeResourceExhausted
	case frame.InadequateSecurity:
		return codePermissionDenied
	}
	return codeInternal
}

// statusOfHTTP is what a client takes an answer without a status for: gRPC's mapping of HTTP's statuses to its own.
func statusOfHTTP(status int) int {
	switch status {
	case 400:
		return codeInternal
	case 401:
		return codeUnauthenticated
	case 403:
		return codePermissionDenied
	case 404:
		return codeUnimplemented
	case 429, 502, 503, 504:
		return codeUnavailable
	}
	return codeUnknown
}

// reset ends an exchange with RST_STREAM.
func (s streams) reset(x *h2.Exchange, c *call, code frame.Code) {
	c.answered(0)
	if x.Request.GRPC {
		s.r.stats.GRPC(statusOfReset(code))
	}
	s.log(x, c)
	c.leave()
	x.Reset(code)
}
