package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// pair makes a rig with one endpoint, its client and, after the first request, which is answered, its server.
func pair(t *testing.T, o *Options) (r *rig, c, s *peer) {
	t.Helper()
	r = newRig(t, 1, o)
	c = r.client()
	c.get(1)
	s = r.server(0)
	s.want(asked("GET", 1)+" end", "the first request makes the connection")
	s.ok(1, true)
	c.want("HEADERS 1 :status=200 end", "the answer")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
	return r, c, s
}

func TestARequestAndItsAnswer(t *testing.T) {
	r, c, s := pair(t, nil)
	c.post(3, "content-length=5", "x-a=1")
	s.want(asked("POST", 3, "content-length=5", "x-a=1"), "the head goes on before the body has come")
	c.WriteData(3, false, []byte("he"))
	s.want(`DATA 3 "he"`, "data goes on as it comes")
	c.WriteData(3, true, []byte("llo"))
	s.want(`DATA 3 "llo" end`, "END_STREAM goes with the last byte")
	s.head(3, false, ":status=103", "link=x")
	c.want("HEADERS 3 :status=103 link=x", "interim answers are passed on")
	s.ok(3, false, "content-length=2")
	c.want("HEADERS 3 :status=200 content-length=2", "the final head")
	s.WriteDataPadded(3, false, []byte("yo"), make([]byte, 99))
	c.want(`DATA 3 "yo"`, "padding is not passed on")
	s.head(3, true, "x-sum=1")
	c.want("HEADERS 3 x-sum=1 end", "trailers")
	r.was("head 200 grpc -1 last false", "ended 200 grpc -1 truncated false gone false")
}

func TestTrailersOfARequest(t *testing.T) {
	_, c, s := pair(t, nil)
	c.post(3)
	c.WriteData(3, false, []byte("x"))
	c.head(3, true, "x-end=yes")
	s.want(asked("POST", 3), "")
	s.want(`DATA 3 "x"`, "")
	s.want("HEADERS 3 x-end=yes end", "trailers end the request")
	s.ok(3, true)
	c.want("HEADERS 3 :status=200 end", "")
}

func TestTrailersOnlyTellTheirStatus(t *testing.T) {
	r, c, s := pair(t, nil)
	c.post(3, "content-type=application/grpc", "te=trailers")
	c.WriteData(3, true, nil)
	s.want(asked("POST", 3, "content-type=application/grpc", "te=trailers"), "")
	s.want(`DATA 3 "" end`, "")
	s.ok(3, true, "content-type=application/grpc", "grpc-status=5")
	c.want("HEADERS 3 :status=200 content-type=application/grpc grpc-status=5 end", "END_STREAM stays with the head")
	r.was("head 200 grpc 5 last true", "ended 200 grpc 5 truncated false gone false")
}

// What a body may be where HTTP says that there is none: RFC 9110, section 6.4.1.
func TestAnswersWithoutContent(t *testing.T) {
	for _, row := range []struct{ name, method, status string }{
		{"HEAD may say how long the body would be", "HEAD", "200"},
		{"304 may as well", "GET", "304"},
		{"204 should not, and is no error: RFC 9113, section 8.1.1", "GET", "204"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, c, s := pair(t, nil)
			for _, empty := range []bool{true, false} {
				id := map[bool]uint32{true: 3, false: 5}[empty]
				c.head(id, true, request(row.method)...)
				s.want(asked(row.method, id)+" end", "")
				s.head(id, empty, ":status="+row.status, "content-length=100")
				if empty {
					c.want("HEADERS 3 :status="+row.status+" content-length=100 end", "")
					continue
				}
				c.want("HEADERS 5 :status="+row.status+" content-length=100", "")
				s.WriteData(5, true, nil)
				c.want(`DATA 5 "" end`, "END_STREAM may come with an empty frame")
			}
		})
	}
}

