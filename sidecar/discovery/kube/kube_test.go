package kube

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// Connections, watches and goroutines must all be gone after each Run: the helper fails the run otherwise.
func TestMain(m *testing.M) { meshtest.Main(m) }

var cart = netip.MustParseAddrPort("10.96.0.10:80")

// running is a resolver that runs until the test ends.
type running struct {
	*Resolver
	t   *testing.T
	log *logBuffer
	end func()
}

func start(t *testing.T, a *apiServer, opts Options) *running {
	t.Helper()
	log := &logBuffer{}
	opts.Config, opts.Loops = a.config(), 1
	opts.Log = slog.New(slog.NewTextHandler(log, nil))
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return &running{r, t, log, end}
}

// resolve waits for Resolve's answer.
func (r *running) resolve(dst netip.AddrPort) discovery.Answer {
	r.t.Helper()
	answer := make(chan discovery.Answer, 1)
	r.Resolve(dst, func(a discovery.Answer) { answer <- a })
	select {
	case a := <-answer:
		return a
	case <-time.After(20 * time.Second):
		r.t.Fatal("Resolve did not answer")
		return discovery.Answer{}
	}
}

// describe says what an answer leads to, and releases it.
func describe(a discovery.Answer) string {
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	return addrsOf(a.Target)
}

func addrsOf(t *discovery.Target) string {
	var addrs []string
	for _, e := range t.Snapshot().Set.Endpoints {
		addrs = append(addrs, e.Addr.Addr().String())
	}
	return strings.Join(addrs, " ")
}

func (r *running) expect(dst netip.AddrPort, want string) {
	r.t.Helper()
	if got := describe(r.resolve(dst)); got != want {
		r.t.Fatalf("%v leads to %q, want %q; problems %q", dst, got, want, r.Status().Problems)
	}
}

func (r *running) wait(what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := meshtest.Poll(ctx, what, func() (bool, error) { return done(), nil }); err != nil {
		r.t.Fatalf("%v; problems %q", err, r.Status().Problems)
	}
}

func (r *running) waitLookup(dst netip.AddrPort, want string) {
	r.t.Helper()
	r.wait("the answer "+want, func() bool { return describe(r.Lookup(dst)) == want })
}

// shop has the Service shop/cart at the address cart, over two pods.
func shop(t *testing.T) *apiServer {
	a := newAPIServer(t, false)
	a.put(service("shop", "cart", "10.96.0.10"))
	a.put(slice("shop", "cart", "cart-1", "10.1.0.1", "10.1.0.2"))
	a.put(slice("shop", "other", "other-1", "10.2.0.1"))
	a.put(slice("elsewhere", "cart", "cart-1", "10.3.0.1"))
	return a
}

func TestTheFirstConnectionFindsTheService(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	r.wait("a sign of life", func() bool { return r.Status().Synced })
	if got, want := a.took(), []string{"list default services metadata.name=kubernetes"}; !slices.Equal(got, want) {
		t.Errorf("at the start: %q, want %q", got, want)
	}
	if a := r.Lookup(cart); a.Reason != discovery.Pending {
		t.Fatalf("before anything was asked: %v", a.Reason)
	}
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.wait("current watches", func() bool { return r.Status().Age == 0 && a.openWatches() == 2 })
	want := []string{
		"list  services spec.clusterIP=10.96.0.10",
		"list shop endpointslices kubernetes.io/service-name=cart",
		"watch shop endpointslices kubernetes.io/service-name=cart",
		"watch shop services metadata.name=cart",
	}
	if got := a.took(); !slices.Equal(got, want) {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := describe(r.Lookup(cart)); got != "10.1.0.1 10.1.0.2" {
		t.Errorf("from then on: %q", got)
	}
	if got := describe(r.Lookup(netip.AddrPortFrom(cart.Addr(), 81))); got != "unknown-port" {
		t.Errorf("another port: %q", got)
	}
	if s := r.Status(); len(s.Targets) != 1 || s.Targets[0].Name != "shop/cart:80" || s.Source != "kube" {
		t.Errorf("status %+v", s)
	}
}

func TestConcurrentConnectionsAskOnce(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	r.wait("a sign of life", func() bool { return r.Status().Synced })
	release := a.setHang()
	var answers sync.WaitGroup
	for range 100 {
		answers.Add(1)
		r.Resolve(cart, func(got discovery.Answer) {
			defer answers.Done()
			if got := describe(got); got != "10.1.0.1 10.1.0.2" {
				t.Errorf("got %q", got)
			}
		})
	}
	release()
	answers.Wait()
	finds := 0
	for _, request := range a.took() {
		if strings.Contains(request, "spec.clusterIP") {
			finds++
		}
	}
	if finds != 1 {
		t.Errorf("the Service was looked for %d times", finds)
	}
}

func TestChangesAreSeen(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	answer := r.resolve(cart)
	target := answer.Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })

	seen := func(what, want string) {
		t.Helper()
		r.wait(what, func() bool { return addrsOf(target) == want })
	}
	first := target.Snapshot().Set.Endpoints[0]
	a.put(slice("shop", "cart", "cart-1", "10.1.0.1"))
	seen("a pod's end", "10.1.0.1")
	a.put(slice("shop", "cart", "cart-2", "10.1.0.3"))
	seen("a second slice", "10.1.0.1 10.1.0.3")
	if target.Snapshot().Set.Endpoints[0] != first {
		t.Error("the endpoint that stayed has another pointer")
	}
	a.remove(slice("shop", "cart", "cart-1"))
	seen("a slice's end", "10.1.0.3")
	changed := service("shop", "cart", "10.96.0.10")
	changed.Annotations = map[string]string{"sluice.mesh/policy": "round-robin"}
	a.put(changed)
	r.wait("the policy", func() bool { return target.Snapshot().Rules.Policy == "round-robin" })

	wrong := changed.DeepCopy()
	wrong.Annotations["sluice.mesh/policy"] = "fastest"
	a.put(wrong)
	r.wait("the problem", func() bool {
		return strings.Contains(strings.Join(r.Status().Problems, " "), `Service shop/cart: metadata.annotations[sluice.mesh/policy]: "fastest": want one of `)
	})
	if s := target.Snapshot(); s.Rules.Policy != "round-robin" {
		t.Errorf("policy %q, want the last right one", s.Rules.Policy)
	}
	a.put(changed)
	r.wait("no problem", func() bool { return len(r.Status().Problems) == 0 })
	a.bookmark()

	sticky := changed.DeepCopy()
	sticky.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	a.put(sticky)
	r.waitLookup(cart, "session-affinity")
	a.put(changed)
	r.waitLookup(cart, "10.1.0.3")
}

