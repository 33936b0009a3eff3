package proxy

import (
	"bufio"
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

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// counting starts n servers that count requests.
func counting(t *testing.T, n int) (addrs []netip.AddrPort, counts []*atomic.Int64) {
	t.Helper()
	for range n {
		count := &atomic.Int64{}
		addrs = append(addrs, serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			count.Add(1)
			io.Copy(io.Discard, req.Body)
			io.WriteString(w, "ok")
		})}))
		counts = append(counts, count)
	}
	return addrs, counts
}

// answers reads n answers to GET and fails the test unless each is 200.
func answers(t *testing.T, c net.Conn, n int) bool {
	t.Helper()
	br := bufio.NewReader(c)
	for i := range n {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Errorf("answer %d: %v", i, err)
			return false
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || err != nil {
			t.Errorf("answer %d: %s %q %v", i, resp.Status, body, err)
			return false
		}
	}
	return true
}

func TestOneConnectionIsSpreadRequestByRequest(t *testing.T) {
	for _, policy := range []string{balancer.LeastRequest, balancer.RoundRobin} {
		t.Run(policy, func(t *testing.T) {
			r := newRig(t)
			addrs, counts := counting(t, 3)
			r.target.Publish(snapshot(t, 2, cluster.Undeclared, policy, r.eps(addrs...)...))
			client := r.dial()
			const n = 3000
			for range n {
				client.send(get)
				if !answers(t, client.c, 1) {
					return
				}
			}
			client.close()
			for i, c := range counts {
				if got := c.Load(); got < n/3*95/100 || got > n/3*105/100 {
					t.Errorf("server %d got %d of %d requests, want a third within 5 %%", i, got, n)
				}
			}
			r.counts("connections were made", 3, r.m.Loop(0).Connects.Load)
		})
	}
}

func TestPipelining(t *testing.T) {
	// The server says which request an answer belongs to, and takes its time with some.
	echo := func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		if strings.HasSuffix(req.URL.Path, "7") {
			time.Sleep(time.Millisecond)
		}
		fmt.Fprintf(w, "%s %d %s", req.URL.Path, len(b), strings.Repeat("x", len(b)%100))
	}
	for _, pieces := range []int{1 << 30, 1000, 7} {
		t.Run(fmt.Sprintf("in segments of %d bytes", pieces), func(t *testing.T) {
			r := newRig(t)
			r.serve(serveHTTP(t, &http.Server{Handler: http.HandlerFunc(echo)}), serveHTTP(t, &http.Server{Handler: http.HandlerFunc(echo)}))
			rng := rand.New(rand.NewPCG(1, 2))
			var b strings.Builder
			var want []string
			for i := range 200 {
				n := []int{0, 1, 100, 5000, 70_000}[rng.IntN(5)]
				if pieces == 7 {
					n %= 1000
				}
				body := strings.Repeat("b", n)
				switch i % 3 {
				case 0:
					n, body = 0, ""
					fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: web\r\n\r\n", i)
				case 1:
					fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n%s", i, n, body)
				case 2:
					fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n", i)
					if n > 0 {
						fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body)
					}
					b.WriteString("0\r\n\r\n")
				}
				want = append(want, fmt.Sprintf("/%d %d %s", i, n, strings.Repeat("x", n%100)))
			}
			client := r.dial()
			go func() {
				for s := b.String(); len(s) > 0; {
					n := min(pieces, len(s))
					if _, err := client.c.Write([]byte(s[:n])); err != nil {
						return
					}
					s = s[n:]
				}
			}()
			br := bufio.NewReader(client.c)
			for i, w := range want {
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				if got, err := io.ReadAll(resp.Body); string(got) != w || err != nil {
					t.Fatalf("answer %d: got %q, %v, want %q", i, short(string(got)), err, short(w))
				}
			}
			client.close()
		})
	}
}

// What ab does: HTTP/1.0, one request a connection, and the connections to the servers are kept all the same.
func TestManyShortConnectionsUseFewUpstream(t *testing.T) {
	r := newRig(t)
	addrs, _ := counting(t, 2)
	r.serve(addrs...)
	for range 200 {
		client := r.dial()
		client.send(lines("GET / HTTP/1.0", "Host: web", "Accept: */*"))
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") && !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") {
			t.Fatalf("got %q", got)
		}
	}
	if n := r.m.Loop(0).Connects.Load(); n > 4 {
		t.Errorf("%d connections were made for 200 requests", n)
	}
	if n := r.m.Loop(0).Reuses.Load(); n < 196 {
		t.Errorf("%d requests went on kept connections, want nearly 200", n)
	}
}

