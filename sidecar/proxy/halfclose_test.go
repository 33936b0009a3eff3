package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestHalfClose(t *testing.T) {
	t.Run("FIN behind the request is passed on, and the answer still comes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		client.closeWrite()
		s := o.accept()
		s.expect(get, "the request")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
		next := r.dial()
		next.send(get)
		s = o.accept()
		s.expect(get, "a connection on which FIN was sent serves nobody else")
		s.send(ok)
		next.expect(ok, "the answer")
		next.close()
		r.counts("reuses", 0, r.m.Loop(0).Reuses.Load)
	})
	t.Run("FIN while the server thinks", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
	})
	t.Run("FIN within the answer", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + "01234")
		client.expect(lines("HTTP/1.1 200 OK", "Content-Length: 10")+"01234", "half an answer")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.send("56789")
		client.expect("56789", "the other half")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind a body that was streamed", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		head := "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		client.send(head)
		s := o.accept()
		s.expect(head, "the head")
		client.send("5\r\nhello\r\n0\r\n\r\n")
		client.closeWrite()
		s.expect("5\r\nhello\r\n0\r\n\r\n", "the body")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
	})
	t.Run("FIN within a body: the server sees the same, and its answer still comes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		half := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(half)
		client.closeWrite()
		s := o.accept()
		s.expect(half, "what there is of the request")
		s.expectEnd("the FIN")
		bad := lines("HTTP/1.1 400 Bad Request", "Content-Length: 0")
		s.send(bad)
		client.expect(lines("HTTP/1.1 400 Bad Request", "Content-Length: 0", "Connection: close"), "the server's opinion of that")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind pipelined requests is behind the last one", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get + post)
		client.closeWrite()
		s := o.accept()
		s.expect(get, "the first request")
		s.send(ok)
		s.expect(post, "the second one, on the same connection")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok+ok, "both answers")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind a request that came with the end of a streamed body", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		head := "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		client.send(head)
		s := o.accept()
		s.expect(head, "the head")
		client.send("5\r\nhello\r\n0\r\n\r\n" + post[:20])
		s.expect("5\r\nhello\r\n0\r\n\r\n", "the body")
		client.send(post[20:])
		client.closeWrite()
		s.expectSilence("the first exchange is not over")
		s.send(ok)
		client.expect(ok, "the first answer")
		s.expect(post, "the second request, whole")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the second answer")
		client.expectEnd("and the end")
	})
}

// After a short read no new edge comes for a FIN that was there already.
func TestRequestAndFinInOneEdge(t *testing.T) {
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })}
	r := newRig(t)
	r.serve(serveHTTP(t, hs))
	var wg sync.WaitGroup
	for range 50 {
		client := r.dial()
		wg.Add(1)
		go func() {
			defer wg.Done()
			io.WriteString(client.c, get)
			client.c.CloseWrite()
			b, err := io.ReadAll(client.c)
			if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
				t.Errorf("got %q, %v", b, err)
			}
			client.close()
		}()
	}
	wg.Wait()
}
