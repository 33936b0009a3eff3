package head

import "github.com/sluice-mesh/sluice/sidecar/h2/hpack"

// ParseResponse reads and checks the fields of a response, final or informational. contentLength is -1 where there is
// none. Its errors are of type *Malformed.
func ParseResponse(fields []hpack.Field) (status int, contentLength int64, err error) {
	contentLength = -1
	i := 0
	for ; i < len(fields) && pseudo(fields[i].Name); i++ {
		f := &fields[i]
		switch f.Name {
		case ":status":
			if i > 0 {
				return status, contentLength, refuse(RepeatedPseudo)
			}
			reason := reasonNone
			if status, reason = parseStatus(f.Value); reason != reasonNone {
				return status, contentLength, refuse(reason)
			}
		case ":method", ":scheme", ":path", ":authority", ":protocol":
			return status, contentLength, refuse(MisplacedPseudo)
		default:
			return status, contentLength, refuse(UnknownPseudo)
		}
	}
	if i == 0 {
		return status, contentLength, refuse(MissingStatus)
	}
	for ; i < len(fields); i++ {
		f := &fields[i]
		reason := reasonNone
		switch f.Name {
		case "content-length":
			contentLength, reason = parseContentLength(f.Value, contentLength)
		case "content-type", "date", "server", "grpc-status", "grpc-message", "grpc-encoding", "cache-control", "set-cookie":
			// Names that are known to be in order.
		default:
			reason = checkRegular(f.Name)
		}
		if reason == reasonNone && !validValue(f.Value) {
			reason = BadFieldValue
		}
		if reason != reasonNone {
			return status, contentLength, refuse(reason)
		}
	}
	return status, contentLength, nil
}

// parseStatus reads three digits, of which the first is not zero (RFC 9110, section 15).
func parseStatus(s string) (int, Reason) {
	if s == "200" {
		return 200, reasonNone
	}
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, BadStatus
	}
	n := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if n == 101 {
		// "HTTP/2 removes support for the 101 (Switching Protocols) informational status code": RFC 9113, section 8.6.
		return n, SwitchingStatus
	}
	return n, reasonNone
}

// CheckTrailers checks the fields of a trailer section, of a request or a response. Its errors are of type *Malformed.
func CheckTrailers(fields []hpack.Field) error {
	for i := range fields {
		f := &fields[i]
		reason := reasonNone
		switch f.Name {
		case "grpc-status", "grpc-message", "grpc-status-details-bin":
		default:
			reason = checkRegular(f.Name)
			if reason == LatePseudo || reason == UnknownPseudo {
				// "Pseudo-header fields MUST NOT appear in a trailer section": RFC 9113, section 8.1.
				reason = MisplacedPseudo
			}
		}
		if reason == reasonNone && !validValue(f.Value) {
			reason = BadFieldValue
		}
		if reason != reasonNone {
			return refuse(reason)
		}
	}
	return nil
}
