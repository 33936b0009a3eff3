package head

import (
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// Request is what a request's field section says.
type Request struct {
	Method, Scheme, Authority, Path string
	Protocol                        string        // of extended CONNECT (RFC 8441)
	ContentLength                   int64         // -1: none
	GRPC                            bool          // content-type application/grpc, or application/grpc+…
	Timeout                         time.Duration // grpc-timeout; 0: none
	Trailers                        bool          // te: trailers
}

// ParseRequest reads and checks the fields of a request. Its errors are of type *Malformed.
func ParseRequest(fields []hpack.Field) (Request, error) {
	r := Request{ContentLength: -1}
	for i := range fields {
		f := &fields[i]
		switch f.Name {
		case ":method":
			r.Method = f.Value
		case ":scheme":
			r.Scheme = f.Value
		case ":authority":
			r.Authority = f.Value
		case ":path":
			r.Path = f.Value
		case ":protocol":
			r.Protocol = f.Value
		case "content-length":
			r.ContentLength, _ = strconv.ParseInt(f.Value, 10, 64)
		case "content-type":
			r.GRPC = strings.HasPrefix(f.Value, "application/grpc")
		case "te":
			r.Trailers = f.Value == "trailers"
		}
	}
	return r, nil
}
