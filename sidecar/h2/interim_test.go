package h2

import (
	"strconv"
	"testing"

	"golang.org/x/net/http2"
)

// A client gets one 100 (Continue) for a request, however many endpoints say it and however often; other interim answers come as often as they are said.
func TestContinueIsPassedOnOnce(t *testing.T) {
	const expect = "expect=100-continue"
	for name, fail := range map[string]func(a *peer){
		"an error": func(a *peer) { a.head(1, true, ":status=500") },
		"a reset":  func(a *peer) { a.WriteRSTStream(1, http2.ErrCodeRefusedStream) },
	} {
		t.Run("a further attempt behind "+name, func(t *testing.T) {
			r := newRig(t, 2, nil)
			r.keep = 1 << 10
			r.answer = func(x *Exchange, h Head) bool {
				if h.Status < 500 {
					x.DropHeld()
					return true
				}
				x.Hold()
				r.send(x)
				return false
			}
			c := r.client()
			c.post(1, expect)
			a := r.server(0)
			a.want(asked("POST", 1, expect), "the head")
			a.head(1, false, ":status=100")
			c.want("HEADERS 1 :status=100", "the word to go on")
			a.head(1, false, ":status=103", "link=x")
			c.want("HEADERS 1 :status=103 link=x", "hints")
			c.WriteData(1, true, []byte("hello"))
			a.want(`DATA 1 "hello" end`, "the body")
			fail(a)
			b := r.server(1)
			b.want(asked("POST", 1, expect), "the head again")
			b.want(`DATA 1 "hello" end`, "the body again")
			b.head(1, false, ":status=100")
			b.head(1, false, ":status=103", "link=x")
			c.want("HEADERS 1 :status=103 link=x", "hints may come again, and the word to go on has come already")
			b.ok(1, true)
			c.want("HEADERS 1 :status=200 end", "the answer")
		})
	}
	t.Run("the same attempt, and the next request", func(t *testing.T) {
		_, c, s := pair(t, nil)
		for _, id := range []uint32{3, 5} { // an exchange is used again
			c.post(id, expect)
			s.want(asked("POST", id, expect), "the head")
			s.head(id, false, ":status=103")
			s.head(id, false, ":status=100")
			s.head(id, false, ":status=100")
			s.head(id, false, ":status=102")
			c.want("HEADERS "+strconv.Itoa(int(id))+" :status=103", "hints before it")
			c.want("HEADERS "+strconv.Itoa(int(id))+" :status=100", "the word to go on")
			c.want("HEADERS "+strconv.Itoa(int(id))+" :status=102", "another interim answer")
			c.WriteData(id, true, []byte("x"))
			s.want("DATA "+strconv.Itoa(int(id))+` "x" end`, "the body")
			s.ok(id, true)
			c.want("HEADERS "+strconv.Itoa(int(id))+" :status=200 end", "the answer")
		}
	})
}
