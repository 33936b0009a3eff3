package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// h2Server is net/http's server with HTTP/2 alone, in the clear.
type h2Server struct {
	addr  netip.AddrPort
	srv   *http.Server
	conns atomic.Int64
}

func newH2Server(t *testing.T, h http.HandlerFunc, change ...func(*http.Server)) *h2Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &h2Server{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	s.srv = &http.Server{Handler: h, Protocols: &http.Protocols{}, ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.conns.Add(1)
		}
	}}
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	for _, f := range change {
		f(s.srv)
	}
	go s.srv.Serve(ln)
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// h2Client is net/http's client with HTTP/2 alone, in the clear, whose one connection goes to the rig.
func (r *rig) h2Client() *http.Client {
	p := &http.Protocols{}
	p.SetUnencryptedHTTP2(true)
	// A stream that was reset ends a moment after its answer, so that its connection may not be idle yet when all idle ones are closed.
	tr := &http.Transport{Protocols: p, DisableCompression: true, IdleConnTimeout: time.Second, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
	}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, name) }
}

func body(t *testing.T, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

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
	if most := 20 * (256<<10 + 1000); n > most {
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

func TestAStreamGoesOnElsewhereWhenNoConnectionComesAbout(t *testing.T) {
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	r := newRig(t)
	r.inOrder(closedPort(t), closedPort(t), s.addr)
	c := r.h2Client()
	for _, size := range []int{0, 10, 60_000} {
		want := strings.Repeat("x", size)
		res, err := c.Post("http://web/", "", strings.NewReader(want))
		if got := body(t, res, err); got != want {
			t.Errorf("a body of %d bytes came back with %d", size, len(got))
		}
	}
	r.counts("connect failures", 6, func() uint64 { return r.attempts(classify.ConnectFailed) })
}

func TestNoEndpointCanBeReachedOverHTTP2(t *testing.T) {
	r := newRig(t)
	r.inOrder(closedPort(t))
	c := r.h2Client()
	res, err := c.Get("http://web/")
	if got := body(t, res, err); res == nil || res.StatusCode != 503 || !strings.Contains(got, "no endpoint of default/web:80 can be reached") {
		t.Errorf("got %v %q", res, got)
	}
	q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
	q.Header.Set("Content-Type", "application/grpc")
	res, err = c.Do(q)
	body(t, res, err)
	if res.StatusCode != 200 || res.Header.Get("Grpc-Status") != "14" || !strings.Contains(res.Header.Get("Grpc-Message"), "no endpoint") {
		t.Errorf("a gRPC client got %v", res)
	}
}

func TestAServerThatGoesAwayGracefullyLosesNothing(t *testing.T) {
	r := newRig(t)
	a := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { time.Sleep(time.Millisecond); io.WriteString(w, "a") })
	b := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { time.Sleep(time.Millisecond); io.WriteString(w, "b") })
	r.serve(a.addr, b.addr)
	c := r.h2Client()
	var wg sync.WaitGroup
	var answered [2]atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 100 {
				res, err := c.Post("http://web/", "", strings.NewReader("not idempotent"))
				answered[body(t, res, err)[0]-'a'].Add(1)
			}
		})
	}
	r.eventually("the first answers", func() bool { return answered[0].Load() > 20 })
	if err := a.srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := answered[0].Load() + answered[1].Load(); n != 800 {
		t.Errorf("%d of 800 answered", n)
	}
}

func TestAClientThatCancelsIsSeenToDoSo(t *testing.T) {
	began, ended := make(chan bool, 1), make(chan error, 1)
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		began <- true
		<-q.Context().Done()
		ended <- q.Context().Err()
	})
	r := newRig(t)
	r.serve(s.addr)
	c := r.h2Client()
	ctx, cancel := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
	go func() { <-began; cancel() }()
	if _, err := c.Do(q); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the server was not told")
	}
	r.counts("attempts whose client is gone", 1, func() uint64 { return r.attempts(classify.ClientGone) })
}

func TestAnHTTP1ServerBehindAnHTTP2Client(t *testing.T) {
	r, o := newRig(t), newOrigin(t)
	r.serve(o.addr)
	go func() {
		s := o.accept()
		s.c.Read(make([]byte, 1000))
		s.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		s.close()
	}()
	_, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
		t.Errorf("got %v", err)
	}
}

