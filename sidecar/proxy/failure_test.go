package proxy

import (
	"bufio"
	"fmt"
	"io"
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

// faulty is a server that answers every request with an answer, or does something worse; it counts what it was asked.
type faulty struct {
	*server
	requests atomic.Int64
	mu       sync.Mutex
	effects  map[string]int // requests by method and path
}

// newFaulty starts a server that hands each request, read whole, to act, which reports whether the connection goes on.
func newFaulty(t *testing.T, act func(n int64, c *net.TCPConn) bool) *faulty {
	f := &faulty{effects: map[string]int{}}
	f.server = newServer(t, func(_ int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			f.mu.Lock()
			f.effects[req.Method+" "+req.URL.Path]++
			f.mu.Unlock()
			if !act(f.requests.Add(1), c) {
				return
			}
		}
	})
	return f
}

// answering is what a server does that answers each request in the same way.
func answering(answer string) func(int64, *net.TCPConn) bool {
	return func(_ int64, c *net.TCPConn) bool {
		_, err := c.Write([]byte(answer))
		return err == nil
	}
}

func status(code int) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 5\r\n\r\nerror", code, http.StatusText(code))
}

func resetting(_ int64, c *net.TCPConn) bool {
	c.SetLinger(0)
	return false
}

// crowd runs clients that send requests one behind the other, each request(k, i) on a kept connection, and hands each answer to got;
// an answer of status 0 is a connection that failed.
func (r *rig) crowd(clients, requests int, request func(k, i int) string, got func(k, i, status int, body string)) {
	var wg sync.WaitGroup
	for k := range clients {
		client := r.dial()
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { client.c.Close() }()
			br := bufio.NewReader(client.c)
			for i := range requests {
				io.WriteString(client.c, request(k, i))
				resp, err := http.ReadResponse(br, nil)
				var body []byte
				if err == nil {
					body, err = io.ReadAll(resp.Body)
				}
				if err != nil {
					got(k, i, 0, err.Error())
				} else {
					got(k, i, resp.StatusCode, string(body))
				}
				if err != nil || resp.Close {
					client.close()
					c, err := net.Dial("tcp", r.addr.String())
					if err != nil {
						r.t.Error(err)
						return
					}
					client.c = c.(*net.TCPConn)
					br.Reset(c)
				}
			}
		}()
	}
	wg.Wait()
}

func getting(int, int) string { return get }

// One of two pods turns bad, fifty clients ask: none of them sees it, and the bad pod is soon asked no more.
func TestOneBadPodOfTwoIsNotSeen(t *testing.T) {
	for name, bad := range map[string]func(t *testing.T) (netip.AddrPort, *atomic.Int64){
		"refuses": func(t *testing.T) (netip.AddrPort, *atomic.Int64) { return closedPort(t), new(atomic.Int64) },
		"500": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, answering(status(500)))
			return f.addr, &f.requests
		},
		"503": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, answering(status(503)))
			return f.addr, &f.requests
		},
		"503 and closes": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, func(_ int64, c *net.TCPConn) bool { io.WriteString(c, status(503)); return false })
			return f.addr, &f.requests
		},
		"500 in chunks": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, answering("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nerror\r\n0\r\n\r\n"))
			return f.addr, &f.requests
		},
		"resets": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, resetting)
			return f.addr, &f.requests
		},
		"writes rubbish": func(t *testing.T) (netip.AddrPort, *atomic.Int64) {
			f := newFaulty(t, func(_ int64, c *net.TCPConn) bool { io.WriteString(c, "HTTP/1.1 20"); return false })
			return f.addr, &f.requests
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, asked := bad(t)
			good := newFaulty(t, answering(ok))
			r := newRig(t)
			r.serve(addr, good.addr)
			var failed atomic.Int64
			r.crowd(50, 40, getting, func(k, i, status int, body string) {
				if status != 200 || body != "ok" {
					failed.Add(1)
					t.Logf("request %d of client %d: %d %q", i, k, status, body)
				}
			})
			if failed.Load() > 0 {
				t.Errorf("%d of 2000 requests failed", failed.Load())
			}
			// All in flight when the fifth bad outcome is seen, and a probe a second.
			if n := asked.Load(); n > 75 {
				t.Errorf("the bad pod was asked %d times", n)
			}
			if n := good.requests.Load(); n != 2000 {
				t.Errorf("the good pod was asked %d times, want 2000", n)
			}
			if name != "refuses" && r.service().Ejections.Load() == 0 {
				t.Error("no ejection was counted")
			}
		})
	}
}

