package proxy

import (
	"strings"
	"testing"
)

// An endpoint may answer before the request's body has come. Where another one is asked instead, the body goes there alone.
func TestAnErrorBeforeTheBodyHasCome(t *testing.T) {
	head, body := "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 1000\r\n\r\n", strings.Repeat("b", 1000)
	t.Run("nobody goes on waiting for the body on behalf of the first endpoint", func(t *testing.T) {
		r, bad, good := newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		for range 5 {
			client := r.dial()
			client.send(head + body[:500])
			s := bad.accept()
			s.expect(head+body[:500], "half of the request")
			s.send(status(503))
			s = good.accept()
			s.expect(head+body[:500], "the same")
			client.send(body[500:])
			s.expect(body[500:], "the rest")
			s.send(strings.Replace(ok, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			client.expectHead("the answer")
			s.close()
			client.close()
		}
		r.eventually("the coroutines to end", func() (over bool) {
			r.on(func() { over = r.l.Live() <= 2 })
			return over
		})
	})
	t.Run("the error is passed on whole when the second endpoint fails within the body", func(t *testing.T) {
		r, bad, worse := newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, worse.addr)
		client := r.dial()
		client.send(head + body[:500])
		s := bad.accept()
		s.expect(head+body[:500], "half of the request")
		s.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 10\r\n\r\n")
		w := worse.accept()
		w.expect(head+body[:500], "the same")
		w.reset()
		got := client.expectHead("the error")
		s.send("0123456789")
		client.expect("0123456789", "all of its body")
		if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(strings.ToLower(got), "connection: close") {
			t.Errorf("got %q: the client is to learn that the connection ends, since nobody takes the rest of its request", got)
		}
		client.expectResetOrEnd("the connection ends")
	})
}
