package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// relay has the pools send each stream of its clients to one endpoint, and again when it was refused there.
type relay struct {
	*rig
	addr    netip.AddrPort
	refused atomic.Int64
	failed  chan error
	atMost  int // connections
}

func newRelay(t *testing.T) *relay {
	o := Defaults()
	o.HTTP2.Memory = &h2.Memory{}
	r := &relay{rig: newRig(t, o), failed: make(chan error, 1000)}
	r.do(func() {
		ln, err := r.l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Error(err)
			return
		}
		r.addr = ln.Addr()
		r.l.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				r.l.Go(func() { r.serve(c) })
			}
		})
	})
	return r
}

func (r *relay) serve(c *loop.Conn) {
	b := r.l.Buffer(loop.Medium)
	n := 0
	for n < len(frame.ClientPreface) {
		k, err := c.Read(b[n:])
		if err != nil { // net/http makes connections that it does not need
			r.l.Release(b)
			c.Close()
			return
		}
		n += k
	}
	d := h2.NewDownstream(c, b[:n], &r.p.o.HTTP2, r, 0)
	r.l.Release(b)
	d.Serve(true)
}

func (r *relay) Request(x *h2.Exchange)                  { x.Keep(64 << 10); r.p.Send(x, r.ep, false, r.atMost) }
func (r *relay) Head(*h2.Exchange, h2.Head) bool         { return true }
func (r *relay) Ended(*h2.Exchange, h2.End)              {}
func (r *relay) HeldAnswered(*h2.Exchange, h2.Head)      {}
func (r *relay) Awaits(*h2.Exchange, bool) bool          { return false }
func (r *relay) Sending(x *h2.Exchange)                  {}
func (r *relay) HeldFailed(x *h2.Exchange, f h2.Failure) {}
func (r *relay) Failed(x *h2.Exchange, f h2.Failure) {
	if f.Unprocessed && x.Replayable() && !f.Connect && f.Err != errConnect {
		if f.Code == frame.RefusedStream {
			r.refused.Add(1)
		}
		r.p.Send(x, r.ep, false, r.atMost)
		return
	}
	r.failed <- f.Err
	x.Reply([]hpack.Field{{Name: ":status", Value: "503"}}, "")
}

// client is net/http's, with one connection to the relay.
func (r *relay) client() *http.Client {
	tr := &http.Transport{Protocols: &http.Protocols{}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// answer has net/http serve the endpoint, and counts its connections.
func (r *relay) answer(most int, h http.HandlerFunc) *atomic.Int64 {
	conns := &atomic.Int64{}
	s := &http.Server{Handler: h, Protocols: &http.Protocols{}, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: most},
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				conns.Add(1)
			}
		}}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(r.ln)
	r.t.Cleanup(func() { s.Close() })
	return conns
}

// all asks n times at once, and then each asker again.
func (r *relay) all(c *http.Client, n, times int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for j := range times {
				want := fmt.Sprint(i, j)
				res, err := c.Post("http://web/", "", strings.NewReader(want))
				if err != nil {
					r.t.Error(err)
					return
				}
				got, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(got) != want || res.StatusCode != 200 {
					r.t.Errorf("got %d %q, want %q", res.StatusCode, got, want)
				}
			}
		})
	}
	wg.Wait()
}

func echo(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) }

// However few streams the endpoint allows on a connection, all are answered, on as many connections as that takes.
func TestStreamsAreSpreadOverTheConnectionsThatTheEndpointAllows(t *testing.T) {
	for _, row := range []struct{ most, conns int }{{1, 40}, {2, 25}, {10, 8}, {100, 1}} {
		t.Run(fmt.Sprint(row.most, " a connection"), func(t *testing.T) {
			r := newRelay(t)
			conns := r.answer(row.most, echo)
			c := r.client()
			r.all(c, 1, 1) // one connection of the client, and one to the endpoint, whose SETTINGS have come
			r.all(c, 30, 10)
			if n := conns.Load(); n > int64(row.conns) {
				t.Errorf("%d connections for 30 streams, %d a connection", n, row.most)
			}
			if n := r.refused.Load(); n > 0 {
				t.Errorf("%d streams were refused: more were sent than the endpoint allows", n)
			}
			r.do(func() {
				s := r.p.streams[r.ep]
				if len(s.waiting) > 0 || s.dialling > 0 || len(s.busy) > 0 {
					t.Errorf("%d wait, %d dials, %d busy", len(s.waiting), s.dialling, len(s.busy))
				}
				if r.stats.Upstreams.Load() != 0 || r.stats.Idle.Load() != int64(len(s.conns)) {
					t.Errorf("%d active and %d idle connections are counted, there are %d", r.stats.Upstreams.Load(), r.stats.Idle.Load(), len(s.conns))
				}
			})
		})
	}
}

