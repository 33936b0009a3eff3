package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// quick is a Service whose answers were quick so far. From stuck on, the pods below hung answer nothing until the test ends.
type quick struct {
	r     *rig
	c     *http.Client
	addrs []netip.AddrPort
	stuck atomic.Bool
}

func newQuick(t *testing.T, client func(r *rig) *http.Client, pods, hung int, change func(*rules.Rules)) *quick {
	p := &quick{r: newRig(t)}
	never, _ := hanging(t, named("never"))
	for i := range pods {
		p.addrs = append(p.addrs, newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			if i < hung && p.stuck.Load() {
				never(w, q)
				return
			}
			io.WriteString(w, "good")
		}, either).addr)
	}
	p.r.target.HTTP2.Store(true)
	p.r.serve(p.addrs...)
	p.r.with(func(ru *rules.Rules) {
		ru.HangRace.Factor = 1 // so that the pace of a busy machine is none of the test's
		change(ru)
	})
	p.c = client(p.r)
	// A FIN alone is no end: over HTTP/1.x the answer is waited for all the same.
	p.c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.r.addr.String())
		if err == nil {
			c.(*net.TCPConn).SetLinger(0)
		}
		return c, err
	}
	for range 250 {
		ask(t, p.c, "POST", "/", "x")
	}
	p.stuck.Store(true)
	return p
}

// gives makes a POST that is given up after d, by whom it says, and reports whether it was answered.
func (p *quick) gives(t *testing.T, d time.Duration, grpc bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	if grpc {
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), patience)
	}
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, "POST", "http://web/", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if grpc {
		q.Header.Set("Content-Type", "application/grpc")
		q.Header.Set("Grpc-Timeout", "150m")
	}
	res, err := p.c.Do(q)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return err == nil && string(b) == "good"
}

// A pod that hangs goes also when nobody waits for it for as long as it takes to be raced, or when requests may not be raced at all.
func TestAPodThatHangsGoesThoughItsCallersGiveUp(t *testing.T) {
	ejects := func(t *testing.T, client func(r *rig) *http.Client, grpc bool) {
		p := newQuick(t, client, 2, 1, func(*rules.Rules) {})
		for i := 0; i < 30 && !p.r.ejected(p.addrs[0]); i++ {
			p.gives(t, 150*time.Millisecond, grpc)
		}
		if !p.r.ejected(p.addrs[0]) {
			t.Error("the endpoint is not ejected")
		}
		if !p.gives(t, 150*time.Millisecond, grpc) {
			t.Error("and still used")
		}
		if p.r.ejected(p.addrs[1]) {
			t.Error("the other endpoint is ejected")
		}
		p.c.CloseIdleConnections()
	}
	t.Run("they leave", func(t *testing.T) {
		protocols(t, func(t *testing.T, client func(r *rig) *http.Client) { ejects(t, client, false) })
	})
	t.Run("grpc-timeout", func(t *testing.T) { ejects(t, func(r *rig) *http.Client { return r.h2Client() }, true) })
}

// Where all endpoints are slower than their callers wait, none goes for it.
func TestCallersWhoGiveUpEverywhereEjectNobody(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newQuick(t, client, 3, 3, func(*rules.Rules) {})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				for range 10 {
					p.gives(t, 120*time.Millisecond, false)
				}
			})
		}
		all.Wait()
		p.r.counts("ejections", 0, p.r.service().Ejections.Load)
		p.c.CloseIdleConnections()
	})
}

// Who leaves before answers usually come says nothing of an endpoint.
func TestCallersWhoLeaveAtOnceEjectNobody(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newQuick(t, client, 2, 1, func(*rules.Rules) {})
		for range 30 {
			p.gives(t, 20*time.Millisecond, false)
		}
		p.r.counts("ejections", 0, p.r.service().Ejections.Load)
		p.c.CloseIdleConnections()
	})
}

// A request that has less time than it takes to be raced is raced in half of it.
func TestARequestWithLittleTimeIsRacedInTime(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newQuick(t, client, 2, 1, func(ru *rules.Rules) { ru.Timeout = 600 * time.Millisecond })
		for i := 0; i < 40 && !p.r.ejected(p.addrs[0]); i++ {
			if status, text, _ := ask(t, p.c, "GET", "/", ""); status != 200 {
				t.Errorf("got %d %q", status, text)
			}
		}
		if !p.r.ejected(p.addrs[0]) {
			t.Error("the endpoint that loses races is not ejected")
		}
		p.c.CloseIdleConnections()
	})
}
