package main

import (
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

func TestAnswersAreReadInAnyPieces(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nDate: now\r\ncontent-LENGTH:  5 \r\n\r\nhello"
	for piece := 1; piece <= len(whole); piece++ {
		var r response
		done := false
		for rest := whole; rest != ""; {
			if done {
				t.Fatalf("pieces of %d: complete with %q missing", piece, rest)
			}
			n := copy(r.space(), rest[:min(piece, len(rest))])
			rest = rest[n:]
			var err error
			if done, err = r.add(n); err != nil {
				t.Fatalf("pieces of %d: %v", piece, err)
			}
		}
		if !done || r.size != 5 || r.last {
			t.Errorf("pieces of %d: complete %t, size %d, last %t", piece, done, r.size, r.last)
		}
	}
}

func TestOtherAnswersAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"another status":          "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
		"no length":               "HTTP/1.1 200 OK\r\n\r\n",
		"a length of letters":     "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
		"a length below zero":     "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
		"more than was announced": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello",
		"a head without end":      strings.Repeat("x", maxHead),
	} {
		var r response
		if done, err := r.add(copy(r.space(), text)); err == nil {
			t.Errorf("%s: complete %t and no error", name, done)
		}
	}
}

func TestQuantilesOfSortedValues(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 5, 0.9: 9, 0.99: 10, 1: 10} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("no values have a quantile")
	}
}

// serve answers all requests and tells where.
func serve(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestARateIsKeptWhateverTheAnswersDo(t *testing.T) {
	var served atomic.Int64
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		// One in a hundred keeps everybody behind it waiting: there are two connections only.
		if served.Add(1)%100 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Fprint(w, "hello")
	})
	got, err := rate(options{target: to, path: "/", connections: 2, rate: 1000, duration: 500 * time.Millisecond, warmup: 50 * time.Millisecond, seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	r := got.(rateResult)
	// 500 are expected; the standard deviation of their number is √500.
	if math.Abs(float64(r.Due)-500) > 6*math.Sqrt(500) || r.Answered != r.Due || r.Failed != 0 {
		t.Errorf("got %+v, want about 500 requests and all of them answered", r)
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.Max < 20000 {
		t.Errorf("p50 %v, p99 %v, most %v µs: requests waited for 20 ms", r.P50, r.P99, r.Max)
	}
}

func TestClosedConnectionsAreReplacedAndFailuresCounted(t *testing.T) {
	var served atomic.Int64
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch served.Add(1) % 10 {
		case 3:
			w.Header().Set("Connection", "close")
		case 7:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	got, err := rate(options{target: to, path: "/", connections: 4, rate: 500, duration: 400 * time.Millisecond, seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	r := got.(rateResult)
	if share := float64(r.Failed) / float64(r.Due); share < 0.08 || share > 0.12 {
		t.Errorf("%d of %d failed, want one in ten: %v", r.Failed, r.Due, r.Errors)
	}
}

func TestIdleConnectionsAreHeldUntilInputEnds(t *testing.T) {
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	stdin := os.Stdin
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdin = r
	defer func() { os.Stdin = stdin; r.Close() }()
	w.Close()
	got, err := hold(options{target: to, path: "/", connections: 20})
	if err != nil || got.(holdResult).Held != 20 {
		t.Errorf("held %+v, %v; want 20", got, err)
	}
}

func TestBodiesAreCounted(t *testing.T) {
	const size = 3 << 20
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zero{}, size) // the client tells when something is missing
	})
	got, err := fetch(options{target: to, path: "/", count: 2})
	if err != nil || got.(bulkResult).Bytes != 2*size {
		t.Errorf("got %+v, %v; want %d bytes", got, err, 2*size)
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { return len(p), nil }

func TestOpaqueBytesArePulled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = giveOn(l) // its error is that the listener was closed
	}()
	got, err := pull(options{target: netip.MustParseAddrPort(l.Addr().String()), bytes: 5 << 20})
	if err != nil || got.(bulkResult).Bytes != 5<<20 {
		t.Errorf("got %+v, %v", got, err)
	}
	l.Close()
	<-ended
}

func TestWhatIsMirroredIsCompared(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = mirrorOn(raw) // its error is that the listener was closed
	}()
	const size = 9 << 20
	got, err := echo(options{target: netip.MustParseAddrPort(raw.Addr().String()), bytes: size, opaque: true})
	if err != nil || got.(echoResult).Bytes != size {
		t.Errorf("opaque: got %+v, %v", got, err)
	}
	raw.Close()
	<-ended
	if got, err := echo(options{target: serve(t, mirrorBody), bytes: size}); err != nil || got.(echoResult).Bytes != size {
		t.Errorf("HTTP: got %+v, %v", got, err)
	}
	wrong := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zero{}, size)
	})
	if got, err := echo(options{target: wrong, bytes: size}); err == nil {
		t.Errorf("other bytes came back, and the answer is %+v", got)
	}
}

func TestACrowdIsHeldAndCounted(t *testing.T) {
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zero{}, 1<<30) }) // the client goes first
	stdin := os.Stdin
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdin = r
	defer func() { os.Stdin = stdin; r.Close() }()
	time.AfterFunc(5*sipTime, func() { w.Close() })
	got, err := sip(options{target: to, path: "/", connections: 5})
	if c := got.(crowdResult); err != nil || c.Held != 5 || c.Bytes == 0 || c.Bytes > 5*6*sipBytes {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTurnsGoWhereTheyAreTold(t *testing.T) {
	var asked [2]atomic.Int64
	var loads []*rateLoad
	for i := range asked {
		to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked[i].Add(1)
			fmt.Fprint(w, "hello")
		})
		l, err := newRateLoad(options{target: to, path: "/", connections: 3, duration: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		loads = append(loads, l)
	}
	var out strings.Builder
	r, err := takeTurns(loads, strings.NewReader("1\n0\n1\n"), &out)
	if err != nil || r != (turnsTaken{3}) {
		t.Fatalf("%v, %v", r, err)
	}
	var n [3]int64
	if _, err := fmt.Sscan(out.String(), &n[0], &n[1], &n[2]); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if n[0] == 0 || n[1] == 0 || n[2] == 0 || asked[0].Load() != n[1] || asked[1].Load() != n[0]+n[2] {
		t.Errorf("%d answers in turns to 1, 0, 1; the servers were asked %d and %d times", n, asked[0].Load(), asked[1].Load())
	}
	for _, wrong := range []string{"2\n", "-1\n", "x\n"} {
		if _, err := takeTurns(loads, strings.NewReader(wrong), &out); err == nil {
			t.Errorf("%q is a turn", wrong)
		}
	}
}

func TestATurnThatLosesRequestsFails(t *testing.T) {
	var n atomic.Int64
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 5 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	l, err := newRateLoad(options{target: to, path: "/", connections: 1, duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if answered, err := l.turn(); err == nil {
		t.Errorf("%d answered, and one was not", answered)
	}
}
