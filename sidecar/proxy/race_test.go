package proxy

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// ruled makes addrs the endpoints, picked in this order, with the default rules as change makes them.
func (r *rig) ruled(change func(*rules.Rules), eps ...*cluster.Endpoint) {
	ru := rules.Default()
	change(ru)
	set := &cluster.EndpointSet{Endpoints: eps}
	r.target.Publish(&discovery.Snapshot{Set: set, Picker: pickFirst(set.Endpoints), Rules: ru})
}

// quickRace makes attempts be raced after 20 ms.
func quickRace(ru *rules.Rules) { ru.HangRace.Floor = 20 * time.Millisecond }

// racing makes a rig of hand-driven servers, the first of which has been sent a request by the client and keeps silent.
func racing(t *testing.T, request string, others int, change func(*rules.Rules)) (r *rig, client, silent *peer, rest []*origin) {
	t.Helper()
	r = newRig(t)
	first := newOrigin(t)
	eps := r.eps(first.addr)
	for range others {
		o := newOrigin(t)
		rest = append(rest, o)
		eps = append(eps, r.eps(o.addr)...)
	}
	r.ruled(change, eps...)
	client = r.dial()
	client.send(request)
	silent = first.accept()
	silent.expect(request, "the request")
	return r, client, silent, rest
}

