package kube

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusing answers a setRefuse function for requests of one kind; "" is any.
func refusing(code int, verb, resource string) func(string, string, string) int {
	return func(v, r, _ string) int {
		if (verb == "" || v == verb) && (resource == "" || r == resource) {
			return code
		}
		return 0
	}
}

// The permission goes while a Service is in use, and its endpoints change: what was known is believed no longer than
// RefusedFor. When the permission is back, the Service is found again as it is then.
func TestPermissionIsLostAndComesBack(t *testing.T) {
	for _, c := range []struct {
		name           string
		code           int
		verb, resource string
	}{
		{"everything is forbidden", 403, "", ""},
		{"the credentials are not accepted", 401, "", ""},
		{"only EndpointSlices are forbidden", 403, "", "endpointslices"},
		{"only watching is forbidden", 403, "watch", ""},
		{"only watching the Service is forbidden", 403, "watch", "services"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := shop(t)
			r := start(t, a, Options{RefusedFor: 100 * time.Millisecond, AbsentFor: time.Millisecond, RetryAfter: time.Millisecond})
			held := r.resolve(cart).Target
			defer held.Release()
			r.wait("watches", func() bool { return a.openWatches() == 2 })

			a.setRefuse(refusing(c.code, c.verb, c.resource))
			a.http.CloseClientConnections()
			a.put(slice("shop", "cart", "cart-1", "10.1.0.7"))
			began := time.Now()
			r.waitLookup(cart, "discovery-forbidden")
			if took := time.Since(began); took < 90*time.Millisecond || took > 5*time.Second {
				t.Errorf("after %v, want about RefusedFor", took)
			}
			if !held.Removed() {
				t.Error("those who hold the target are not told")
			}
			if n := len(r.Status().Targets); n != 0 {
				t.Errorf("%d targets in the status", n)
			}
			if p := problems(r); !strings.Contains(p, "targets of Service shop/cart: taken out of use") {
				t.Errorf("problems %q", p)
			}

			// Connections pass through at once, and nobody is asked for them.
			a.took()
			for range 1000 {
				if got := describe(r.Lookup(cart)); got != "discovery-forbidden" {
					t.Fatalf("got %q", got)
				}
			}
			for _, request := range a.took() {
				if strings.Contains(request, "spec.clusterIP") {
					t.Errorf("connections made the request %q", request)
				}
			}

			if c.verb == "" && c.resource == "" {
				r.expect(netip.MustParseAddrPort("10.96.0.20:80"), "discovery-forbidden")
				if p := problems(r); !strings.Contains(p, "list services of all namespaces") {
					t.Errorf("problems %q", p)
				}
			}

			a.put(slice("shop", "cart", "cart-1", "10.1.0.8"))
			a.setRefuse(nil)
			r.wait("the endpoints as they are now", func() bool {
				got := describe(r.Lookup(cart))
				if got != "discovery-forbidden" && got != "10.1.0.8" {
					t.Fatalf("on the way back: %q", got)
				}
				return got == "10.1.0.8"
			})
			r.wait("no age and no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })
			a.put(slice("shop", "cart", "cart-1", "10.1.0.9"))
			r.waitLookup(cart, "10.1.0.9")
			for _, what := range []string{"new", "gone"} {
				if n := countLines(r.log.String(), "pass through", "problem="+what); n != 1 {
					t.Errorf("%d lines in the log say that the problem is %s", n, what)
				}
			}
		})
	}
}

