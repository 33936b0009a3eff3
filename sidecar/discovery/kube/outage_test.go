package kube

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

func problems(r *running) string { return strings.Join(r.Status().Problems, "\n") }

func TestTheAPIServerDiesAndComesBackWithChanges(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	target := r.resolve(cart).Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })

	a.kill()
	r.wait("age", func() bool { return r.Status().Age > 0 })
	r.wait("the problem", func() bool { return strings.Contains(problems(r), "the API server does not answer") })
	if got := addrsOf(target); got != "10.1.0.1 10.1.0.2" {
		t.Errorf("while it is away: %q", got)
	}
	began := time.Now()
	r.expect(netip.MustParseAddrPort("10.96.0.20:80"), "discovery-unavailable")
	if took := time.Since(began); took > 1200*time.Millisecond {
		t.Errorf("a new destination waited for %v", took)
	}
	if got := r.Lookup(netip.MustParseAddrPort("10.96.0.20:80")); got.Reason != discovery.Unavailable {
		t.Errorf("right afterwards: %v", got.Reason)
	}

	a.put(slice("shop", "cart", "cart-1", "10.1.0.7"))
	a.put(service("shop", "other", "10.96.0.20"))
	a.start()
	r.wait("the change", func() bool { return addrsOf(target) == "10.1.0.7" })
	r.wait("no age and no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })
	r.wait("the new destination", func() bool { return describe(r.resolve(netip.MustParseAddrPort("10.96.0.20:80"))) == "10.2.0.1" })
	for _, request := range a.took() {
		if request == "list shop services metadata.name=cart" {
			t.Error("the Service was listed; its watch should have been resumed")
		}
	}
}

func TestTheAPIServerIsAwayAtTheStart(t *testing.T) {
	a := shop(t)
	a.kill()
	r := start(t, a, Options{RetryAfter: time.Millisecond})
	r.expect(cart, "discovery-unavailable")
	if s := r.Status(); s.Synced {
		t.Error("synced, though nothing answered")
	}
	r.wait("age", func() bool { return r.Status().Age > 0 })
	a.start()
	r.wait("a sign of life", func() bool { return r.Status().Synced && r.Status().Age == 0 })
	r.wait("the endpoints", func() bool { return describe(r.resolve(cart)) == "10.1.0.1 10.1.0.2" })
}