// failing answers every request with a status and a body of its own.
func failing(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

func TestAnErrorOverHTTP2IsAskedElsewhere(t *testing.T) {
	good := newH2Server(t, named("good"))
	long := strings.Repeat("sorry ", 20_000)
	for _, status := range []int{500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bad := newH2Server(t, failing(status, long))
			r := newRig(t)
			r.inOrder(bad.addr, good.addr)
			c := r.h2Client()
			res, err := c.Get("http://web/")
			if got := body(t, res, err); got != "good" || res.StatusCode != 200 {
				t.Errorf("GET got %v", res)
			}
			res, err = c.Post("http://web/", "", strings.NewReader("x"))
			if got := body(t, res, err); got != long || res.StatusCode != status {
				t.Errorf("POST, which must not be sent twice, got %d and %d bytes", res.StatusCode, len(got))
			}
		})
	}
	t.Run("all answer errors: the client gets the last one, whole", func(t *testing.T) {
		a, b := newH2Server(t, failing(500, "first"+long)), newH2Server(t, failing(503, "second"+long))
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "second"+long || res.StatusCode != 503 {
			t.Errorf("got %d and %d bytes", res.StatusCode, len(got))
		}
	})
	t.Run("the others cannot be reached: the client gets the error as it came", func(t *testing.T) {
		a := newH2Server(t, failing(500, "first"+long))
		r := newRig(t)
		r.inOrder(a.addr, closedPort(t), closedPort(t))
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "first"+long || res.StatusCode != 500 {
			t.Errorf("got %v and %d bytes", res, len(got))
		}
	})
	t.Run("the others cut the connection", func(t *testing.T) {
		a, o := newH2Server(t, failing(500, "first")), newOrigin(t)
		r := newRig(t)
		r.inOrder(a.addr, o.addr)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.close()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "first" || res.StatusCode != 500 {
			t.Errorf("got %v and %q", res, got)
		}
	})
}

func TestAGRPCCallThatIsUnavailable(t *testing.T) {
	calls := atomic.Int64{}
	bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
		w.Header().Set("Grpc-Message", "going away")
	})
	good := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte("\x00\x00\x00\x00\x00"))
		w.Header().Set("Grpc-Status", "0")
	})
	call := func(r *rig, key bool) *http.Response {
		q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
		q.Header.Set("Content-Type", "application/grpc")
		if key {
			q.Header.Set("Idempotency-Key", "1")
		}
		res, err := r.h2Client().Do(q)
		body(t, res, err)
		return res
	}
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	if res := call(r, true); res.Header.Get("Grpc-Status") != "14" || calls.Load() != 1 {
		t.Errorf("a call that nobody calls idempotent got %v after %d calls", res.Header, calls.Load())
	}
	s := *r.target.Snapshot()
	also := *s.Rules
	also.Retry.IdempotencyKey = true
	s.Rules = &also
	r.target.Publish(&s)
	if res := call(r, true); res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("a call with a key got %v %v", res.Header, res.Trailer)
	}
	r.counts("gRPC calls count as OK", 1, r.service().Statuses[0].Load)
	r.counts("gRPC calls count as UNAVAILABLE", 1, r.service().Statuses[14].Load)
}

// with changes the rules of the Service.
func (r *rig) with(change func(*rules.Rules)) {
	s := *r.target.Snapshot()
	also := *rules.Default()
	if s.Rules != nil {
		also = *s.Rules
	}
	change(&also)
	s.Rules = &also
	r.target.Publish(&s)
}

// hanging answers nothing until the test ends.
func hanging(t *testing.T, then http.HandlerFunc) (h http.HandlerFunc, release func()) {
	gate := make(chan bool)
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		select {
		case <-gate:
			then(w, q)
		case <-q.Context().Done():
		}
	}, release
}

