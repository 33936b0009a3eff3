package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// idle are the workers of a process whose loops do not run, so that time may be fake.
type idle struct {
	t      *testing.T
	m      *metrics.Metrics
	shared *Shared
	ws     []*Worker
}

func newIdle(t *testing.T, loops int) *idle {
	k := &idle{t: t, m: metrics.New(loops, metrics.Words{Outcomes: classify.Outcomes()}), shared: NewShared()}
	for i := range loops {
		l, err := loop.New(loop.Options{Index: i})
		if err != nil {
			t.Fatal(err)
		}
		w := New(l, Options{Metrics: k.m, Shared: k.shared, Loops: loops, Log: testLog})
		k.ws = append(k.ws, w)
		t.Cleanup(func() { w.Close(); l.Stop(); l.Run() })
	}
	return k
}

// call answers the route of a connection to a Service, on loop i.
func (k *idle) call(i int, service string) *route {
	t := discovery.NewTarget("default", service, "", 80, snapshot(k.t, 1, cluster.Undeclared, ""))
	t.Hold()
	return k.ws[i].newRoute(t, clusterIP)
}

// sleep lets time pass, and lets go of what is due then.
func (k *idle) sleep(d time.Duration) {
	time.Sleep(d)
	for _, w := range k.ws {
		for w.services.first != nil && w.services.first.since+int64(keepUnused) <= loop.Clock() {
			w.services.letGo()
		}
	}
}

// kept checks how many Services each loop keeps, and how many have anything that loops share.
func (k *idle) kept(why string, shared int, each ...int) {
	k.t.Helper()
	for i, want := range each {
		if n := len(k.ws[i].services.by); n != want {
			k.t.Errorf("%s: loop %d keeps %d Services, want %d", why, i, n, want)
		}
	}
	if n := len(k.shared.services); n != shared {
		k.t.Errorf("%s: loops share something of %d Services, want %d", why, n, shared)
	}
}

func TestServicesThatNobodyUsesAreLetGo(t *testing.T) {
	in := func(name string, loops int, f func(t *testing.T, k *idle)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newIdle(t, loops)) })
		})
	}
	const most = keepUnused + keepUnused/unusedLate
	in("many, called once each", 2, func(t *testing.T, k *idle) {
		const services = 10_000
		for i := range services {
			r := k.call(i%2, fmt.Sprint("preview-", i))
			r.stats.Refused.Add(1)
			r.release()
		}
		k.sleep(keepUnused - time.Second)
		k.kept("before their time", services, services/2, services/2)
		k.sleep(most - keepUnused + time.Second)
		k.kept("an hour later", 0, 0, 0)
		for i := range 2 {
			r := k.call(i, fmt.Sprint("preview-", i))
			if n := r.stats.Refused.Load(); n != 0 {
				t.Errorf("one that is used again counts from %d", n)
			}
			r.release()
		}
		k.kept("again", 2, 1, 1)
	})
	in("one that is used now and then stays", 1, func(t *testing.T, k *idle) {
		for range 5 {
			r := k.call(0, "web")
			r.stats.Refused.Add(1)
			r.release()
			k.sleep(keepUnused - time.Second)
		}
		r := k.call(0, "web")
		if n := r.stats.Refused.Load(); n != 5 {
			t.Errorf("it has counted %d, want 5", n)
		}
		r.release()
		k.sleep(most)
		k.kept("at last", 0, 0)
	})
	in("one with an open connection stays, however long, and those beside it go", 1, func(t *testing.T, k *idle) {
		long, before := k.call(0, "web"), k.call(0, "before")
		service := long.service
		before.release()
		k.call(0, "web").release() // a second connection
		k.call(0, "behind").release()
		k.sleep(100 * most)
		k.kept("a hundred hours later", 1, 1)
		if again := k.call(0, "web"); again.service != service {
			t.Error("another connection has another service")
		} else {
			again.release()
		}
		long.release()
		k.sleep(keepUnused - time.Second)
		k.kept("closed, before its time", 1, 1)
		k.sleep(2 * time.Second)
		k.kept("closed", 0, 0)
	})
	in("what loops share, and count, stays as long as one of them uses it", 2, func(t *testing.T, k *idle) {
		a, b := k.call(0, "web"), k.call(1, "web")
		common, counts := a.common, b.stats
		if b.common != common {
			t.Fatal("two loops share nothing")
		}
		b.stats.Refused.Add(7)
		b.release()
		k.sleep(most)
		k.kept("one loop uses it", 1, 1, 0)
		b = k.call(1, "web")
		if b.common != common || b.stats != counts || b.stats.Refused.Load() != 7 {
			t.Errorf("the other one comes back to something else, and has counted %d, want 7", b.stats.Refused.Load())
		}
		a.release()
		k.sleep(most)
		k.kept("the other loop uses it", 1, 0, 1)
		if a = k.call(0, "web"); a.common != common {
			t.Error("the first one comes back to something else")
		}
		a.release()
		b.release()
		k.sleep(most)
		k.kept("none does", 0, 0, 0)
		if b = k.call(1, "web"); b.stats.Refused.Load() != 0 {
			t.Errorf("anew it counts from %d", b.stats.Refused.Load())
		}
		b.release()
	})
	in("a connection's former Services stay with it", 1, func(t *testing.T, k *idle) {
		r := k.call(0, "web")
		web := r.service
		r.target.Release()
		r.set(nil)
		k.sleep(most)
		k.kept("the Service is gone", 2, 2)
		if other := k.call(0, "web"); other.service != web {
			t.Error("there is another one of the same name")
		} else {
			other.release()
		}
		for range 3 {
			target := discovery.NewTarget("default", "web", "", 80, snapshot(t, 1, cluster.Undeclared, ""))
			target.Hold()
			r.set(target)
			if r.service != web || len(r.former) != 1 {
				t.Errorf("back at the Service there are %d former ones, want 1, or it is another", len(r.former))
			}
			target.Release()
			r.set(nil)
		}
		k.sleep(most)
		k.kept("gone again", 2, 2)
		r.release()
		k.sleep(most)
		k.kept("closed", 0, 0)
	})
	in("what may outlive its connection has it stay", 1, func(t *testing.T, k *idle) {
		r, w := k.call(0, "web"), k.ws[0]
		w.services.use(r.service)
		r.release()
		k.sleep(most)
		k.kept("the connection is closed", 1, 1)
		w.services.done(r.service)
		k.sleep(most)
		k.kept("all has ended", 0, 0)
	})
}