func TestHungAttemptIsRaced(t *testing.T) {
	put := "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"
	for name, request := range map[string]string{"GET": get, "PUT with its body": put,
		"chunked PUT": "PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"} {
		t.Run(name+": the second endpoint answers first", func(t *testing.T) {
			r, client, silent, rest := racing(t, request, 1, quickRace)
			s := rest[0].accept()
			s.expect(request, "the request, to another endpoint")
			s.send(ok)
			client.expect(ok, "the first answer")
			silent.expectResetOrEnd("the loser is cancelled")
			client.close()
			r.counts("races won by the further attempt", 1, r.service().Races[1].Load)
			r.counts("attempts lost a race", 1, func() uint64 { return r.attempts(classify.LostRace) })
		})
		t.Run(name+": the first endpoint answers first after all", func(t *testing.T) {
			r, client, silent, rest := racing(t, request, 1, quickRace)
			s := rest[0].accept()
			s.expect(request, "the request, to another endpoint")
			silent.send(ok)
			client.expect(ok, "the first answer")
			s.expectResetOrEnd("the loser is cancelled")
			client.close()
			r.counts("races won by the first attempt", 1, r.service().Races[0].Load)
		})
	}
	t.Run("the body came later", func(t *testing.T) {
		r, first, second := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(quickRace, r.eps(first.addr, second.addr)...)
		client := r.dial()
		head, body := put[:len(put)-4], put[len(put)-4:]
		client.send(head)
		silent := first.accept()
		silent.expect(head, "the head")
		second.noConnection("though the request is not whole")
		client.send(body)
		silent.expect(body, "the body")
		s := second.accept()
		s.expect(put, "all of it")
		s.send(ok)
		client.expect(ok, "the answer")
		client.send(get)
		client.close()
	})
	t.Run("interim answers of the winner are passed on", func(t *testing.T) {
		_, client, _, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		hints := "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		s.send(hints)
		client.expect(hints, "the interim answer")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("a rival that fails is followed by another", func(t *testing.T) {
		_, client, _, rest := racing(t, get, 2, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		s.reset()
		s = rest[1].accept()
		s.expect(get, "the request, to a third")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("a rival's error does not win", func(t *testing.T) {
		_, client, silent, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		s.send(status(500))
		client.expectSilence("the first endpoint may still do better")
		silent.send(ok)
		client.expect(ok, "and does")
		client.close()
	})
	t.Run("but is better than nothing", func(t *testing.T) {
		_, client, silent, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		s.send(status(500))
		client.expectSilence("the first endpoint may still do better")
		silent.reset()
		client.expect(status(500), "and does not")
		client.close()
	})
	for name, fail := range map[string]func(p *peer){"resets": (*peer).reset, "closes": (*peer).close, "answers 503": func(p *peer) { p.send(status(503)) }} {
		t.Run("the first endpoint "+name+" during the race: the rival goes on", func(t *testing.T) {
			_, client, silent, rest := racing(t, get, 1, quickRace)
			s := rest[0].accept()
			s.expect(get, "the request")
			s.send("HTTP/1.1 200 OK\r\nCont")
			fail(silent)
			client.expectSilence("the rival has not answered")
			s.send("ent-Length: 2\r\n\r\nok")
			client.expect(ok, "the rival's answer")
			client.close()
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		_, client, silent, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		client.reset()
		silent.expectReset("as the client did")
		s.expectResetOrEnd("nobody wants the answer")
	})
	t.Run("the rival's endpoint refuses", func(t *testing.T) {
		r, first := newRig(t), newOrigin(t)
		r.ruled(quickRace, r.eps(first.addr, closedPort(t))...)
		client := r.dial()
		client.send(get)
		s := first.accept()
		s.expect(get, "the request")
		r.counts("attempts failed to connect", 1, func() uint64 { return r.attempts(classify.ConnectFailed) })
		s.send(ok)
		client.expect(ok, "the slow answer is not cut off")
		client.close()
	})
	for name, c := range map[string]struct {
		request string
		change  func(*rules.Rules)
	}{
		"POST":                         {post, quickRace},
		"where the Service says so":    {get, func(ru *rules.Rules) { quickRace(ru); ru.HangRace.On = false }},
		"when retries are not allowed": {get, func(ru *rules.Rules) { quickRace(ru); ru.Retry.Most = 0 }},
		"when the budget is used up":   {get, func(ru *rules.Rules) { quickRace(ru); ru.Retry.Budget = rules.Budget{} }},
	} {
		t.Run("not raced: "+name, func(t *testing.T) {
			_, client, silent, rest := racing(t, c.request, 1, c.change)
			client.expectSilence("there is no answer yet")
			client.expectSilence("there is no answer yet")
			rest[0].noConnection("though the attempt is not to be raced")
			silent.send(ok)
			client.expect(ok, "the answer")
			client.close()
		})
	}
	t.Run("POST is raced where the Service calls it idempotent", func(t *testing.T) {
		_, client, _, rest := racing(t, post, 1, func(ru *rules.Rules) {
			quickRace(ru)
			ru.Retry.Idempotent = rules.Requests{{Method: "POST", Path: "/eff", Prefix: true}}
		})
		s := rest[0].accept()
		s.expect(post, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("POST is raced where the client sends an Idempotency-Key", func(t *testing.T) {
		request := strings.Replace(post, "Host", "idempotency-KEY: 1\r\nHost", 1)
		_, client, _, rest := racing(t, request, 1, func(ru *rules.Rules) { quickRace(ru); ru.Retry.IdempotencyKey = true })
		s := rest[0].accept()
		s.expect(request, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("hedging does not speak against an endpoint", func(t *testing.T) {
		r, client, _, rest := racing(t, get, 1, func(ru *rules.Rules) { ru.Hedge = 10 * time.Millisecond })
		s := rest[0].accept()
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.on(func() {
			for _, ep := range r.target.Snapshot().Set.Endpoints {
				if ep.Load[0].Bad != 0 {
					t.Errorf("%s is blamed", ep.Addr)
				}
			}
		})
	})
}

// A pod hangs: whoever asked it waits for as long as a race takes to begin, then it is asked no more.
func TestHungPodOfTwo(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int64
	hung := newFaulty(t, func(_ int64, c *net.TCPConn) bool {
		asked.Add(1)
		<-release
		return false
	})
	t.Cleanup(func() { close(release) })
	good := newFaulty(t, answering(ok))
	r := newRig(t)
	r.serve(hung.addr, good.addr)
	s := *r.target.Snapshot()
	ru := rules.Default()
	ru.HangRace.Floor = 200 * time.Millisecond
	s.Rules = ru
	r.target.Publish(&s)
	var slow atomic.Int64
	began := make([]time.Time, 50)
	r.crowd(50, 40, func(k, _ int) string { began[k] = time.Now(); return get }, func(k, i, status int, body string) {
		if status != 200 || body != "ok" {
			t.Errorf("request %d of client %d: %d %q", i, k, status, body)
		}
		if time.Since(began[k]) > ru.HangRace.Floor {
			slow.Add(1)
		}
	})
	if n := asked.Load(); n > 75 || slow.Load() > 75 {
		t.Errorf("the hung pod was asked %d times, and %d requests waited for it", n, slow.Load())
	}
	if r.service().Ejections.Load() == 0 {
		t.Error("the hung pod was not ejected")
	}
}

func TestTimeouts(t *testing.T) {
	const short = 20 * time.Millisecond
	t.Run("an attempt's: GET goes to another endpoint", func(t *testing.T) {
		r, client, silent, rest := racing(t, get, 1, func(ru *rules.Rules) { ru.PerTryTimeout = short })
		s := rest[0].accept()
		s.expect(get, "the request")
		silent.expectResetOrEnd("the attempt is over")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("attempts timed out", 1, func() uint64 { return r.attempts(classify.TimedOut) })
		r.counts("timeouts of attempts", 1, r.service().Timeouts[0].Load)
	})
	expect504 := func(t *testing.T, client *peer, text string) {
		t.Helper()
		if answer := client.rest(); !strings.HasPrefix(answer, "HTTP/1.1 504 Gateway Timeout\r\n") || !strings.Contains(answer, text) {
			t.Errorf("got %q, want 504 with %q", answer, text)
		}
	}
	t.Run("an attempt's: POST is answered 504", func(t *testing.T) {
		r, client, silent, rest := racing(t, post, 1, func(ru *rules.Rules) { ru.PerTryTimeout = short })
		expect504(t, client, "within 20ms, which is its sluice.mesh/per-try-timeout")
		silent.expectResetOrEnd("the attempt is over")
		rest[0].noConnection("though it is a POST")
		r.counts("answers count as 5xx", 1, r.service().Classes[5].Load)
	})
	t.Run("an attempt's: 504 when none is left", func(t *testing.T) {
		_, client, _, _ := racing(t, get, 0, func(ru *rules.Rules) { ru.PerTryTimeout = short })
		expect504(t, client, "sluice.mesh/per-try-timeout")
	})
	t.Run("an attempt's, during a race: the rival goes on", func(t *testing.T) {
		_, client, silent, rest := racing(t, get, 1, func(ru *rules.Rules) { ru.Hedge = 400 * time.Millisecond; ru.PerTryTimeout = 800 * time.Millisecond })
		s := rest[0].accept()
		s.expect(get, "the request")
		silent.expectResetOrEnd("the attempt is over")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("a request's", func(t *testing.T) {
		r, client, silent, rest := racing(t, get, 1, func(ru *rules.Rules) { ru.Timeout = short })
		expect504(t, client, "within 20ms, which is its sluice.mesh/timeout; the last of 1 attempts was at 127.0.0.1:")
		silent.expectResetOrEnd("the attempt is over")
		rest[0].noConnection("though there is no time left")
		r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
	})
	t.Run("a request's, over several attempts", func(t *testing.T) {
		_, client, silent, rest := racing(t, get, 2, func(ru *rules.Rules) { ru.PerTryTimeout = 2 * short; ru.Timeout = 3 * short })
		s := rest[0].accept()
		silent.expectResetOrEnd("the attempt is over")
		expect504(t, client, "sluice.mesh/timeout")
		s.expect(get, "the request")
		rest[1].noConnection("though there is no time left")
	})
	t.Run("neither ends an answer whose head has come", func(t *testing.T) {
		_, client, silent, _ := racing(t, get, 0, func(ru *rules.Rules) { ru.PerTryTimeout = 200 * time.Millisecond; ru.Timeout = 200 * time.Millisecond })
		silent.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "the head")
		for range 11 {
			client.expectSilence("the body takes its time")
		}
		silent.send("ok")
		client.expect("ok", "the body")
		client.close()
	})
	t.Run("a request's ends a connect, which says nothing of the endpoint", func(t *testing.T) {
		// A full queue of connections is as silent as a pod whose node is gone.
		r, full := newRig(t), fullQueue(t)
		r.ruled(func(ru *rules.Rules) { ru.Timeout = short }, r.eps(full)...)
		client := r.dial()
		client.send(get)
		expect504(t, client, "sluice.mesh/timeout")
		r.on(func() {
			if l := r.eps(full)[0].Load[0]; l.SuspectUntil != 0 {
				t.Errorf("the endpoint is suspect: %+v", l)
			}
		})
	})
	t.Run("a request's ends an upload, too", func(t *testing.T) {
		_, client, silent, _ := racing(t, "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\n", 0, func(ru *rules.Rules) { ru.Timeout = short })
		expect504(t, client, "sluice.mesh/timeout")
		silent.expectResetOrEnd("the attempt is over")
	})
}

// fullQueue answers an address where a server listens that accepts nothing and whose queue is full: connects wait.
func fullQueue(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*syscall.SockaddrInet4).Port))
	for range 4 {
		c, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the queue of connections does not fill up here")
	return addr
}