// All at once, before the endpoint has said how many it takes: what it refuses is sent again.
func TestAFirstBurst(t *testing.T) {
	r := newRelay(t)
	conns := r.answer(5, echo)
	r.all(r.client(), 60, 3)
	t.Logf("%d connections, %d streams refused", conns.Load(), r.refused.Load())
}

func TestWhoWaitsFailsWithTheDial(t *testing.T) {
	r := newRelay(t)
	r.ln.Close()
	c := r.client()
	var wg sync.WaitGroup
	for range 250 {
		wg.Go(func() {
			res, err := c.Get("http://web/")
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != 503 {
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	wg.Wait()
	// A dial that was begun for them may still be under way.
	r.eventually("the endpoint to be forgotten, as there is no connection", func() bool { return len(r.p.streams) == 0 })
}

// A connection that goes away takes no new streams and loses none.
func TestAConnectionThatLeavesIsReplaced(t *testing.T) {
	r := newRelay(t)
	conns := r.answer(100, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Connection", "close") // GOAWAY, over HTTP/2
		io.Copy(w, q.Body)
	})
	r.all(r.client(), 10, 10)
	if conns.Load() < 2 {
		t.Error("the connection was not replaced")
	}
}

// Extended CONNECT waits until the endpoint has said whether it takes it.
func TestExtendedConnectToAnEndpointThatDoesNotTakeIt(t *testing.T) {
	r := newRelay(t)
	r.answer(100, echo)
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := frame.AppendSettings([]byte(frame.ClientPreface))
	var enc hpack.Encoder
	for i := range 2 { // before the connection has said so and after
		block := enc.Begin(nil)
		for _, f := range []hpack.Field{{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "websocket"}, {Name: ":scheme", Value: "http"},
			{Name: ":path", Value: "/"}, {Name: ":authority", Value: "web"}} {
			block = enc.Append(block, f)
		}
		h := frame.Header{Length: uint32(len(block)), Type: frame.Headers, Flags: frame.EndHeaders, Stream: uint32(2*i + 1)}
		if _, err := c.Write(append(h.Append(b), block...)); err != nil {
			t.Fatal(err)
		}
		b = nil
		if err := <-r.failed; !errors.Is(err, errConnect) {
			t.Errorf("it failed with %v", err)
		}
	}
}

func TestAsk(t *testing.T) {
	ask := func(r *relay) (q Question) {
		r.do(func() {
			r.p.Ask(&q, r.ep)
			r.l.Wait(r.l.Now()+int64(patience), nil, nil, func() bool { return q.Answer != Unanswered })
			q.Drop()
		})
		return q
	}
	t.Run("a server of HTTP/2, on one connection", func(t *testing.T) {
		r := newRelay(t)
		conns := r.answer(100, echo)
		for range 3 {
			if a := ask(r).Answer; a != SpeaksHTTP2 {
				t.Errorf("got %d", a)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
	t.Run("one that has left the set meanwhile", func(t *testing.T) {
		r := newRelay(t)
		r.answer(100, echo)
		r.ep.Gone.Store(true)
		if a := ask(r).Answer; a != SpeaksHTTP2 {
			t.Errorf("got %d", a)
		}
		r.eventually("its connection to end", func() bool { return len(r.p.streams) == 0 })
	})
	for name, said := range map[string]string{"HTTP/1.1": "HTTP/1.1 400 Bad Request\r\n\r\n", "nothing": ""} {
		t.Run(name+", and its end", func(t *testing.T) {
			r := newRelay(t)
			go func() {
				if c, err := r.ln.Accept(); err == nil {
					io.WriteString(c, said)
					c.Close()
				}
			}()
			if a := ask(r).Answer; a != NotHTTP2 {
				t.Errorf("got %d", a)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		r := newRelay(t)
		r.ln.Close()
		if a := ask(r).Answer; a != Unreachable {
			t.Errorf("got %d", a)
		}
		r.do(func() {
			if n := len(r.p.streams); n > 0 {
				t.Errorf("%d endpoints are kept", n)
			}
		})
	})
}

// With as many connections as there may be, all wait for room on them, those as well that were sent before the endpoint has said how little it takes.
func TestStreamsWaitOnTheConnectionsThereMayBe(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		r := newRelay(t)
		r.atMost = most
		conns := r.answer(2, echo)
		r.all(r.client(), 40, 5)
		if n := conns.Load(); n > int64(most) {
			t.Errorf("%d connections, want at most %d", n, most)
		}
		r.do(func() {
			if !r.p.Room(r.ep, most) || !r.p.Room(r.ep, most+1) {
				t.Error("there is no room when all is over")
			}
		})
	}
}
