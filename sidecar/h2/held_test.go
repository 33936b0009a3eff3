package h2

import (
	"fmt"
	"testing"
)

// holding makes a rig of two endpoints whose handler holds an error and asks the other one.
func holding(t *testing.T) (r *rig, c, a *peer) {
	r = newRig(t, 2, nil)
	r.answer = func(x *Exchange, h Head) bool {
		switch _, held := x.Held(); {
		case h.Status < 500:
			x.DropHeld()
			return true
		case held:
			x.Adopt()
			return false
		}
		x.Hold()
		r.send(x)
		return false
	}
	c = r.client()
	c.get(1)
	a = r.server(0)
	a.want(asked("GET", 1)+" end", "")
	return r, c, a
}

func TestAHeldAnswer(t *testing.T) {
	t.Run("is dropped for a better one", func(t *testing.T) {
		_, c, a := holding(t)
		a.head(1, false, ":status=500")
		a.WriteData(1, false, []byte("sorry"))
		b := r2(t, a, c)
		b.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
		a.want("RST_STREAM 1 CANCEL", "nobody wants it any more")
	})
	t.Run("is passed on with what came of it when no other is better", func(t *testing.T) {
		_, c, a := holding(t)
		a.head(1, false, ":status=500", "x-from=a")
		a.WriteData(1, false, []byte("sorry"))
		b := r2(t, a, c)
		a.silence("")
		b.head(1, false, ":status=503")
		b.want("RST_STREAM 1 CANCEL", "")
		c.want("HEADERS 1 :status=500 x-from=a", "")
		c.want(`DATA 1 "sorry"`, "")
		a.WriteData(1, false, []byte("!"))
		a.head(1, true, "x-t=1")
		c.want(`DATA 1 "!"`, "")
		c.want("HEADERS 1 x-t=1 end", "")
	})
	for _, last := range []bool{false, true} {
		t.Run(fmt.Sprintf("is passed on though its connection has ended since, as head alone %v", last), func(t *testing.T) {
			r, c, a := holding(t)
			a.head(1, last, ":status=500")
			if !last {
				a.WriteData(1, false, []byte("sorry"))
				a.head(1, true, "x-t=1")
			}
			b := r2(t, a, c)
			r.eventually("the answered stream to be off its connection", func() bool { return len(r.endpoints[0].up.streams) == 0 })
			a.c.Close()
			r.eventually("the connection to end", func() bool { return r.endpoints[0].up == nil })
			b.head(1, true, ":status=503")
			if last {
				c.want("HEADERS 1 :status=500 end", "")
			} else {
				c.want("HEADERS 1 :status=500", "")
				c.want(`DATA 1 "sorry"`, "")
				c.want("HEADERS 1 x-t=1 end", "")
			}
			c.silence("a whole answer is not cut")
			r.was("head 500 grpc -1 last "+fmt.Sprint(last), "head 503 grpc -1 last true", "ended 500 grpc -1 truncated false gone false")
		})
	}
	t.Run("is cut when its connection ends within it", func(t *testing.T) {
		r, c, a := holding(t)
		a.head(1, false, ":status=500")
		b := r2(t, a, c)
		a.c.Close()
		r.eventually("the connection to end", func() bool { return r.endpoints[0].up == nil })
		b.head(1, true, ":status=503")
		c.want("HEADERS 1 :status=500", "")
		c.want("RST_STREAM 1 INTERNAL_ERROR", "")
	})
	t.Run("ends with its client", func(t *testing.T) {
		_, c, a := holding(t)
		a.head(1, false, ":status=500")
		b := r2(t, a, c)
		c.c.Close()
		a.want("RST_STREAM 1 CANCEL", "")
		b.want("RST_STREAM 1 CANCEL", "")
	})
	t.Run("holds no more than its window", func(t *testing.T) {
		r, c, a := holding(t)
		a.head(1, false, ":status=500")
		a.fill(1, 65535, false)
		b := r2(t, a, c)
		a.silence("no window is returned")
		if w := a.window[1]; w != 0 {
			t.Errorf("%d bytes of window were returned for data that nobody has taken", w)
		}
		b.head(1, true, ":status=503")
		c.want("HEADERS 1 :status=500", "")
		c.collect(1, 65535)
		a.WriteData(1, true, []byte("end"))
		c.WriteWindowUpdate(1, 3)
		c.WriteWindowUpdate(0, 3)
		c.collect(1, 3)
		r.was("head 500 grpc -1 last false", "head 503 grpc -1 last true", "ended 500 grpc -1 truncated false gone false")
	})
}

