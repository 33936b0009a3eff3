package h2

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

const message = "\x00\x00\x00\x00\x01m"

// An answer's head waits for the status of its call.
type waiter struct {
	*rig
	c, a *peer
}

// waitingHead makes a rig of n endpoints, whose heads wait as long as is said, and has a call arrive at the first one. The handler asks the
// next endpoint, and holds the answer, where a status is UNAVAILABLE.
func waitingHead(t *testing.T, n int, bare, begun time.Duration) waiter {
	r := newRig(t, n, nil)
	r.await = true
	r.dialed = func(u *Upstream) { u.pending.bare.time, u.pending.begun.time = int64(bare), int64(begun) }
	r.answer = func(x *Exchange, h Head) bool {
		if h.GRPC != 14 {
			x.DropHeld()
			return true
		}
		x.Hold()
		r.send(x)
		return false
	}
	w := waiter{rig: r, c: r.client()}
	w.c.post(1, "content-type=application/grpc", "te=trailers")
	w.c.WriteData(1, true, []byte(message))
	w.a = w.asked(0)
	return w
}

// asked answers the endpoint's server once it has the call.
func (w waiter) asked(i int) *peer {
	w.t.Helper()
	p := w.server(i)
	p.want(asked("POST", 1, "content-type=application/grpc", "te=trailers"), "")
	p.want(fmt.Sprintf("DATA 1 %q end", message), "")
	return p
}

// waits expects a head to wait, and nothing to have been passed on.
func (w waiter) waits() {
	w.t.Helper()
	w.eventually("the head to wait", func() bool {
		for x := range w.begun {
			if x.Pending() {
				return true
			}
		}
		return false
	})
	w.c.silence("the head waits")
}

func (p *peer) answers() { p.head(1, false, ":status=200", "content-type=application/grpc") }

const answering = "HEADERS 1 :status=200 content-type=application/grpc"

func (w waiter) answered() {
	w.t.Helper()
	w.c.want(answering, "")
	w.c.want(fmt.Sprintf("DATA 1 %q", message), "")
	w.c.want("HEADERS 1 grpc-status=0 end", "")
}

func (p *peer) message()           { p.WriteData(1, false, []byte(message)) }
func (p *peer) status(code string) { p.head(1, true, "grpc-status="+code) }

func TestAHeadWaitsForItsStatus(t *testing.T) {
	t.Run("and goes on with it, and what came between", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, time.Hour)
		w.a.answers()
		w.waits()
		w.a.message()
		w.waits()
		w.a.status("0")
		w.answered()
		w.was("head 200 grpc 0 last false", "ended 200 grpc 0 truncated false gone false")
	})
	t.Run("which has the call sent elsewhere", func(t *testing.T) {
		w := waitingHead(t, 2, time.Hour, time.Hour)
		w.a.answers()
		w.a.message()
		w.a.status("14")
		b := w.asked(1)
		w.c.silence("nothing of the answer was passed on")
		b.answers()
		b.message()
		b.status("0")
		w.answered()
		w.was("head 200 grpc 14 last false", "head 200 grpc 0 last false", "ended 200 grpc 0 truncated false gone false")
	})
	t.Run("and comes back when no other answer is better", func(t *testing.T) {
		w := waitingHead(t, 2, time.Hour, time.Hour)
		w.on(func() {
			first := w.answer
			w.answer = func(x *Exchange, h Head) bool {
				if _, held := x.Held(); held {
					x.Adopt()
					return false
				}
				return first(x, h)
			}
		})
		w.a.answers()
		w.a.message()
		w.a.head(1, true, "grpc-status=14", "grpc-message=first")
		b := w.asked(1)
		b.answers()
		b.status("14")
		w.c.want(answering, "")
		w.c.want(fmt.Sprintf("DATA 1 %q", message), "")
		w.c.want("HEADERS 1 grpc-status=14 grpc-message=first end", "")
		w.was("head 200 grpc 14 last false", "head 200 grpc 14 last false", "ended 200 grpc 14 truncated false gone false")
	})
	for name, lost := range map[string]func(a *peer){
		"connection":                             func(a *peer) { a.c.Close() },
		"stream":                                 func(a *peer) { a.WriteRSTStream(1, http2.ErrCodeInternal) },
		"place, refused though it was answered":  func(a *peer) { a.WriteRSTStream(1, http2.ErrCodeRefusedStream) },
		"place, left out though it was answered": func(a *peer) { a.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run("and counts as none when it loses its "+name, func(t *testing.T) {
			w := waitingHead(t, 1, time.Hour, time.Hour)
			w.a.answers()
			w.a.message()
			w.waits()
			lost(w.a)
			if got := w.c.seen(); !strings.HasPrefix(got, "HEADERS 1 :status=502") && !strings.HasPrefix(got, "RST_STREAM") {
				t.Errorf("got %q, want no part of the answer", got)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.log) != 1 || !strings.HasPrefix(w.log[0], "failed unprocessed false connect false malformed false") {
				t.Errorf("the handler was told %q, want a failure of a request that was seen", w.log)
			}
		})
	}
	t.Run("but not when the body is long", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, time.Hour)
		w.a.answers()
		w.a.fill(1, pendingData, false)
		w.waits()
		w.a.message()
		w.c.want(answering, "")
		w.c.collect(1, pendingData+len(message))
		w.a.status("14")
		w.c.want("HEADERS 1 grpc-status=14 end", "")
		w.was("head 200 grpc -1 last false", "ended 200 grpc 14 truncated false gone false")
	})
	t.Run("but not for ever", func(t *testing.T) {
		w := waitingHead(t, 1, 30*time.Millisecond, time.Hour)
		w.a.answers()
		w.c.want(answering, "the application may wait for it")
		w.a.message()
		w.c.want(fmt.Sprintf("DATA 1 %q", message), "it comes on at once from then on")
		w.a.status("14")
		w.c.want("HEADERS 1 grpc-status=14 end", "")
	})
	t.Run("and for less once the body has begun", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, 30*time.Millisecond)
		w.a.answers()
		w.waits()
		w.a.message()
		w.c.want(answering, "")
		w.c.want(fmt.Sprintf("DATA 1 %q", message), "")
		w.a.status("0")
		w.c.want("HEADERS 1 grpc-status=0 end", "")
	})
	t.Run("and goes on with a body that ends without one", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, time.Hour)
		w.a.answers()
		w.waits()
		w.a.WriteData(1, true, []byte(message))
		w.c.want(answering, "")
		w.c.want(fmt.Sprintf("DATA 1 %q end", message), "")
	})
	t.Run("until its client is gone", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, time.Hour)
		w.a.answers()
		w.a.message()
		w.waits()
		w.c.WriteRSTStream(1, http2.ErrCodeCancel)
		w.a.want("RST_STREAM 1 CANCEL", "")
		w.was("ended 0 grpc -1 truncated false gone true")
	})
}

