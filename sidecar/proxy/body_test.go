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
	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

const expectHead = "POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

func TestExpectContinue(t *testing.T) {
	t.Run("the body comes behind 100, as the client sends it", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead)
		s := o.accept()
		s.expect(expectHead, "the head goes at once")
		s.expectSilence("the client waits for 100, and so do we")
		s.send("HTTP/1.1 100 Continue\r\n\r\n")
		client.expect("HTTP/1.1 100 Continue\r\n\r\n", "it is the server's word that counts")
		client.send("hello")
		s.expect("hello", "the body")
		s.send(ok)
		client.expect(ok, "the answer")
		client.send(get)
		s.expect(get, "the connections are kept")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("417 instead: both connections end, as nobody knows whether the body will come", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead)
		s := o.accept()
		s.expect(expectHead, "the head")
		s.send(lines("HTTP/1.1 417 Expectation Failed", "Content-Length: 0"))
		client.expect(lines("HTTP/1.1 417 Expectation Failed", "Content-Length: 0", "Connection: close"), "the answer")
		client.expectEnd("the client is told that the connection ends")
		next := r.dial()
		next.send(get)
		s2 := o.accept()
		s2.expect(get, "the next request goes on a new connection")
		s2.send(ok)
		next.expect(ok, "the answer")
		next.close()
		s.expectEnd("the server is told as well")
		r.counts("reuses", 0, r.m.Loop(0).Reuses.Load)
	})
	t.Run("a client that does not wait", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(expectHead + "hello")
		s := o.accept()
		s.expect(expectHead+"hello", "all of it")
		s.send("HTTP/1.1 100 Continue\r\n\r\n" + ok)
		client.expect("HTTP/1.1 100 Continue\r\n\r\n"+ok, "both answers")
		client.close()
	})
}

func TestServerAnswersBeforeTheBodyIsRead(t *testing.T) {
	const head = "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: 1000000000\r\n\r\n"
	tooLarge := lines("HTTP/1.1 413 Content Too Large", "Content-Length: 0", "Connection: close")
	t.Run("413 and close, without reading, reaches a client that goes on sending", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head)
		sent := make(chan error, 1)
		go func() {
			b := make([]byte, 64<<10)
			for {
				if _, err := client.c.Write(b); err != nil {
					sent <- err
					return
				}
			}
		}()
		s := o.accept()
		s.expect(head, "the head")
		s.send(tooLarge)
		s.closeWrite()
		client.expect(tooLarge, "the answer comes before the client's upload ends")
		if err := <-sent; err == nil {
			t.Error("the upload goes on")
		}
	})
	t.Run("a server that keeps the connection takes the rest of the body", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "head and half of the body")
		s.send(ok)
		client.expect(ok, "the answer, early")
		client.send("56789" + get)
		s.expect("56789", "the other half goes to the server all the same")
		s.expect(get, "and the next request behind it")
		s.send(ok)
		client.expect(ok, "the next answer")
		client.close()
	})
	t.Run("an early answer that is longer than one read leaves the upload alone", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "head and half of the body")
		answer := lines("HTTP/1.1 200 OK", "Content-Length: 1048576") + strings.Repeat("a", 1<<20)
		go s.c.Write([]byte(answer))
		client.expect(answer, "the answer, early")
		client.send("56789")
		s.expect("56789", "the other half")
		client.send(get)
		s.expect(get, "the next request")
		s.send(ok)
		client.expect(ok, "the next answer")
		client.close()
	})
	t.Run("413 and close of a server that neither reads nor closes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head)
		go func() { // more than all buffers on the way
			b := make([]byte, 64<<10)
			for range 1000 {
				if _, err := client.c.Write(b); err != nil {
					return
				}
			}
		}()
		s := o.accept()
		s.expect(head, "the head")
		r.eventually("the upload to be stuck", stuck(r))
		s.send(tooLarge)
		client.expect(tooLarge, "the answer")
		r.eventually("the connection to the server to be given up", func() bool { return r.m.Loop(0).Upstreams.Load() == 0 })
	})
	t.Run("a server that answers, closes and resets", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(head + strings.Repeat("x", 100))
		s := o.accept()
		s.send(tooLarge)
		s.close() // with bytes unread: the kernel resets
		client.expect(tooLarge, "the answer outlives the reset")
	})
}

