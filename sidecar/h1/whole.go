package h1

import "strconv"

// Answer answers the request itself, with a body, and leaves the downstream connection open where the client wants that and the request has been
// read whole. When a part of another answer was sent already it resets the connection instead.
func (x *Exchange) Answer(status int, contentType string, body []byte) {
	if x.begun {
		x.Abort()
		return
	}
	keep := x.Request.Persistent && x.InMemory()
	if x.begun, x.end = true, closing; keep {
		x.end = again
	}
	head := strconv.AppendInt([]byte("HTTP/1.1 "), int64(status), 10)
	head = append(append(head, ' '), answerPhrases[status]...)
	head = append(append(head, "\r\nContent-Type: "...), contentType...)
	head = strconv.AppendInt(append(head, "\r\nContent-Length: "...), int64(len(body)), 10)
	head = append(head, "\r\n"...)
	switch {
	case !keep:
		head = append(head, closeTail...)
	case x.Request.Minor == 0:
		head = append(head, keepAliveTail...)
	default:
		head = append(head, "\r\n"...)
	}
	if string(x.Request.Method) == "HEAD" {
		body = nil
	}
	if _, err := x.d.Conn.Writev(head, body); err != nil {
		x.end = broken
	}
}
