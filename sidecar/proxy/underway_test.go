package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// under waits until so many requests are under way.
func (r *rig) under(want int, why string) {
	r.t.Helper()
	r.counts("requests under way, "+why, want, func() uint64 { return uint64(r.w.o.Shared.underWay.Taken()) })
}

// mostUnderWay makes the rig's limit.
func mostUnderWay(n int) func(*Options) {
	return func(o *Options) {
		o.Shared = NewShared()
		o.Shared.MaxRequests = n
	}
}

func TestNoMoreRequestsAreUnderWayThanMayBe(t *testing.T) {
	const text = "2 requests are under way in this proxy already (--max-requests)"
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		h, release := hanging(t, named("x"))
		s := newH2Server(t, h, func(s *http.Server) { s.Protocols.SetHTTP1(true) })
		r := newRig(t, mostUnderWay(2))
		r.serve(s.addr)
		c := client(r)
		refused := func() {
			t.Helper()
			if status, got, _ := ask(t, c, "GET", "/", ""); status != 503 || !strings.Contains(got, text) {
				t.Errorf("got %d %q, want 503 %q", status, got, text)
			}
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if status, got, _ := ask(t, c, "GET", "/", ""); status != 200 || got != "x" {
					t.Errorf("got %d %q", status, got)
				}
			})
		}
		r.under(2, "as many as may be")
		refused()
		refused()
		if strings.HasSuffix(t.Name(), "HTTP/2") {
			_, _, h := ask(t, c, "POST", "/pkg.Service/Method", "\x00\x00\x00\x00\x00", "content-type: application/grpc")
			if h.Get("Grpc-Status") != "14" || !strings.Contains(h.Get("Grpc-Message"), text) {
				t.Errorf("got %v, want UNAVAILABLE", h)
			}
			r.counts("calls UNAVAILABLE", 1, r.service().Statuses[codeUnavailable].Load)
		} else {
			refused()
		}
		r.counts("requests refused", 3, r.service().Limited[metrics.LimitProxyRequests].Load)
		r.under(2, "and no more")
		release()
		wg.Wait()
		r.under(0, "all are answered")
		if status, got, _ := ask(t, c, "GET", "/", ""); status != 200 || got != "x" {
			t.Errorf("got %d %q, once there is room", status, got)
		}
		c.CloseIdleConnections()
	})
}

// What one loop has under way no other may.
func TestRequestsUnderWayAreCountedOnAllLoopsTogether(t *testing.T) {
	a, b := newPair(t, func(o *Options) { o.Shared.MaxRequests = 2 })
	o := newOrigin(t)
	a.serve(o.addr)
	var clients, servers []*peer
	for range 2 {
		c := a.dial()
		c.send(get)
		s := o.accept()
		s.expect(get, "one loop has all of the limit")
		clients, servers = append(clients, c), append(servers, s)
	}
	refused := b.dial()
	refused.send(get)
	if got := refused.rest(); !strings.Contains(got, "2 requests are under way in this proxy already (--max-requests)") {
		t.Errorf("got %q", got)
	}
	b.counts("requests refused", 1, b.service().Limited[metrics.LimitProxyRequests].Load)
	servers[0].send(ok)
	clients[0].expect(ok, "an answer makes room on the other loop")
	a.under(1, "one is answered")
	c := b.dial()
	c.send(post)
	s := o.accept()
	s.expect(post, "there is room")
	s.send(ok)
	c.expect(ok, "its answer")
	servers[1].send(ok)
	clients[1].expect(ok, "the last answer")
	a.under(0, "all are answered")
	for _, c := range append(clients, c) {
		c.close()
	}
}

