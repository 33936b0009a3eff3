package scatter

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
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

// The list is held until its reader has taken it, so what counts is its length and not that of what it is made of.
func TestListsAreBoundedAsTheyAreWritten(t *testing.T) {
	const most = 100_000
	for what, body := range map[string]string{"letters": "x", "quotation marks": `"`, "HTML": "<&>", "control characters": "\x01", "no UTF-8": "\xff",
		"line separators": "\u2028", "some of each": "x\n\u2029<\xe4"} {
		do := func(w http.ResponseWriter, q *http.Request) {
			text := strings.Repeat(body, 3_000)
			w.Header().Set("X-Same", strings.Trim(strings.Repeat(body, 100), "\x01\n"))
			io.WriteString(w, text)
		}
		a := Run(context.Background(), "", Request{Method: "GET", Target: "/"}, servers(t, 40, false, do), Options{MaxListed: most})
		text := a.JSON()
		bodies := 0
		for _, p := range a.Pods {
			if p.Body+p.Base64 != "" {
				bodies++
			}
		}
		if a.Status != 200 || len(text) > most+40*300 || bodies < 2 || bodies == 40 {
			t.Errorf("%s: status %d, %d bodies listed in %d bytes", what, a.Status, bodies, len(text))
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Read(make([]byte, 1<<10)) // the request
		io.WriteString(c, strings.Repeat("é", 20_000)+"\r\n\r\n")
		io.Copy(io.Discard, c)
		c.Close()
	}()
	to := []Endpoint{{Addr: ln.Addr().(*net.TCPAddr).AddrPort()}}
	a := Run(context.Background(), "", Request{Method: "GET", Target: "/"}, to, Options{})
	if e := a.Pods[0].Error; !strings.HasPrefix(e, "net/http: ") || len(e) > 1000 || !utf8.ValidString(e) {
		t.Errorf("an error of %d bytes: %.100q", len(e), e)
	}
}
