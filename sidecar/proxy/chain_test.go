package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// chain is applications A, B, C and D, each but the last with a proxy of its own and each but the first with three endpoints, that call one
// another in a row. D fails always, and so do those before it.
type chain struct {
	proxies [3]*rig
	seen    [3]atomic.Int64 // requests at B, C, D
}

const chainHeader = "x-attempt"

// newChain makes one over HTTP/1.1 or HTTP/2. With passOn, applications pass the attempt header on, as they do for trace context.
func newChain(t *testing.T, two, passOn bool, change func(*rules.Rules)) *chain {
	k := &chain{}
	for i := range k.proxies {
		k.proxies[i] = newRig(t)
	}
	for i := range k.proxies {
		var ask func(*http.Request) int
		if i+1 < len(k.proxies) {
			ask = k.proxies[i+1].asking(t, two)
		}
		var addrs []netip.AddrPort
		for range 3 {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				k.seen[i].Add(1)
				status := http.StatusInternalServerError
				if ask != nil {
					next, _ := http.NewRequestWithContext(q.Context(), "GET", "http://web/", nil)
					if v := q.Header.Get(chainHeader); passOn && v != "" {
						next.Header.Set(chainHeader, v)
					}
					status = ask(next)
				}
				w.WriteHeader(status)
			}))
			server.Config.Protocols = &http.Protocols{}
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			t.Cleanup(server.Close)
			addrs = append(addrs, netip.MustParseAddrPort(server.Listener.Addr().String()))
		}
		k.proxies[i].serve(addrs...)
		k.proxies[i].with(func(ru *rules.Rules) {
			// What might spare D requests besides, or send some only because the machine is busy.
			ru.Ejection.On, ru.HangRace.On = false, false
			change(ru)
		})
	}
	return k
}

// asking answers what sends a request by the rig's proxy, and answers the status: 0 without one.
func (r *rig) asking(t *testing.T, two bool) func(*http.Request) int {
	p := &http.Protocols{}
	p.SetHTTP1(!two)
	p.SetUnencryptedHTTP2(two)
	tr := &http.Transport{Protocols: p, MaxIdleConnsPerHost: 100, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return func(q *http.Request) int {
		res, err := tr.RoundTrip(q)
		if err != nil {
			return 0
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
}

// run sends n requests from A, some at a time.
func (k *chain) run(t *testing.T, two bool, n int) {
	ask := k.proxies[0].asking(t, two)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range n / 10 {
				q, _ := http.NewRequest("GET", "http://web/", nil)
				if status := ask(q); status != 500 {
					t.Errorf("A is answered %d, want D's 500", status)
				}
			}
		})
	}
	wg.Wait()
}

// Retries of proxies in a row do not multiply: three that may each send a request three times would make 27 of one.
func TestRetriesDoNotMultiplyAcrossHops(t *testing.T) {
	for _, two := range []bool{false, true} {
		name := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[two]
		t.Run(name+" without a bound they would", func(t *testing.T) {
			k := newChain(t, two, false, func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{Ratio: 10, Burst: 10000} })
			k.run(t, two, 20)
			if n := k.seen[2].Load(); n != 27*20 {
				t.Errorf("D got %d requests of 20, want 27 of each: the chain of this test proves nothing", n)
			}
		})
		t.Run(name+" the budgets bound them", func(t *testing.T) {
			const burst, requests = 10, 300
			k := newChain(t, two, false, func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{Ratio: 0.2, Burst: burst} })
			k.run(t, two, requests)
			most := float64(requests)
			for i := range k.seen {
				if most = 1.2*most + burst; float64(k.seen[i].Load()) > most {
					t.Errorf("hop %d: %d requests, want at most %.0f of %d", i+1, k.seen[i].Load(), most, requests)
				}
			}
			if n := k.seen[2].Load(); n < 400 {
				t.Errorf("D got %d requests of %d, so few that nothing was tried again", n, requests)
			}
		})
		t.Run(name+" what is an attempt already is not tried again further on", func(t *testing.T) {
			k := newChain(t, two, true, func(ru *rules.Rules) {
				ru.Retry.Budget, ru.AttemptHeader = rules.Budget{Ratio: 10, Burst: 10000}, chainHeader
			})
			k.run(t, two, 20)
			// Of the three attempts of each hop only the first is tried again behind it: 3, 3+2, 3+2+2.
			for i, want := range []int64{3, 5, 7} {
				if n := k.seen[i].Load(); n != 20*want {
					t.Errorf("hop %d: %d requests of 20, want %d of each", i+1, n, want)
				}
			}
		})
	}
}
