package proxy

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

const (
	get     = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
	ok      = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	noReuse = "the connection is not used again"
)

// one makes a rig with one hand-driven server.
func one(t *testing.T, change ...func(*Options)) (*rig, *origin) {
	t.Helper()
	r, o := newRig(t, change...), newOrigin(t)
	r.serve(o.addr)
	return r, o
}

func TestMessagesPassByteForByte(t *testing.T) {
	cases := []struct {
		name              string
		request, upstream string // upstream "" is request
		answer, client    string // client "" is answer
		closes            bool   // the client sees FIN behind the answer
	}{
		{name: "order and case of header fields are kept both ways",
			request: lines("GET /a?b=c%20d HTTP/1.1", "hOsT: web", "X-b: 1", "x-A:2", "X-b:   3  ", "Cookie: a=b", "cookie: c=d"),
			answer:  lines("HTTP/1.1 200 Fine thanks", "x-Z: 1", "Content-LENGTH: 0", "X-a:2", "set-cookie: a", "Set-Cookie: b")},
		{name: "a method nobody knows", request: lines("FROB /x HTTP/1.1", "Host: web"), answer: ok},
		{name: "an absolute target", request: lines("GET http://other.example/x HTTP/1.1", "Host: web"), answer: ok},
		{name: "OPTIONS *", request: lines("OPTIONS * HTTP/1.1", "Host: web"), answer: ok},
		{name: "a body in one piece", request: "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello", answer: ok},
		{name: "HEAD has a length and no body", request: lines("HEAD / HTTP/1.1", "Host: web"),
			answer: lines("HTTP/1.1 200 OK", "Content-Length: 1000000")},
		{name: "HEAD with a chunked answer", request: lines("HEAD / HTTP/1.1", "Host: web"),
			answer: lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")},
		{name: "204", request: get, answer: lines("HTTP/1.1 204 No Content", "X: y")},
		{name: "304 with a length", request: get, answer: lines("HTTP/1.1 304 Not Modified", "Content-Length: 10", "ETag: x")},
		{name: "a status nobody knows", request: get, answer: lines("HTTP/1.1 299 Whatever", "Content-Length: 0")},
		{name: "no reason phrase", request: get, answer: lines("HTTP/1.1 200 ", "Content-Length: 0")},
		{name: "chunked both ways with trailers and extensions",
			request: lines("POST / HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
				"5;name=\"q;v\"\r\nhello\r\n00003\r\nyou\r\n0;last\r\nX-Sum: 1\r\nx-other:2\r\n\r\n",
			answer: lines("HTTP/1.1 200 OK", "transfer-encoding: Chunked") +
				"a;x\r\n0123456789\r\n0\r\nX-Trailer: t\r\n\r\n"},
		{name: "interim answers come first",
			request: get,
			answer: lines("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload") + lines("HTTP/1.1 102 Processing") +
				lines("HTTP/1.1 103 Early Hints", "Link: </b.css>") + ok},
		{name: "HTTP/1.0 is told of no interim answer",
			request: lines("GET / HTTP/1.0", "Connection: keep-alive"),
			answer:  lines("HTTP/1.1 103 Early Hints", "Link: </a.css>") + lines("HTTP/1.1 200 OK", "Connection: keep-alive", "Content-Length: 2") + "ok",
			client:  lines("HTTP/1.1 200 OK", "Connection: keep-alive", "Content-Length: 2") + "ok"},
		{name: "HTTP/1.0 without keep-alive: kept upstream, closed downstream",
			request: lines("GET / HTTP/1.0", "Host: web"), upstream: lines("GET / HTTP/1.0", "Host: web", "Connection: keep-alive"),
			answer: lines("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 2") + "ok",
			client: lines("HTTP/1.0 200 OK", "Content-Length: 2") + "ok", closes: true},
		{name: "HTTP/1.0 with keep-alive, as ab -k sends it",
			request: lines("GET / HTTP/1.0", "Connection: Keep-Alive", "Host: web", "User-Agent: ApacheBench/2.3", "Accept: */*"),
			answer:  lines("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 2") + "ok"},
		{name: "Connection: close is between the client and us",
			request: lines("GET / HTTP/1.1", "Host: web", "Connection: close"), upstream: lines("GET / HTTP/1.1", "Host: web"),
			answer: ok, client: lines("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close") + "ok", closes: true},
		{name: "Connection names other fields too",
			request:  lines("GET / HTTP/1.1", "Host: web", "Connection: X-Hop, close", "X-Hop: 1"),
			upstream: lines("GET / HTTP/1.1", "Host: web", "Connection: X-Hop", "X-Hop: 1"),
			answer:   ok, client: lines("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close") + "ok", closes: true},
		{name: "Upgrade: h2c stays HTTP/1.1",
			request: lines("GET / HTTP/1.1", "Host: web", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
				"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
			upstream: lines("GET / HTTP/1.1", "Host: web"), answer: ok},
		{name: "empty lines before the request line", request: "\r\n\r\n" + get, upstream: get, answer: ok},
		{name: "a large head", request: lines("GET / HTTP/1.1", "Host: web", "X: "+strings.Repeat("x", 60<<10)),
			answer: lines("HTTP/1.1 200 OK", "Content-Length: 0", "X: "+strings.Repeat("y", 60<<10))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(c.request)
			s := o.accept()
			want := c.upstream
			if want == "" {
				want = c.request
			}
			s.expect(want, "the request as it goes upstream")
			s.send(c.answer)
			if want = c.client; want == "" {
				want = c.answer
			}
			client.expect(want, "the answer as it comes downstream")
			if c.closes {
				client.expectEnd("the exchange was the last one")
			} else {
				// The next exchange on the same two connections proves that both framings were understood to the byte.
				client.send(get)
				s.expect(get, "the next request on the same connections")
				s.send(ok)
				client.expect(ok, "the next answer")
				client.close()
			}
			r.eventually("the connection to the endpoint to be kept", func() bool { return r.m.Loop(0).Idle.Load() == 1 })
			o.noConnection("the first one serves")
		})
	}
}

// Bodies larger than one read must not cost the connection they came on.
func TestLargeAnswersKeepTheConnection(t *testing.T) {
	for _, size := range []int{16 << 10, 64 << 10, 128 << 10, 300 << 10, 2 << 20} {
		body := strings.Repeat("0123456789abcdef", size/16)
		heads := map[string]string{
			"length":  lines("HTTP/1.1 200 OK", "Content-Length: "+itoa(size)) + body,
			"chunked": lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + hex(size) + "\r\n" + body + "\r\n0\r\n\r\n",
		}
		for name, answer := range heads {
			t.Run(itoa(size)+" "+name, func(t *testing.T) {
				r, o := one(t)
				client := r.dial()
				var s *peer
				for range 3 {
					client.send(get)
					if s == nil {
						s = o.accept()
					}
					s.expect(get, "each request comes on the first connection")
					s.send(answer)
					client.expect(answer, "the answer is whole")
				}
				client.close()
			})
		}
	}
}

func TestUnreadableAnswersAre502(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":                   "hello\r\n\r\n",
		"two lengths":               lines("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + "xx",
		"length and chunked":        lines("HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked") + "x",
		"101 nobody asked for":      lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket"),
		"chunk size that is none":   lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "zz\r\n",
		"a head beyond the limit":   lines("HTTP/1.1 200 OK", "X: "+strings.Repeat("x", 70<<10)),
		"NUL within a header field": lines("HTTP/1.1 200 OK", "X: a\x00b"),
	} {
		t.Run(name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(get)
			s := o.accept()
			s.expect(get, "the request")
			s.send(answer)
			head := client.expectHead("an answer of our own")
			if !strings.HasPrefix(head, "HTTP/1.1 502 Bad Gateway\r\n") {
				t.Errorf("got %q, want 502", head)
			}
			if text := client.rest(); !strings.Contains(text, o.addr.String()) || !strings.Contains(text, "default/web:80") {
				t.Errorf("got %q, want endpoint and Service named", text)
			}
			r.counts("attempts count as bad answers", 1, func() uint64 { return r.attempts(classify.BadAnswer) })
		})
	}
}