// countLines counts the lines that contain all of the words.
func countLines(log string, words ...string) (n int) {
	for line := range strings.Lines(log) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

func (a *apiServer) waitRefused(r *running, n int) {
	r.t.Helper()
	a.took()
	seen := 0
	r.wait("refused requests", func() bool { seen += len(a.took()); return seen >= n })
}

// As while an API server starts: its access rules are not there yet.
func TestAShortRefusalChangesNothing(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{RefusedFor: time.Hour})
	target := r.resolve(cart).Target
	defer target.Release()
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	for _, change := range []string{"10.1.0.7", "10.1.0.8"} {
		a.setRefuse(refusing(403, "", ""))
		a.http.CloseClientConnections()
		a.waitRefused(r, 4)
		if r.Status().Age == 0 || target.Removed() {
			t.Fatal("the watches were not refused, or the target is gone at once")
		}
		a.put(slice("shop", "cart", "cart-1", change))
		a.setRefuse(nil)
		r.wait("the change", func() bool { return addrsOf(target) == change })
		r.wait("no age and no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })
	}
	if target.Removed() {
		t.Error("the target is gone")
	}
}

// An API server that is away, or fails, says nothing about permission, however long it takes.
func TestAnOutageRemovesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		code int // 0 is that nobody listens
	}{
		{"nobody listens", 0}, {"too many requests", 429}, {"internal error", 500}, {"unavailable", 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := shop(t)
			r := start(t, a, Options{RefusedFor: 20 * time.Millisecond, RetryAfter: time.Millisecond})
			target := r.resolve(cart).Target
			defer target.Release()
			r.wait("watches", func() bool { return a.openWatches() == 2 })
			if c.code == 0 {
				a.kill()
			} else {
				a.setRefuse(refusing(c.code, "", ""))
				a.http.CloseClientConnections()
			}
			r.wait("ten times RefusedFor", func() bool { return r.Status().Age > 200*time.Millisecond })
			if got := describe(r.Lookup(cart)); got != "10.1.0.1 10.1.0.2" || target.Removed() {
				t.Errorf("leads to %q, removed %v", got, target.Removed())
			}
			if c.code == 0 {
				a.start()
			} else {
				a.setRefuse(nil)
			}
			r.wait("no age and no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })
		})
	}
}

// A Service that was never known to its end is answered for too, so that connections need not wait for ResolveTimeout.
func TestAServiceWithoutPermissionFromTheStart(t *testing.T) {
	a := shop(t)
	a.setRefuse(refusing(403, "", "endpointslices"))
	r := start(t, a, Options{RefusedFor: time.Millisecond, ResolveTimeout: 20 * time.Second})
	r.expect(cart, "discovery-forbidden")
	a.setRefuse(nil)
	r.waitLookup(cart, "10.1.0.1 10.1.0.2")
}

// A Service that nobody may see is not followed for ever.
func TestAServiceWithoutPermissionIsRetired(t *testing.T) {
	a := shop(t)
	r := start(t, a, Options{RefusedFor: time.Millisecond, IdleAfter: 300 * time.Millisecond, RetryAfter: time.Hour})
	held := r.resolve(cart)
	r.wait("watches", func() bool { return a.openWatches() == 2 })
	a.setRefuse(refusing(403, "", ""))
	a.http.CloseClientConnections()
	r.waitLookup(cart, "discovery-forbidden")
	held.Target.Release()
	r.wait("the end", func() bool { return len(r.allWatched()) == 0 })
	r.expect(cart, "discovery-forbidden")
	if got := describe(r.Lookup(cart)); got != "discovery-forbidden" {
		t.Errorf("the next connection: %q", got)
	}
}

func TestStreak(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }
	var s streak
	for _, step := range []struct {
		name      string
		now       int
		awaySince int // when the API server was last found to be away
		end       bool
		want      time.Duration
	}{
		{"the first refusal", 0, -500, false, 0},
		{"the second", 2, -500, false, 2 * time.Second},
		{"a third", 5, -500, false, 5 * time.Second},
		{"the first after a request succeeded", 9, -500, true, 0},
		{"the next", 10, -500, false, time.Second},
		{"the first after the server was away", 60, 11, false, 0},
		{"the next", 63, 11, false, 3 * time.Second},
	} {
		if step.end {
			s = streak{}
		}
		if got := s.add(at(step.now), at(step.awaySince)); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}