func TestAStreamThatHangsIsRaced(t *testing.T) {
	race := func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond }
	t.Run("the other endpoint answers first", func(t *testing.T) {
		h, _ := hanging(t, named("late"))
		hung, good := newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(hung.addr, good.addr)
		r.with(race)
		c := r.h2Client()
		for range 3 {
			res, err := c.Get("http://web/")
			if got := body(t, res, err); got != "good" {
				t.Errorf("got %q", got)
			}
		}
		r.counts("races won by the second attempt", 3, r.service().Races[1].Load)
		r.counts("attempts that lost", 3, func() uint64 { return r.attempts(classify.LostRace) })
	})
	t.Run("the first one answers after all: a slow answer is not cut off", func(t *testing.T) {
		long := strings.Repeat("x", 200_000)
		h, release := hanging(t, named(long))
		began := make(chan bool, 1)
		other, _ := hanging(t, named("never"))
		slow, hung := newH2Server(t, h), newH2Server(t, func(w http.ResponseWriter, q *http.Request) { began <- true; other(w, q) })
		r := newRig(t)
		r.inOrder(slow.addr, hung.addr)
		r.with(race)
		go func() { <-began; release() }()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != long {
			t.Errorf("got %d bytes", len(got))
		}
		r.counts("races won by the first attempt", 1, r.service().Races[0].Load)
	})
	t.Run("the second one fails: the first goes on alone", func(t *testing.T) {
		h, release := hanging(t, named("slow"))
		slow, o := newH2Server(t, h), newOrigin(t)
		r := newRig(t)
		r.inOrder(slow.addr, o.addr)
		r.with(race)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.close()
			time.Sleep(50 * time.Millisecond)
			release()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "slow" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("the first one fails: the second goes on alone", func(t *testing.T) {
		h, release := hanging(t, named("second"))
		o, second := newOrigin(t), newH2Server(t, h)
		r := newRig(t)
		r.inOrder(o.addr, second.addr)
		r.with(race)
		go func() {
			s := o.accept()
			r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
			s.close()
			time.Sleep(20 * time.Millisecond)
			release()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "second" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a POST is not raced", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		slow, good := newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(slow.addr, good.addr)
		r.with(race)
		time.AfterFunc(100*time.Millisecond, release)
		res, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); got != "first" {
			t.Errorf("got %q", got)
		}
	})
}

func TestStreamsTimeOut(t *testing.T) {
	h, _ := hanging(t, named("late"))
	hung, good := newH2Server(t, h), newH2Server(t, named("good"))
	r := newRig(t)
	r.inOrder(hung.addr, good.addr)
	r.with(func(r *rules.Rules) { r.HangRace.On, r.PerTryTimeout = false, 30*time.Millisecond })
	c := r.h2Client()
	res, err := c.Get("http://web/")
	if got := body(t, res, err); got != "good" {
		t.Errorf("GET got %q", got)
	}
	res, err = c.Post("http://web/", "", strings.NewReader("x"))
	if got := body(t, res, err); res.StatusCode != 504 || !strings.Contains(got, "sluice.mesh/per-try-timeout") {
		t.Errorf("POST got %d %q", res.StatusCode, got)
	}
	r.inOrder(hung.addr)
	r.with(func(r *rules.Rules) { r.HangRace.On, r.Timeout = false, 30*time.Millisecond })
	res, err = c.Get("http://web/")
	if got := body(t, res, err); res.StatusCode != 504 || !strings.Contains(got, "sluice.mesh/timeout") {
		t.Errorf("GET got %d %q", res.StatusCode, got)
	}
	r.counts("calls of which something is due", 0, func() (n uint64) {
		r.on(func() {
			for c := r.w.times.first; c != nil; c = c.timed.after {
				n++
			}
		})
		return n
	})
}

func TestStreamsAtALimitWaitInTheirOrder(t *testing.T) {
	var running, most atomic.Int64
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Millisecond)
		running.Add(-1)
	})
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending, r.Limits.Queue = 3, 100, 10*time.Second })
	c := r.h2Client()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			res, err := c.Get("http://web/")
			body(t, res, err)
			if res.StatusCode != 200 {
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d requests ran at once, want at most 3", n)
	}
	t.Run("nobody may wait", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		s := newH2Server(t, h)
		r := newRig(t)
		r.serve(s.addr)
		r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending = 1, 0 })
		c := r.h2Client()
		done := make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
		res, err := c.Get("http://web/")
		if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "sluice.mesh/max-pending") {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		release()
		<-done
	})
	t.Run("who waits too long is told so, and who gives up leaves nothing behind", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		s := newH2Server(t, h)
		r := newRig(t)
		r.serve(s.addr)
		r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, 50*time.Millisecond })
		c := r.h2Client()
		done := make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
		if _, err := c.Do(q); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		res, err := c.Get("http://web/")
		if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "sluice.mesh/queue-timeout") {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		release()
		<-done
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

func TestAnAnswerOverHTTP2Explained(t *testing.T) {
	var numbers []string
	seen := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			numbers = append(numbers, q.Header.Get("X-Attempt"))
			then(w, q)
		}
	}
	bad, good := newH2Server(t, seen(failing(503, "no"))), newH2Server(t, seen(named("good")))
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	r.with(func(r *rules.Rules) { r.Explain, r.AttemptHeader = rules.ExplainHeader, "X-Attempt" })
	c := r.h2Client()
	q, _ := http.NewRequest("GET", "http://web/", nil)
	res, err := c.Do(q)
	if body(t, res, err); res.Header.Get("Sluice-Explain") != "" {
		t.Errorf("an explanation that nobody asked for: %v", res.Header)
	}
	q.Header.Set("Sluice-Explain", "1")
	res, err = c.Do(q)
	got := res.Header.Get("Sluice-Explain")
	if body(t, res, err); !strings.Contains(got, "attempts=2") || !strings.Contains(got, "tried="+bad.addr.String()+" server-error/503") {
		t.Errorf("explained: %q", got)
	}
	if want := "1 2 1 2"; strings.Join(numbers, " ") != want {
		t.Errorf("attempts were numbered %q, want %s", numbers, want)
	}
	// A request that is a further attempt already is not tried again for a status.
	q.Header.Set("X-Attempt", "2")
	res, err = c.Do(q)
	if body(t, res, err); res.StatusCode != 503 {
		t.Errorf("a nested attempt got %d", res.StatusCode)
	}
}