// However a request ends, it is counted until then, and not any more. That all that other tests of this package do comes to nothing as well
// is what the end of a rig looks at.
func TestARequestIsUnderWayUntilItsEnd(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 8\r\n\r\n"
	expect := func(c *peer, status string) {
		c.t.Helper()
		if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
			c.t.Errorf("got %q, want %s", got, status)
		}
	}
	for _, c := range []struct {
		name, request string
		rules         func(*rules.Rules)
		run           func(r *rig, client, s *peer)
	}{
		{"the client resets", get, nil, func(r *rig, client, s *peer) { client.reset() }},
		{"the client resets within the answer", get, nil, func(r *rig, client, s *peer) {
			s.send(lines("HTTP/1.1 200 OK", "Content-Length: 100") + "some")
			client.expectHead("the answer")
			client.reset()
		}},
		{"the client resets within its body", head + "some", nil, func(r *rig, client, s *peer) { client.reset() }},
		{"the client breaks a rule within its body", lines("POST / HTTP/1.1", "Host: web", "Transfer-Encoding: chunked") + "4\r\nsome\r\n", nil,
			func(r *rig, client, s *peer) {
				client.send("no length\r\n")
				expect(client, "400")
			}},
		{"the endpoint ends the connection", post, nil, func(r *rig, client, s *peer) {
			s.close()
			client.expectResetOrEnd("what the endpoint did")
		}},
		{"the endpoint ends the connection within its answer", get, nil, func(r *rig, client, s *peer) {
			s.send(lines("HTTP/1.1 200 OK", "Content-Length: 100") + "some")
			s.close()
			client.expectHead("the answer")
			client.expectResetOrEnd("its end")
		}},
		{"the answer cannot be read", post, nil, func(r *rig, client, s *peer) {
			s.send("nothing of HTTP\r\n\r\n")
			expect(client, "502")
		}},
		{"its time is over", post, func(ru *rules.Rules) { ru.Timeout = 50 * time.Millisecond }, func(r *rig, client, s *peer) { expect(client, "504") }},
		{"its time at an endpoint is over", post, func(ru *rules.Rules) { ru.PerTryTimeout = 50 * time.Millisecond }, func(r *rig, client, s *peer) {
			expect(client, "504")
		}},
		{"an early answer, behind which the endpoint takes the rest", head + "some", nil, func(r *rig, client, s *peer) {
			s.send(ok)
			client.expect(ok, "the answer comes early")
			r.under(1, "its body is on its way")
			client.send("more")
			s.expect("more", "the rest")
		}},
		{"an early answer, behind which nobody takes the rest", head + "some", nil, func(r *rig, client, s *peer) {
			s.send(lines("HTTP/1.1 413 Content Too Large", "Content-Length: 0", "Connection: close"))
			client.expectHead("the answer comes early")
			r.under(0, "though the connection lingers")
		}},
		{"a tunnel that the client resets", handshake, nil, func(r *rig, client, s *peer) {
			s.send(switching)
			client.expect(switching, "the answer")
			client.send("up")
			s.expect("up", "a frame")
			r.under(1, "a tunnel")
			s.closeWrite()
			client.expectEnd("one direction has ended")
			r.under(1, "half a tunnel")
			client.reset()
		}},
		{"a tunnel that both end", lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443"), nil, func(r *rig, client, s *peer) {
			s.send(lines("HTTP/1.1 200 OK"))
			client.expectHead("the answer")
			r.under(1, "a tunnel")
			client.closeWrite()
			s.expectEnd("the client's FIN")
			s.close()
			client.expectEnd("the server's")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, o := one(t)
			if c.rules != nil {
				r.with(c.rules)
			}
			client := r.dial()
			client.send(c.request)
			s := o.accept()
			s.expect(c.request, "the request")
			if c.rules == nil {
				r.under(1, "an endpoint has it")
			}
			c.run(r, client, s)
			r.under(0, "it has ended")
			client.close()
		})
	}
	t.Run("a panic", func(t *testing.T) {
		r, o := one(t)
		r.wantPanic = true
		client, _ := warm(r, o)
		r.beforeNextPick(func() { panic("the test's") })
		client.send(post)
		client.expectResetOrEnd("the connection ends")
		r.under(0, "nothing is left")
	})
	t.Run("one that waits for an endpoint below its limit", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience }, r.eps(o.addr)...)
		first, waits := r.dial(), r.dial()
		first.send(get)
		s := o.accept()
		s.expect(get, "the request that keeps the endpoint busy")
		waits.send(get)
		r.counts("requests wait", 1, r.waiting)
		r.under(2, "one waits")
		waits.reset()
		r.under(1, "it has left")
		s.send(ok)
		first.expect(ok, "the answer")
		r.under(0, "both have ended")
		first.close()
	})
	t.Run("one that is raced", func(t *testing.T) {
		r, client, _, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the further attempt")
		r.under(1, "of two attempts")
		s.send(ok)
		client.expect(ok, "the answer")
		r.under(0, "it is answered")
		client.close()
	})
	t.Run("destinations without a Service", func(t *testing.T) {
		const text = "1 requests are under way in this proxy already (--max-requests)"
		r, o := newRig(t, func(o *Options) { o.ParseUnknown = true }, mostUnderWay(1)), newOrigin(t)
		r.goingTo(o.addr)
		client, other := r.dial(), r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		other.send(get)
		o.accept()
		if got := other.rest(); !strings.Contains(got, text) {
			t.Errorf("got %q, want %q", got, text)
		}
		r.counts("requests refused", 1, r.m.Service(unknownName, 0).Limited[metrics.LimitProxyRequests].Load)
		s.send(ok)
		client.expect(ok, "the answer")
		r.under(0, "it is answered")
		client.send(handshake)
		s.expect(handshake, "the next one")
		s.send(switching)
		client.expect(switching, "a tunnel")
		client.send("up")
		s.expect("up", "a frame")
		r.under(1, "a tunnel")
		s.close()
		client.expectEnd("the tunnel's end")
		client.close()
		r.under(0, "the tunnel has ended")
	})
	t.Run("bytes that nobody reads are no request", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send("\x00\x01\x02\x03 neither HTTP nor TLS")
		s := o.accept()
		s.expect("\x00\x01\x02\x03 neither HTTP nor TLS", "the bytes")
		r.under(0, "an opaque connection")
		client.close()
	})
}

