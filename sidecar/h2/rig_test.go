package h2

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// patience is how long a test waits for what must come; it is no measure of speed.
const patience = 20 * time.Second

// rig is a loop that serves HTTP/2 connections and relays what comes on them to endpoints, one after the other. The peers of both sides are
// raw.
type rig struct {
	t    testing.TB
	l    *loop.Loop
	o    *Options
	addr netip.AddrPort
	idle int // coroutines of the rig itself

	peers []*peer

	endpoints []*endpoint // in the order in which a request tries them

	// On the loop.
	downs map[*Downstream]bool
	begun map[*Exchange]*told
	// answer, when it is set, is asked about each head of an answer; see Handler.Head.
	answer func(x *Exchange, h Head) bool
	await  bool // see Handler.Awaits
	serve  func(d *Downstream)
	dialed func(u *Upstream)
	first  func(x *Exchange) int // the endpoint that a request tries first
	keep   int
	maxAge time.Duration
	offer  bool // extended CONNECT is offered
	looks  bool // a request's body is looked at, all of it, before it is sent

	mu         sync.Mutex
	violations []string
	log        []string // what the handler was told
}

// told is what the handler knows of an exchange.
type told struct {
	attempts int
	done     bool
}

// endpoint is a listener and the connection to it.
type endpoint struct {
	r       *rig
	ln      net.Listener
	up      *Upstream // the one that is used
	ups     map[*Upstream]bool
	dialing bool
	waiting []*Exchange
}

func (e *endpoint) Forget(x *Exchange) {
	for i, w := range e.waiting {
		if w == x {
			e.waiting = append(e.waiting[:i], e.waiting[i+1:]...)
			return
		}
	}
	e.r.t.Error("an exchange that does not wait is to be forgotten")
}

// newRig makes a rig with n endpoints. At the test's end, when all peers have gone, nothing may be left on the loop.
func newRig(t testing.TB, n int, o *Options) *rig {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	r := &rig{t: t, o: o, downs: map[*Downstream]bool{}, begun: map[*Exchange]*told{}, keep: 64 << 10}
	if o.Memory == nil {
		o.Memory = &Memory{}
	}
	o.Violation = func(v frame.Reason, upstream bool) {
		side := "downstream"
		if upstream {
			side = "upstream"
		}
		r.note(&r.violations, side+" "+v.String())
	}
	l, err := loop.New(loop.Options{OnPanic: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
	if err != nil {
		t.Fatal(err)
	}
	r.l = l
	ln, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		r.endpoints = append(r.endpoints, &endpoint{r: r, ln: ln, ups: map[*Upstream]bool{}})
	}
	l.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.Go(func() { r.down(c) })
		}
	})
	r.idle = 1
	go l.Run()
	t.Cleanup(r.end)
	return r
}

func (r *rig) note(log *[]string, s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*log = append(*log, s)
}

// down serves a connection of a client.
func (r *rig) down(c *loop.Conn) {
	b := r.l.Buffer(loop.Medium)
	n := 0
	for n < len(frame.ClientPreface) {
		k, err := c.Read(b[n:])
		if err != nil {
			r.l.Release(b)
			c.Close()
			return
		}
		n += k
	}
	d := NewDownstream(c, b[:n], r.o, r, r.maxAge)
	r.l.Release(b)
	r.downs[d] = true
	if r.serve != nil {
		r.serve(d)
	}
	d.Serve(r.offer)
	delete(r.downs, d)
}

// end checks that nothing is left once all peers have gone.
func (r *rig) end() {
	if !r.t.Failed() {
		for _, p := range r.peers {
			p.c.Close()
		}
		left := ""
		if !r.soon(func() bool {
			r.hangUp()
			m := r.o.Memory
			open := 0
			for _, k := range r.begun {
				if !k.done {
					open++
				}
			}
			left = fmt.Sprintf("%d buffers, %d bytes in pipes, %d coroutines, %d exchanges the handler knows of, %d client connections, %d connections in memory's list",
				r.l.BuffersOut(), m.bytes, r.l.Live()-r.idle-1, open, len(r.downs), len(m.conns))
			return r.l.BuffersOut() == 0 && m.bytes == 0 && r.l.Live() == r.idle+1 && open == 0 && len(r.downs) == 0 && len(m.conns) == 0
		}) {
			r.t.Errorf("left over at the end: %s", left)
		}
	}
	r.l.Stop()
	select {
	case <-r.l.Done():
	case <-time.After(patience):
		r.t.Error("the loop did not end")
	}
}

// hangUp closes the connections to endpoints.
func (r *rig) hangUp() {
	for _, e := range r.endpoints {
		for u := range e.ups {
			u.Close()
		}
	}
}

// on runs f as a coroutine of the loop.
func (r *rig) on(f func()) {
	done := make(chan struct{})
	if !r.l.Post(func() { r.l.Go(func() { defer close(done); f() }) }) {
		r.t.Fatal("the loop has ended")
	}
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatal("the loop hangs")
	}
}

// soon asks cond on the loop until it holds.
func (r *rig) soon(cond func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		ok := false
		r.on(func() { ok = cond() })
		if ok {
			return true
		}
	}
	return false
}

