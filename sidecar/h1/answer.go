package h1

import "strconv"

// answerPhrases are the reason phrases of the answers we give ourselves: RFC 9110, section 15, and RFC 6585.
var answerPhrases = map[int]string{
	400: "Bad Request",
	408: "Request Timeout",
	413: "Content Too Large",
	414: "URI Too Long",
	429: "Too Many Requests",
	431: "Request Header Fields Too Large",
	500: "Internal Server Error",
	501: "Not Implemented",
	502: "Bad Gateway",
	503: "Service Unavailable",
	504: "Gateway Timeout",
	505: "HTTP Version Not Supported",
}

// Answer is a response of our own, in place of one from upstream.
type Answer struct {
	Status int
	Text   string // one line for a person, without "sluice: " and the line end
	Head   bool   // it answers HEAD: only the head is sent
	// Close says that the connection is closed behind it, KeepAlive that a client of HTTP/1.0 may go on using it.
	Close, KeepAlive bool
}

// Append appends the whole answer to dst. It allocates only when dst is too small.
func (a Answer) Append(dst []byte) []byte {
	const prefix = "sluice: "
	phrase := answerPhrases[a.Status]
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(a.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, phrase...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(prefix)+len(a.Text)+1), 10)
	switch {
	case a.Close:
		dst = append(dst, "\r\nConnection: close"...)
	case a.KeepAlive:
		dst = append(dst, "\r\nConnection: keep-alive"...)
	}
	dst = append(dst, "\r\n\r\n"...)
	if a.Head {
		return dst
	}
	dst = append(dst, prefix...)
	dst = append(dst, a.Text...)
	return append(dst, '\n')
}

// AppendAnswer appends to dst what a client gets whose request was refused for this reason; the connection is closed
// behind it. It allocates only when dst is too small.
func (r Reason) AppendAnswer(dst []byte) []byte {
	return Answer{Status: r.Status(), Text: refusals[r], Close: true}.Append(dst)
}

var refusals = func() (t [reasonCount]string) {
	for r := range Reasons {
		t[r] = "bad request: " + r.String()
	}
	return t
}()
