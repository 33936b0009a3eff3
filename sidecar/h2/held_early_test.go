package h2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// early makes a rig whose handler holds an error and asks the other endpoint. A client has sent the head of a POST and "one "; the first endpoint
// has it, and was told settings before.
func early(t *testing.T, keep int, settings ...http2.Setting) (r *rig, c, a *peer) {
	t.Helper()
	r = newRig(t, 2, nil)
	r.keep = keep
	r.answer = func(x *Exchange, h Head) bool {
		switch _, held := x.Held(); {
		case h.Status < 500:
			x.DropHeld()
			return true
		case held:
			x.Adopt()
		default:
			x.Hold()
			r.send(x)
		}
		return false
	}
	c = r.client()
	c.post(1)
	a = r.server(0, settings...)
	a.want(asked("POST", 1), "")
	// Who acknowledges a PING has read the SETTINGS before it.
	a.WritePing(false, [8]byte{1})
	for read := false; !read; {
		f, ok := a.next().(*http2.PingFrame)
		read = ok && f.IsAck()
	}
	c.WriteData(1, false, []byte("one "))
	return r, c, a
}

// second is the server of the other endpoint, which is asked with a body that has come so far.
func second(r *rig, body string) *peer {
	r.t.Helper()
	b := r.server(1)
	b.want(asked("POST", 1), "the other endpoint is asked")
	b.want(body, "it gets the body from its start")
	return b
}

// An answer may come before the request has gone out whole. It is held like any other.
func TestAnEarlyAnswerIsHeld(t *testing.T) {
	const keep = 64 << 10
	t.Run("the rest of the request goes to whoever answers in the end", func(t *testing.T) {
		r, c, a := early(t, keep)
		a.want(`DATA 1 "one "`, "")
		a.head(1, false, ":status=503", "x-from=a")
		b := second(r, `DATA 1 "one "`)
		c.WriteData(1, false, []byte("two "))
		b.want(`DATA 1 "two "`, "")
		a.silence("it is held")
		b.head(1, false, ":status=500")
		b.want("RST_STREAM 1 CANCEL", "nobody wants it any more")
		c.want("HEADERS 1 :status=503 x-from=a", "")
		a.want(`DATA 1 "two "`, "what it has not got yet")
		r.on(func() {
			for x := range r.begun {
				if p := &x.req; p.credit+p.owed+int64(p.waiting()-p.paid) != p.target {
					t.Errorf("credit %d, owed %d, waiting %d and paid %d are not %d", p.credit, p.owed, p.waiting(), p.paid, p.target)
				}
			}
		})
		c.WriteData(1, false, []byte("three "))
		a.want(`DATA 1 "three "`, "")
		c.head(1, true, "x-t=1")
		a.want("HEADERS 1 x-t=1 end", "")
		a.WriteData(1, true, []byte("sorry"))
		c.want(`DATA 1 "sorry" end`, "")
		a.silence("")
		c.silence("")
	})
	t.Run("one that is whole lets its endpoint go", func(t *testing.T) {
		r, c, a := early(t, keep)
		a.want(`DATA 1 "one "`, "")
		a.head(1, false, ":status=503", "x-from=a")
		a.WriteData(1, false, []byte("sorry"))
		a.head(1, true, "grpc-status=14")
		a.want("RST_STREAM 1 CANCEL", "it need not wait for the rest of the request")
		b := second(r, `DATA 1 "one "`)
		b.head(1, true, ":status=500")
		c.want("HEADERS 1 :status=503 x-from=a", "")
		c.want(`DATA 1 "sorry"`, "")
		c.want("HEADERS 1 grpc-status=14 end", "")
		c.want("RST_STREAM 1 NO_ERROR", "nobody takes the rest of the request")
	})
	t.Run("of a request that is not kept the rest goes nowhere", func(t *testing.T) {
		r, c, a := early(t, 10)
		a.want(`DATA 1 "one "`, "")
		a.head(1, false, ":status=503")
		b := second(r, `DATA 1 "one "`)
		c.WriteData(1, false, []byte("and more than is kept"))
		b.want(`DATA 1 "and more than is kept"`, "")
		b.head(1, true, ":status=500")
		c.want("HEADERS 1 :status=503", "")
		a.WriteWindowUpdate(1, 100)
		a.silence("")
		c.WriteData(1, false, []byte("more"))
		c.silence("")
		a.silence("it has not got what came before")
		a.WriteData(1, true, []byte("sorry"))
		a.want("RST_STREAM 1 CANCEL", "")
		c.want(`DATA 1 "sorry" end`, "")
		c.want("RST_STREAM 1 NO_ERROR", "")
	})
	t.Run("the window that its endpoint grants holds", func(t *testing.T) {
		r, c, a := early(t, keep, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2})
		a.want(`DATA 1 "on"`, "")
		a.head(1, false, ":status=503")
		b := second(r, `DATA 1 "one "`)
		a.WriteWindowUpdate(1, 1)
		a.silence("it is held")
		b.head(1, true, ":status=500")
		c.want("HEADERS 1 :status=503", "")
		a.want(`DATA 1 "e"`, "")
		a.silence("its window is used up")
		a.WriteWindowUpdate(1, 10)
		a.want(`DATA 1 " "`, "")
		c.WriteData(1, true, []byte("two"))
		a.want(`DATA 1 "two" end`, "")
		a.WriteData(1, true, nil)
		c.want(`DATA 1 "" end`, "")
	})
	t.Run("it does not stay in line for its connection's window", func(t *testing.T) {
		r, c, a := early(t, keep)
		a.want(`DATA 1 "one "`, "")
		c.fill(1, 65535-4, false)
		a.collect(1, 65535-4)
		c.post(3)
		c.WriteData(3, true, []byte("third"))
		a.want(asked("POST", 3), "")
		c.post(5)
		c.WriteData(5, true, []byte("fifth"))
		a.want(asked("POST", 5), "")
		a.head(3, false, ":status=503")
		b := r.server(1)
		b.want(asked("POST", 1), "the other endpoint is asked")
		b.want(`DATA 1 "third" end`, "")
		b.ok(1, true)
		c.want("HEADERS 3 :status=200 end", "")
		a.want("RST_STREAM 3 CANCEL", "nobody wants it any more")
		c.get(7) // in the third one's place
		a.want(asked("GET", 7)+" end", "")
		a.WriteWindowUpdate(0, 100)
		a.want(`DATA 5 "fifth" end`, "it stood behind the third one")
		for _, id := range []uint32{1, 5, 7} {
			a.ok(id, true)
			c.want(fmt.Sprintf("HEADERS %d :status=200 end", id), "")
		}
		c.WriteRSTStream(1, http2.ErrCodeCancel)
	})
	t.Run("it ends with its client", func(t *testing.T) {
		r, c, a := early(t, keep)
		a.want(`DATA 1 "one "`, "")
		a.head(1, false, ":status=503")
		b := second(r, `DATA 1 "one "`)
		c.c.Close()
		a.want("RST_STREAM 1 CANCEL", "")
		b.want("RST_STREAM 1 CANCEL", "")
	})
}

