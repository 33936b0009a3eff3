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

	"github.com/sluice-mesh/sluice/sidecar/rules"
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
			`attempts=2; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; tried=127.0.0.99:9 connect-failed \S+; key=header:account; hash=\S+; map=.*; owner=\S+; to=failover; reason=owner was tried`},
		"no answer in time with a key": {[]func(t *testing.T) netip.AddrPort{silent}, func(r *rules.Rules) { byAccount(rules.FallOver, 0)(r); r.Timeout = 30 * time.Millisecond }, 504, "4",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ timed-out \S+; key=header:account; hash=\S+; map=.*; owner=\S+; to=owner`},
		"every endpoint is at its limit": {[]func(t *testing.T) netip.AddrPort{silent}, func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending = 1, 0 }, 503, "14",
			`attempts=0; time=\S+`},
		"the owner is away": {[]func(t *testing.T) netip.AddrPort{closedPort}, byAccount(rules.FallStrict, 0), 503, "14",
			`attempts=1; time=\S+; tried=127.0.0.1:\d+ connect-failed \S+; key=.*; owner=\S+; to=\S+`},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				var addrs []netip.AddrPort
				for _, f := range c.endpoints {
					addrs = append(addrs, f(t))
				}
				r.keyed(func(ru *rules.Rules) { c.change(ru); ru.Explain = rules.ExplainHeader }, r.eps(addrs...)...)
				if name == "every endpoint is at its limit" {
					r.on(func() { r.eps(addrs...)[0].Places.Take(1) })
					defer r.on(func() { r.eps(addrs...)[0].Places.Give() })
				}
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