// A service takes about as much as docs/ARCHITECTURE.md says.
func TestMemoryOfAService(t *testing.T) {
	const services = 10_000
	k := newIdle(t, 1)
	words := metrics.Words{Outcomes: classify.Outcomes()}
	for o := shardkey.Found; o <= shardkey.LastOutcome; o++ {
		words.Keys = append(words.Keys, o.String())
	}
	k.m = metrics.New(1, words)
	k.ws[0].o.Metrics = k.m
	names := make([]*discovery.Target, services)
	for i := range names {
		names[i] = discovery.NewTarget("default", fmt.Sprint("preview-", i), "", 80, snapshot(t, 1, cluster.Undeclared, ""))
		names[i].Hold()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, target := range names {
		k.ws[0].newRoute(target, clusterIP).release()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / services
	t.Logf("%d bytes for each Service", each)
	if each > 3<<10 {
		t.Errorf("%d bytes for each Service, want about 2 KiB", each)
	}
	runtime.KeepAlive(names)
}

// newH1Server is net/http's server.
func newH1Server(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// serving makes another Service port of the rig, behind an address of its own.
func (r *rig) serving(i int, addrs ...netip.AddrPort) (netip.AddrPort, *discovery.Target) {
	dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}), 9)
	target := discovery.NewTarget("default", fmt.Sprint("preview-", i), "", 80, snapshot(r.t, 1, cluster.Undeclared, "", r.eps(addrs...)...))
	r.resolver.set(dst, target)
	return dst, target
}

// keeps answers how many Services the loop keeps.
func (r *rig) keeps() (n int) {
	r.on(func() { n = len(r.w.services.by) })
	return n
}