// A rival, too, may answer before it has got the request whole.
func TestARivalsEarlyErrorIsHeld(t *testing.T) {
	r, c, a := early(t, 64<<10)
	a.want(`DATA 1 "one "`, "")
	a.WriteWindowUpdate(0, 100_000)
	a.WriteWindowUpdate(1, 100_000)
	c.fill(1, 40_000, false)
	a.collect(1, 40_000)
	c.fill(1, 64<<10-40_000-4, true) // one byte more than the other grants at first
	a.collect(1, 64<<10-40_000-4)
	r.on(func() {
		r.answer = func(x *Exchange, h Head) bool {
			if _, answered := x.Held(); answered {
				x.Adopt()
			} else {
				x.Swap()
			}
			return false
		}
		for x := range r.begun {
			x.Hold()
			r.send(x)
		}
	})
	b := r.server(1)
	b.want(asked("POST", 1), "")
	b.collect(1, 65535)
	b.head(1, false, ":status=503")
	r.was("head 503 grpc -1 last false")
	a.head(1, true, ":status=500")
	c.want("HEADERS 1 :status=503", "")
	b.WriteWindowUpdate(0, 10)
	b.WriteWindowUpdate(1, 10)
	b.want(`DATA 1 "\x00" end`, "the rest")
	b.WriteData(1, true, nil)
	c.want(`DATA 1 "" end`, "")
}

// The head of an answer that is held counts as memory.
func TestTheHeadOfAHeldAnswerCounts(t *testing.T) {
	r, c, a := early(t, 64<<10)
	a.want(`DATA 1 "one "`, "")
	before, held := 0, 0
	r.on(func() { before = r.o.Memory.Bytes() })
	large := make([]byte, 10_000)
	for i := range large {
		large[i] = 'x'
	}
	a.head(1, true, ":status=503", "x-large="+string(large))
	b := second(r, `DATA 1 "one "`)
	r.on(func() { held = r.o.Memory.Bytes() })
	if held < before+len(large) {
		t.Errorf("%d bytes are held, and were before the head of %d: %d", held, len(large), before)
	}
	b.head(1, true, ":status=500")
	c.want("HEADERS 1 :status=503 x-large="+string(large)+" end", "")
}
