package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/attack"
)

// attackTime is how long attacks last that are not ended.
const attackTime = 50 * time.Millisecond

func (r *rig) dialAttack(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", r.addr.String())
}

func total(counters []atomic.Uint64) (n uint64) {
	for i := range counters {
		n += counters[i].Load()
	}
	return n
}

func TestServersThatMisbehaveOverHTTP2(t *testing.T) {
	for _, a := range attack.Servers {
		t.Run(a.Name, func(t *testing.T) {
			r := newRig(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			r.serve(l.Addr().(*net.TCPAddr).AddrPort())
			v := a.Serve(l, attackTime)
			got := a.Ask(t.Context(), r.dialAttack, patience)
			l.Close()
			v.End()
			if !got.Right(a) {
				t.Errorf("want %v, got %v", a.Want, got)
			}
			if strings.HasSuffix(a.Name, " flood") || strings.HasPrefix(a.Name, "endless CONTINUATION") {
				r.counts("connections that were ended for what the endpoint did", 1, func() uint64 { return total(r.m.Loop(0).UpstreamViolations) })
			}
			if n := total(r.m.Loop(0).Violations); n != 0 {
				t.Errorf("%d violations of the client were counted", n)
			}
		})
	}
}

func TestClientsThatMisbehaveOverHTTP2(t *testing.T) {
	for _, a := range attack.Clients {
		if a.Endured {
			continue // it lasts, and shows in memory and in what others notice: test/conformance looks at these
		}
		t.Run(a.Name, func(t *testing.T) {
			s := newH2Server(t, attack.Handler().ServeHTTP)
			r := newRig(t)
			r.serve(s.addr)
			if o, err := a.Run(t.Context(), r.dialAttack, patience); err != nil || !a.Right(o) {
				t.Errorf("got %+v, %v; want one of %v", o, err, a.Codes)
			}
			r.counts("connections that were ended for what their client did", 1, func() uint64 { return total(r.m.Loop(0).Violations) })
			if n := total(r.m.Loop(0).UpstreamViolations); n != 0 {
				t.Errorf("%d violations of the endpoint were counted", n)
			}
		})
	}
}

// A kept connection that ends with a request on it says nothing of its endpoint, which is asked again on a new one.
func TestAKeptConnectionThatEndsIsMadeAnew(t *testing.T) {
	type key struct{}
	type kept struct {
		net.Conn
		requests atomic.Int64
	}
	var used atomic.Int64
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if c := q.Context().Value(key{}).(*kept); c.requests.Add(1) > 1 {
			c.Close()
			return
		}
		used.Add(1)
		io.WriteString(w, "x")
	}, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, key{}, &kept{Conn: c})
		}
	})
	r := newRig(t)
	r.serve(s.addr)
	c := r.h2Client()
	for range 6 {
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "x" {
			t.Fatalf("got %q", got)
		}
	}
	// The client may have connected once more and have said nothing, for which an endpoint is connected to as well.
	if n := used.Load(); n != 6 {
		t.Errorf("%d connections to the endpoint were used, want 6", n)
	}
}
