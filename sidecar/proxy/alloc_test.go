//go:build linux && !netloop && !race

package proxy

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// perRequest answers allocations for each of n requests of one keep-alive client, client and server allocating nothing.
func perRequest(t testing.TB, r *rig, c net.Conn, request, answer []byte, n int) float64 {
	buf := make([]byte, len(answer))
	round := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		round()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		round()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// echoing starts a server that reads requests of a fixed length and writes a fixed answer, without allocating.
func echoing(t *testing.T, length int, answer []byte) *server {
	return newServer(t, func(_ int, c *net.TCPConn) {
		buf := make([]byte, length)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// The steady state makes no garbage: a small heap collects often.
func TestNoAllocationARequest(t *testing.T) {
	many := lines("GET /some/path?with=query HTTP/1.1", "Host: web.default.svc.cluster.local", "User-Agent: test/1.0", "Accept: */*",
		"Accept-Encoding: gzip", "X-Request-Id: 7f0cb9a2", "Cookie: a=b; c=d", "Authorization: Bearer xxxxxxxxxxxxxxxxxxxxx")
	cases := []struct{ name, request, upstream, answer, client string }{
		{name: "GET", request: get, answer: ok},
		{name: "GET with many fields", request: many, answer: lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Date: x", "Content-Length: 2") + "ok"},
		{name: "POST", request: post, answer: ok},
		{name: "chunked", request: "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			answer: lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n"},
		{name: "HTTP/1.0 with keep-alive", request: lines("GET / HTTP/1.0", "Connection: keep-alive"),
			answer: lines("HTTP/1.1 200 OK", "Content-Length: 0"), client: lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: keep-alive")},
		{name: "an answer longer than one read", request: get, answer: lines("HTTP/1.1 200 OK", "Content-Length: 100000") + string(make([]byte, 100_000))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.client == "" {
				c.client = c.answer
			}
			s1, s2 := echoing(t, len(c.request), []byte(c.answer)), echoing(t, len(c.request), []byte(c.answer))
			r := newRig(t)
			r.serve(s1.addr, s2.addr)
			client := r.dial()
			n := 10_000
			if testing.Short() {
				n = 2000
			}
			if got := perRequest(t, r, client.c, []byte(c.request), []byte(c.client), n); got > 0.05 {
				t.Errorf("%.3f allocations a request, want none", got)
			}
			client.close()
		})
	}
}

// Nor does looking for a key in a head, and asking its owner.
func TestNoAllocationAKeyedRequest(t *testing.T) {
	for key, request := range map[string]string{
		"header:account":                     lines("GET /some/path HTTP/1.1", "Host: web", "Accept: */*", "Account: 4711"),
		"cookie:sid":                         lines("GET /some/path HTTP/1.1", "Host: web", "Cookie: a=b; sid=4711"),
		"header:tenant,path:/accounts/{key}": lines("GET /accounts/4711?with=query HTTP/1.1", "Host: web", "Tenant: a"),
		"query:id":                           lines("GET /?id=47%3111 HTTP/1.1", "Host: web"),
		"json:/account/id":                   lines("POST / HTTP/1.1", "Host: web", "Content-Length: 40") + `{"text":"hello","account":{"id":"4711"}}`,
		"source-ip":                          get,
	} {
		t.Run(key, func(t *testing.T) {
			s1, s2 := echoing(t, len(request), []byte(ok)), echoing(t, len(request), []byte(ok))
			r := newRig(t)
			r.keyed(func(ru *rules.Rules) { ru.Shard.Key = key }, r.eps(s1.addr, s2.addr)...)
			client := r.dial()
			n := 10_000
			if testing.Short() {
				n = 2000
			}
			if got := perRequest(t, r, client.c, []byte(request), []byte(ok), n); got > 0.05 {
				t.Errorf("%.3f allocations a request, want none", got)
			}
			if n := r.service().Decisions[0].Load(); n == 0 {
				t.Error("no request had an owner")
			}
			client.close()
		})
	}
}
