package proxy

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// What the proxy answers itself is explained as well.
func TestOurOwnErrorsAreExplained(t *testing.T) {
	silent := func(t *testing.T) netip.AddrPort {
		return newServer(t, func(_ int, c *net.TCPConn) { io.Copy(io.Discard, c) }).addr
	}
	for name, c := range map[string]struct {
		endpoints []func(t *testing.T) netip.AddrPort
		change    func(*rules.Rules)
		status    int
		grpc      string
		want      string // a pattern
	}{
		"no endpoint can be reached": {[]func(t *testing.T) netip.AddrPort{closedPort, closedPort}, func(*rules.Rules) {}, 503, "14",
			`attempts=3; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; tried=127.0.0.1:\d+ connect-failed \S+; tried=127.0.0.99:9 connect-failed \S+`},
		"no answer in time": {[]func(t *testing.T) netip.AddrPort{silent}, func(r *rules.Rules) { r.Timeout = 30 * time.Millisecond }, 504, "4",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ timed-out \S+`},
		"no endpoint can be reached with a key": {[]func(t *testing.T) netip.AddrPort{closedPort}, byAccount(rules.FallOver, 0), 503, "14",
			`attempts=2; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; tried=127.0.0.99:9 connect-failed \S+; key=header:account; hash=\S+; map=.*; owner=\S+; to=none; reason=no endpoint can be reached`},
		"no answer in time with a key": {[]func(t *testing.T) netip.AddrPort{silent}, func(r *rules.Rules) { byAccount(rules.FallOver, 0)(r); r.Timeout = 30 * time.Millisecond }, 504, "4",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ timed-out \S+; key=header:account; hash=\S+; map=.*; owner=\S+; to=owner`},
		"every endpoint is at its limit": {[]func(t *testing.T) netip.AddrPort{silent}, func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending = 1, 0 }, 503, "14",
			`attempts=0; time=\S+`},
		"the owner is away": {[]func(t *testing.T) netip.AddrPort{closedPort}, byAccount(rules.FallStrict, 0), 503, "14",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; key=.*; owner=\S+; to=none; ` +
				`reason=owner cannot be reached, sluice.mesh/shard-fallback: strict`},
		"the owner is waited for in vain": {[]func(t *testing.T) netip.AddrPort{closedPort}, byAccount(rules.FallWait, 30*time.Millisecond), 503, "14",
			`attempts=[12]; time=\S+(; tried=127.0.0.1:\d+ connect-failed \S+)+; key=.*; owner=\S+; to=none; waited; ` +
				`reason=owner cannot be reached, the request has waited \d+ms \(sluice.mesh/shard-fallback: wait=30ms\)`},
		"too many wait for the owner": {[]func(t *testing.T) netip.AddrPort{closedPort},
			func(r *rules.Rules) { byAccount(rules.FallWait, time.Hour)(r); r.Limits.Pending = 0 }, 503, "14",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; key=.*; owner=\S+; to=none; ` +
				`reason=owner cannot be reached, 0 requests wait for owners already \(sluice.mesh/max-pending\)`},
		"the time is over before the owner is there": {[]func(t *testing.T) netip.AddrPort{closedPort},
			func(r *rules.Rules) { byAccount(rules.FallWait, time.Hour)(r); r.Timeout = 30 * time.Millisecond }, 504, "4",
			// On a busy machine a second connect has begun when the time is over.
			`attempts=[12]; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+(; tried=127.0.0.1:\d+ (connect-failed|timed-out) \S+)?; key=.*; owner=\S+; to=none; waited; ` +
				`reason=(owner cannot be reached|no connection came about), the request's time is over, which is 30ms, its sluice.mesh/timeout`},
		"the owner is at its limit": {[]func(t *testing.T) netip.AddrPort{silent},
			func(r *rules.Rules) { byAccount(rules.FallStrict, 0)(r); r.Limits.Requests, r.Limits.Pending = 1, 0 }, 503, "14",
			`attempts=0; time=\S+; key=.*; owner=\S+; to=none; reason=owner has its most requests, 0 requests wait already \(sluice.mesh/max-pending\)`},
		"the owner stays at its limit": {[]func(t *testing.T) netip.AddrPort{silent},
			func(r *rules.Rules) {
				byAccount(rules.FallOver, 0)(r)
				r.Limits.Requests, r.Limits.Pending, r.Limits.Queue = 1, 5, 20*time.Millisecond
			}, 503, "14",
			`attempts=0; time=\S+; key=.*; owner=\S+; to=none; reason=owner has its most requests, this one has waited 20ms \(sluice.mesh/queue-timeout\)`},
		"the time is over before there is a connection": {[]func(t *testing.T) netip.AddrPort{unanswered},
			func(r *rules.Rules) { byAccount(rules.FallOver, 0)(r); r.Timeout = 50 * time.Millisecond }, 504, "4",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ timed-out \S+; key=.*; owner=\S+; to=none; ` +
				`reason=no connection came about, the request's time is over, which is 50ms, its sluice.mesh/timeout`},
		"a key is needed": {[]func(t *testing.T) netip.AddrPort{silent},
			func(r *rules.Rules) { r.Shard.Key, r.Shard.NoKey = "header:other", rules.KeyReject }, 400, "3",
			`attempts=0; time=\S+; key=none; to=none; reason=absent of header:other`},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				var addrs []netip.AddrPort
				for _, f := range c.endpoints {
					addrs = append(addrs, f(t))
				}
				r.keyed(func(ru *rules.Rules) { c.change(ru); ru.Explain = rules.ExplainHeader }, r.eps(addrs...)...)
				if strings.HasSuffix(name, "at its limit") {
					r.on(func() { r.eps(addrs...)[0].Places.Take(1) })
					defer r.on(func() { r.eps(addrs...)[0].Places.Give() })
				}
				r.target.HTTP2.Store(true) // nobody has to be asked, which takes its time where a connect hangs
				cl := client(r)
				status, _, h := ask(t, cl, "POST", "/", "x", "account: 1")
				if status != c.status || h.Get(explainField) != "" {
					t.Errorf("%d, %q though nobody asked", status, h.Get(explainField))
				}
				want := regexp.MustCompile(`^service=default/web:80; policy=least-request; endpoint=none; ` + c.want + `$`)
				status, text, h := ask(t, cl, "POST", "/", "x", "account: 1", "sluice-explain: 1")
				if got := h.Get(explainField); status != c.status || !strings.HasPrefix(text, "sluice: ") || !want.MatchString(got) {
					t.Errorf("%d %q, explained: %q, want %s", status, text, got, want)
				}
				if e, err := explanation.Parse(h.Get(explainField)); err != nil || e.String() != h.Get(explainField) || len(e.Other) > 0 {
					t.Errorf("%q is read as %+v, %v", h.Get(explainField), e, err)
				}
				if !strings.Contains(t.Name(), "HTTP/2") {
					return
				}
				_, _, h = ask(t, cl, "POST", "/pkg.Service/Method", "\x00\x00\x00\x00\x00", "account: 1", "sluice-explain: 1", "content-type: application/grpc")
				if got := h.Get(explainField); h.Get("grpc-status") != c.grpc || !want.MatchString(got) {
					t.Errorf("%v, explained: %q, want %s", h, got, want)
				}
			})
		})
	}
}

