package h1

import "strconv"

// answerPhrases are the reason phrases of the answers we give ourselves: RFC 9110, section 15, and RFC 6585.
var answerPhrases = map[int]string{
	200: "OK",
	207: "Multi-Status",
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

// Answer makes a response of our own, in place of one from upstream, with text as one line of body for a person. The
// connection is closed behind it. With head it answers a HEAD request: the body is left out.
func Answer(status int, text string, head bool) []byte {
	return AppendAnswer(nil, status, text, head)
}

// AppendAnswer appends what Answer makes to dst. It allocates only when dst is too small.
func AppendAnswer(dst []byte, status int, text string, head bool) []byte {
	return appendAnswer(dst, status, text, head, nil)
}

// appendAnswer is AppendAnswer with extra, whole lines, in the head.
func appendAnswer(dst []byte, status int, text string, head bool, extra []byte) []byte {
	const prefix = "sluice: "
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, answerPhrases[status]...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(prefix)+len(text)+1), 10)
	dst = append(dst, "\r\nConnection: close\r\n"...)
	dst = append(dst, extra...)
	dst = append(dst, "\r\n"...)
	if head {
		return dst
	}
	dst = append(dst, prefix...)
	dst = append(dst, text...)
	return append(dst, '\n')
}

// Answer is what a client gets whose request was refused for this reason; the connection is closed behind it. The bytes
// are shared: nobody may write to them.
func (r Reason) Answer() []byte { return refusals[r] }

var refusals = func() (t [reasonCount][]byte) {
	for r := range Reasons {
		t[r] = Answer(r.Status(), "bad request: "+r.String(), false)
	}
	return t
}()