// r2 is the second endpoint's server, which has been asked.
func r2(t *testing.T, a, c *peer) *peer {
	t.Helper()
	b := a.r.server(1)
	b.want(asked("GET", 1)+" end", "the other endpoint is asked")
	return b
}

// An attempt that is not answered yet is held while another one is made.
func TestAHeldAttempt(t *testing.T) {
	race := func(t *testing.T) (r *rig, c, a, b *peer) {
		r = newRig(t, 2, nil)
		r.answer = func(x *Exchange, h Head) bool { x.DropHeld(); return true }
		c = r.client()
		c.get(1)
		a = r.server(0)
		a.want(asked("GET", 1)+" end", "")
		r.on(func() {
			for x := range r.begun {
				x.Hold()
				r.send(x)
			}
		})
		return r, c, a, r2(t, a, c)
	}
	t.Run("is adopted when it is answered first", func(t *testing.T) {
		_, c, a, b := race(t)
		a.ok(1, false)
		a.WriteData(1, true, []byte("a"))
		c.want("HEADERS 1 :status=200", "")
		c.want(`DATA 1 "a" end`, "")
		b.want("RST_STREAM 1 CANCEL", "")
	})
	t.Run("is adopted when its answer is a head alone", func(t *testing.T) {
		_, c, a, b := race(t)
		a.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
		b.want("RST_STREAM 1 CANCEL", "")
	})
	swapping := func(t *testing.T) (r *rig, c, a, b *peer) {
		r, c, a, b = race(t)
		r.on(func() {
			r.answer = func(x *Exchange, h Head) bool {
				switch _, answered := x.Held(); {
				case h.Status < 500:
					x.DropHeld()
					return true
				case answered:
					x.Adopt()
				default:
					x.Swap()
				}
				return false
			}
		})
		b.head(1, false, ":status=500")
		b.WriteData(1, false, []byte("b"))
		r.was("head 500 grpc -1 last false")
		return r, c, a, b
	}
	t.Run("takes the place of the other, which is answered with an error, and does better", func(t *testing.T) {
		_, c, a, b := swapping(t)
		a.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
		b.want("RST_STREAM 1 CANCEL", "")
	})
	t.Run("takes the place of the other, which is answered with an error, and gives it back", func(t *testing.T) {
		_, c, a, b := swapping(t)
		a.head(1, false, ":status=503")
		c.want("HEADERS 1 :status=500", "")
		c.want(`DATA 1 "b"`, "")
		b.WriteData(1, true, nil)
		c.want(`DATA 1 "" end`, "")
		a.want("RST_STREAM 1 CANCEL", "")
	})
	t.Run("is dropped when the other is answered first", func(t *testing.T) {
		_, c, a, b := race(t)
		b.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
		a.want("RST_STREAM 1 CANCEL", "")
	})
	t.Run("may end alone", func(t *testing.T) {
		r, c, a, b := race(t)
		a.WriteRSTStream(1, 2)
		r.was("held failed")
		b.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
	})
	t.Run("breaks a rule alone", func(t *testing.T) {
		r, c, a, b := race(t)
		a.WriteData(1, false, []byte("before the head"))
		a.want("RST_STREAM 1 PROTOCOL_ERROR", "")
		r.was("held failed")
		b.ok(1, true)
		c.want("HEADERS 1 :status=200 end", "")
	})
}