// A key that its map has nothing for goes where the policy says, and the answer says why.
func TestAKeyWithoutAnOwnerIsExplained(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, func(r *rules.Rules) {
			r.Shard.Key, r.Shard.Map, r.Explain = "header:place", "s2", rules.ExplainHeader
		})
		cl := client(p.r)
		for key, want := range map[string]string{
			"nowhere":   `; key=header:place; hash=[0-9a-f]{16}; owner=none; reason=no-place$`,
			"48.1,11.5": `; key=header:place; hash=[0-9a-f]{16}; map=[^;]+; owner=\S+; to=\S+$`,
		} {
			status, text, h := ask(t, cl, "GET", "/", "", "place: "+key, "sluice-explain: 1")
			if got := h.Get(explainField); status != 200 || !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%q: %d %q, explained: %q, want %s", key, status, text, got, want)
			}
		}
		cl.CloseIdleConnections()
	})
}

// The Service is removed while requests to it are under way on a connection that others share.
func TestExplainedThoughItsServiceHasGone(t *testing.T) {
	for _, key := range []string{"nowhere", "48.1,11.5"} {
		p := newPods(t, 2, func(r *rules.Rules) {
			r.Shard.Key, r.Shard.Map, r.Explain = "header:place", "s2", rules.ExplainHeader
		})
		began, goOn := make(chan struct{}, 1), make(chan struct{})
		p.does(func(_ int, _ http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/slow" {
				began <- struct{}{}
				<-goOn
			}
		})
		cl := p.r.h2Client()
		explained := make(chan string, 1)
		go func() {
			_, _, h := ask(t, cl, "GET", "/slow", "", "place: "+key, "sluice-explain: 1")
			explained <- h.Get(explainField)
		}()
		got(t, began, "the request")
		p.r.resolver.set(p.r.dst, nil)
		p.r.target.Remove()
		// Another request on the connection finds out, and goes to the original destination, where nobody is.
		ask(t, cl, "GET", "/", "", "place: "+key)
		close(goOn)
		if text := got(t, explained, "the answer"); !strings.Contains(text, "; hash=") {
			t.Errorf("%q: explained: %q", key, text)
		}
		cl.CloseIdleConnections()
	}
}

