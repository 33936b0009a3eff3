package head

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// Request is what a request's field section says.
type Request struct {
	Method, Scheme, Path string
	Authority            string        // :authority, or else Host
	Protocol             string        // of an extended CONNECT (RFC 8441); "": an ordinary request
	ContentLength        int64         // -1: none
	GRPC                 bool          // content-type is application/grpc, or that with a suffix or parameters
	Timeout              time.Duration // grpc-timeout; 0: none, or malformed. One of zero is a nanosecond
	Trailers             bool          // te: trailers
}

// has says which pseudo-header fields have come.
type has uint8

const (
	hasMethod has = 1 << iota
	hasScheme
	hasPath
	hasAuthority
	hasProtocol
)

// ParseRequest reads and checks the fields of a request. Its errors are of type *Malformed. Whether an extended CONNECT
// may be made at all is left to the caller, who knows the settings.
func ParseRequest(fields []hpack.Field) (Request, error) {
	r := Request{ContentLength: -1}
	var seen has
	i := 0
	for ; i < len(fields) && pseudo(fields[i].Name); i++ {
		if reason := r.pseudo(&fields[i], &seen); reason != reasonNone {
			return r, refuse(reason)
		}
	}
	if reason := r.checkPseudo(seen); reason != reasonNone {
		return r, refuse(reason)
	}
	host := false
	for ; i < len(fields); i++ {
		f := &fields[i]
		reason := reasonNone
		switch f.Name {
		case "content-type":
			r.GRPC = isGRPC(f.Value)
		case "te":
			// "The only exception to this is the TE header field, which MAY be present in an HTTP/2 request; when it is, it
			// MUST NOT contain any value other than "trailers"." RFC 9113, section 8.2.2. None at all is no other.
			if f.Value != "trailers" && f.Value != "" && !equalFold(f.Value, "trailers") {
				return r, refuse(BadTE)
			}
			r.Trailers = r.Trailers || f.Value != ""
			continue
		case "grpc-timeout":
			r.Timeout = parseTimeout(f.Value)
		case "content-length":
			r.ContentLength, reason = parseContentLength(f.Value, r.ContentLength)
		case "host":
			switch {
			case host:
				return r, refuse(RepeatedHost)
			case !validAuthority(f.Value):
				return r, refuse(BadAuthority)
			case seen&hasAuthority == 0:
				r.Authority = f.Value
			}
			host = true
		case "user-agent", "accept", "accept-encoding", "cookie", "authorization", "grpc-accept-encoding", "traceparent":
			// Names that are known to be in order.
		default:
			reason = checkRegular(f.Name)
		}
		if reason == reasonNone && !validValue(f.Value) {
			reason = BadFieldValue
		}
		if reason != reasonNone {
			return r, refuse(reason)
		}
	}
	return r, nil
}

func pseudo(name string) bool { return len(name) > 0 && name[0] == ':' }

func (r *Request) pseudo(f *hpack.Field, seen *has) Reason {
	var this has
	switch f.Name {
	case ":method":
		this, r.Method = hasMethod, f.Value
	case ":scheme":
		this, r.Scheme = hasScheme, f.Value
	case ":path":
		this, r.Path = hasPath, f.Value
	case ":authority":
		this, r.Authority = hasAuthority, f.Value
	case ":protocol":
		this, r.Protocol = hasProtocol, f.Value
	case ":status":
		return MisplacedPseudo
	default:
		return UnknownPseudo
	}
	if *seen&this != 0 {
		return RepeatedPseudo
	}
	*seen |= this
	return reasonNone
}

// checkPseudo applies RFC 9113, sections 8.3.1 and 8.5, and RFC 8441, section 4.
func (r *Request) checkPseudo(seen has) Reason {
	switch {
	case seen&hasMethod == 0:
		return MissingMethod
	case r.Method == "POST" || r.Method == "GET":
	case !consistsOf(r.Method, tokenByte):
		return BadMethod
	}
	connect := r.Method == "CONNECT"
	switch {
	case seen&hasProtocol != 0 && (!connect || !consistsOf(r.Protocol, tokenByte)):
		return BadProtocol
	case connect && seen&hasProtocol == 0:
		switch {
		case seen&(hasScheme|hasPath) != 0:
			return BadConnect
		case seen&hasAuthority == 0:
			return MissingAuthority
		case r.Authority == "":
			return BadAuthority
		}
	case seen&hasScheme == 0:
		return MissingScheme
	case seen&hasPath == 0:
		return MissingPath
	case !validPath(r.Path):
		return BadPath
	case r.Scheme != "http" && r.Scheme != "https" && !consistsOf(r.Scheme, schemeByte):
		return BadScheme
	}
	if !validAuthority(r.Authority) {
		return BadAuthority
	}
	return reasonNone
}
