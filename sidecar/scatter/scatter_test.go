package scatter

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A target goes on byte for byte. One with two slashes at its beginning is no authority. What no URL may have goes on in absolute form over
// HTTP/1.1.
func TestTargetsGoOnAsTheyCame(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			io.WriteString(w, q.Host+" "+q.RequestURI)
		}))
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetHTTP1(!h2)
		s.Config.Protocols.SetUnencryptedHTTP2(h2)
		s.Start()
		to := []Endpoint{{Addr: s.Listener.Addr().(*net.TCPAddr).AddrPort()}}
		for _, target := range []string{"/", "/a//b?x=//1", "/a%2fb?", "//a/b", "//a/b?x=%zz|#", "//", "///a", "//a%2Fb/%41", "//a?", "//a:b@[/c", "//a{b}"} {
			want := "web " + target
			if target == "//a{b}" && !h2 {
				want = "web http://web//a{b}"
			}
			a := Run(context.Background(), "", Request{Method: "GET", Target: target, Authority: "web", HTTP2: h2}, to, Options{})
			if p := a.Pods[0]; p.Status != 200 || p.Body != want {
				t.Errorf("HTTP/2 %v: %s: %d %q %s, want %q", h2, target, p.Status, p.Body, p.Error, want)
			}
		}
		s.Close()
	}
}

// servers runs n servers that do the same, over one protocol.
func servers(t *testing.T, n int, h2 bool, do http.HandlerFunc) (to []Endpoint) {
	for range n {
		s := httptest.NewUnstartedServer(do)
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetHTTP1(!h2)
		s.Config.Protocols.SetUnencryptedHTTP2(h2)
		s.Start()
		t.Cleanup(s.Close)
		to = append(to, Endpoint{Addr: s.Listener.Addr().(*net.TCPAddr).AddrPort()})
	}
	return to
}

// Heads are held in memory and listed as bodies are, and so they have bounds.
func TestHeadsAreBounded(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		field := func(size int) http.HandlerFunc {
			return func(w http.ResponseWriter, q *http.Request) {
				for n := range 10 { // HTTP/2 has a bound for each field besides
					w.Header().Set("X-"+string(rune('A'+n)), strings.Repeat("x", size/10))
				}
				io.WriteString(w, "body")
			}
		}
		a := Run(context.Background(), "", Request{Method: "GET", Target: "/", Authority: "web", HTTP2: h2}, servers(t, 1, h2, field(200_000)), Options{})
		if p := a.Pods[0]; p.Status != 0 || p.Error == "" {
			t.Errorf("HTTP/2 %v: a head of 200 kB: %d with %d fields, %q", h2, p.Status, len(p.Headers), p.Error)
		}
		const most = 100_000
		a = Run(context.Background(), "", Request{Method: "GET", Target: "/", Authority: "web", HTTP2: h2}, servers(t, 10, h2, field(30_000)), Options{MaxListed: most})
		if size, listed := len(a.JSON()), countHeaders(a); size > most+most/10 || listed != 3 || a.Status != 200 {
			t.Errorf("HTTP/2 %v: ten heads of 30 kB: %d of them listed in %d bytes, status %d", h2, listed, size, a.Status)
		}
	}
}

func countHeaders(a *Answer) (n int) {
	for _, p := range a.Pods {
		if len(p.Headers) > 0 {
			n++
		}
	}
	return n
}