func TestAnAnswerThatComesBeforeTheRequestIsWhole(t *testing.T) {
	t.Run("the server goes on reading", func(t *testing.T) {
		_, c, s := pair(t, nil)
		c.post(3)
		s.want(asked("POST", 3), "")
		s.ok(3, true)
		c.want("HEADERS 3 :status=200 end", "the answer does not wait for the request")
		c.WriteData(3, true, []byte("rest"))
		s.want(`DATA 3 "rest" end`, "nor does it end it")
	})
	t.Run("the server resets the stream without an error", func(t *testing.T) {
		_, c, s := pair(t, nil)
		c.post(3)
		s.want(asked("POST", 3), "")
		s.ok(3, false)
		s.WriteData(3, true, []byte("enough"))
		s.WriteRSTStream(3, http2.ErrCodeNo)
		c.want("HEADERS 3 :status=200", "")
		c.want(`DATA 3 "enough" end`, "")
		c.want("RST_STREAM 3 NO_ERROR", `the client is asked "without error" to stop: RFC 9113, section 8.1`)
		c.WriteData(3, false, []byte("late"))
		c.silence("data that was on its way is no error")
		s.silence("and goes nowhere")
	})
	t.Run("the answer waits for the client's window when the reset comes", func(t *testing.T) {
		r := newRig(t, 1, nil)
		c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
		c.post(1)
		s := r.server(0)
		s.want(asked("POST", 1), "")
		s.ok(1, false)
		s.WriteData(1, true, []byte("enough"))
		s.WriteRSTStream(1, http2.ErrCodeNo)
		c.want("HEADERS 1 :status=200", "")
		c.want(`DATA 1 "eno"`, "as much as the window allows")
		c.silence("the rest waits")
		c.WriteWindowUpdate(1, 100)
		c.want(`DATA 1 "ugh" end`, "what came before the reset is not lost")
		c.want("RST_STREAM 1 NO_ERROR", "nobody takes the rest of the request")
	})
}

func TestTheClientGivesUp(t *testing.T) {
	t.Run("while it waits for the answer", func(t *testing.T) {
		r, c, s := pair(t, nil)
		c.get(3)
		s.want(asked("GET", 3)+" end", "")
		c.WriteRSTStream(3, http2.ErrCodeCancel)
		s.want("RST_STREAM 3 CANCEL", "the endpoint learns of it")
		r.was("ended 0 grpc -1 truncated false gone true")
		s.ok(3, true)
		c.silence("an answer that crossed it goes nowhere")
	})
	t.Run("while the endpoint is dialled", func(t *testing.T) {
		r := newRig(t, 1, nil)
		c := r.client()
		c.get(1)
		c.WriteRSTStream(1, http2.ErrCodeCancel)
		c.silence("nothing is to be said")
		r.was("ended 0 grpc -1 truncated false gone true")
	})
	t.Run("by closing the connection", func(t *testing.T) {
		r, c, s := pair(t, nil)
		c.get(3)
		c.post(5)
		s.want(asked("GET", 3)+" end", "")
		s.want(asked("POST", 5), "")
		c.c.Close()
		got := map[string]bool{s.seen(): true, s.seen(): true}
		if !got["RST_STREAM 3 CANCEL"] || !got["RST_STREAM 5 CANCEL"] {
			t.Errorf("the endpoint got %v", got)
		}
		r.was("ended 0 grpc -1 truncated false gone true", "ended 0 grpc -1 truncated false gone true")
	})
	t.Run("within the answer", func(t *testing.T) {
		r, c, s := pair(t, nil)
		c.get(3)
		s.want(asked("GET", 3)+" end", "")
		s.ok(3, false)
		s.fill(3, 100_000-34465, false)
		c.want("HEADERS 3 :status=200", "")
		c.WriteRSTStream(3, http2.ErrCodeCancel)
		s.want("RST_STREAM 3 CANCEL", "")
		r.was("head 200 grpc -1 last false", "ended 200 grpc -1 truncated false gone true")
	})
}

