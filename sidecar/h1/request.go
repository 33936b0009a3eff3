package h1

import (
	"bytes"
	"encoding/binary"
)

// Request is a parsed request head. All slices are views into the buffer it was parsed from and live as long as that
// does; nobody may append to them. A Request is meant to be used again for the next message: Parse begins anew once it
// has answered a head or an error. The zero value is ready. It belongs to one goroutine at a time.
type Request struct {
	Head   []byte // request line to the empty line inclusive, without empty lines before it
	Method []byte
	Target []byte // any form of RFC 9112, section 3.2, not normalised
	Host   []byte // value of the Host field; nil when there is none
	Minor  uint8  // HTTP/1.<Minor>: 0 or 1

	Fields []Field // in order; the slice is used again

	Body   Framing // None, Length or Chunked
	Length int64   // bytes of body when Body is Length, else 0

	// Persistent is what the client asked for: HTTP/1.1 without close, HTTP/1.0 with keep-alive.
	Persistent bool
	// ExpectContinue says that the client waits for 100 (Continue) before it sends the body.
	ExpectContinue bool
	// Upgrade is the value of the first Upgrade field that offers anything but HTTP/2, when Connection names it; nil
	// else. Only then may a 101 be answered.
	Upgrade []byte

	options options
	h2c     bool // an Upgrade field offers HTTP/2
	other   bool // an Upgrade field offers something else
	h2set   bool // there is an HTTP2-Settings field
	progress
}

// maxEmptyLines bounds the empty lines skipped before a request line. RFC 9112, section 2.2: "a server that is expecting
// to receive and parse a request-line SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
const maxEmptyLines = 4

// Parse reads a head from the front of b. It answers how many bytes of b the head takes, tolerated empty lines before it
// included; 0 when more bytes are needed, after which it may be called with the same bytes plus more; or a *HeadError,
// after which the request must be refused with Reason.Status and the connection closed. limit is the largest head in
// bytes; DefaultHeadLimit when it is 0. When the bytes have moved Parse begins anew by itself; when an unfinished head is
// given up and other bytes come at the same address, Reset has to be called.
func (r *Request) Parse(b []byte, limit int) (n int, err error) {
	if limit <= 0 {
		limit = DefaultHeadLimit
	}
	b, more, fresh := r.resume(b, limit)
	if fresh {
		r.Fields = r.Fields[:0]
	}
	var reason Reason
	if more {
		n, reason = r.parse(b)
	}
	return r.pause(b, n, reason, limit)
}

// Begun reports whether Parse was given part of a head and waits for the rest: bytes of a request line, not only empty
// lines before it. A client that closes when nothing has begun leaves in peace.
func (r *Request) Begun() bool {
	return r.base != nil && (r.first || r.seen > r.next)
}

// Reset forgets everything, views into the buffer included, and keeps what can be used again. Parse needs no Reset
// before it; a connection that goes idle and gives its buffer back does.
func (r *Request) Reset() {
	*r = Request{Fields: keep(r.Fields)}
}

// keep empties fields for the next message, without views into the old one's buffer.
func keep(fields []Field) []Field {
	if cap(fields) > keptFields {
		return nil
	}
	clear(fields)
	return fields[:0]
}

func (r *Request) parse(b []byte) (n int, reason Reason) {
	if !r.first {
		for r.next+1 < len(b) && b[r.next] == '\r' && b[r.next+1] == '\n' {
			if r.next == 2*maxEmptyLines {
				return 0, TooManyEmptyLines
			}
			r.next += 2
		}
		end, reason := r.requestLine(b, r.next)
		if end == 0 {
			return 0, reason
		}
		r.start, r.next, r.first = r.next, end, true
	}
	var done bool
	r.Fields, r.next, done, reason = parseFields(r.Fields, b, r.next, r.start, strict)
	if !done {
		return 0, reason
	}
	r.Head = b[r.start:r.next]
	return r.next, r.interpret()
}

const (
	http10 = '0'<<56 | http1
	http11 = '1'<<56 | http1
	http1  = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 // "HTTP/1." read little-endian
)

// requestLine parses the line at offset i of b. It answers the offset behind it, or 0 with the reason, or 0 without one
// when the line is not complete.
func (r *Request) requestLine(b []byte, i int) (end int, reason Reason) {
	j := i
	for j < len(b) && class[b[j]]&classToken != 0 {
		j++
	}
	if j > i && j < len(b) && b[j] == ' ' {
		k := plain(b, j+1, '!')
		if k > j+1 && k+11 <= len(b) && b[k] == ' ' && b[k+9] == '\r' && b[k+10] == '\n' {
			if version := binary.LittleEndian.Uint64(b[k+1:]); version == http11 || version == http10 {
				r.Minor = b[k+8] - '0'
				r.Method, r.Target = b[i:j], b[j+1:k]
				return k + 11, reasonNone
			}
		}
	}
	lf := bytes.IndexByte(b[i:], '\n')
	if lf < 0 {
		return 0, reasonNone
	}
	return 0, badRequestLine(b[i : i+lf+1])
}

