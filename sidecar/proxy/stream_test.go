package proxy

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

// size is how much the large transfers move.
func size(t *testing.T) int64 {
	if testing.Short() {
		return 32 << 20
	}
	return 256 << 20
}

// noise is n bytes that depend on seed and place, read in uneven pieces.
type noise struct {
	seed, at, n uint64
	piece       uint64
}

func newNoise(seed uint64, n int64) *noise { return &noise{seed: seed, n: uint64(n)} }

func (z *noise) Read(p []byte) (int, error) {
	if z.at == z.n {
		return 0, io.EOF
	}
	z.piece = z.piece*6364136223846793005 + 1442695040888963407
	p = p[:min(uint64(len(p)), z.n-z.at, 1+z.piece>>32%100_000)]
	for i := range p {
		at := z.at + uint64(i)
		p[i] = byte((at>>12 + z.seed) * 0x9e3779b97f4a7c15 >> (at % 57))
	}
	z.at += uint64(len(p))
	return len(p), nil
}

func sum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// Large bodies both ways at once come out as they went in, in bounded memory.
func TestLargeBodies(t *testing.T) {
	n := size(t)
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) {
			hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				h := sha256.New()
				if _, err := io.Copy(h, req.Body); err != nil {
					t.Errorf("server: %v", err)
				}
				if !chunked {
					w.Header().Set("Content-Length", itoa(int(n)))
				}
				w.Header().Set("X-Sum", sum(h))
				io.Copy(w, newNoise(2, n))
			})}
			r := newRig(t)
			r.serve(serveHTTP(t, hs))

			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			in := sha256.New()
			req, _ := http.NewRequest("POST", "http://"+r.addr.String(), io.TeeReader(newNoise(1, n), in))
			if !chunked {
				req.ContentLength = n
			}
			before := heap()
			var high uint64
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			high = max(high, heap())
			out, want := sha256.New(), sha256.New()
			if k, err := io.Copy(out, resp.Body); k != n || err != nil {
				t.Errorf("got %d bytes and %v, want %d", k, err, n)
			}
			high = max(high, heap())
			io.Copy(want, newNoise(2, n))
			if got := resp.Header.Get("X-Sum"); got != sum(in) {
				t.Error("other bytes went up")
			}
			if sum(out) != sum(want) {
				t.Error("other bytes came down")
			}
			if grown := int64(high) - int64(before); grown > 16<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// heap answers the live heap, after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// serveHTTP runs an ordinary HTTP server until the test ends.
func serveHTTP(t *testing.T, hs *http.Server) (addr netip.AddrPort) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); hs.Serve(ln) }()
	t.Cleanup(func() { hs.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// A client leaves an answer that has no end, while the server is silent: the server has to notice.
func TestClientLeavesAnEndlessAnswer(t *testing.T) {
	event := "data: x\n\n"
	for name, head := range map[string]string{
		"chunked":         lines("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"),
		"close-delimited": lines("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Connection: close"),
		"length":          lines("HTTP/1.1 200 OK", "Content-Length: 1000000000"),
	} {
		frame := event
		if name == "chunked" {
			frame = "9\r\n" + event + "\r\n"
		}
		for _, behind := range []int{1, 100_000 / len(frame), 1_000_000 / len(frame)} {
			t.Run(fmt.Sprintf("%s behind %d events", name, behind), func(t *testing.T) {
				r, o := one(t)
				client := r.dial()
				client.send(get)
				s := o.accept()
				s.expect(get, "the request")
				go s.c.Write([]byte(head + strings.Repeat(frame, behind)))
				client.expect(head, "the head comes at once")
				for range behind {
					client.expect(frame, "each event comes at once")
				}
				client.reset()
				s.expectReset("the client's leaving reaches the server, though it is silent")
				r.eventually("the attempt to be counted", func() bool { return r.attempts(classify.ClientGone) == 1 })
			})
		}
	}
}

func TestClientResetsBeforeTheAnswer(t *testing.T) {
	upload := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1000\r\n\r\nxx"
	for name, request := range map[string]string{"a whole request": get, "within a body": upload} {
		t.Run(name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(request)
			s := o.accept()
			s.expect(request, "the request")
			client.reset()
			s.expectReset("the server is to stop working for nobody")
		})
	}
}

// A client that does not read stops the server, and delays nobody else.
func TestSlowReader(t *testing.T) {
	written := make(chan int, 1)
	var mu sync.Mutex
	total := 0
	s := newServer(t, func(_ int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path != "/endless" {
				c.Write([]byte(ok))
				continue
			}
			io.WriteString(c, lines("HTTP/1.1 200 OK", "Content-Length: 100000000000"))
			b := make([]byte, 256<<10)
			for {
				n, err := c.Write(b)
				mu.Lock()
				total += n
				mu.Unlock()
				if err != nil {
					written <- 0
					return
				}
			}
		}
	})
	r := newRig(t)
	r.serve(s.addr)
	slow := r.dial()
	slow.c.SetReadBuffer(64 << 10)
	slow.send("GET /endless HTTP/1.1\r\nHost: web\r\n\r\n")
	// The server's progress ends once the sockets and the one pipe on the way are full.
	last, since := -1, time.Now()
	if !r.poll(func() bool {
		mu.Lock()
		defer mu.Unlock()
		if total != last {
			last, since = total, time.Now()
		}
		return total > 0 && time.Since(since) > 200*time.Millisecond
	}) {
		t.Fatal("the server was never stopped")
	}
	// The kernel lets a receive buffer grow to tcp_rmem's last number, 32 MiB on some machines, on each of two connections.
	if last > 80<<20 {
		t.Errorf("%d MiB are on the way to a client that does not read", last>>20)
	}
	quick := r.dial()
	for range 200 {
		quick.send(get)
		quick.expect(ok, "others are served meanwhile")
	}
	quick.close()
	slow.reset()
	select {
	case <-written:
	case <-time.After(patience):
		t.Error("the server was not told that the client has gone")
	}
}

// A server that does not read stops the client.
func TestSlowServerStopsTheUpload(t *testing.T) {
	r, o := one(t)
	client := r.dial()
	client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000000000\r\n\r\n")
	s := o.accept()
	client.c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	n, b := 0, make([]byte, 256<<10)
	for {
		k, err := client.c.Write(b)
		n += k
		if err != nil {
			break
		}
		if n > 64<<20 {
			t.Fatal("64 MiB are on the way to a server that does not read")
		}
	}
	quick := r.dial()
	quick.send(get)
	s2 := o.accept()
	s2.expect(get, "others are served meanwhile")
	s2.send(ok)
	quick.expect(ok, "the answer")
	quick.close()
	client.reset()
	s.c.SetReadDeadline(time.Now().Add(patience))
	s.expectResetOrEnd("the client's end reaches the server")
}