// eventually fails the test when cond does not come to hold.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	if !r.soon(cond) {
		r.t.Fatalf("waited in vain for %s", what)
	}
}

// violated waits until violations were counted, and checks which.
func (r *rig) violated(want ...string) {
	r.t.Helper()
	var got []string
	r.eventually(fmt.Sprintf("the violations %v", want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = append(got[:0], r.violations...)
		return len(got) >= len(want)
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("violations %v were counted, want %v", got, want)
	}
}

// was checks what the handler was told so far.
func (r *rig) was(want ...string) {
	r.t.Helper()
	var got []string
	r.eventually(fmt.Sprintf("the handler to be told %q", want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = append(got[:0], r.log...)
		return len(got) >= len(want)
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("the handler was told %q, want %q", got, want)
	}
}

// Request sends to the first endpoint.
func (r *rig) Request(x *Exchange) {
	if k := r.begun[x]; k != nil && !k.done {
		r.t.Error("an exchange was used again before it ended")
	}
	r.begun[x] = &told{}
	x.Keep(r.keep)
	if r.looks {
		x.Watch(true)
		r.Body(x)
		return
	}
	r.send(x)
}

func (r *rig) Body(x *Exchange) {
	if _, whole := x.Body(); !whole {
		x.More()
		return
	}
	x.Watch(false)
	r.send(x)
}

func (r *rig) send(x *Exchange) {
	k := r.begun[x]
	if k.attempts == len(r.endpoints) {
		k.done = true
		x.Reply([]hpack.Field{{Name: ":status", Value: "503"}}, "no more endpoints")
		return
	}
	i := k.attempts
	if r.first != nil {
		i = (i + r.first(x)) % len(r.endpoints)
	}
	e := r.endpoints[i]
	k.attempts++
	if e.up != nil && e.up.Room() > 0 {
		e.up.Open(x)
		return
	}
	e.waiting = append(e.waiting, x)
	x.Wait(e)
	if !e.dialing {
		e.dialing = true
		r.l.Go(e.dial)
	}
}

func (e *endpoint) dial() {
	r := e.r
	c, err := r.l.Dial(e.ln.Addr().(*net.TCPAddr).AddrPort(), loop.DialOptions{Timeout: patience})
	e.dialing = false
	if err != nil {
		waiting := e.waiting
		e.waiting = nil
		for _, x := range waiting {
			x.Fail(err)
		}
		return
	}
	u := NewUpstream(c, &cluster.Endpoint{}, r.o, time.Minute, e.changed)
	e.up, e.ups[u] = u, true
	if r.dialed != nil {
		r.dialed(u)
	}
	e.changed(u)
	u.Serve()
	delete(e.ups, u)
	if e.up == u {
		e.up = nil
	}
}

func (e *endpoint) changed(u *Upstream) {
	for len(e.waiting) > 0 && u.Room() > 0 {
		x := e.waiting[0]
		e.waiting = e.waiting[1:]
		u.Open(x)
	}
	if u.Closed() && e.up == u {
		e.up = nil
	}
}

func (r *rig) Awaits(x *Exchange, held bool) bool {
	r.check(x, "head that may wait")
	return r.await
}

func (r *rig) Head(x *Exchange, h Head) bool {
	r.check(x, "head")
	r.note(&r.log, fmt.Sprintf("head %d grpc %d last %v", h.Status, h.GRPC, h.Last))
	if r.answer != nil {
		return r.answer(x, h)
	}
	return true
}

func (r *rig) Failed(x *Exchange, f Failure) {
	r.check(x, "failure")
	r.note(&r.log, fmt.Sprintf("failed unprocessed %v connect %v malformed %v reset %v %v", f.Unprocessed, f.Connect, f.Malformed, f.Reset, f.Code))
	switch {
	case f.Unprocessed && x.Replayable():
		r.send(x)
	case f.Reset && !f.Malformed:
		r.begun[x].done = true
		x.Reset(f.Code)
	default:
		r.begun[x].done = true
		x.Reply([]hpack.Field{{Name: ":status", Value: "502"}}, "")
	}
}

func (r *rig) HeldAnswered(x *Exchange, h Head) {
	r.check(x, "held answer")
	r.note(&r.log, fmt.Sprintf("held answered %d", h.Status))
	x.Adopt()
}

func (r *rig) Sending(*Exchange) {}

func (r *rig) HeldFailed(x *Exchange, f Failure) {
	r.check(x, "held failure")
	r.note(&r.log, "held failed")
}

func (r *rig) Ended(x *Exchange, e End) {
	r.check(x, "end")
	r.begun[x].done = true
	r.note(&r.log, fmt.Sprintf("ended %d grpc %d truncated %v gone %v", e.Status, e.GRPC, e.Truncated, e.Gone))
}

// check holds what the handler is told to the order of Handler.
func (r *rig) check(x *Exchange, what string) {
	if k := r.begun[x]; k == nil || k.done {
		r.t.Errorf("the handler was told of a %s of an exchange that has ended", what)
	}
}
