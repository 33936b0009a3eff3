package proxy

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

// unknown makes a rig in front of a hand-driven server that belongs to no Service.
func unknown(t *testing.T) (*rig, *origin) {
	t.Helper()
	r, o := newRig(t, func(o *Options) { o.ParseUnknown = true }), newOrigin(t)
	r.goingTo(o.addr)
	return r, o
}

// A destination without a Service is reached over a connection of the client's own, on which nothing has to change.
func TestAnUnknownDestinationSeesTheClientsConnection(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n"
	closing := lines("GET / HTTP/1.1", "Host: web", "Connection: close")
	for _, c := range []struct {
		name string
		run  func(r *rig, client, s *peer)
	}{
		{"options of the connection pass both ways", func(r *rig, client, s *peer) {
			client.send(closing)
			s.expect(closing, "close is for the server to read")
			s.send(ok)
			client.expect(ok, "close was not added")
			client.expectSilence("the server has not closed")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"HTTP/1.0 without keep-alive", func(r *rig, client, s *peer) {
			client.send(lines("GET / HTTP/1.0"))
			s.expect(lines("GET / HTTP/1.0"), "keep-alive was not added")
			s.send("HTTP/1.0 200 OK\r\n\r\nall of it")
			s.close()
			client.expect("HTTP/1.0 200 OK\r\n\r\nall of it", "the answer ends with the connection")
			client.expectEnd("the server has closed")
		}},
		{"a server that closes between requests", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send(ok)
			client.expect(ok, "the answer")
			s.closeWrite()
			client.expectEnd("the server has closed")
			client.close()
			s.expectEnd("the client has closed")
		}},
		{"a client that closes between requests", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
			s.expectEnd("the client has closed")
			s.close()
		}},
		{"a server that speaks between requests", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send(ok)
			client.expect(ok, "the answer")
			late := lines("HTTP/1.1 408 Request Timeout", "Connection: close")
			s.send(late)
			client.expect(late, "it may read what it was not waiting for")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"an answer that cannot be read", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok")
			client.expect("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "the client judges for itself")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"an answer that a proxy would mend", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nX : y\r\nZ: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok")
			client.expect("HTTP/1.1 200 OK\r\nX : y\r\nZ: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok", "it is not changed")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"a chunked answer that goes wrong", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
			client.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "the part that is right")
			s.send("x\r\nno chunk")
			client.expect("x\r\nno chunk", "the client judges for itself")
			s.reset()
			client.expectReset("the server has reset the connection")
		}},
		{"a 101 that was not asked for", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x") + "hello")
			client.expect(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x")+"hello", "the client judges for itself")
			client.send("world")
			s.expect("world", "bytes pass in the new protocol")
			client.close()
			s.expectEnd("the client has closed")
			s.close()
		}},
		{"bytes behind the request that the server wants before it answers", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			client.send("foo")
			client.closeWrite()
			s.expect("foo", "they are no further request, as the client has ended")
			s.expectEnd("the client's FIN")
			s.send("bar")
			s.close()
			client.expect("bar", "what the server says to that")
			client.expectEnd("the server has closed")
		}},
		{"more bytes behind the request than a head may have", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			more := strings.Repeat("x", 200<<10)
			go io.WriteString(client.c, more)
			s.expect(more, "they cannot become a further request")
			client.close()
			s.expectEnd("the client has closed")
			s.close()
		}},
		{"a head larger than what is parsed", func(r *rig, client, s *peer) {
			large := lines("GET / HTTP/1.1", "Host: web", "X: "+strings.Repeat("x", 200<<10))
			go io.WriteString(client.c, large)
			s.expect(large, "how large is too large is for the server to say")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
			s.expectEnd("the client has closed")
			s.close()
		}},
		{"a further request waits its turn", func(r *rig, client, s *peer) {
			client.send(get + closing)
			s.expect(get, "the first request")
			s.expectSilence("its answer has not come")
			s.send(ok)
			client.expect(ok, "the first answer")
			s.expect(closing, "the second request")
			s.send(ok)
			s.close()
			client.expect(ok, "the second answer")
			client.expectEnd("the server has closed")
		}},
		{"a further request that came before the FIN", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the first request")
			client.send(get)
			client.closeWrite()
			s.send(ok)
			client.expect(ok, "the first answer")
			s.expect(get, "the second request")
			s.send(ok)
			client.expect(ok, "the second answer")
			s.expectEnd("the client's FIN")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"a request whose framing is wrong is refused all the same", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the first request")
			s.send(ok)
			client.expect(ok, "the first answer")
			client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
			client.expect("HTTP/1.1 400 ", "two framings")
			s.expectEnd("nothing of it is passed on")
			s.close()
		}},
		{"a final answer before the body", func(r *rig, client, s *peer) {
			client.send(post + "Expect: 100-continue\r\n\r\n")
			s.expect(post+"Expect: 100-continue\r\n\r\n", "the head")
			s.send(ok)
			client.expect(ok, "the final answer, although the body is missing")
			client.send("hello")
			s.expect("hello", "both sides keep the connection, so the body follows")
			client.send(get)
			s.expect(get, "the next request")
			s.send(ok)
			client.expect(ok, "its answer")
			client.close()
			s.expectEnd("the client has closed")
			s.close()
		}},
		{"a final answer before the body, and close", func(r *rig, client, s *peer) {
			client.send(post + "\r\nhe")
			s.expect(post+"\r\nhe", "a part of the body")
			s.send(lines("HTTP/1.1 413 Content Too Large", "Connection: close", "Content-Length: 0"))
			client.expect(lines("HTTP/1.1 413 Content Too Large", "Connection: close", "Content-Length: 0"), "the answer")
			client.send("llo")
			s.expect("llo", "the server reads on, so it gets the rest")
			s.close()
			client.expectEnd("the server has closed")
		}},
		{"a request cut short by FIN", func(r *rig, client, s *peer) {
			client.send(post + "\r\nhe")
			s.expect(post+"\r\nhe", "a part of the body")
			client.closeWrite()
			s.expectEnd("the client's FIN")
			s.send(lines("HTTP/1.1 400 Bad Request", "Connection: close", "Content-Length: 0"))
			s.close()
			client.expect(lines("HTTP/1.1 400 Bad Request", "Connection: close", "Content-Length: 0"), "what the server says")
			client.expectEnd("the server has closed")
		}},
		{"a client's reset within an answer", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhe")
			client.expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhe", "a part of the answer")
			client.reset()
			s.expectReset("the client has reset its connection")
		}},
		{"an answer cut short by FIN", func(r *rig, client, s *peer) {
			client.send(get)
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhe")
			s.close()
			client.expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhe", "a part of the answer")
			client.expectEnd("the server has closed")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, o := unknown(t)
			client := r.dial()
			s := o.accept()
			c.run(r, client, s)
			client.close()
			s.close()
			r.eventually("both connections to end", func() bool {
				return r.m.Loop(0).Open.Load() == 0 && r.m.Loop(0).Upstreams.Load() == 0
			})
			o.noConnection("a client has one connection to the server")
		})
	}
}

func TestAnUnknownDestinationThatRefuses(t *testing.T) {
	r := newRig(t, func(o *Options) { o.ParseUnknown = true })
	r.goingTo(closedPort(t))
	// The reset may come while the client's connect still runs.
	c, err := net.Dial("tcp", r.addr.String())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset: without us the connect would have failed", err)
	}
}