// A request to every endpoint is one request, for as long as its client waits.
func TestAScatteredRequestIsUnderWayOnce(t *testing.T) {
	held := func(t *testing.T) (p *pods, release func()) {
		p = newPods(t, 3, func(r *rules.Rules) { r.Scatter = true })
		h, release := hanging(t, named("x"))
		p.does(func(_ int, w http.ResponseWriter, q *http.Request) { h(w, q) })
		return p, release
	}
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p, release := held(t)
		cl, done := client(p.r), make(chan bool)
		go func() {
			defer close(done)
			if status, text, _ := ask(t, cl, "GET", "/", "", "sluice-scatter: all"); status != 200 {
				t.Errorf("got %d %q", status, text)
			}
		}()
		p.r.under(1, "to all endpoints")
		release()
		<-done
		p.r.under(0, "it is answered")
		cl.CloseIdleConnections()
	})
	t.Run("HTTP/1.1, the client resets", func(t *testing.T) {
		p, _ := held(t)
		client := p.r.dial()
		client.send(lines("GET / HTTP/1.1", "Host: web", "sluice-scatter: all"))
		p.r.under(1, "to all endpoints")
		client.reset()
		p.r.under(0, "its client is gone")
	})
	t.Run("HTTP/2, the client gives up", func(t *testing.T) {
		p, _ := held(t)
		ctx, cancel := context.WithCancel(t.Context())
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
		q.Header.Set("Sluice-Scatter", "all")
		cl, done := p.r.h2Client(), make(chan bool)
		go func() {
			defer close(done)
			if res, err := cl.Do(q); err == nil {
				t.Errorf("got %v", res)
			}
		}()
		p.r.under(1, "to all endpoints")
		cancel()
		<-done
		p.r.under(0, "its client is gone")
		cl.CloseIdleConnections()
	})
}

