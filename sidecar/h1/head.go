package h1

import "bytes"

// DefaultHeadLimit is the largest head, in bytes, where a caller sets none.
const DefaultHeadLimit = 64 << 10

// MaxFields bounds the field lines of one head or trailer section, so that 64 KiB of one-letter fields do not become a
// megabyte of slices.
const MaxFields = 1024

// keptFields is the longest Fields slice kept from one message to the next.
const keptFields = 128

// Field is one header field line.
type Field struct {
	Name  []byte // as written
	Value []byte // without the white space around it
	// Start and End are the line's place in Head, its CRLF included.
	Start, End int
}

// progress is how far an unfinished head has been parsed, so that a head that trickles in is not scanned again from the
// start each time.
type progress struct {
	base  *byte // first byte of the buffer the views point into; nil before the first Parse and after the last
	start int   // of the first line, behind tolerated empty lines
	next  int   // start of the first line not parsed yet
	seen  int   // b[next:seen] holds no LF
	first bool  // the first line is parsed
}

// resume prepares for parsing b, of which at most limit bytes count, and reports whether a line end may have come since
// the last time. fresh reports that parsing begins at the first byte: nothing was parsed yet, or the bytes have moved
// and the old views are void.
func (p *progress) resume(b []byte, limit int) (_ []byte, more, fresh bool) {
	if len(b) > limit {
		b = b[:limit]
	}
	if len(b) == 0 {
		return b, false, p.base == nil
	}
	if p.base != &b[0] || len(b) < p.seen {
		*p = progress{base: &b[0]}
		return b, true, true
	}
	return b, bytes.IndexByte(b[p.seen:], '\n') >= 0, false
}

// pause makes Parse's answer out of what one pass over b gave: n is the length of a complete head, or 0.
func (p *progress) pause(b []byte, n int, reason Reason, limit int) (int, error) {
	at := p.next
	switch {
	case reason != reasonNone:
	case n > 0:
		*p = progress{}
		return n, nil
	case len(b) < limit:
		p.seen = len(b)
		return 0, nil
	case p.first:
		at, reason = limit, HeadTooLarge
	default:
		at, reason = limit, LineTooLong
	}
	*p = progress{}
	return 0, &HeadError{Reason: reason, Offset: at}
}

// lenience is what a field line may be that RFC 9112 asks a sender not to write.
type lenience uint8

const (
	strict   lenience = iota // requests, trailers of requests
	lenient                  // responses: docs/decisions/0002-http1-strictness.md
	verbatim                 // the same, but what a proxy has to mend is wrong
)

// parseFields parses field lines of b from offset i up to the empty line, into fields, with line offsets relative to
// start. It answers the offset behind the last line parsed, and whether the empty line was reached.
func parseFields(fields []Field, b []byte, i, start int, mode lenience) (_ []Field, next int, done bool, r Reason) {
	for {
		// The usual line first: token, colon, value of visible bytes, CRLF. Whatever differs goes to oddLine.
		j := i
		for j < len(b) && class[b[j]]&classToken != 0 {
			j++
		}
		name := j
		if j == i {
			if j+1 < len(b) && b[j] == '\r' && b[j+1] == '\n' {
				return fields, i + 2, true, reasonNone
			}
		} else if j+1 < len(b) && b[j] == ':' {
			j++
			if b[j] == ' ' {
				j++
			}
			value := j
			j = plain(b, j, ' ')
			if j+1 < len(b) && b[j] == '\r' && b[j+1] == '\n' {
				if len(fields) == MaxFields {
					return fields, i, false, TooManyFields
				}
				v := b[value:j]
				if len(v) > 0 && (v[0] == ' ' || v[len(v)-1] == ' ') {
					v = trim(v)
				}
				fields = append(fields, Field{Name: b[i:name], Value: v, Start: i - start, End: j + 2 - start})
				i = j + 2
				continue
			}
		}

		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return fields, i, false, reasonNone
		}
		end := i + lf + 1
		line := b[i:end]
		if mode != strict {
			if empty(line) {
				return fields, end, true, reasonNone
			}
			if line[0] == ' ' || line[0] == '\t' {
				if mode == verbatim {
					return fields, i, false, ObsFold
				}
				if r := unfold(fields, b, i, end, start); r != reasonNone {
					return fields, i, false, r
				}
				i = end
				continue
			}
		}
		f, r := oddLine(line, len(fields) == 0, mode)
		if r == reasonNone && len(fields) == MaxFields {
			r = TooManyFields
		}
		if r != reasonNone {
			return fields, i, false, r
		}
		f.Start, f.End = i-start, end-start
		fields = append(fields, f)
		i = end
	}
}

