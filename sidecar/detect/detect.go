// Package detect tells from the first bytes of a client's connection which protocol it speaks. It is pure: who calls it
// reads the bytes, and decides how long to wait for more of them.
//
// A wrong "opaque" costs balancing by request; a wrong "HTTP/1" breaks a connection. So HTTP/1 is only what is a whole
// request line to the last byte, and whatever could not become one is opaque at the first byte that shows it.
package detect

import "bytes"

// Result is what the bytes are.
type Result uint8

const (
	NeedMore Result = iota // more bytes may still decide
	HTTP1                  // HTTP/1.0 or HTTP/1.1
	HTTP2                  // HTTP/2 with prior knowledge
	TLS
	Opaque // anything else
)

var words = [...]string{NeedMore: "need-more", HTTP1: "http1", HTTP2: "http2", TLS: "tls", Opaque: "opaque"}

func (r Result) String() string { return words[r] }

const (
	// Limit is how many bytes are looked at. A request line that is longer still counts as HTTP/1 when it began as one;
	// its parser has a larger limit, and an answer for those that exceed it.
	Limit = 8 << 10

	// maxMethod bounds a method's length. The longest registered one, UPDATEREDIRECTREF, has 17 letters.
	maxMethod = 32

	// maxEmptyLines are skipped before a request line, as the HTTP/1 parser does: RFC 9112, section 2.2.
	maxEmptyLines = 4

	// preface is the start of every HTTP/2 connection: RFC 9113, section 3.4.
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

	versions = "HTTP/1."
)

// Detect answers what b, the first bytes of a connection, is. Once it answers anything but NeedMore it answers the same
// for every longer b.
func Detect(b []byte) Result {
	if len(b) > Limit {
		b = b[:Limit]
	}
	if len(b) == 0 {
		return NeedMore
	}
	if b[0] == 0x16 {
		return clientHello(b)
	}
	if n := min(len(b), len(preface)); string(b[:n]) == preface[:n] {
		if n < len(preface) {
			return NeedMore
		}
		return HTTP2
	}
	return requestLine(b)
}

// MayBecomeHTTP2 reports whether b is the beginning of HTTP/2's preface and not yet all of it.
func MayBecomeHTTP2(b []byte) bool {
	return len(b) > 0 && len(b) < len(preface) && string(b) == preface[:len(b)]
}

// Guess answers what b is when no more bytes came in the time there was to wait: never NeedMore. An unfinished request
// line counts when its method is one of the usual ones and its target is a path or a URL, as a person types it.
func Guess(b []byte) Result {
	if r := Detect(b); r != NeedMore {
		return r
	}
	if n := len("PRI * HTTP/2"); len(b) >= n && string(b[:n]) == preface[:n] {
		return HTTP2
	}
	b = skipEmptyLines(b)
	sp := bytes.IndexByte(b, ' ')
	if sp < 0 || !usual(b[:sp]) {
		return Opaque
	}
	if target := b[sp+1:]; bytes.HasPrefix(target, []byte("/")) || bytes.HasPrefix(target, []byte("http://")) {
		return HTTP1
	}
	return Opaque
}

func usual(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH":
		return true
	}
	return false
}

// clientHello looks for the record that starts every TLS connection, of type handshake and with a legacy version between
// SSL 3.0 and TLS 1.3: RFC 8446, section 5.1.
func clientHello(b []byte) Result {
	switch {
	case len(b) > 1 && b[1] != 3, len(b) > 2 && b[2] > 4:
		return Opaque
	case len(b) < 3:
		return NeedMore
	}
	return TLS
}

func skipEmptyLines(b []byte) []byte {
	for range maxEmptyLines {
		if len(b) < 2 || b[0] != '\r' || b[1] != '\n' {
			break
		}
		b = b[2:]
	}
	return b
}

// requestLine looks for "method SP target SP HTTP/1.x CRLF". A line that ends with LF alone is opaque: HTTP/1 would have
// to be refused, while the server may well understand it. The same goes for versions other than 1.0 and 1.1.
func requestLine(b []byte) Result {
	all := len(b)
	b = skipEmptyLines(b)
	if len(b) == 0 || len(b) == 1 && b[0] == '\r' && all < 2*maxEmptyLines {
		return NeedMore
	}
	i := 0
	for i < len(b) && methodByte(b[i], i == 0) {
		i++
	}
	switch {
	case i > maxMethod:
		return Opaque
	case i == len(b):
		return NeedMore
	case i == 0 || b[i] != ' ':
		return Opaque
	}
	target := i + 1
	for i = target; i < len(b) && b[i] > ' ' && b[i] != 0x7f; i++ {
	}
	switch {
	case i == len(b):
		if all == Limit {
			return HTTP1
		}
		return NeedMore
	case i == target || b[i] != ' ':
		return Opaque
	}
	b = b[i+1:]
	n := min(len(b), len(versions))
	if string(b[:n]) != versions[:n] {
		return Opaque
	}
	b = b[n:]
	if len(b) > 0 && b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '\r' || len(b) > 2 && b[2] != '\n' {
		return Opaque
	}
	if len(b) < 3 && all < Limit {
		return NeedMore
	}
	return HTTP1
}

// methodByte reports whether c may stand in a method: a token (RFC 9110, section 9.1), and the first byte a letter, as
// in every method there is, which tells Redis ("*1"), Git ("003e") and LDAP ("0") apart at once.
func methodByte(c byte, first bool) bool {
	switch {
	case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
		return true
	case first:
		return false
	case c >= '0' && c <= '9':
		return true
	}
	return c > ' ' && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}