func TestAnExpiredVersionIsListedAnew(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	target := r.resolve(cart).Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	a.kill()
	r.wait("the watches' end", func() bool { return r.Status().Age > 0 })
	a.put(slice("shop", "cart", "cart-2", "10.1.0.7"))
	a.remove(slice("shop", "cart", "cart-1"))
	a.forget()
	a.start()
	r.wait("the change", func() bool { return addrsOf(target) == "10.1.0.7" })
	r.wait("no age and no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })

	// In the middle of a watch: the server says so in an event.
	a.forget()
	a.put(slice("shop", "cart", "cart-2", "10.1.0.8"))
	r.wait("the change", func() bool { return addrsOf(target) == "10.1.0.8" })

	// The Service was deleted while we did not look: its list comes back empty.
	a.kill()
	a.remove(service("shop", "cart", "10.96.0.10"))
	a.forget()
	a.start()
	r.wait("the Service's end", func() bool { return len(r.Status().Targets) == 0 })
}

func TestWithoutPermissionEverythingPassesThroughAndIsReported(t *testing.T) {
	a := shop(t)
	a.setRefuse(func(verb, resource, _ string) int { return 403 })
	r := start(t, a, Options{RetryAfter: time.Millisecond})
	r.expect(cart, "discovery-forbidden")
	r.wait("the problem", func() bool {
		return strings.Contains(problems(r), "list services of all namespaces: services is forbidden") &&
			strings.Contains(problems(r), "the sidecar needs get, list and watch of services and of endpointslices.discovery.k8s.io")
	})
	if s := r.Status(); !s.Synced || s.Age != 0 {
		t.Errorf("a refusal is an answer: %+v", s)
	}
	if !strings.Contains(r.log.String(), "level=WARN") {
		t.Error("not logged")
	}
	a.setRefuse(nil)
	r.wait("the endpoints", func() bool { return describe(r.resolve(cart)) == "10.1.0.1 10.1.0.2" })
	r.wait("no problems", func() bool { return problems(r) == "" })
}

func TestWithoutPermissionForEndpointSlices(t *testing.T) {
	a := shop(t)
	a.setRefuse(func(verb, resource, _ string) int {
		if resource == "endpointslices" {
			return 403
		}
		return 0
	})
	r := start(t, a, Options{ResolveTimeout: 50 * time.Millisecond, RetryAfter: time.Millisecond})
	r.expect(cart, "discovery-unavailable")
	r.wait("the problem", func() bool {
		return strings.Contains(problems(r), "endpointslices: list endpointslices of namespace shop: endpointslices is forbidden")
	})
	a.setRefuse(nil)
	r.wait("the endpoints", func() bool { return describe(r.resolve(cart)) == "10.1.0.1 10.1.0.2" })
	r.wait("no problems", func() bool { return problems(r) == "" })
}

// Watches are refused, lists are not: the endpoints are those of the last list, and each new attempt may list anew.
func TestAServerThatFails(t *testing.T) {
	for _, code := range []int{429, 500, 503, 504} {
		a := shop(t)
		r := start(t, a, Options{RetryAfter: time.Millisecond})
		target := r.resolve(cart).Target
		r.wait("watches", func() bool { return a.openWatches() == 2 })
		a.setRefuse(func(verb, resource, _ string) int { return code })
		a.http.CloseClientConnections()
		r.expect(netip.MustParseAddrPort("10.96.0.20:80"), "discovery-unavailable")
		r.wait("the problem", func() bool { return strings.Contains(problems(r), "the API server does not answer") })
		if got := addrsOf(target); got != "10.1.0.1 10.1.0.2" {
			t.Errorf("%d: endpoints %q", code, got)
		}
		a.took()
		time.Sleep(300 * time.Millisecond) // a span to count in
		if n := len(a.took()); n > 10 {
			t.Errorf("%d: %d requests in 300 ms to a server that fails", code, n)
		}
		a.put(slice("shop", "cart", "cart-1", "10.1.0.7"))
		a.setRefuse(nil)
		r.wait("the change", func() bool { return addrsOf(target) == "10.1.0.7" })
		target.Release()
		r.end()
	}
}

func TestAServerThatHangs(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{ResolveTimeout: 100 * time.Millisecond, RetryAfter: 300 * time.Millisecond})
	r.wait("a sign of life", func() bool { return r.Status().Synced })
	release := a.setHang()
	defer func() { release() }()
	began := time.Now()
	r.expect(cart, "discovery-unavailable")
	if took := time.Since(began); took < 100*time.Millisecond || took > 300*time.Millisecond {
		t.Errorf("the first connection waited for %v", took)
	}
	if got := r.Lookup(cart); got.Reason != discovery.Unavailable {
		t.Errorf("the next connection gets %v, and so would wait", got.Reason)
	}
	r.wait("the next attempt", func() bool { return r.Lookup(cart).Reason == discovery.Pending })
	r.expect(cart, "discovery-unavailable")
	release()
	release = func() {}
	// The answer that came late is there without another question.
	r.waitLookup(cart, "10.1.0.1 10.1.0.2")
	if n := strings.Count(strings.Join(a.took(), "\n"), "spec.clusterIP"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A connection that no longer carries anything, as when a node in between is gone: HTTP/2 pings find it, and everything
// goes over a new one.
func TestAConnectionThatIsHalfDead(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	a := newAPIServer(t, true)
	a.put(service("shop", "cart", "10.96.0.10"))
	a.put(slice("shop", "cart", "cart-1", "10.1.0.1"))
	relay := newRelay(t, a.addr)
	defer relay.close()
	direct := a.addr
	a.addr = relay.addr
	r := start(t, a, Options{})
	a.addr = direct
	r.wait("a sign of life", func() bool { return r.Status().Synced })
	target := r.resolve(cart).Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	if n := relay.count(); n != 1 {
		t.Errorf("%d connections; all requests should share one", n)
	}
	relay.freeze()
	a.put(slice("shop", "cart", "cart-1", "10.1.0.7"))
	began := time.Now()
	r.wait("the change", func() bool { return addrsOf(target) == "10.1.0.7" })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("seen after %v", took)
	}
}

// relay is a TCP proxy that can stop forwarding on the connections it has, without closing them.
type relay struct {
	addr string
	l    net.Listener
	done sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // closed when the present connections are frozen
	n      int
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &relay{addr: l.Addr().String(), l: l, frozen: make(chan struct{})}
	p.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns, p.n = append(p.conns, c, up), p.n+1
			frozen := p.frozen
			p.mu.Unlock()
			p.done.Go(func() { forward(c, up, frozen) })
			p.done.Go(func() { forward(up, c, frozen) })
		}
	})
	return p
}

// forward copies until a side ends; what comes once frozen is closed is swallowed.
func forward(from, to net.Conn, frozen chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-frozen:
			io.Copy(io.Discard, from)
			return
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *relay) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

func (p *relay) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *relay) close() {
	p.l.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}
