package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h1"
)

// Requests that cannot be read for certain are answered, counted, and reach nobody.
func TestMalformedRequests(t *testing.T) {
	cases := []struct {
		name, request string
		status        string
		reason        h1.Reason
	}{
		{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 Bad Request", h1.BothLengths},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400 Bad Request", h1.RepeatedContentLength},
		{"a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "400 Bad Request", h1.BadContentLength},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request", h1.SpaceBeforeColon},
		{"a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "400 Bad Request", h1.ObsFold},
		{"a bare LF", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "400 Bad Request", h1.BareLF},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400 Bad Request", h1.MissingHost},
		{"a transfer coding we do not know", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 Not Implemented", h1.UnknownTransferCoding},
		{"a head beyond the limit", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431 Request Header Fields Too Large", h1.HeadTooLarge},
		{"a head beyond the limit that never ends", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 300<<10), "431 Request Header Fields Too Large", h1.HeadTooLarge},
		{"a target beyond the limit", "GET /" + strings.Repeat("x", 65<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "414 URI Too Long", h1.LineTooLong},
		{"a bad chunk behind the head", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 Bad Request", h1.BadChunkSize},
		{"a chunk size with a space", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "400 Bad Request", h1.BadChunkSize},
	}
	for _, c := range cases {
		for _, behind := range []string{"", get} {
			name := c.name
			if behind != "" {
				name += ", behind a good request"
			}
			t.Run(name, func(t *testing.T) {
				r, o := one(t)
				client := r.dial()
				go io.WriteString(client.c, behind+c.request)
				var s *peer
				if behind != "" {
					s = o.accept()
					s.expect(get, "the good request")
					s.send(ok)
					client.expect(ok, "its answer")
				}
				head := client.expectHead("our answer")
				if !strings.HasPrefix(head, "HTTP/1.1 "+c.status+"\r\n") || !strings.Contains(head, "\r\nConnection: close\r\n") {
					t.Errorf("got %q, want %s and close", head, c.status)
				}
				if text := client.rest(); text != "sluice: bad request: "+c.reason.String()+"\n" {
					t.Errorf("got %q, want the reason %q", text, c.reason)
				}
				r.counts("refusals are counted", 1, r.m.Loop(0).Refusals[c.reason].Load)
				if s == nil {
					o.noConnection("though nothing may reach it")
				} else {
					s.expectSilence("nothing of it may reach the server")
				}
			})
		}
	}
}

// A streamed body that turns out wrong: the server sees a cut request, the client why.
func TestBadChunkInAStreamedBody(t *testing.T) {
	r, o := one(t)
	client := r.dial()
	head := "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	client.send(head)
	s := o.accept()
	s.expect(head, "what is right of it")
	client.send("5\r\nhelloXX0\r\n\r\n" + get)
	s.expectReset("the rest never comes")
	got := client.rest()
	if !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(got, h1.BadChunkEnd.String()) {
		t.Errorf("got %q, want 400 and the reason", got)
	}
	r.counts("refusals", 1, r.m.Loop(0).Refusals[h1.BadChunkEnd].Load)
}

// What a server sends unasked must not become the answer to a later request.
func TestBytesBehindAnAnswerAreNeverAnAnswer(t *testing.T) {
	evil := lines("HTTP/1.1 200 OK", "Content-Length: 4") + "evil"
	for name, answer := range map[string]string{
		"in the same segment":   ok + evil,
		"behind a 204":          lines("HTTP/1.1 204 No Content") + evil,
		"behind a HEAD's":       ok + evil,
		"behind the last chunk": lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\n\r\n" + evil,
		"behind a long one":     lines("HTTP/1.1 200 OK", "Content-Length: 100000") + strings.Repeat("x", 100_000) + evil,
	} {
		t.Run(name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(get)
			s := o.accept()
			s.expect(get, "the request")
			s.send(answer)
			client.expect(strings.TrimSuffix(answer, evil), "the answer alone")
			client.send(get)
			s2 := o.accept()
			s2.expect(get, "the next request goes on a new connection")
			s2.send(ok)
			client.expect(ok, "and gets its own answer")
			client.close()
		})
	}
	t.Run("while the connection is idle", func(t *testing.T) {
		r, o := one(t)
		client, s := warm(r, o)
		s.send(evil)
		r.eventually("the sweeper to close it", func() bool { return r.m.Loop(0).Idle.Load() == 0 })
		client.send(get)
		s2 := o.accept()
		s2.expect(get, "the next request goes on a new connection")
		s2.send(ok)
		client.expect(ok, "and gets its own answer")
		client.close()
	})
}

// A thousand connections trickle heads; an innocent one is served meanwhile.
func TestSlowloris(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200
	}
	addrs, _ := counting(t, 1)
	r := newRig(t)
	r.serve(addrs...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var conns []net.Conn
	for range n {
		c := r.dial().c
		c.SetDeadline(time.Time{})
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: web\r\n")
		conns = append(conns, c)
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; ; i++ {
			for k, c := range conns {
				select {
				case <-stop:
					return
				default:
				}
				fmt.Fprintf(c, "X-%d-%d: y\r\n", i, k)
			}
		}
	}()
	innocent := r.dial()
	var longest time.Duration
	for range 200 {
		start := time.Now()
		innocent.c.SetDeadline(start.Add(patience)) // for each: how long all of them take is the machine's affair
		innocent.send(get)
		if !answers(t, innocent.c, 1) {
			break
		}
		longest = max(longest, time.Since(start))
	}
	t.Logf("the longest of 200 innocent requests took %v", longest)
	innocent.close()
	close(stop)
	wg.Wait()
	for _, c := range conns {
		c.Close()
	}
}

// A panic ends the connection it belongs to, and nothing else; what that had borrowed comes back.
func TestPanicEndsOneConnection(t *testing.T) {
	r, o := one(t)
	r.wantPanic = true
	client, s := warm(r, o)
	other := r.dial()
	r.beforeNextPick(func() { panic("the test's") })
	client.send(post)
	client.expectResetOrEnd("the connection ends")
	other.send(get)
	s.expect(get, "others are served")
	s.send(ok)
	other.expect(ok, "the answer")
	other.close()
	r.counts("panics", 1, r.m.Loop(0).Panics.Load)
}