// badRequestLine says what is wrong with a whole line, LF included, that is no request line.
func badRequestLine(line []byte) Reason {
	line, reason := content(line, strict)
	switch {
	case reason != reasonNone:
		return reason
	case bytes.IndexByte(line, '\r') >= 0:
		return BareCR
	}
	sp := bytes.IndexByte(line, ' ')
	switch {
	case sp < 0 && !isToken(line):
		return BadMethod
	case sp < 0 || sp == 0:
		return BadRequestLine
	case !isToken(line[:sp]):
		return BadMethod
	}
	last := bytes.LastIndexByte(line, ' ')
	if last == sp {
		return BadRequestLine
	}
	target, version := line[sp+1:last], line[last+1:]
	switch k := plain(target, 0, '!'); {
	case len(target) == 0 || target[0] == ' ' || target[len(target)-1] == ' ' || len(version) == 0:
		return BadRequestLine
	case k < len(target):
		return BadTarget
	}
	if len(version) == 8 && string(version[:5]) == "HTTP/" && isDigit(version[5]) && version[6] == '.' && isDigit(version[7]) {
		return UnsupportedVersion
	}
	return BadVersion
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// interpret reads framing, Host and connection options out of the fields of a complete head.
func (r *Request) interpret() Reason {
	r.Host, r.Upgrade = nil, nil
	r.Body, r.Length = None, 0
	r.ExpectContinue, r.options, r.h2c, r.other, r.h2set = false, 0, false, false, false
	var (
		te        codings
		hasLength bool
		upgrade   []byte
	)
	for i := range r.Fields {
		f := &r.Fields[i]
		switch len(f.Name) {
		case 4:
			if equalFold(f.Name, "host") {
				if r.Host != nil {
					return RepeatedHost
				}
				for _, c := range f.Value {
					if class[c]&classHost == 0 {
						return BadHost
					}
				}
				r.Host = f.Value
			}
		case 6:
			if equalFold(f.Name, "expect") && equalFold(f.Value, "100-continue") {
				r.ExpectContinue = true
			}
		case 7:
			if equalFold(f.Name, "upgrade") {
				http2, other := protocols(f.Value)
				r.h2c = r.h2c || http2
				if other && !r.other {
					r.other, upgrade = true, f.Value
				}
			}
		case 10:
			if equalFold(f.Name, "connection") {
				r.options |= connectionOptions(f.Value)
			}
		case 14:
			if equalFold(f.Name, "content-length") {
				if hasLength {
					return RepeatedContentLength
				}
				hasLength = true
				var reason Reason
				if r.Length, reason = contentLength(f.Value); reason != reasonNone {
					return reason
				}
			} else if equalFold(f.Name, "http2-settings") {
				r.h2set = true
			}
		case 17:
			if equalFold(f.Name, "transfer-encoding") {
				te.add(f.Value)
			}
		}
	}
	// RFC 9112, section 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
	// that lacks a Host header field and to any request message that contains more than one Host header field line".
	if r.Host == nil && r.Minor >= 1 {
		return MissingHost
	}
	if te.present {
		if reason := te.request(hasLength, r.Minor); reason != reasonNone {
			return reason
		}
		r.Body = Chunked
	} else if r.Length > 0 {
		r.Body = Length
	}
	if r.Body != None && string(r.Method) == "CONNECT" {
		// RFC 9110, section 9.3.6: "A CONNECT request message does not have content." Whether such bytes were body or
		// already tunnel would be anyone's guess.
		return BodyOnConnect
	}
	r.Persistent = r.options.persistent(r.Minor)
	if r.Minor == 0 {
		// RFC 9110, sections 7.8 and 10.1.1: both fields are ignored in an HTTP/1.0 request.
		r.ExpectContinue = false
	} else if r.options&optUpgrade != 0 {
		r.Upgrade = upgrade
	}
	return reasonNone
}

// request decides whether a request with Transfer-Encoding is followed as a chunked one: docs/decisions/0002.
func (t codings) request(hasLength bool, minor uint8) Reason {
	switch {
	case hasLength:
		return BothLengths
	case minor == 0:
		// RFC 9112, section 6.1: such a message MUST be treated "as if the framing is faulty".
		return TransferEncodingInHTTP10
	case t.bad || !t.chunked:
		// RFC 9112, section 6.3: "If a Transfer-Encoding header field is present in a request and the chunked transfer
		// coding is not the final encoding, the message body length cannot be determined reliably".
		return BadTransferEncoding
	case t.other:
		return UnknownTransferCoding
	}
	return reasonNone
}

// Path answers the target without what an absolute one has in front of its path.
func (r *Request) Path() []byte {
	if i := bytes.Index(r.Target, []byte("://")); i > 0 && r.Target[0] != '/' {
		rest := r.Target[i+3:]
		if j := bytes.IndexByte(rest, '/'); j >= 0 {
			return rest[j:]
		}
		return nil
	}
	return r.Target
}

// Has reports whether there is a field of that name, which is in lower case.
func (r *Request) Has(name string) bool { return value(r.Fields, name) != nil }

// Value answers the value of the first field of that name, which is in lower case; nil when there is none.
func (r *Request) Value(name string) []byte { return value(r.Fields, name) }

func value(fields []Field, name string) []byte {
	for i := range fields {
		if f := &fields[i]; equalFold(f.Name, name) {
			return f.Value
		}
	}
	return nil
}

// IsIdempotent reports whether a request with this method may be sent again after it may have had an effect: RFC 9110,
// section 9.2.2. Methods are case-sensitive.
func IsIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}
