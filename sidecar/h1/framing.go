package h1

import "math"

// Framing says how a message's body is delimited: RFC 9112, section 6.3.
type Framing uint8

const (
	None       Framing = iota // there is no body; also Content-Length: 0
	Length                    // as many bytes as the message's Length says
	Chunked                   // a chunked body: see Chunks
	UntilClose                // until the server closes; responses only
)

var framingWords = [...]string{"none", "length", "chunked", "until-close"}

func (f Framing) String() string { return framingWords[f] }

// contentLength reads a Content-Length value: 1*DIGIT (RFC 9110, section 8.6), at most 2^63-1, which is 19 digits.
func contentLength(v []byte) (int64, Reason) {
	if len(v) == 0 || len(v) > 19 {
		return 0, BadContentLength
	}
	var n uint64
	for _, c := range v {
		c -= '0'
		if c > 9 {
			return 0, BadContentLength
		}
		n = n*10 + uint64(c)
	}
	if n > math.MaxInt64 {
		return 0, BadContentLength
	}
	return int64(n), reasonNone
}

// codings is what the Transfer-Encoding lines of a message say together.
type codings struct {
	present bool
	other   bool // a coding besides chunked
	chunked bool // chunked came, and nothing behind it
	bad     bool // an empty element, a coding that is no token, parameters on chunked, or chunked not the last or twice
}

func (t *codings) add(v []byte) {
	t.present = true
	if equalFold(v, "chunked") && !t.chunked {
		t.chunked = true
		return
	}
	for more := true; more; {
		var name []byte
		name, v, more = element(v)
		switch {
		case t.chunked: // "A sender MUST NOT apply the chunked transfer coding more than once"; nor anything behind it
			t.bad = true
		case equalFold(name, "chunked"):
			t.chunked = true
		case isToken(name):
			t.other = true
		default:
			t.other = true
			t.bad = t.bad || !parametrized(name)
		}
	}
}

// parametrized reports whether a coding is a token with parameters, and not chunked: RFC 9112, section 7.1, says that
// chunked has none and "their presence SHOULD be treated as an error".
func parametrized(coding []byte) bool {
	for i, c := range coding {
		if c == ';' {
			name := trim(coding[:i])
			return isToken(name) && !equalFold(name, "chunked")
		}
	}
	return false
}

// options is what the Connection lines of a message name.
type options uint8

const (
	optClose options = 1 << iota
	optKeepAlive
	optUpgrade
	optHTTP2Settings
)

// option answers the bit of one connection option, 0 for one that means nothing to us.
func option(name []byte) options {
	switch len(name) {
	case 5:
		if equalFold(name, "close") {
			return optClose
		}
	case 7:
		if equalFold(name, "upgrade") {
			return optUpgrade
		}
	case 10:
		if equalFold(name, "keep-alive") {
			return optKeepAlive
		}
	case 14:
		// The digit of http2-settings folds onto itself.
		if equalFold(name, "http2-settings") {
			return optHTTP2Settings
		}
	}
	return 0
}

func connectionOptions(v []byte) (o options) {
	for more := true; more; {
		var name []byte
		name, v, more = element(v)
		o |= option(name)
	}
	return o
}

// persistent decides by RFC 9112, section 9.3.
func (o options) persistent(minor uint8) bool {
	switch {
	case o&optClose != 0:
		return false
	case minor >= 1:
		return true
	}
	return o&optKeepAlive != 0
}

// leadsToHTTP2 reports whether a protocol of an Upgrade list is HTTP/2 under any of the names it has had. A connection
// that became HTTP/2 behind our back would carry requests nobody balances or checks.
func leadsToHTTP2(protocol []byte) bool {
	if len(protocol) >= 2 && equalFold(protocol[:2], "h2") {
		return len(protocol) == 2 || protocol[2]|0x20 == 'c' || protocol[2] == '-'
	}
	return len(protocol) >= 6 && equalFold(protocol[:4], "http") && protocol[4] == '/' && protocol[5] == '2'
}

// protocols looks through an Upgrade value: whether it offers HTTP/2, and whether it offers anything else.
func protocols(v []byte) (http2, other bool) {
	for more := true; more; {
		var p []byte
		p, v, more = element(v)
		if leadsToHTTP2(p) {
			http2 = true
		} else if len(p) > 0 {
			other = true
		}
	}
	return http2, other
}