// stuck reports whether the loop has had nothing to do for a while.
func stuck(r *rig) func() bool {
	polls, since := uint64(0), time.Now()
	return func() bool {
		if n := r.l.Stats().Polls; n != polls {
			polls, since = n, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	}
}

func TestCloseDelimitedAnswers(t *testing.T) {
	for _, head := range []string{lines("HTTP/1.1 200 OK", "Connection: close"), lines("HTTP/1.0 200 OK", "X: y")} {
		want := head
		if strings.HasPrefix(head, "HTTP/1.1") {
			want = lines("HTTP/1.1 200 OK", "Connection: close")
		}
		for _, size := range []int{0, 10, 1 << 20} {
			t.Run(fmt.Sprintf("%.8s %d bytes", head, size), func(t *testing.T) {
				r, o := one(t)
				client := r.dial()
				client.send(get)
				s := o.accept()
				s.expect(get, "the request")
				body := strings.Repeat("b", size)
				go func() {
					s.c.Write([]byte(head + body))
					s.c.Close()
				}()
				client.expect(want, "the head")
				client.expect(body, "the body")
				client.expectEnd("the body ends with the connection")
			})
		}
	}
}

// Whatever is missing of an answer, the client can tell.
func TestTruncatedAnswers(t *testing.T) {
	cases := []struct {
		name, answer string
		reset        bool // the server resets; else it closes
	}{
		{"short of its length", lines("HTTP/1.1 200 OK", "Content-Length: 10") + "12345", false},
		{"short of its length, by a reset", lines("HTTP/1.1 200 OK", "Content-Length: 10") + "12345", true},
		{"within a chunk", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "a\r\n12345", false},
		{"between chunks", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n", false},
		{"before the last CRLF", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n0\r\n", false},
		{"chunked, by a reset", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n12345\r\n", true},
		{"close-delimited, by a reset", lines("HTTP/1.1 200 OK", "Connection: close") + "12345", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			client.send(get)
			s := o.accept()
			s.expect(get, "the request")
			s.send(c.answer)
			client.expect(c.answer, "what there is of the answer")
			if c.reset {
				s.reset()
				client.expectReset("the server's end is the client's")
			} else {
				s.close()
				client.expectEnd("the server's end is the client's")
			}
			r.eventually("the attempt to be counted", func() bool { return r.attempts(classify.Truncated) == 1 })
			r.counts("requests count as 2xx", 1, r.service().Classes[2].Load)
		})
	}
}

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

func TestHalfClose(t *testing.T) {
	t.Run("FIN behind the request is passed on, and the answer still comes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		client.closeWrite()
		s := o.accept()
		s.expect(get, "the request")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
		next := r.dial()
		next.send(get)
		s = o.accept()
		s.expect(get, "a connection on which FIN was sent serves nobody else")
		s.send(ok)
		next.expect(ok, "the answer")
		next.close()
		r.counts("reuses", 0, r.m.Loop(0).Reuses.Load)
	})
	t.Run("FIN while the server thinks", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
	})
	t.Run("FIN within the answer", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + "01234")
		client.expect(lines("HTTP/1.1 200 OK", "Content-Length: 10")+"01234", "half an answer")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.send("56789")
		client.expect("56789", "the other half")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind a body that was streamed", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		head := "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		client.send(head)
		s := o.accept()
		s.expect(head, "the head")
		client.send("5\r\nhello\r\n0\r\n\r\n")
		client.closeWrite()
		s.expect("5\r\nhello\r\n0\r\n\r\n", "the body")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the answer")
		client.expectEnd("and the end")
	})
	t.Run("FIN within a body: the server sees the same, and its answer still comes", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		half := "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n01234"
		client.send(half)
		client.closeWrite()
		s := o.accept()
		s.expect(half, "what there is of the request")
		s.expectEnd("the FIN")
		bad := lines("HTTP/1.1 400 Bad Request", "Content-Length: 0")
		s.send(bad)
		client.expect(lines("HTTP/1.1 400 Bad Request", "Content-Length: 0", "Connection: close"), "the server's opinion of that")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind pipelined requests is behind the last one", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(get + post)
		client.closeWrite()
		s := o.accept()
		s.expect(get, "the first request")
		s.send(ok)
		s.expect(post, "the second one, on the same connection")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok+ok, "both answers")
		client.expectEnd("and the end")
	})
	t.Run("FIN behind a request that came with the end of a streamed body", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		head := "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		client.send(head)
		s := o.accept()
		s.expect(head, "the head")
		client.send("5\r\nhello\r\n0\r\n\r\n" + post[:20])
		s.expect("5\r\nhello\r\n0\r\n\r\n", "the body")
		client.send(post[20:])
		client.closeWrite()
		s.expectSilence("the first exchange is not over")
		s.send(ok)
		client.expect(ok, "the first answer")
		s.expect(post, "the second request, whole")
		s.expectEnd("the FIN")
		s.send(ok)
		client.expect(ok, "the second answer")
		client.expectEnd("and the end")
	})
}

// After a short read no new edge comes for a FIN that was there already.
func TestRequestAndFinInOneEdge(t *testing.T) {
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })}
	r := newRig(t)
	r.serve(serveHTTP(t, hs))
	var wg sync.WaitGroup
	for range 50 {
		client := r.dial()
		wg.Add(1)
		go func() {
			defer wg.Done()
			io.WriteString(client.c, get)
			client.c.CloseWrite()
			b, err := io.ReadAll(client.c)
			if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
				t.Errorf("got %q, %v", b, err)
			}
			client.close()
		}()
	}
	wg.Wait()
}

func TestDeclaredHTTP1IsNotDialledAhead(t *testing.T) {
	r, o := newRig(t), newOrigin(t)
	r.on(func() { r.w.silence = time.Nanosecond })
	r.declare(cluster.HTTP1, o.addr)
	client := r.dial()
	client.expectSilence("nothing happens to a silent client")
	o.noConnection("though the client is silent")
	client.close()
	r.eventually("the client's end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
	o.noConnection("though the client has gone")
}