// Effects are counted: no POST is sent twice, whatever the bad pod does, and what was answered well has happened.
func TestNoPostIsSentTwice(t *testing.T) {
	for name, bad := range map[string]func(int64, *net.TCPConn) bool{
		"500":                  answering(status(500)),
		"503":                  answering(status(503)),
		"resets":               resetting,
		"every second one 500": func(n int64, c *net.TCPConn) bool { return answering([]string{ok, status(500)}[n%2])(n, c) },
		"resets after a while": func(n int64, c *net.TCPConn) bool {
			if n%7 == 0 {
				return resetting(n, c)
			}
			return answering(ok)(n, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newFaulty(t, bad), newFaulty(t, answering(ok))
			r := newRig(t)
			r.serve(a.addr, b.addr)
			var mu sync.Mutex
			acknowledged := map[string]bool{}
			r.crowd(10, 50, func(k, i int) string {
				return fmt.Sprintf("POST /%d-%d HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody", k, i)
			}, func(k, i, status int, body string) {
				mu.Lock()
				defer mu.Unlock()
				if status == 200 {
					acknowledged[fmt.Sprintf("POST /%d-%d", k, i)] = true
				}
			})
			total := map[string]int{}
			for _, f := range []*faulty{a, b} {
				f.mu.Lock()
				for id, n := range f.effects {
					total[id] += n
				}
				f.mu.Unlock()
			}
			for id, n := range total {
				if n > 1 {
					t.Errorf("%s took effect %d times", id, n)
				}
			}
			for id := range acknowledged {
				if total[id] == 0 {
					t.Errorf("%s was acknowledged and had no effect", id)
				}
			}
		})
	}
}

// All pods fail: the clients get the pods' own answer, and the pods little more load than they were offered.
func TestAllPodsFail(t *testing.T) {
	for _, code := range []int{500, 502, 503, 504} {
		t.Run(itoa(code), func(t *testing.T) {
			var pods []*faulty
			var addrs []netip.AddrPort
			for range 3 {
				f := newFaulty(t, answering(status(code)))
				pods, addrs = append(pods, f), append(addrs, f.addr)
			}
			r := newRig(t)
			r.serve(addrs...)
			const clients, requests = 20, 100
			r.crowd(clients, requests, getting, func(k, i, status int, body string) {
				if status != code || body != "error" {
					t.Errorf("request %d of client %d: %d %q, want the pods' own %d", i, k, status, body, code)
				}
			})
			var upstream int64
			for _, f := range pods {
				upstream += f.requests.Load()
			}
			// 20 %, a burst of 100, and ten a second of a run of a few seconds.
			if most := int64(clients*requests*1.2 + 100 + 100); upstream > most {
				t.Errorf("%d requests went upstream of %d, want at most %d", upstream, clients*requests, most)
			}
			if r.service().Refused.Load() == 0 {
				t.Error("the budget refused nothing")
			}
		})
	}
	t.Run("500 of all pods ejects none: it is the request", func(t *testing.T) {
		a, b := newFaulty(t, answering(status(500))), newFaulty(t, answering(status(500)))
		r := newRig(t)
		r.serve(a.addr, b.addr)
		r.crowd(1, 50, getting, func(int, int, int, string) {})
		if n := r.service().Ejections.Load(); n != 0 {
			t.Errorf("%d ejections", n)
		}
	})
}

