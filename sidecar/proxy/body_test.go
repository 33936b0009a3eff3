package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

const expectHead = "POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

func TestExpectContinue(t *testing.T) {
	t.Run("the body comes behind 100, as the client sends it", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead)
		s := o.accept()
		s.expect(expectHead, "the head goes at once")
		s.expectSilence("the client waits for 100, and so do we")
		s.send("HTTP/1.1 100 Continue\r\n\r\n")
		client.expect("HTTP/1.1 100 Continue\r\n\r\n", "it is the server's word that counts")
		client.send("hello")
		s.expect("hello", "the body")
		s.send(ok)
		client.expect(ok, "the answer")
		client.send(get)
		s.expect(get, "the connections are kept")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("417 instead: both connections end, as nobody knows whether the body will come", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead)
		s := o.accept()
		s.expect(expectHead, "the head")
		s.send(lines("HTTP/1.1 417 Expectation Failed", "Content-Length: 0"))
		client.expect(lines("HTTP/1.1 417 Expectation Failed", "Content-Length: 0", "Connection: close"), "the answer")
		client.expectEnd("the client is told that the connection ends")
		next := r.dial()
		next.send(get)
		s2 := o.accept()
		s2.expect(get, "the next request goes on a new connection")
		s2.send(ok)
		next.expect(ok, "the answer")
		next.close()
		s.expectEnd("the server is told as well")
		r.counts("reuses", 0, r.m.Loop(0).Reuses.Load)
	})
	t.Run("a client that does not wait", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead + "hello")
		s := o.accept()
		s.expect(expectHead+"hello", "all of it")
		s.send("HTTP/1.1 100 Continue\r\n\r\n" + ok)
		client.expect("HTTP/1.1 100 Continue\r\n\r\n"+ok, "both answers")
		client.close()
	})
}

func TestServerAnswersBeforeTheBodyIsRead(t *testing.T) {
	const head = "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: 1000000000\r\n\r\n"
	tooLarge := lines("HTTP/1.1 413 Content Too Large", "Content-Length: 0", "Connection: close")
	t.Run("413 and close, without reading, reaches a client that goes on sending", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head)
		sent := make(chan error, 1)
		go func() {
			b := make([]byte, 64<<10)
			for {
				if _, err := client.c.Write(b); err != nil {
					sent <- err
					return
				}
			}
		}()
		s := o.accept()
		s.expect(head, "the head")
		s.send(tooLarge)
		s.closeWrite()
		client.expect(tooLarge, "the answer comes before the client's upload ends")
		if err := <-sent; err == nil {
			t.Error("the upload goes on")
		}
	})
	t.Run("a server that keeps the connection takes the rest of the body", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "head and half of the body")
		s.send(ok)
		client.expect(ok, "the answer, early")
		client.send("56789" + get)
		s.expect("56789", "the other half goes to the server all the same")
		s.expect(get, "and the next request behind it")
		s.send(ok)
		client.expect(ok, "the next answer")
		client.close()
	})
	t.Run("an early answer that is longer than one read leaves the upload alone", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "head and half of the body")
		answer := lines("HTTP/1.1 200 OK", "Content-Length: 1048576") + strings.Repeat("a", 1<<20)
		go s.c.Write([]byte(answer))
		client.expect(answer, "the answer, early")
		client.send("56789")
		s.expect("56789", "the other half")
		client.send(get)
		s.expect(get, "the next request")
		s.send(ok)
		client.expect(ok, "the next answer")
		client.close()
	})
	t.Run("413 and close of a server that neither reads nor closes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head)
		go func() { // more than all buffers on the way
			b := make([]byte, 64<<10)
			for range 1000 {
				if _, err := client.c.Write(b); err != nil {
					return
				}
			}
		}()
		s := o.accept()
		s.expect(head, "the head")
		r.eventually("the upload to be stuck", stuck(r))
		s.send(tooLarge)
		client.expect(tooLarge, "the answer")
		r.eventually("the connection to the server to be given up", func() bool { return r.m.Loop(0).Upstreams.Load() == 0 })
	})
	t.Run("a server that answers, closes and resets", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head + strings.Repeat("x", 100))
		s := o.accept()
		s.send(tooLarge)
		s.close() // with bytes unread: the kernel resets
		client.expect(tooLarge, "the answer outlives the reset")
	})
}

// stuck reports whether the loop has had nothing to do for a while.
func stuck(r *rig) func() bool {
	polls, since := uint64(0), time.Now()
	return func() bool {
		if n := r.l.Stats().Polls; n != polls {
			polls, since = n, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	}
}

func TestCloseDelimitedAnswers(t *testing.T) {
	for _, head := range []string{lines("HTTP/1.1 200 OK", "Connection: close"), lines("HTTP/1.0 200 OK", "X: y")} {
		want := head
		if strings.HasPrefix(head, "HTTP/1.1") {
			want = lines("HTTP/1.1 200 OK", "Connection: close")
		}
		for _, size := range []int{0, 10, 1 << 20} {
			t.Run(fmt.Sprintf("%.8s %d bytes", head, size), func(t *testing.T) {
				r, o := one(t)
				client := r.dial()
				client.send(get)
				s := o.accept()
				s.expect(get, "the request")
				body := strings.Repeat("b", size)
				go func() {
					s.c.Write([]byte(head + body))
					s.c.Close()
				}()
				client.expect(want, "the head")
				client.expect(body, "the body")
				client.expectEnd("the body ends with the connection")
			})
		}
	}
}

// Whatever is missing of an answer, the client can tell.
func TestTruncatedAnswers(t *testing.T) {
	cases := []struct {
		name, answer string
		reset        bool // the server resets; else it closes
	}{
		{"short of its length", lines("HTTP/1.1 200 OK", "Content-Length: 10") + "12345", false},
		{"short of its length, by a reset", lines("HTTP/1.1 200 OK", "Content-Length: 10") + "12345", true},
		{"within a chunk", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "a\r\n12345", false},
		{"between chunks", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n", false},
		{"before the last CRLF", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n0\r\n", false},
		{"chunked, by a reset", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n", true},
		{"close-delimited, by a reset", lines("HTTP/1.1 200 OK", "Connection: close") + "12345", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(get)
			s := o.accept()
			s.expect(get, "the request")
			s.send(c.answer)
			client.expect(c.answer, "what there is of the answer")
			if c.reset {
				s.reset()
				client.expectReset("the server's end is the client's")
			} else {
				s.close()
				client.expectEnd("the server's end is the client's")
			}
			r.eventually("the attempt to be counted", func() bool { return r.attempts(classify.Truncated) == 1 })
			r.counts("requests count as 2xx", 1, r.service().Classes[2].Load)
		})
	}
}

func TestDeclaredHTTP1IsNotDialledAhead(t *testing.T) {
	r, o := newRig(t), newOrigin(t)
	r.on(func() { r.w.silence = time.Nanosecond })
	r.declare(cluster.HTTP1, o.addr)
	client := r.dial()
	client.expectSilence("nothing happens to a silent client")
	o.noConnection("though the client is silent")
	client.close()
	r.eventually("the client's end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
	o.noConnection("though the client has gone")
}