// The same over real connections: what is open keeps its Service, idle or not, and the rest goes by itself.
func TestConnectionsKeepTheirServices(t *testing.T) {
	const keep = 20 * time.Millisecond
	start := func(t *testing.T) *rig {
		r := newRig(t)
		r.on(func() { r.w.services.keep = keep })
		return r
	}
	// others calls some other Services, and waits until none of those is kept but the one of the test.
	others := func(r *rig, addr netip.AddrPort, left int) {
		r.t.Helper()
		for i := range 3 {
			dst, _ := r.serving(i, addr)
			r.goingTo(dst)
			c := r.dial()
			c.send("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
			c.rest()
			c.close()
		}
		r.goingTo(clusterIP)
		r.eventually("the others to be let go of", func() bool { return r.keeps() == left })
		time.Sleep(3 * keep)
		if n := r.keeps(); n != left {
			r.t.Errorf("%d Services are kept, want %d", n, left)
		}
	}
	t.Run("an idle keep-alive connection", func(t *testing.T) {
		r := start(t)
		srv := newH1Server(t, named("web"))
		r.serve(srv)
		c := r.dial()
		c.send(get)
		c.expect("HTTP/1.1 200 OK", "the answer")
		others(r, srv, 1)
		r.counts("answers", 1, func() uint64 { return r.service().Classes[2].Load() })
		c.close()
		r.eventually("the last to be let go of", func() bool { return r.keeps() == 0 })
	})
	t.Run("a long stream", func(t *testing.T) {
		r := start(t)
		hang, release := hanging(t, named("late"))
		srv, one := newH2Server(t, hang), newH1Server(t, named("web"))
		r.serve(srv.addr)
		cl := r.h2Client()
		text := make(chan string, 1)
		go func() {
			res, err := cl.Get("http://web/")
			text <- body(t, res, err)
		}()
		r.eventually("the stream to be under way", func() bool { return r.w.o.Shared.underWay.Taken() == 1 })
		others(r, one, 1)
		release()
		if s := got(t, text, "the answer"); s != "late" {
			t.Errorf("got %q", s)
		}
		r.counts("answers", 1, func() uint64 { return r.service().Classes[2].Load() })
		cl.CloseIdleConnections()
		r.eventually("the last to be let go of", func() bool { return r.keeps() == 0 })
	})
	t.Run("a tunnel", func(t *testing.T) {
		r := start(t)
		o, one := newOrigin(t), newH1Server(t, named("web"))
		r.serve(o.addr)
		r.with(func(ru *rules.Rules) { ru.Limits.Requests = 1 })
		c := r.dial()
		const ask, yes = "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
		c.send(ask)
		s := o.accept()
		s.expect(ask, "the request")
		s.send(yes)
		c.expect(yes, "the answer")
		others(r, one, 1)
		c.send("still")
		s.expect("still", "the tunnel")
		s.close()
		c.close()
		r.eventually("the last to be let go of", func() bool { return r.keeps() == 0 })
	})
}

// A connect may take longer than its connection lasts.
func TestWhatOutlivesAConnectionKeepsItsService(t *testing.T) {
	const keep = 20 * time.Millisecond
	slow := func(o *Options) { o.Upstream.ConnectTimeout = 500 * time.Millisecond }
	outlived := func(r *rig) {
		r.t.Helper()
		r.eventually("the connection to end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
		r.on(func() { r.w.services.letGo() })
		time.Sleep(3 * keep)
		if n := r.keeps(); n != 1 {
			r.t.Errorf("%d Services are kept while a connect goes on, want 1", n)
		}
		r.eventually("it to be let go of", func() bool { return r.keeps() == 0 })
	}
	t.Run("of a rival", func(t *testing.T) {
		r, o := newRig(t, slow), newOrigin(t)
		r.on(func() { r.w.services.keep = keep })
		r.ruled(func(ru *rules.Rules) { ru.Hedge = 20 * time.Millisecond }, r.eps(o.addr, unanswered(t))...)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		outlived(r)
	})
	t.Run("of one that is dialled ahead", func(t *testing.T) {
		r := newRig(t, slow)
		r.on(func() { r.w.services.keep, r.w.silence = keep, time.Microsecond })
		r.serve(unanswered(t))
		client := r.dial()
		r.eventually("the dial", func() (busy bool) {
			r.on(func() { busy = r.target.Snapshot().Set.Endpoints[0].Load[0].InFlight == 1 })
			return busy
		})
		client.reset()
		outlived(r)
	})
}

// Many Services come and go on two loops, while somebody reads the page: what loops share stays theirs alone. It is for the race detector.
func TestServicesComeAndGo(t *testing.T) {
	a, b := newPair(t)
	srv := newH1Server(t, named("web"))
	for _, r := range []*rig{a, b} {
		r.on(func() { r.w.services.keep = time.Millisecond })
	}
	a.serve(srv)
	var wg sync.WaitGroup
	for _, r := range []*rig{a, b} {
		for range 3 {
			wg.Go(func() {
				for i := range 40 {
					tr := &http.Transport{Proxy: http.ProxyURL(nil), DisableKeepAlives: true}
					res, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://" + r.addr.String())
					if err != nil {
						t.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
					time.Sleep(time.Duration(i%4) * time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	for _, r := range []*rig{a, b} {
		r.eventually("all to be let go of", func() bool { return r.keeps() == 0 })
	}
	a.shared.mu.Lock()
	defer a.shared.mu.Unlock()
	if n := len(a.shared.services); n != 0 {
		t.Errorf("loops share something of %d Services", n)
	}
}