func TestAHeadThatDoesNotWait(t *testing.T) {
	t.Run("its client has more to send", func(t *testing.T) {
		r := newRig(t, 1, nil)
		r.await = true
		r.dialed = func(u *Upstream) { u.pending.bare.time = int64(time.Hour) }
		c := r.client()
		c.post(1, "content-type=application/grpc", "te=trailers")
		a := r.server(0)
		a.want(asked("POST", 1, "content-type=application/grpc", "te=trailers"), "")
		a.answers()
		c.want(answering, "the client may wait for it before it sends")
		c.WriteData(1, true, []byte(message))
		a.want(fmt.Sprintf("DATA 1 %q end", message), "")
		a.status("0")
		c.want("HEADERS 1 grpc-status=0 end", "")
	})
	for name, head := range map[string][]string{
		"it is long":      {":status=200", "content-type=application/grpc", "x-long=" + strings.Repeat("x", pendingHead)},
		"it is no answer": {":status=503"},
	} {
		t.Run(name, func(t *testing.T) {
			w := waitingHead(t, 1, time.Hour, time.Hour)
			w.a.head(1, false, head...)
			if got := w.c.seen(); !strings.HasPrefix(got, "HEADERS 1 "+head[0]) {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("memory is short", func(t *testing.T) {
		w := waitingHead(t, 1, time.Hour, time.Hour)
		w.on(func() { w.o.Memory.Soft = 1 })
		w.a.answers()
		w.c.want(answering, "")
	})
}

// The head of an attempt that is held, unanswered, waits likewise.
func TestTheHeadOfAHeldAttemptWaits(t *testing.T) {
	race := func(t *testing.T) (w waiter, b *peer) {
		w = waitingHead(t, 2, time.Hour, time.Hour)
		w.on(func() {
			for x := range w.begun {
				x.Hold()
				w.send(x)
			}
		})
		return w, w.asked(1)
	}
	heldWaits := func(w waiter) {
		w.t.Helper()
		w.eventually("the held attempt's head to wait", func() bool {
			for x := range w.begun {
				if x.held != nil && x.held.Pending() {
					if _, answered := x.Held(); answered {
						w.t.Error("it counts as answered")
					}
					return true
				}
			}
			return false
		})
		w.c.silence("")
	}
	t.Run("and wins with its status", func(t *testing.T) {
		w, b := race(t)
		w.a.answers()
		w.a.message()
		heldWaits(w)
		w.a.status("0")
		w.answered()
		b.want("RST_STREAM 1 CANCEL", "")
		w.was("held answered 200", "ended 200 grpc 0 truncated false gone false")
	})
	t.Run("and is none when its connection is lost", func(t *testing.T) {
		w, b := race(t)
		w.a.answers()
		w.a.message()
		heldWaits(w)
		w.a.c.Close()
		w.was("held failed")
		b.answers()
		b.message()
		b.status("0")
		w.answered()
	})
	t.Run("and goes on waiting when it is the running one again", func(t *testing.T) {
		w, b := race(t)
		w.a.answers()
		w.a.message()
		heldWaits(w)
		w.on(func() {
			for x := range w.begun {
				x.Resume()
			}
		})
		b.want("RST_STREAM 1 CANCEL", "")
		w.waits()
		w.a.status("0")
		w.answered()
	})
	t.Run("while the running one's does, and the first one to have its status wins", func(t *testing.T) {
		w, b := race(t)
		w.a.answers()
		heldWaits(w)
		b.answers()
		b.message()
		w.waits()
		b.status("0")
		w.answered()
		w.a.want("RST_STREAM 1 CANCEL", "")
	})
}