// An explanation is of the answer that is passed on: when the owner's error is, since the next pod was not asked or was no better, it does not
// say that the request went past the owner.
func TestTheOwnersOwnErrorIsExplainedAsIts(t *testing.T) {
	for name, change := range map[string]func(*rules.Rules){
		"no further attempt is left": func(r *rules.Rules) { r.Retry.Most = 0 },
		"nobody else can be reached": func(*rules.Rules) {},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				p := newPods(t, 3, func(r *rules.Rules) { byAccount(rules.FallOver, 0)(r); r.Explain = rules.ExplainOn; change(r) })
				p.does(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
				cl, key := client(p.r), p.keyOf(2)
				p.kill(0)
				p.kill(1)
				status, text, h := ask(t, cl, "GET", "/", "", "account: "+key)
				want := regexp.MustCompile(`; pod=web-2; .*; owner=web-2; to=owner$`)
				if got := h.Get(explainField); status != 503 || text != "web-2" && text != "" || !want.MatchString(got) {
					t.Errorf("%d %q, explained: %q, want %s", status, text, got, want)
				}
				cl.CloseIdleConnections()
			})
		})
	}
}

// A request that waited for its turn in vain was sent to nobody.
func TestATurnThatDoesNotComeIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rules.Rules)
		status int
		want   string
	}{
		"too many wait": {func(r *rules.Rules) { r.Limits.Pending = 0 }, 503, `0 requests wait for their turn already \(sluice.mesh/max-pending\)`},
		"the wait is over": {func(r *rules.Rules) { r.Limits.Pending, r.Limits.Queue = 5, 20*time.Millisecond }, 503,
			`other requests of the key are under way, this one has waited 20ms \(sluice.mesh/queue-timeout\)`},
		"the time is over": {func(r *rules.Rules) { r.Limits.Pending, r.Limits.Queue, r.Timeout = 5, time.Hour, 100*time.Millisecond }, 504,
			`other requests of the key are under way, the request's time is over, which is 100ms, its sluice.mesh/timeout`},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				p := newPods(t, 2, func(r *rules.Rules) {
					byAccount(rules.FallOver, 0)(r)
					r.Shard.Serialize, r.Explain = true, rules.ExplainHeader
					c.change(r)
				})
				key := p.keyOf(1)
				port := p.r.w.o.Shared.of(p.r.target.Name)
				ticket, _ := p.r.w.o.Shared.turnsOf(port).take(p.r.l, shardkey.Of([]byte(key)).Hash, &port.inLine, 0)
				defer p.r.on(func() { ticket.done() })
				cl := client(p.r)
				status, text, h := ask(t, cl, "GET", "/", "", "account: "+key, "sluice-explain: 1")
				want := regexp.MustCompile(`endpoint=none; attempts=0; .*; owner=web-1; to=none; reason=` + c.want + `$`)
				if got := h.Get(explainField); status != c.status || !want.MatchString(got) {
					t.Errorf("%d %q, explained: %q, want %s", status, text, got, want)
				}
				cl.CloseIdleConnections()
			})
		})
	}
}