// empty reports whether a line is only its end, LF alone included.
func empty(line []byte) bool {
	return len(line) == 1 || len(line) == 2 && line[0] == '\r'
}

// content answers a line without its end.
func content(line []byte, mode lenience) ([]byte, Reason) {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], reasonNone
	}
	if mode != strict {
		return line, reasonNone
	}
	return nil, BareLF
}

// oddLine parses one whole field line, LF included, that is not of the usual form: it is still right (tabs in the value,
// say), or it says what is wrong.
func oddLine(line []byte, first bool, mode lenience) (f Field, r Reason) {
	text, r := content(line, mode)
	if r != reasonNone {
		return f, r
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		return f, BareCR
	}
	if len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		if first {
			// RFC 9112, section 2.2: such a line hides itself, or the one behind it, from some recipients.
			return f, LeadingSpace
		}
		return f, ObsFold
	}
	colon := bytes.IndexByte(text, ':')
	switch {
	case colon < 0:
		return f, MissingColon
	case colon == 0:
		return f, EmptyFieldName
	}
	name := trim(text[:colon])
	if len(name) < colon {
		if mode != lenient {
			// RFC 9112, section 5.1: "A server MUST reject, with a response status code of 400 (Bad Request), any
			// received request message that contains whitespace between a header field name and colon."
			if !isToken(name) {
				return f, BadFieldName
			}
			return f, SpaceBeforeColon
		}
		// "A proxy MUST remove any such whitespace from a response message before forwarding": it becomes white
		// space of the value, which keeps all offsets.
		text[len(name)] = ':'
		for i := len(name) + 1; i <= colon; i++ {
			text[i] = ' '
		}
	}
	if !validName(name, mode) {
		return f, BadFieldName
	}
	value := trim(text[len(name)+1:])
	if !validValue(value, mode) {
		return f, BadFieldValue
	}
	return Field{Name: name, Value: value}, reasonNone
}

// validName reports whether name is a token; in a response, whether it at least cannot be taken for another name.
func validName(name []byte, mode lenience) bool {
	if mode == strict {
		return isToken(name)
	}
	return len(name) > 0 && plain(name, 0, ' ') == len(name)
}

// validValue reports whether value is visible bytes, spaces, tabs and obs-text; in a response other control bytes may
// stand in it, but never NUL. RFC 9110, section 5.5: "Field values containing CR, LF, or NUL characters are invalid and
// dangerous".
func validValue(value []byte, mode lenience) bool {
	if mode != strict {
		return bytes.IndexByte(value, 0) < 0
	}
	for i := 0; ; i++ {
		i = plain(value, i, ' ')
		if i == len(value) {
			return true
		}
		if value[i] != '\t' {
			return false
		}
	}
}

// unfold joins the line b[i:end], which starts with white space, to the field before it, as RFC 9112 section 5.2 asks of
// a proxy for a response: "replace each received obs-fold with one or more SP octets prior to interpreting the field
// value or forwarding the message downstream". Spaces over the line end keep all offsets.
func unfold(fields []Field, b []byte, i, end, start int) Reason {
	if len(fields) == 0 {
		return LeadingSpace
	}
	text, _ := content(b[i:end], lenient)
	if bytes.IndexByte(text, '\r') >= 0 {
		return BareCR
	}
	if !validValue(text, lenient) {
		return BadFieldValue
	}
	for j := i - 1; b[j] == '\n' || b[j] == '\r'; j-- {
		b[j] = ' '
	}
	f := &fields[len(fields)-1]
	value := start + f.Start + len(f.Name) + 1
	f.Value = trim(b[value : i+len(text)])
	f.End = end - start
	return reasonNone
}
