package scatter

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