func TestErrorAnswers(t *testing.T) {
	two := func(t *testing.T) (r *rig, bad, good *origin, client *peer) {
		r, bad, good = newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		return r, bad, good, r.dial()
	}
	t.Run("an error is forgotten when another endpoint does better, and its connection kept", func(t *testing.T) {
		r, bad, good, client := two(t)
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send(status(503))
		g := good.accept()
		g.expect(get, "the request again")
		g.send(ok)
		client.expect(ok, "the better answer")
		client.send(get)
		s.expect(get, "the next request, on the kept connection")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("retries", 1, r.service().Retries[classify.ServerError].Load)
		r.counts("attempts count as server errors", 1, func() uint64 { return r.attempts(classify.ServerError) })
	})
	t.Run("the body of an error may still come", func(t *testing.T) {
		r, bad, good, client := two(t)
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
		g := good.accept()
		g.expect(get, "the request again, at once")
		g.send(ok)
		client.expect(ok, "the better answer")
		s.send("cde\r\n0\r\n\r\n")
		r.eventually("both connections to be kept", func() bool { return r.m.Loop(0).Idle.Load() == 2 })
		client.close()
	})
	t.Run("a large error costs its connection", func(t *testing.T) {
		_, bad, good, client := two(t)
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send("HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n")
		g := good.accept()
		g.expect(get, "the request again")
		g.send(ok)
		client.expect(ok, "the better answer")
		s.expectResetOrEnd(noReuse)
		client.close()
	})
	t.Run("the last error is passed on as it came", func(t *testing.T) {
		_, bad, good, client := two(t)
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send(status(500))
		g := good.accept()
		g.expect(get, "the request again")
		answer := lines("HTTP/1.1 503 Not now", "x-Why: because", "Retry-After: 3", "Content-Length: 3") + "odd"
		g.send(answer)
		client.expect(answer, "the last answer")
		client.close()
	})
	t.Run("an error is better than nothing", func(t *testing.T) {
		for _, end := range []func(p *peer){(*peer).close, (*peer).reset} {
			_, bad, good, client := two(t)
			client.send(get)
			s := bad.accept()
			s.expect(get, "the request")
			s.send(status(500))
			g := good.accept()
			g.expect(get, "the request again")
			end(g)
			client.expect(status(500), "the first endpoint's answer")
			client.send(get)
			s.expect(get, "its connection is used again")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
		}
	})
	t.Run("an error is better than our own word", func(t *testing.T) {
		r, bad := newRig(t), newOrigin(t)
		r.inOrder(bad.addr, closedPort(t))
		client := r.dial()
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send(status(500))
		client.expect(status(500), "the endpoint's answer")
		client.close()
	})
	t.Run("the client leaves while another endpoint is asked", func(t *testing.T) {
		_, bad, good, client := two(t)
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n")
		g := good.accept()
		g.expect(get, "the request again")
		client.reset()
		g.expectReset("the server sees what the client did")
		s.expectResetOrEnd("nobody wants the answer")
	})
	for name, c := range map[string]struct{ request, answer string }{
		"a POST's error is its answer":                  {post, status(500)},
		"an error that is not about the server":         {get, status(501)},
		"too many requests":                             {get, lines("HTTP/1.1 429 Slow down", "Retry-After: 1", "Content-Length: 0")},
		"a body that is too large to be kept":           {"PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200_000), status(500)},
		"an error that closes is passed on as it comes": {post, "HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nall of it"},
	} {
		t.Run("not sent again: "+name, func(t *testing.T) {
			_, bad, good, client := two(t)
			client.send(c.request)
			s := bad.accept()
			s.expect(c.request, "the request")
			s.send(c.answer)
			if strings.Contains(c.answer, "close") {
				s.close()
			}
			client.expect(c.answer, "the answer")
			good.noConnection("though the answer was to be passed on")
			client.close()
		})
	}
}

// One of two pods is killed under load: GET loses nothing, and no POST happens twice.
func TestPodThatGoes(t *testing.T) {
	bad, good := newFaulty(t, answering(ok)), newFaulty(t, answering(ok))
	r := newRig(t)
	r.serve(bad.addr, good.addr)
	var once sync.Once
	r.crowd(20, 50, func(k, i int) string {
		if k == 0 && i == 10 {
			once.Do(func() { go bad.stop() })
		}
		if k%2 == 1 {
			return fmt.Sprintf("POST /%d-%d HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody", k, i)
		}
		return get
	}, func(k, i, status int, body string) {
		if status != 200 && (k%2 == 0 || status != 0) {
			t.Errorf("request %d of client %d: %d %q", i, k, status, body)
		}
	})
	if bad.requests.Load() == 0 {
		t.Error("the pod that goes was never asked")
	}
	for id := range bad.effects {
		if strings.HasPrefix(id, "POST") && good.effects[id] > 0 {
			t.Errorf("%s took effect at both pods", id)
		}
	}
}

// One of two pods turns slow by as long as a race takes to begin, and longer: nothing fails, and slow answers are not thrown away
// for it once that is how long answers take.
func TestPodThatTurnsSlow(t *testing.T) {
	slow := newFaulty(t, func(_ int64, c *net.TCPConn) bool {
		time.Sleep(50 * time.Millisecond)
		_, err := c.Write([]byte(ok))
		return err == nil
	})
	good := newFaulty(t, answering(ok))
	r := newRig(t)
	r.serve(slow.addr, good.addr)
	r.with(func(ru *rules.Rules) { ru.HangRace.Floor = 20 * time.Millisecond })
	r.crowd(20, 50, getting, func(k, i, status int, body string) {
		if status != 200 || body != "ok" {
			t.Errorf("request %d of client %d: %d %q", i, k, status, body)
		}
	})
}
