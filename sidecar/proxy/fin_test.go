package proxy

import (
	"strings"
	"testing"
)

// A server that is told of its client's end can stop working for it: net/http cancels the request's context. The sizes are such that
// the request's first read fills the buffer, to its last byte or not.
func TestTheFINBehindARequestReachesTheServer(t *testing.T) {
	const small = 4 << 10
	head := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: "
	for _, c := range []struct{ name, request string }{
		{"no body", get},
		{"a body in the first read", head + "5\r\n\r\nhello"},
		{"a body that fills the buffer", head + "4000\r\n\r\n" + strings.Repeat("x", 4000)},
		{"a head that fills the buffer", lines("GET / HTTP/1.1", "Host: web", "X: "+strings.Repeat("x", small-len(lines("GET / HTTP/1.1", "Host: web", "X: "))))},
		{"a body of many reads", head + itoa(1<<20) + "\r\n\r\n" + strings.Repeat("x", 1<<20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			go client.c.Write([]byte(c.request))
			s := o.accept()
			s.expect(c.request, "the request")
			client.closeWrite()
			s.expectEnd("the client has ended while it waits")
			s.send(ok)
			client.expect(ok, "it may still want the answer")
			s.close()
			client.close()
		})
	}
}
