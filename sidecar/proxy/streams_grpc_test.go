package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// grpcServer is a server of gRPC that says frames as they are told.
type grpcServer struct {
	addr  netip.AddrPort
	calls atomic.Int64
}

// said are frames of one stream that go out with one write, so that they come with one read.
type said struct {
	*http2.Framer
	out bytes.Buffer
	id  uint32
	c   net.Conn
}

// newGRPCServer has answer called for each call that has come whole, in a goroutine for each connection.
func newGRPCServer(t *testing.T, answer func(s *said)) *grpcServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	g := &grpcServer{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go g.serve(c, answer)
		}
	}()
	return g
}

func (g *grpcServer) serve(c net.Conn, answer func(s *said)) {
	defer c.Close()
	io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
	in := http2.NewFramer(c, c)
	in.WriteSettings()
	for {
		f, err := in.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				in.WriteSettingsAck()
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				g.calls.Add(1)
				s := &said{id: f.StreamID, c: c}
				s.Framer = http2.NewFramer(&s.out, nil)
				answer(s)
				s.flush()
			}
		}
	}
}

func (s *said) flush() {
	s.c.Write(s.out.Bytes())
	s.out.Reset()
}

// head says a field block; fields are names and values.
func (s *said) head(end bool, fields ...string) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.SetMaxDynamicTableSize(0) // each block stands alone
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	s.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: b.Bytes(), EndStream: end, EndHeaders: true})
}

func (s *said) begin() { s.head(false, ":status", "200", "content-type", "application/grpc") }
func (s *said) message(text string) {
	s.WriteData(s.id, false, append([]byte{0, 0, 0, 0, byte(len(text))}, text...))
}
func (s *said) status(code string, more ...string) {
	s.head(true, append([]string{"grpc-status", code}, more...)...)
}

// well answers a call as it should be.
func well(s *said) {
	s.begin()
	s.message("well")
	s.status("0")
}

// called is what a client sees of a call.
type called struct {
	message, status string
	head            http.Header
}

// call makes a gRPC call whose Service calls it idempotent, or not; begun is called when the head of the answer has come.
func (r *rig) call(idempotent bool, begun ...func()) (got called) {
	r.t.Helper()
	r.with(func(r *rules.Rules) { r.Retry.IdempotencyKey = true })
	q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
	q.Header.Set("Content-Type", "application/grpc")
	q.Header.Set("Te", "trailers")
	if idempotent {
		q.Header.Set("Idempotency-Key", "1")
	}
	c := r.h2Client()
	c.Timeout = patience
	res, err := c.Do(q)
	if err != nil {
		r.t.Error(err)
		return called{}
	}
	defer res.Body.Close()
	for _, f := range begun {
		f()
	}
	b, _ := io.ReadAll(res.Body)
	got.message, got.status, got.head = string(b), res.Trailer.Get("Grpc-Status"), res.Header
	if got.status == "" {
		got.status = res.Header.Get("Grpc-Status")
	}
	return got
}

func (r *rig) wantCall(got called, message, status string) {
	r.t.Helper()
	if message != "" {
		message = string([]byte{0, 0, 0, 0, byte(len(message))}) + message
	}
	if got.message != message || got.status != status {
		r.t.Errorf("the client got %q with status %q, want %q with %q", got.message, got.status, message, status)
	}
}

// A call may end badly behind the head of its answer, and behind its message. It goes elsewhere for that as long as nothing was passed on.
func TestACallThatEndsBadlyBehindTheHeadOfItsAnswer(t *testing.T) {
	unavailable := func(s *said) {
		s.begin()
		s.status("14")
	}
	lost := func(s *said) {
		s.begin()
		s.message("part")
		s.WriteRSTStream(s.id, http2.ErrCodeInternal)
	}
	for _, c := range []struct {
		name    string
		answer  func(s *said)
		outcome classify.Outcome
	}{
		{"UNAVAILABLE in the trailers", unavailable, classify.ServerError},
		{"UNAVAILABLE behind a message", func(s *said) { s.begin(); s.message("bad"); s.status("14") }, classify.ServerError},
		{"the stream is reset behind the head", func(s *said) { s.begin(); s.WriteRSTStream(s.id, http2.ErrCodeCancel) }, classify.Cut},
		{"the stream is reset behind a message", lost, classify.Cut},
		{"the endpoint goes away, and has left out what it answers", func(s *said) { s.begin(); s.WriteGoAway(0, http2.ErrCodeNo, nil) }, classify.Cut},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := newGRPCServer(t, c.answer), newGRPCServer(t, well)
			r := newRig(t)
			r.inOrder(bad.addr, good.addr)
			r.wantCall(r.call(true), "well", "0")
			if bad.calls.Load() != 1 || good.calls.Load() != 1 {
				t.Errorf("%d and %d calls, want one each", bad.calls.Load(), good.calls.Load())
			}
			r.counts("attempts that ended so", 1, func() uint64 { return r.attempts(c.outcome) })
			r.counts("attempts that were answered", 1, func() uint64 { return r.attempts(classify.Answered) })
		})
	}
	t.Run("nobody calls it idempotent", func(t *testing.T) {
		bad, good := newGRPCServer(t, func(s *said) { s.begin(); s.message("bad"); s.status("14") }), newGRPCServer(t, well)
		r := newRig(t)
		r.inOrder(bad.addr, good.addr)
		r.wantCall(r.call(false), "bad", "14")
	})
	t.Run("another status is the call's own", func(t *testing.T) {
		bad, good := newGRPCServer(t, func(s *said) { s.begin(); s.message("bad"); s.status("13") }), newGRPCServer(t, well)
		r := newRig(t)
		r.inOrder(bad.addr, good.addr)
		r.wantCall(r.call(true), "bad", "13")
	})
	t.Run("the trailers forbid another attempt", func(t *testing.T) {
		bad, good := newGRPCServer(t, func(s *said) { s.begin(); s.status("14", "grpc-retry-pushback-ms", "-1") }), newGRPCServer(t, well)
		r := newRig(t)
		r.inOrder(bad.addr, good.addr)
		r.wantCall(r.call(true), "", "14")
	})
	t.Run("the others cannot be reached: the client gets the answer as it came", func(t *testing.T) {
		bad := newGRPCServer(t, func(s *said) { s.begin(); s.message("bad"); s.status("14", "grpc-message", "tired") })
		r := newRig(t)
		r.inOrder(bad.addr, closedPort(t))
		r.wantCall(r.call(true), "bad", "14")
	})
	t.Run("the others end as badly", func(t *testing.T) {
		a, b := newGRPCServer(t, func(s *said) { s.begin(); s.message("first"); s.status("14") }), newGRPCServer(t, lost)
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		r.wantCall(r.call(true), "first", "14")
	})
	t.Run("it is lost, and there is no other endpoint", func(t *testing.T) {
		a := newGRPCServer(t, func(s *said) { s.begin(); s.message("part"); s.flush(); s.c.Close() })
		r := newRig(t)
		r.inOrder(a.addr)
		if got := r.call(true); got.status != "14" {
			t.Errorf("got %+v, want UNAVAILABLE", got)
		}
	})
}

