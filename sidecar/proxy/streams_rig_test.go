package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// h2Server is net/http's server with HTTP/2 alone, in the clear.
type h2Server struct {
	addr  netip.AddrPort
	srv   *http.Server
	conns atomic.Int64
}

func newH2Server(t *testing.T, h http.HandlerFunc, change ...func(*http.Server)) *h2Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &h2Server{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	s.srv = &http.Server{Handler: h, Protocols: &http.Protocols{}, ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.conns.Add(1)
		}
	}}
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	for _, f := range change {
		f(s.srv)
	}
	go s.srv.Serve(ln)
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// h2Client is net/http's client with HTTP/2 alone, in the clear, whose one connection goes to the rig.
func (r *rig) h2Client() *http.Client {
	p := &http.Protocols{}
	p.SetUnencryptedHTTP2(true)
	// A stream that was reset ends a moment after its answer, so that its connection may not be idle yet when all idle ones are closed.
	tr := &http.Transport{Protocols: p, DisableCompression: true, IdleConnTimeout: time.Second, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
	}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, name) }
}

func body(t *testing.T, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// failing answers every request with a status and a body of its own.
func failing(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

// with changes the rules of the Service.
func (r *rig) with(change func(*rules.Rules)) {
	s := *r.target.Snapshot()
	also := *rules.Default()
	if s.Rules != nil {
		also = *s.Rules
	}
	change(&also)
	s.Rules = &also
	r.target.Publish(&s)
}

// hanging answers nothing until the test ends.
func hanging(t *testing.T, then http.HandlerFunc) (h http.HandlerFunc, release func()) {
	gate := make(chan bool)
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		select {
		case <-gate:
			then(w, q)
		case <-q.Context().Done():
		}
	}, release
}
