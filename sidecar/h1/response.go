package h1

import (
	"bytes"
	"encoding/binary"
)

// Response is a parsed response head: what is said of Request holds here as well. Parsing a response may write spaces
// over line folds and over white space before a colon, in place, as RFC 9112 asks of a proxy.
type Response struct {
	Head   []byte // status line to the empty line inclusive
	Status int    // 100 to 999
	Minor  uint8  // HTTP/1.<Minor>: 0 or 1

	Fields []Field // in order; the slice is used again

	Body   Framing
	Length int64 // bytes of body when Body is Length, else 0

	// Persistent says that the server keeps the connection open, and that it may be trusted with another request: the
	// end of this response is known beyond doubt.
	Persistent bool
	// Upgrade is the value of the first Upgrade field; nil when there is none.
	Upgrade []byte

	options options
	connect bool // a 2xx to CONNECT: the connection is a tunnel
	exact   bool // nothing may be mended in place: a head that needs it is an error
	progress
}

// Parse reads a head from the front of b, as Request.Parse does. method is the request's: the framing depends on it. An
// error means 502 for the client and the end of the upstream connection; it is never the client's fault.
func (r *Response) Parse(b []byte, limit int, method []byte) (n int, err error) {
	if limit <= 0 {
		limit = DefaultHeadLimit
	}
	b, more, fresh := r.resume(b, limit)
	if fresh {
		r.Fields = r.Fields[:0]
	}
	var reason Reason
	if more {
		n, reason = r.parse(b, method)
	}
	return r.pause(b, n, reason, limit)
}

// Reset forgets everything, views into the buffer included, and keeps what can be used again.
func (r *Response) Reset() {
	*r = Response{Fields: keep(r.Fields)}
}

// Value is Request.Value.
func (r *Response) Value(name string) []byte { return value(r.Fields, name) }

// Interim reports whether another response to the same request follows: RFC 9110, section 15.2.
func (r *Response) Interim() bool {
	return r.Status < 200 && r.Status != 101
}

// Tunnel reports whether both connections are opaque behind this response to q: a 2xx to CONNECT, or a 101 to an upgrade
// that q asked for. A 101 that was not asked for, or one that leads to HTTP/2, is an error with reason UnaskedUpgrade.
// RFC 9110, section 7.8: "A server MUST NOT switch to a protocol that was not indicated by the client".
func (r *Response) Tunnel(q *Request) (bool, error) {
	if r.Status != 101 {
		return r.connect, nil
	}
	if http2, _ := protocols(r.Upgrade); q.Upgrade == nil || http2 {
		return false, &HeadError{Reason: UnaskedUpgrade}
	}
	return true, nil
}

func (r *Response) parse(b, method []byte) (n int, reason Reason) {
	if !r.first {
		lf := bytes.IndexByte(b, '\n')
		if lf < 0 {
			return 0, reasonNone
		}
		if reason := r.statusLine(b[:lf+1]); reason != reasonNone {
			return 0, reason
		}
		r.next, r.first = lf+1, true
	}
	mode := lenient
	if r.exact {
		mode = verbatim
	}
	var done bool
	r.Fields, r.next, done, reason = parseFields(r.Fields, b, r.next, 0, mode)
	if !done {
		return 0, reason
	}
	r.Head = b[:r.next]
	return r.next, r.interpret(method)
}

// statusLine parses a whole line, its end included: "HTTP/1.1 200 OK". The space behind the code may be missing, as
// several servers leave it out with the reason phrase.
func (r *Response) statusLine(line []byte) Reason {
	line, _ = content(line, lenient)
	if bytes.IndexByte(line, '\r') >= 0 {
		return BareCR
	}
	if len(line) < 12 || line[8] != ' ' || len(line) > 12 && line[12] != ' ' || !validValue(line, lenient) {
		return BadStatusLine
	}
	switch binary.LittleEndian.Uint64(line) {
	case http11:
		r.Minor = 1
	case http10:
		r.Minor = 0
	default:
		return BadStatusLine
	}
	if !isDigit(line[9]) || !isDigit(line[10]) || !isDigit(line[11]) || line[9] == '0' {
		return BadStatusLine
	}
	r.Status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	return reasonNone
}

// interpret reads framing and connection options out of the fields of a complete head: RFC 9112, section 6.3.
func (r *Response) interpret(method []byte) Reason {
	r.Upgrade, r.options = nil, 0
	r.Body, r.Length = None, 0
	var (
		te     codings
		length lengths
	)
	// The status line and the empty line count as well: an LF alone anywhere.
	bareLF := len(r.Head) < 4 || r.Head[len(r.Head)-2] != '\r' || r.Head[len(r.Head)-4] != '\r'
	for i := range r.Fields {
		f := &r.Fields[i]
		bareLF = bareLF || r.Head[f.Start-2] != '\r'
		switch len(f.Name) {
		case 7:
			if equalFold(f.Name, "upgrade") && r.Upgrade == nil {
				r.Upgrade = f.Value
			}
		case 10:
			if equalFold(f.Name, "connection") {
				r.options |= connectionOptions(f.Value)
			}
		case 14:
			if equalFold(f.Name, "content-length") {
				length.add(f.Value)
			}
		case 17:
			if equalFold(f.Name, "transfer-encoding") {
				te.add(f.Value)
			}
		}
	}
	head := string(method) == "HEAD"
	r.connect = r.Status/100 == 2 && string(method) == "CONNECT"
	// Who ends lines with LF alone is old enough not to be asked twice on one connection.
	r.Persistent = r.options.persistent(r.Minor) && !bareLF && !r.connect
	switch {
	case r.Status < 200 || r.Status == 204:
		// These never have a body. One that announces one may well send it: nothing behind it can be trusted.
		if !head && (te.present || length.reason != reasonNone || length.n > 0) {
			r.Persistent = false
		}
		return reasonNone
	case r.Status == 304 || head || r.connect:
		return reasonNone
	case te.present:
		return r.codings(te, length.seen)
	case length.reason != reasonNone:
		return length.reason
	case !length.seen:
		r.Body, r.Persistent = UntilClose, false
	case length.n > 0:
		r.Body, r.Length = Length, length.n
	}
	return reasonNone
}

// codings decides the framing of a response with Transfer-Encoding: docs/decisions/0002.
func (r *Response) codings(te codings, hasLength bool) Reason {
	switch {
	case hasLength:
		return BothLengths
	case te.bad:
		return BadTransferEncoding
	case te.chunked && r.Minor >= 1:
		r.Body = Chunked
	default:
		// Section 6.3: without chunked as the last coding "the message body length is determined by reading the
		// connection until it is closed by the server". In HTTP/1.0 the framing is faulty (section 6.1), so the
		// connection's end is the only one to be trusted.
		r.Body, r.Persistent = UntilClose, false
	}
	return reasonNone
}

// lengths is what the Content-Length lines of a response say together. RFC 9110, section 8.6, lets a recipient take a
// repeated length when all are identical.
type lengths struct {
	seen   bool
	n      int64
	reason Reason
}

func (l *lengths) add(v []byte) {
	for more := true; more; {
		var e []byte
		e, v, more = element(v)
		n, reason := contentLength(e)
		switch {
		case l.reason != reasonNone:
		case reason != reasonNone:
			l.reason = reason
		case l.seen && n != l.n:
			l.reason = RepeatedContentLength
		}
		l.seen, l.n = true, n
	}
}
