package h1

// What belongs to one connection and not to the message is edited on the way: RFC 9110, section 7.6.1. The head is
// answered as segments, views of the untouched parts with new lines between them, for a vectored write.

const (
	keepAliveLine = "Connection: keep-alive\r\n\r\n"
	closeLine     = "Connection: close\r\n\r\n"
)

var keepAliveTail, closeTail = []byte(keepAliveLine), []byte(closeLine)

// edit is what has to change in a head.
type edit struct {
	drop  options // connection options to take out
	add   options // optKeepAlive or optClose to put in, 0 for none
	http2 bool    // take HTTP/2 out of Upgrade, and the HTTP2-Settings fields with it
	extra Extra
}

// Extra is a field of our own to put into a head, which nobody gets who has not asked for it. The zero value is none.
type Extra struct {
	// Name is in lower case; fields of that name are taken out.
	Name string
	// Line is the whole line with its end.
	Line []byte
}

// AppendUpstream appends to segs the head to send upstream, so that the upstream connection is persistent whatever the
// client asked for and never becomes HTTP/2: the head itself where nothing needs change. New lines are appended to
// scratch. Both are answered for use again; with enough capacity nothing is allocated. The segments are views into Head
// and scratch.
func (r *Request) AppendUpstream(segs [][]byte, scratch []byte) (_ [][]byte, _ []byte) {
	return r.appendUpstream(segs, scratch, Extra{})
}

func (r *Request) appendUpstream(segs [][]byte, scratch []byte, extra Extra) (_ [][]byte, _ []byte) {
	e := edit{extra: extra}
	e.drop = r.options & optClose
	if r.Minor == 0 && r.options&optKeepAlive == 0 {
		e.add = optKeepAlive
	}
	e.withoutHTTP2(r)
	return e.apply(segs, scratch, r.Head, r.Fields)
}

// AppendBound is AppendUpstream for an upstream connection that serves this client alone: only HTTP/2 is taken out.
func (r *Request) AppendBound(segs [][]byte, scratch []byte) (_ [][]byte, _ []byte) {
	var e edit
	e.withoutHTTP2(r)
	return e.apply(segs, scratch, r.Head, r.Fields)
}

func (e *edit) withoutHTTP2(r *Request) {
	if r.h2c || r.h2set {
		e.http2 = true
		e.drop |= r.options & optHTTP2Settings
		if r.h2c && !r.other {
			e.drop |= r.options & optUpgrade
		}
	}
}

// AppendDownstream appends to segs the head to send to the client, as AppendUpstream does. clientMinor is the request's
// version, and keepOpen says whether the client's connection stays open behind this response; it must not when Body is
// UntilClose. An interim response and one that opens a tunnel are never changed.
func (r *Response) AppendDownstream(segs [][]byte, scratch []byte, clientMinor uint8, keepOpen bool) (_ [][]byte, _ []byte) {
	return r.appendDownstream(segs, scratch, clientMinor, keepOpen, Extra{})
}

func (r *Response) appendDownstream(segs [][]byte, scratch []byte, clientMinor uint8, keepOpen bool, extra Extra) (_ [][]byte, _ []byte) {
	e := edit{extra: extra}
	switch {
	case r.Status < 200 || r.connect:
		e.extra = Extra{}
	case keepOpen:
		e.drop = r.options & optClose
		// Persistence has to be said where either side speaks HTTP/1.0: RFC 9112, section 9.3.
		if (clientMinor == 0 || r.Minor == 0) && r.options&optKeepAlive == 0 {
			e.add = optKeepAlive
		}
	default:
		e.drop = r.options & optKeepAlive
		if clientMinor >= 1 && r.Minor >= 1 && r.options&optClose == 0 {
			e.add = optClose
		}
	}
	return e.apply(segs, scratch, r.Head, r.Fields)
}

func (e *edit) apply(segs [][]byte, scratch, head []byte, fields []Field) ([][]byte, []byte) {
	if e.drop == 0 && e.add == 0 && !e.http2 && e.extra.Line == nil {
		return append(segs, head), scratch
	}
	from := 0 // head[from:] is not in segs yet
	for i := range fields {
		f := &fields[i]
		mark := len(scratch)
		var changed bool
		switch {
		case len(f.Name) == 10 && equalFold(f.Name, "connection"):
			scratch, changed = e.connection(scratch, f)
		case e.http2 && len(f.Name) == 7 && equalFold(f.Name, "upgrade"):
			scratch, changed = appendUpgrade(scratch, f)
		case e.http2 && len(f.Name) == 14:
			changed = equalFold(f.Name, "http2-settings")
		}
		if e.extra.Line != nil && equalFold(f.Name, e.extra.Name) {
			scratch, changed = scratch[:mark], true
		}
		if !changed {
			continue
		}
		if f.Start > from {
			segs = append(segs, head[from:f.Start])
		}
		if len(scratch) > mark {
			segs = append(segs, scratch[mark:len(scratch):len(scratch)])
		}
		from = f.End
	}
	if e.extra.Line != nil {
		end := endOfFields(head)
		segs = append(segs, head[from:end], e.extra.Line)
		from = end
	}
	switch e.add {
	case optKeepAlive:
		return append(segs, head[from:endOfFields(head)], keepAliveTail), scratch
	case optClose:
		return append(segs, head[from:endOfFields(head)], closeTail), scratch
	}
	return append(segs, head[from:]), scratch
}

// endOfFields answers the offset of a head's empty line.
func endOfFields(head []byte) int {
	if n := len(head); n >= 2 && head[n-2] == '\r' {
		return n - 2
	}
	return len(head) - 1
}

// connection appends the Connection line f with its options edited, nothing when no option is left, and reports whether
// it changed. The option to add goes into the first line that changes, else into one of its own.
func (e *edit) connection(scratch []byte, f *Field) ([]byte, bool) {
	if connectionOptions(f.Value)&e.drop == 0 && e.add == 0 {
		return scratch, false
	}
	l := listLine{out: scratch, mark: len(scratch), name: f.Name}
	for v, more := f.Value, true; more; {
		var name []byte
		name, v, more = element(v)
		if option(name)&e.drop == 0 {
			l.add(name)
		}
	}
	switch e.add {
	case optKeepAlive:
		l.add(keepAliveTail[len("Connection: ") : len(keepAliveTail)-4])
	case optClose:
		l.add(closeTail[len("Connection: ") : len(closeTail)-4])
	}
	e.add = 0
	return l.end(), true
}

// appendUpgrade appends the Upgrade line f without HTTP/2, nothing when no protocol is left, and reports whether it
// changed.
func appendUpgrade(scratch []byte, f *Field) ([]byte, bool) {
	if http2, _ := protocols(f.Value); !http2 {
		return scratch, false
	}
	l := listLine{out: scratch, mark: len(scratch), name: f.Name}
	for v, more := f.Value, true; more; {
		var p []byte
		p, v, more = element(v)
		if !leadsToHTTP2(p) {
			l.add(p)
		}
	}
	return l.end(), true
}

// listLine writes a field line whose value is a list. Without an element there is no line.
type listLine struct {
	out  []byte
	mark int // where the line starts in out
	name []byte
}

func (l *listLine) add(element []byte) {
	if len(element) == 0 {
		return
	}
	if len(l.out) == l.mark {
		l.out = append(append(l.out, l.name...), ':', ' ')
	} else {
		l.out = append(l.out, ',', ' ')
	}
	l.out = append(l.out, element...)
}

func (l *listLine) end() []byte {
	if len(l.out) > l.mark {
		l.out = append(l.out, '\r', '\n')
	}
	return l.out
}