func TestGoAwayHandsBackWhatTheEndpointDidNotLookAt(t *testing.T) {
	r := newRig(t, 2, nil)
	c := r.client()
	c.get(1)
	a := r.server(0)
	a.want(asked("GET", 1)+" end", "")
	c.post(3)
	c.WriteData(3, false, []byte("a"))
	a.want(asked("POST", 3), "")
	a.want(`DATA 3 "a"`, "")
	a.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
	a.WriteGoAway(1, http2.ErrCodeNo, nil)
	b := r.server(1)
	b.want(asked("POST", 1), "a request above GOAWAY's last stream is sent elsewhere: RFC 9113, section 6.8")
	b.want(`DATA 1 "a"`, "with what came of its body")
	c.WriteData(3, true, []byte("b"))
	b.want(`DATA 1 "b" end`, "and what comes yet")
	a.ok(1, true)
	b.ok(1, true)
	got := map[string]bool{c.seen(): true, c.seen(): true}
	if !got["HEADERS 1 :status=200 end"] || !got["HEADERS 3 :status=200 end"] {
		t.Errorf("the client got %v", got)
	}
	a.goesAway(http2.ErrCodeNo, 0, "a connection that went away is closed when its last stream has ended")
}

func TestRefusedStreamGoesElsewhere(t *testing.T) {
	r := newRig(t, 2, nil)
	c := r.client()
	c.post(1)
	c.WriteData(1, false, []byte(strings.Repeat("x", 30)))
	a := r.server(0)
	a.want(asked("POST", 1), "")
	a.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	b := r.server(1)
	b.want(asked("POST", 1), "")
	b.want(`DATA 1 "`+strings.Repeat("x", 30)+`"`, "")
	c.head(1, true, "x-t=1")
	b.want("HEADERS 1 x-t=1 end", "trailers find the attempt that runs")
	b.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	c.want("HEADERS 1 :status=503", "there is no third endpoint")
	c.want(`DATA 1 "no more endpoints" end`, "")
}

// A whole request with trailers can be sent again as well.
func TestTrailersAreSentAgain(t *testing.T) {
	r := newRig(t, 2, nil)
	c := r.client()
	c.post(1)
	c.WriteData(1, false, []byte("x"))
	c.head(1, true, "x-t=1")
	a := r.server(0)
	a.want(asked("POST", 1), "")
	a.want(`DATA 1 "x"`, "")
	a.want("HEADERS 1 x-t=1 end", "")
	a.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	b := r.server(1)
	b.want(asked("POST", 1), "")
	b.want(`DATA 1 "x"`, "")
	b.want("HEADERS 1 x-t=1 end", "")
	b.ok(1, true)
	c.want("HEADERS 1 :status=200 end", "")
}

func TestABodyTooLargeToKeepIsNotSentAgain(t *testing.T) {
	r := newRig(t, 2, nil)
	r.keep = 10
	c := r.client()
	c.post(1)
	a := r.server(0)
	a.want(asked("POST", 1), "")
	c.WriteData(1, false, []byte("0123456789"))
	a.want(`DATA 1 "0123456789"`, "")
	c.WriteData(1, true, []byte("0"))
	a.want(`DATA 1 "0" end`, "")
	a.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	c.want("RST_STREAM 1 REFUSED_STREAM", "the client may send it again itself")
}

// What was not sent to anybody is not lost, however little is kept.
func TestABodyThatWaitsForItsFirstConnectionIsWhole(t *testing.T) {
	r := newRig(t, 2, nil)
	r.keep = 10
	r.endpoints[0].ln.Close()
	c := r.client()
	c.post(1)
	c.WriteData(1, true, []byte(strings.Repeat("x", 40)))
	s := r.server(1)
	s.want(asked("POST", 1), "")
	s.want(`DATA 1 "`+strings.Repeat("x", 40)+`" end`, "")
	s.ok(1, true)
	c.want("HEADERS 1 :status=200 end", "")
}
