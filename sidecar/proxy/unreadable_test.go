package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// babbles answers with what nobody understands: over HTTP/1.x no status line, over HTTP/2 DATA on stream 0.
func babbles(t *testing.T) netip.AddrPort {
	return newServer(t, func(_ int, c *net.TCPConn) {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if !strings.HasPrefix(string(b[:n]), "PRI * HTTP/2.0") {
				c.Write([]byte("hello\r\n\r\n"))
				continue
			}
			c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
			time.Sleep(20 * time.Millisecond) // behind which the request has come
			c.Read(b)
			c.Write([]byte("\x00\x00\x01\x00\x00\x00\x00\x00\x00x"))
		}
	}).addr
}

// An answer that cannot be understood is no answer: where a request may go to another endpoint it does.
func TestAnUnreadableAnswerSendsAGETElsewhere(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		bad := babbles(t)
		r.serve(bad, newH2Server(t, named("good"), either).addr)
		c := client(r)
		for range 30 {
			if status, text, _ := ask(t, c, "GET", "/", ""); status != 200 || text != "good" {
				t.Errorf("got %d %q", status, text)
			}
		}
		if !r.ejected(bad) {
			t.Error("the endpoint is not ejected")
		}
		c.CloseIdleConnections()
	})
}

func TestAnUnreadableAnswerIsLeftAtThat(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		change func(*rules.Rules)
	}{
		"a POST may have had its effect": {"POST", func(*rules.Rules) {}},
		"the Service does not want it":   {"GET", func(ru *rules.Rules) { ru.Retry.On &^= rules.OnReset }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.inOrder(babbles(t), newH2Server(t, named("good"), either).addr)
			r.with(c.change)
			p := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
			}, DisableKeepAlives: true}
			if status, text, _ := ask(t, &http.Client{Transport: p, Timeout: patience}, c.method, "/", ""); status != 502 {
				t.Errorf("got %d %q", status, text)
			}
			r.counts("unreadable answers", 1, func() uint64 { return r.attempts(classify.BadAnswer) })
		})
	}
}

// What the request asks for may be what cannot be understood, such as a head beyond the limit: it costs nobody the others' requests.
func TestUnreadableAnswersOfAllEndpointsEjectNone(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		var addrs []netip.AddrPort
		for range 3 {
			addrs = append(addrs, newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/long" {
					w.Header().Set("X", strings.Repeat("x", 70<<10))
				}
			}, either).addr)
		}
		r.serve(addrs...)
		c := client(r)
		for i := range 60 {
			ask(t, c, map[bool]string{true: "GET", false: "POST"}[i%2 == 0], "/long", "")
		}
		r.counts("ejections", 0, r.service().Ejections.Load)
		if n := r.attempts(classify.BadAnswer); n < 60 {
			t.Errorf("%d unreadable answers, want 60 and the retries", n)
		}
		c.CloseIdleConnections()
	})
}