func TestAStreamIsUnderWayUntilItsEnd(t *testing.T) {
	type test struct {
		t      *testing.T
		r      *rig
		c      *http.Client
		cancel func() // of the request
		server *h2Server
		res    chan *http.Response // nil is none
		body   *io.PipeWriter      // of the request
	}
	answer := func(x *test) *http.Response {
		x.t.Helper()
		res := <-x.res
		if res == nil {
			x.t.Fatal("no answer")
		}
		return res
	}
	wait := func(w http.ResponseWriter, q *http.Request) { <-q.Context().Done() }
	begins := func(w http.ResponseWriter, q *http.Request) {
		http.NewResponseController(w).Flush()
		<-q.Context().Done()
	}
	for _, c := range []struct {
		name, method string
		rules        func(*rules.Rules)
		handle       http.HandlerFunc
		run          func(x *test)
	}{
		{"the client gives up", "GET", nil, wait, func(x *test) { x.cancel() }},
		{"the client gives up within the answer", "GET", nil, begins, func(x *test) { answer(x); x.cancel() }},
		{"the client gives up within its body", "POST", nil, wait, func(x *test) { x.body.Write([]byte("some")); x.cancel() }},
		{"the endpoint's connection is lost", "POST", nil, wait, func(x *test) { x.server.srv.Close(); answer(x) }},
		{"the endpoint's connection is lost within the answer", "GET", nil, begins, func(x *test) {
			res := answer(x)
			x.server.srv.Close()
			if _, err := io.ReadAll(res.Body); err == nil {
				x.t.Error("the answer is not cut")
			}
		}},
		{"the endpoint resets the stream", "POST", nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, func(x *test) { <-x.res }},
		{"its time is over", "POST", func(ru *rules.Rules) { ru.Timeout = 50 * time.Millisecond }, wait, func(x *test) { answer(x) }},
		{"an early answer, behind which the endpoint takes the rest", "POST", nil, func(w http.ResponseWriter, q *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			http.NewResponseController(w).Flush()
			io.Copy(io.Discard, q.Body)
		}, func(x *test) {
			answer(x)
			x.body.Write([]byte("some"))
			x.r.under(1, "its body is on its way")
			x.body.Close()
		}},
		{"an early answer, behind which nobody takes the rest", "POST", nil, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(413)
		}, func(x *test) { answer(x) }},
		{"CONNECT", "CONNECT", nil, func(w http.ResponseWriter, q *http.Request) {
			for b, n, err := make([]byte, 100), 0, error(nil); err == nil; n, err = q.Body.Read(b) {
				w.Write(b[:n])
				http.NewResponseController(w).Flush()
			}
		}, func(x *test) {
			res := answer(x)
			x.body.Write([]byte("bytes"))
			if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
				x.t.Error(err)
			}
			x.r.under(1, "a tunnel")
			x.body.Close()
			io.Copy(io.Discard, res.Body)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &test{t: t, r: newRig(t), res: make(chan *http.Response, 1)}
			began := make(chan bool, 10)
			x.server = newH2Server(t, func(w http.ResponseWriter, q *http.Request) { began <- true; c.handle(w, q) })
			x.r.serve(x.server.addr)
			if c.rules != nil {
				x.r.with(c.rules)
			}
			x.c = x.r.h2Client()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			x.cancel = cancel
			var up io.ReadCloser
			if c.method != "GET" {
				up, x.body = io.Pipe()
				defer x.body.Close()
			}
			q, _ := http.NewRequestWithContext(ctx, c.method, "http://web/", up)
			go func() {
				res, err := x.c.Do(q)
				if err != nil {
					res = nil
				} else {
					t.Cleanup(func() { res.Body.Close() })
				}
				x.res <- res
			}()
			<-began
			if c.rules == nil && !strings.HasSuffix(c.name, "resets the stream") && !strings.HasSuffix(c.name, "takes the rest") {
				x.r.under(1, "an endpoint has it")
			}
			c.run(x)
			x.r.under(0, "it has ended")
			x.c.CloseIdleConnections()
		})
	}
}

func TestAStreamThatPanicsIsNotUnderWay(t *testing.T) {
	s, r := newH2Server(t, named("x")), newRig(t)
	r.wantPanic = true
	r.serve(s.addr)
	c := r.h2Client()
	res, err := c.Get("http://web/")
	body(t, res, err)
	r.beforeNextPick(func() { panic("the test's") })
	if res, err := c.Post("http://web/", "", strings.NewReader("x")); err == nil {
		t.Errorf("got %v", res)
	}
	r.counts("panics", 1, r.m.Loop(0).Panics.Load)
	r.under(0, "the connection has ended")
}

// An answer that its client does not take is under way, wherever it waits.
func TestAStreamWhoseAnswerIsNotTakenIsUnderWay(t *testing.T) {
	for _, lost := range []bool{true, false} {
		s := newH2Server(t, named("an answer"))
		r := newRig(t)
		r.serve(s.addr)
		c, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "web"}} {
			enc.WriteField(f)
		}
		io.WriteString(c, frame.ClientPreface)
		w := http2.NewFramer(c, c)
		w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
		r.eventually("the endpoint's part to end", func() bool { return r.service().Classes[2].Load() == 1 })
		r.under(1, "the client has taken one byte")
		if lost {
			c.Close()
		} else {
			w.WriteWindowUpdate(1, 1000)
		}
		r.under(0, "it has ended")
		c.Close()
	}
}
