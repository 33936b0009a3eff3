package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

func TestSessions(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 4, func(r *rules.Rules) { r.Shard.Cookie = "sid;path=/shop;max-age=1h" })
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) { w.Header().Set("Set-Cookie", "theirs=1") })
		cl := client(p.r)
		// issued asks, and answers the cookie that came, or "".
		issued := func(want string, fields ...string) string {
			t.Helper()
			status, pod, h := ask(t, cl, "POST", "/shop/cart?x=/", "x", fields...)
			if status != 200 || pod != want {
				t.Errorf("%d from %q, want %s", status, pod, want)
			}
			cookies := h.Values("Set-Cookie")
			if len(cookies) == 0 || cookies[0] != "theirs=1" || len(cookies) > 2 {
				t.Errorf("cookies %q", cookies)
			}
			if len(cookies) < 2 {
				return ""
			}
			value, ok := strings.CutSuffix(cookies[1], "; Path=/shop; Max-Age=3600; HttpOnly; SameSite=Lax")
			if !ok {
				t.Errorf("cookie %q", cookies[1])
			}
			return "cookie: a=b; " + value
		}
		first := issued("web-0")
		if !strings.HasPrefix(first, "cookie: a=b; sid=1") {
			t.Fatalf("got %q", first)
		}
		member := p.r.target.Snapshot().Shard.MemberAt(p.eps[2])
		second := "cookie: sid=" + string(member.Session(nil))
		for range 3 {
			if c := issued("web-0", first); c != "" {
				t.Errorf("the cookie was issued again: %q", c)
			}
			if c := issued("web-2", second); c != "" {
				t.Errorf("the cookie was issued again: %q", c)
			}
		}
		p.r.counts("sessions kept", 6, p.r.service().Sessions[metrics.SessionKept].Load)
		if c := issued("web-0", "cookie: sid=nonsense"); c != first {
			t.Errorf("for nonsense %q was issued, want %q", c, first)
		}
		p.publish(2)
		if c := issued("web-0", second); c != first {
			t.Errorf("while the pod is away %q was issued, want %q", c, first)
		}
		p.publish()
		p.kill(2)
		if c := issued("web-0", second); c != first {
			t.Errorf("when the pod is dead %q was issued, want %q", c, first)
		}
		p.r.counts("sessions moved", 3, p.r.service().Sessions[metrics.SessionMoved].Load)
		for _, target := range []string{"/", "/shopping", "/static/shop", "/SHOP", "/?/shop"} {
			// The browser sends no cookie there, and would take one that came from there for the one of /shop.
			for _, fields := range [][]string{nil, {second}} {
				if status, pod, h := ask(t, cl, "GET", target, "", fields...); status != 200 || pod != "web-0" || len(h.Values("Set-Cookie")) != 1 {
					t.Errorf("GET %s with %q: %d from %s, cookies %q", target, fields, status, pod, h.Values("Set-Cookie"))
				}
			}
		}
		p.r.counts("sessions begun", 1, p.r.service().Sessions[metrics.SessionNew].Load)
		cl.CloseIdleConnections()
	})
}

// Browsers send all cookies of a name whose paths match, and applications may have one of that name too.
func TestSessionsAmongOtherCookiesOfTheName(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 4, func(r *rules.Rules) { r.Shard.Cookie = "sid" })
		cl := client(p.r)
		var sid []string
		for _, ep := range p.eps {
			sid = append(sid, "sid="+string(p.r.target.Snapshot().Shard.MemberAt(ep).Session(nil)))
		}
		asks := func(want string, issued bool, fields ...string) {
			t.Helper()
			status, pod, h := ask(t, cl, "POST", "/", "x", fields...)
			if status != 200 || pod != want || (h.Get("Set-Cookie") != "") != issued {
				t.Errorf("%q: %d from %s, cookie %q, want %s", fields, status, pod, h.Get("Set-Cookie"), want)
			}
		}
		asks("web-2", false, "cookie: "+sid[2]+"; "+sid[3])
		asks("web-2", false, "cookie: sid=theirs; a=b; "+sid[2])
		asks("web-2", false, "cookie: sid=; sid=theirs; "+sid[2]+"; sid=others")
		asks("web-2", false, "cookie: sid=theirs", "cookie: "+sid[2])
		asks("web-0", true, "cookie: sid=theirs; sid=others")
		p.publish(2)
		asks("web-3", false, "cookie: "+sid[2]+"; "+sid[3])
		asks("web-0", true, "cookie: "+sid[2]+"; sid=theirs")
		cl.CloseIdleConnections()
	})
}

func TestExplanationsOfKeys(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 4, func(r *rules.Rules) { r.Shard.Key, r.Explain = "header:account", rules.ExplainOn })
		cl, key := client(p.r), p.keyOf(2)
		explained := func(want string, fields ...string) {
			t.Helper()
			_, _, h := ask(t, cl, "POST", "/", "x", fields...)
			if got := h.Get("Sluice-Explain"); !strings.Contains(got, want) || strings.Contains(got, key) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		explained("; key=none; reason=absent of header:account")
		explained("; owner=web-2; to=owner", "account: "+key)
		explained("; key=header:account; hash=", "account: "+key)
		explained("; map=slot ", "account: "+key)
		p.publish(2)
		explained("; owner=web-2; to=failover; reason=owner is not ready", "account: "+key)
		p.publish()
		p.kill(2)
		explained("; owner=web-2; to=failover; reason=owner was tried", "account: "+key)
		explained("; owner=web-2; to=failover; reason=owner fails", "account: "+key)
		cl.CloseIdleConnections()
	})
}