// From the API server's write to what a pick would see. The bound is generous for a busy machine; the usual time is
// logged.
func TestAChangeIsSeenWithinMilliseconds(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	target := r.resolve(cart).Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	var took []time.Duration
	for i := range 100 {
		want := fmt.Sprintf("10.1.1.%d", i)
		began := time.Now()
		a.put(slice("shop", "cart", "cart-1", want))
		for addrsOf(target) != want {
			if time.Since(began) > 10*time.Second {
				t.Fatal("not seen")
			}
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("median %v, 99th of 100 %v", took[50], took[98])
	if took[50] > 5*time.Millisecond {
		t.Errorf("median %v", took[50])
	}
}

func TestTheServiceIsDeletedAndComesBack(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{AbsentFor: 50 * time.Millisecond})
	held := r.resolve(cart).Target
	defer held.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })

	a.remove(service("shop", "cart", "10.96.0.10"))
	r.waitLookup(cart, "pending")
	if !held.Removed() || addrsOf(held) != "10.1.0.1 10.1.0.2" {
		t.Errorf("removed %v, endpoints %q; want the last ones for those who hold it", held.Removed(), addrsOf(held))
	}
	r.wait("the watches' end", func() bool { return a.openWatches() == 0 })
	r.expect(cart, "unknown-service")

	a.put(service("shop", "cart", "10.96.0.10"))
	r.wait("the Service", func() bool { return describe(r.resolve(cart)) == "10.1.0.1 10.1.0.2" })

	// Its address goes to another Service.
	a.put(service("shop", "cart", "10.96.0.11"))
	a.put(service("shop", "other", "10.96.0.10"))
	r.wait("the other Service", func() bool { return describe(r.resolve(cart)) == "10.2.0.1" })
	r.expect(netip.MustParseAddrPort("10.96.0.11:80"), "10.1.0.1 10.1.0.2")
}

func TestDualStack(t *testing.T) {
	a := newAPIServer(t, false)
	for i := range 3 * secondaryPage {
		a.put(service("many", fmt.Sprintf("s%04d", i), fmt.Sprintf("10.97.%d.%d", i/250, i%250)))
	}
	a.put(service("shop", "cart", "10.96.0.10", "fd00:96::10"))
	a.put(slice("shop", "cart", "cart-4", "10.1.0.1"))
	a.put(slice("shop", "cart", "cart-6", "fd00:1::1"))
	r := start(t, a, Options{})
	r.expect(netip.MustParseAddrPort("[fd00:96::10]:80"), "fd00:1::1")
	if got := describe(r.Lookup(cart)); got != "10.1.0.1" {
		t.Errorf("the primary address, known with it: %q", got)
	}
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	a.took()
	r.expect(netip.MustParseAddrPort("[fd00:96::11]:80"), "unknown-service")
	if got, want := a.took(), []string{"list  services spec.clusterIP=fd00:96::11"}; !slices.Equal(got, want) {
		t.Errorf("requests for another address: %q; the list of all Services should be remembered", got)
	}
}

