package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// TestACrowdLeavesNothing has idle and busy connections, heads that never end and readers that stop, all at once. At its end the rig
// and the test binary check that connections, descriptors, coroutines and buffers are as before.
func TestACrowdLeavesNothing(t *testing.T) {
	const idle, busy, slow, rounds = 100, 30, 20, 20
	r := newRig(t)
	large := strings.Repeat("x", 4<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/large" {
			io.WriteString(w, large)
			return
		}
		fmt.Fprintf(w, "hello %s", q.URL.RawQuery)
	}))
	t.Cleanup(server.Close)
	r.serve(netip.MustParseAddrPort(server.Listener.Addr().String()))

	var crowd []net.Conn
	open := func(n int, first string) (conns []net.Conn) {
		for range n {
			c := r.dial().c
			if _, err := io.WriteString(c, first); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		crowd = append(crowd, conns...)
		return conns
	}
	ask := func(c net.Conn, b *bufio.Reader, query string) error {
		if _, err := fmt.Fprintf(c, "GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n", query); err != nil {
			return err
		}
		resp, err := http.ReadResponse(b, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err == nil && string(body) != "hello "+query {
			err = fmt.Errorf("answered %q to %s", body, query)
		}
		return err
	}
	for _, c := range open(idle, "") {
		if err := ask(c, bufio.NewReader(c), "idle"); err != nil {
			t.Fatal(err)
		}
	}
	open(slow, "GET / HTTP/1.1\r\nHost: a\r\nX-Never-Ending: ")
	open(slow, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
	var all sync.WaitGroup
	for i, c := range open(busy, "") {
		all.Go(func() {
			b := bufio.NewReader(c)
			for k := range rounds {
				if err := ask(c, b, fmt.Sprintf("%d.%d", i, k)); err != nil {
					t.Errorf("a busy connection: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	r.eventually("every connection of the crowd to be counted", func() bool { return r.m.Loop(0).Open.Load() == int64(len(crowd)) })
	r.on(func() {
		// Of those that wait only the slow ones and the half heads hold a buffer, some more than one.
		if n := r.l.BuffersOut(); n > 4*slow {
			t.Errorf("%d buffers are lent to %d slow clients of either kind", n, slow)
		}
	})
	for i, c := range crowd {
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0) // half of them are reset
		}
		c.Close()
	}
}
