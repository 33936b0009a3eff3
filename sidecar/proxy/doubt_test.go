package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// What every pod answers with 500 is due to the requests, and not only where a second pod may be asked: these are POSTs.
func TestA500OfAllPodsEjectsNone(t *testing.T) {
	// Pods below bad answer 500 to everything, and all do to a poisoned request.
	answers := func(bad int) func(int, http.ResponseWriter, *http.Request) {
		return func(pod int, w http.ResponseWriter, q *http.Request) {
			if pod < bad || q.URL.Path == "/poison" {
				w.WriteHeader(500)
			}
		}
	}
	tenths := func(n int) func(int) bool { return func(int) bool { return rand.IntN(10) < n } }
	all := func(i int) bool { return true }
	for name, c := range map[string]struct {
		pods, bad int
		poisoned  func(i int) bool // the i-th request of each client
		ejects    bool
	}{
		"each request is poisoned":            {3, 0, all, false},
		"each request is poisoned, two pods":  {2, 0, all, false},
		"each request is poisoned, ten pods":  {10, 0, all, false},
		"one pod of two is bad":               {2, 1, func(int) bool { return false }, true},
		"two pods of three are bad":           {3, 2, func(int) bool { return false }, true},
		"one pod is bad, few are poisoned":    {3, 1, tenths(1), true},
		"a single pod, and all are poisoned":  {1, 0, all, false},
		"a single pod, and it is bad":         {1, 1, func(int) bool { return false }, false},
		"every second is poisoned, ten pods":  {10, 0, tenths(5), false},
		"nine of ten are poisoned, five pods": {5, 0, tenths(9), false},
	} {
		for _, clients := range []int{1, 20} {
			t.Run(fmt.Sprintf("%s, %d clients", name, clients), func(t *testing.T) {
				protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
					p := newPods(t, c.pods, func(*rules.Rules) {})
					p.does(answers(c.bad))
					var addrs []netip.AddrPort
					for _, ep := range p.eps {
						addrs = append(addrs, ep.Addr)
					}
					p.r.serve(addrs...)
					cl := client(p.r)
					var all sync.WaitGroup
					for range clients {
						all.Go(func() {
							for i := range 600 / clients {
								ask(t, cl, "POST", map[bool]string{false: "/", true: "/poison"}[c.poisoned(i)], "x")
							}
						})
					}
					all.Wait()
					if n := p.r.service().Ejections.Load(); (n > 0) != c.ejects {
						t.Errorf("%d ejections", n)
					}
					cl.CloseIdleConnections()
				})
			})
		}
	}
}

// A call's status may come behind a head that says nothing of it.
func TestAnINTERNALBehindTheHeadOfAllPodsEjectsNone(t *testing.T) {
	for name, c := range map[string]struct {
		bad    int // pods below it fail
		ejects bool
	}{"each pod": {3, false}, "one pod of three": {1, true}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var addrs []netip.AddrPort
			for pod := range 3 {
				addrs = append(addrs, newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
					w.Header().Set("Content-Type", "application/grpc")
					w.Header().Set("Trailer", "Grpc-Status")
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
					w.Header().Set("Grpc-Status", map[bool]string{false: "0", true: "13"}[pod < c.bad])
				}).addr)
			}
			r.serve(addrs...)
			cl := r.h2Client()
			for range 60 {
				q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
				q.Header.Set("Content-Type", "application/grpc")
				res, err := cl.Do(q)
				body(t, res, err)
			}
			if n := r.service().Ejections.Load(); (n > 0) != c.ejects {
				t.Errorf("%d ejections", n)
			}
			cl.CloseIdleConnections()
		})
	}
}