// Sets come and go under load, servers with them once they are in no set: no request fails.
func TestEndpointsAreReplacedUnderLoad(t *testing.T) {
	r := newRig(t)
	addrs, counts := counting(t, 6)
	r.serve(addrs[:3]...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		client := r.dial()
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer client.close()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				request := get
				if i%2 == 1 {
					request = post
				}
				if _, err := io.WriteString(client.c, request); err != nil {
					t.Error(err)
					return
				}
				if !answers(t, client.c, 1) {
					return
				}
				done.Add(1)
			}
		}()
	}
	for i := range 60 {
		before := done.Load()
		r.serve(addrs[i%4], addrs[(i+1)%5], addrs[(i*5)%6])
		r.eventually("requests over the new set", func() bool { return done.Load() >= before+20 || t.Failed() })
	}
	close(stop)
	wg.Wait()
	for i, c := range counts {
		if c.Load() == 0 {
			t.Errorf("server %d got nothing", i)
		}
	}
	r.counts("attempts; a change of the set is no reason for a further one", int(done.Load()),
		func() uint64 { return r.attempts(classify.Answered) })
}

// A server that has left the set finishes what it was doing.
func TestRemovedEndpointFinishesItsRequests(t *testing.T) {
	r, o := one(t)
	after := newOrigin(t)
	client := r.dial()
	client.send(get)
	s := o.accept()
	s.expect(get, "the request")
	r.serve(after.addr)
	s.send(ok)
	client.expect(ok, "the answer of a server that was removed meanwhile")
	client.send(get)
	s2 := after.accept()
	s2.expect(get, "the next request goes to the set's server")
	s2.send(ok)
	client.expect(ok, "the answer")
	client.close()
}

func TestDestinationsWithoutAService(t *testing.T) {
	for reason := discovery.UnknownService; reason <= discovery.LastReason; reason++ {
		t.Run(reason.String(), func(t *testing.T) {
			r, o := newRig(t), newOrigin(t)
			r.goingTo(o.addr)
			r.resolver.unknown(reason, nil)
			client := r.dial()
			client.send("PING\r\n")
			s := o.accept()
			s.expect("PING\r\n", "the bytes pass unread")
			s.send("PONG\r\n")
			client.expect("PONG\r\n", "both ways")
			client.closeWrite()
			s.expectEnd("half-close too")
			s.send("bye")
			s.close()
			client.expect("bye", "both ways")
			client.expectEnd("the end")
			r.counts("passthroughs are counted", 1, r.m.Loop(0).Passthroughs[reason].Load)
		})
	}
	t.Run("that refuse", func(t *testing.T) {
		r := newRig(t)
		r.goingTo(closedPort(t))
		r.refused("as without us")
	})
	t.Run("are parsed when that was asked for", func(t *testing.T) {
		r, o := newRig(t, func(o *Options) { o.ParseUnknown = true }), newOrigin(t)
		r.goingTo(o.addr)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.send("BAD\r\n\r\n")
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("got %q, want 400", got)
		}
	})
}

func TestDestinationThatHasToBeResolved(t *testing.T) {
	pending := func(t *testing.T, resolve func(r *rig, done func(discovery.Answer))) (*rig, *origin) {
		r, o := newRig(t, func(o *Options) { o.ResolveTimeout = 100 * time.Millisecond }), newOrigin(t)
		r.serve(o.addr)
		r.goingTo(o.addr)
		r.resolver.unknown(discovery.Pending, func(done func(discovery.Answer)) { resolve(r, done) })
		return r, o
	}
	exchange := func(r *rig, o *origin) {
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		s.close()
	}
	t.Run("at once", func(t *testing.T) {
		r, o := pending(t, func(r *rig, done func(discovery.Answer)) { r.target.Hold(); done(discovery.Answer{Target: r.target}) })
		exchange(r, o)
		r.counts("requests of the Service", 1, r.service().Classes[2].Load)
	})
	t.Run("from another goroutine", func(t *testing.T) {
		r, o := pending(t, func(r *rig, done func(discovery.Answer)) {
			go func() { r.target.Hold(); done(discovery.Answer{Target: r.target}) }()
		})
		exchange(r, o)
		r.eventually("the target to be released", func() bool { return r.target.Idle(time.Now().Add(time.Hour)) })
	})
	t.Run("no Service", func(t *testing.T) {
		r, o := pending(t, func(_ *rig, done func(discovery.Answer)) { done(discovery.Answer{Reason: discovery.UnknownService}) })
		exchange(r, o)
		r.counts("passthroughs", 1, r.m.Loop(0).Passthroughs[discovery.UnknownService].Load)
	})
	t.Run("too late: the connection passes through, and the answer is given back", func(t *testing.T) {
		answer := make(chan func(discovery.Answer), 1)
		r, o := pending(t, func(_ *rig, done func(discovery.Answer)) { answer <- done })
		exchange(r, o)
		r.counts("passthroughs", 1, r.m.Loop(0).Passthroughs[discovery.Pending].Load)
		r.target.Hold()
		(<-answer)(discovery.Answer{Target: r.target})
		r.eventually("the target to be released", func() bool { return r.target.Idle(time.Now().Add(time.Hour)) })
	})
}