// Where no Service can have a secondary address of a family, all Services are not listed again and again for its addresses.
func TestHowOftenAllServicesAreListed(t *testing.T) {
	for _, c := range []struct {
		name     string
		dual     bool
		asked    string
		listed   time.Duration // ago
		wantList bool
	}{
		{"IPv4 only, two minutes ago", false, "10.96.0.99", 2 * time.Minute, false},
		{"IPv4 only, long ago", false, "10.96.0.99", 11 * time.Minute, true},
		{"an IPv6 address, though there were none", false, "fd00:96::99", 2 * time.Minute, true},
		{"an IPv6 address right after the list", false, "fd00:96::99", 10 * time.Second, false},
		{"dual-stack, two minutes ago", true, "10.96.0.99", 2 * time.Minute, true},
		{"dual-stack, right after the list", true, "10.96.0.99", 10 * time.Second, false},
		{"dual-stack, the other family", true, "fd00:96::99", 2 * time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := shop(t)
			if c.dual {
				a.put(service("shop", "both", "fd00:96::10", "10.96.0.30"))
			}
			r := start(t, a, Options{})
			r.wait("a sign of life", func() bool { return r.Status().Synced })
			r.expect(netip.MustParseAddrPort("10.96.0.98:80"), "unknown-service")
			r.secondary.lock <- struct{}{}
			r.secondary.listed = time.Now().Add(-c.listed)
			<-r.secondary.lock
			a.took()
			r.expect(netip.AddrPortFrom(netip.MustParseAddr(c.asked), 80), "unknown-service")
			if got := slices.Contains(a.took(), "list  services"); got != c.wantList {
				t.Errorf("listed: %v, want %v", got, c.wantList)
			}
		})
	}
}

func TestAnAddressThatIsNobodysIsRemembered(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{AbsentFor: time.Hour})
	for range 3 {
		r.expect(netip.MustParseAddrPort("10.96.0.99:80"), "unknown-service")
	}
	if got := describe(r.Lookup(netip.MustParseAddrPort("10.96.0.99:443"))); got != "unknown-service" {
		t.Errorf("another port of it: %q", got)
	}
	n := 0
	for _, request := range a.took() {
		if strings.Contains(request, "10.96.0.99") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A process that calls every address of a range neither fills the memory nor the API server, and passes through.
func TestAScanOfTheRangeIsBounded(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	var answers sync.WaitGroup
	addr := netip.MustParseAddr("10.100.0.0")
	for range 3000 {
		addr = addr.Next()
		answers.Add(1)
		r.Resolve(netip.AddrPortFrom(addr, 80), func(got discovery.Answer) {
			defer answers.Done()
			if got.Target != nil || got.Reason != discovery.UnknownService && got.Reason != discovery.Unavailable {
				t.Errorf("got %+v", got)
			}
		})
	}
	answers.Wait()
	if n := len(a.took()); n > findBurst+findQPS*20 {
		t.Errorf("%d requests", n)
	}
	if by := r.absent.by.Load(); len(*by) > maxAbsent {
		t.Errorf("%d addresses remembered", len(*by))
	}
	if problems := r.Status().Problems; len(problems) != 0 {
		t.Errorf("being busy is no problem of the API server's: %q", problems)
	}
	r.expect(cart, "10.1.0.1 10.1.0.2")
}

func TestUnusedServicesAreNotWatched(t *testing.T) {
	a := shop(t)
	a.put(service("shop", "other", "10.96.0.20"))
	r := start(t, a, Options{IdleAfter: 100 * time.Millisecond})
	held := r.resolve(cart)
	r.expect(netip.MustParseAddrPort("10.96.0.20:80"), "10.2.0.1")
	r.wait("the other Service's watches to end", func() bool { return len(r.Status().Targets) == 1 && a.openWatches() == 2 })
	if got := describe(r.Lookup(cart)); got != "10.1.0.1 10.1.0.2" {
		t.Errorf("the Service in use: %q", got)
	}
	held.Target.Release()
	r.wait("all watches to end", func() bool { return len(r.Status().Targets) == 0 && a.openWatches() == 0 })
	r.expect(cart, "10.1.0.1 10.1.0.2")
}

// Connections come and go just as the Service is retired: they always get its endpoints.
func TestRetirementAndUseAtOnce(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{IdleAfter: 3 * time.Millisecond, ResolveTimeout: 10 * time.Second})
	for range 150 {
		r.expect(cart, "10.1.0.1 10.1.0.2")
		time.Sleep(time.Duration(time.Now().UnixNano()%5) * time.Millisecond)
	}
}

func TestRunsEndEndsEverything(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	defer a.setHang()()
	var answer atomic.Value
	r.Resolve(netip.MustParseAddrPort("10.96.0.20:80"), func(a discovery.Answer) { answer.Store(describe(a)) })
	r.end()
	if answer.Load() != "discovery-unavailable" {
		t.Errorf("the connection that waited was answered %v", answer.Load())
	}
	if got := describe(r.resolve(netip.MustParseAddrPort("10.96.0.30:80"))); got != "discovery-unavailable" {
		t.Errorf("afterwards: %q", got)
	}
	if got := describe(r.Lookup(cart)); got != "10.1.0.1 10.1.0.2" {
		t.Errorf("what was known: %q", got)
	}
}

// logBuffer is a buffer for a logger that others write to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
