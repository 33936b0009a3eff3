package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

func TestStreamsOfOneConnectionAreSpread(t *testing.T) {
	r := newRig(t)
	var addrs []netip.AddrPort
	var servers []*h2Server
	for i := range 3 {
		s := newH2Server(t, named(fmt.Sprint(i)))
		servers, addrs = append(servers, s), append(addrs, s.addr)
	}
	r.serve(addrs...)
	c := r.h2Client()
	got := map[string]int{}
	for range 300 {
		res, err := c.Get("http://web/")
		got[body(t, res, err)]++
	}
	for i := range 3 {
		if n := got[fmt.Sprint(i)]; n < 95 || n > 105 {
			t.Errorf("endpoint %d answered %d of 300: %v", i, n, got)
		}
	}
	for i, s := range servers {
		if n := s.conns.Load(); n != 1 {
			t.Errorf("endpoint %d got %d connections, want one for all its streams", i, n)
		}
	}
	if n := r.m.Loop(0).Accepted.Load(); n != 1 {
		t.Errorf("%d connections of the client", n)
	}
}

// Whatever net/http's client and server say to one another, they say the same through the proxy.
func TestStreamsCarryWhatNetHTTPSays(t *testing.T) {
	type seen struct {
		method, path, host string
		header, trailer    http.Header
		sum                [32]byte
		length             int64
	}
	last := make(chan seen, 1)
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/hints" {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
		}
		h := sha256.New()
		n, _ := io.Copy(h, q.Body)
		last <- seen{q.Method, q.URL.RequestURI(), q.Host, q.Header, q.Trailer, [32]byte(h.Sum(nil)), n}
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		if q.URL.Path == "/none" {
			w.WriteHeader(204)
			return
		}
		w.WriteHeader(201)
		b := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
		w.Write(b)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(b)))
	})
	r := newRig(t)
	r.serve(s.addr)
	through, direct := r.h2Client(), r.h2Client()
	direct.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.addr.String())
	}
	for _, size := range []int{0, 1, 100, 16 << 10, 65535, 65536, 1 << 20, 5 << 20} {
		for _, path := range []string{"/", "/none", "/hints", "/a%2Fb?x=1&y=%20"} {
			ask := func(c *http.Client) (seen, string, http.Header, http.Header, int) {
				payload := make([]byte, size)
				rnd := rand.NewChaCha8([32]byte{1})
				rnd.Read(payload)
				q, _ := http.NewRequest("POST", "http://web.example:81"+path, io.MultiReader(bytes.NewReader(payload)))
				q.Trailer = http.Header{"X-End": nil}
				q.Header["X-Many"] = []string{"1", "2", ""}
				q.Header.Set("Cookie", "a=1; b=2; c=3")
				q.Header.Set("X-Long", strings.Repeat("v", 20000))
				q.Trailer.Set("X-End", "yes")
				res, err := c.Do(q)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				delete(res.Header, "Date")
				return <-last, string(b), res.Header, res.Trailer, res.StatusCode
			}
			s1, b1, h1, t1, c1 := ask(direct)
			s2, b2, h2, t2, c2 := ask(through)
			if fmt.Sprint(s1) != fmt.Sprint(s2) {
				t.Errorf("%d bytes to %s: the server saw\n%v\nand through the proxy\n%v", size, path, s1, s2)
			}
			if b1 != b2 || fmt.Sprint(h1, t1, c1) != fmt.Sprint(h2, t2, c2) {
				t.Errorf("%d bytes to %s: the client saw %d bytes %v %v %d and through the proxy %d bytes %v %v %d", size, path,
					len(b1), h1, t1, c1, len(b2), h2, t2, c2)
			}
		}
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	r := newRig(t)
	r.serve(s.addr)
	var wg sync.WaitGroup
	for i := range 4 {
		c := r.h2Client()
		for j := range 50 {
			wg.Go(func() {
				for k := range 10 {
					want := strings.Repeat(fmt.Sprint(i, j, k, " "), 1+(i*j*k*37)%9000)
					res, err := c.Post("http://web/", "text/plain", strings.NewReader(want))
					if got := body(t, res, err); got != want {
						t.Errorf("an echo of %d bytes came back with %d", len(want), len(got))
					}
				}
			})
		}
	}
	wg.Wait()
	// Connections that the client opened to be quick, and closed unused, are opaque: the server sees the same.
	if n := s.conns.Load() - int64(r.service().Opaque.Load()); n > 2 {
		t.Errorf("%d connections to the endpoint for at most 200 streams of 250", n)
	}
}

func TestAStalledReaderStallsOnlyItsOwnStream(t *testing.T) {
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/endless" {
			b := make([]byte, 32<<10)
			for q.Context().Err() == nil {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
			return
		}
		io.WriteString(w, "quick")
	})
	r := newRig(t)
	r.serve(s.addr)
	slow, quick := r.h2Client(), r.h2Client()
	ctx, cancel := context.WithCancel(t.Context())
	var stalled []*http.Response
	for range 20 {
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/endless", nil)
		res, err := slow.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, res)
	}
	for range 100 {
		res, err := quick.Get("http://web/")
		if got := body(t, res, err); got != "quick" {
			t.Errorf("got %q", got)
		}
	}
	n := 0
	r.on(func() { n = r.w.o.Upstream.HTTP2.Memory.Bytes() })
	// A stream's window and its request's head, and the buffers of what is on its way to the two clients: 512 KiB each at most.
	if most := 20*(256<<10+1000) + 2*512<<10; n > most {
		t.Errorf("%d bytes are held for 20 stalled streams, want at most %d", n, most)
	}
	cancel()
	for _, res := range stalled {
		res.Body.Close()
	}
	slow.CloseIdleConnections()
	r.eventually("what was held to be given back", func() bool {
		r.on(func() { n = r.w.o.Upstream.HTTP2.Memory.Bytes() })
		return n == 0
	})
}

func TestAnOldConnectionIsAskedToComeAgain(t *testing.T) {
	s := newH2Server(t, named("x"))
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.MaxStreamAge = 50 * time.Millisecond })
	c := r.h2Client()
	stop := time.Now().Add(2 * time.Second)
	for time.Now().Before(stop) && r.m.Loop(0).Accepted.Load() < 2 {
		res, err := c.Post("http://web/", "", strings.NewReader("not idempotent"))
		if got := body(t, res, err); got != "x" {
			t.Fatalf("got %q", got)
		}
		time.Sleep(time.Millisecond)
	}
	r.counts("connections of the client", 2, r.m.Loop(0).Accepted.Load)
}
