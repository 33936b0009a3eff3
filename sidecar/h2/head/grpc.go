package head

import (
	"math"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// isGRPC tells gRPC's content types from others, such as application/grpc-web.
func isGRPC(contentType string) bool {
	const plain = "application/grpc"
	if len(contentType) < len(plain) || contentType[:len(plain)] != plain {
		return false
	}
	return len(contentType) == len(plain) || contentType[len(plain)] == '+' || contentType[len(plain)] == ';'
}

// parseTimeout reads a grpc-timeout: up to eight digits and a unit. 0 stands for a malformed one, which is the server's
// to refuse.
func parseTimeout(s string) time.Duration {
	if len(s) < 2 || len(s) > 9 {
		return 0
	}
	unit := time.Duration(0)
	switch s[len(s)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0
	}
	n := time.Duration(0)
	for i := range len(s) - 1 {
		d := s[i] - '0'
		if d > 9 {
			return 0
		}
		n = n*10 + time.Duration(d)
	}
	switch {
	case n == 0:
		return time.Nanosecond // over at once, which is not the same as none
	case n > math.MaxInt64/unit:
		return math.MaxInt64
	}
	return n * unit
}

// GRPCStatus is the status of a gRPC call, out of the trailers or of a response that has nothing else (Trailers-Only). It
// reports false where there is none that can be read.
func GRPCStatus(fields []hpack.Field) (code int, ok bool) {
	for i := range fields {
		f := &fields[i]
		if f.Name != "grpc-status" {
			continue
		}
		if len(f.Value) == 0 || len(f.Value) > 4 {
			return 0, false
		}
		for j := range len(f.Value) {
			d := f.Value[j] - '0'
			if d > 9 {
				return 0, false
			}
			code = code*10 + int(d)
		}
		return code, true
	}
	return 0, false
}
