package head

// checkRegular checks the name of a field that has no meaning here.
func checkRegular(name string) Reason {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		// "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields. […] Any message
		// containing connection-specific header fields MUST be treated as malformed": RFC 9113, section 8.2.2.
		return ConnectionField
	}
	if pseudo(name) {
		switch name {
		case ":method", ":scheme", ":path", ":authority", ":protocol", ":status":
			return LatePseudo
		}
		return UnknownPseudo
	}
	return checkName(name)
}

// parseContentLength reads a content-length. before is what an earlier field said, or -1.
func parseContentLength(s string, before int64) (int64, Reason) {
	if before >= 0 {
		return before, RepeatedContentLength
	}
	// 18 digits are under 2^63.
	if s == "" || len(s) > 18 {
		return -1, BadContentLength
	}
	n := int64(0)
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return -1, BadContentLength
		}
		n = n*10 + int64(d)
	}
	return n, reasonNone
}

// equalFold compares ASCII letters without case. low is in lower case.
func equalFold(s, low string) bool {
	if len(s) != len(low) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if classes[c]&upper != 0 {
			c += 'a' - 'A'
		}
		if c != low[i] {
			return false
		}
	}
	return true
}