// A head that waits has come: its endpoint does not hang, and has answered in time. So nothing is due of the call.
func TestAHeadThatWaitsHasCome(t *testing.T) {
	proceed := make(chan bool)
	slow, other := newGRPCServer(t, func(s *said) {
		s.begin()
		s.flush()
		<-proceed
		s.message("slow")
		s.status("0")
	}), newGRPCServer(t, well)
	r := newRig(t)
	r.inOrder(slow.addr, other.addr)
	r.with(func(r *rules.Rules) { r.HangRace.Floor, r.PerTryTimeout, r.Timeout = time.Hour, time.Hour, time.Hour })
	go func() {
		defer close(proceed)
		r.eventually("nothing to be due of a call that is answered", func() (ok bool) {
			r.on(func() {
				for c := r.w.times.first; c != nil; c = c.timed.after {
					if c.attempt.came != 0 {
						t.Error("something is due of a call whose head waits")
					}
				}
				ok = r.w.times.first == nil
			})
			return ok && slow.calls.Load() == 1
		})
	}()
	r.wantCall(r.call(true), "slow", "0")
}

// A client may wait for the head of a stream of answers: it does not wait long.
func TestAHeadDoesNotWaitForEver(t *testing.T) {
	for name, first := range map[string]func(s *said){
		"nothing follows it": func(s *said) {},
		"a message does":     func(s *said) { s.message("first") },
	} {
		t.Run(name, func(t *testing.T) {
			proceed := make(chan bool)
			slow := newGRPCServer(t, func(s *said) {
				s.begin()
				first(s)
				s.flush()
				<-proceed
				s.status("14")
			})
			r := newRig(t)
			r.inOrder(slow.addr, newGRPCServer(t, well).addr)
			got := r.call(true, func() { close(proceed) })
			if got.status != "14" {
				t.Errorf("got %+v, want what the first endpoint said", got)
			}
		})
	}
}

// In a race the answer that ends badly is none.
func TestARaceOfCallsThatEndBadly(t *testing.T) {
	raced := func(t *testing.T, first, second func(s *said)) *rig {
		a, b := newGRPCServer(t, first), newGRPCServer(t, second)
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		r.with(func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond })
		return r
	}
	bad := func(s *said) { s.begin(); s.message("bad"); s.status("14") }
	cut := func(s *said) { s.begin(); s.message("part"); s.WriteRSTStream(s.id, http2.ErrCodeInternal) }
	for name, end := range map[string]func(s *said){"UNAVAILABLE": bad, "reset": cut} {
		t.Run("the first one: "+name, func(t *testing.T) {
			begun, over := make(chan bool, 1), make(chan bool)
			r := raced(t, func(s *said) { <-begun; end(s); s.flush(); close(over) }, func(s *said) { begun <- true; <-over; well(s) })
			r.wantCall(r.call(true), "well", "0")
		})
		t.Run("the second one: "+name, func(t *testing.T) {
			proceed := make(chan bool, 1)
			r := raced(t, func(s *said) { <-proceed; well(s) }, func(s *said) { end(s); s.flush(); proceed <- true })
			r.wantCall(r.call(true), "well", "0")
			r.counts("attempts in flight", 0, func() (n uint64) {
				r.on(func() {
					for _, ep := range r.endpoints {
						n += uint64(ep.Load[0].InFlight)
					}
				})
				return n
			})
		})
	}
}
