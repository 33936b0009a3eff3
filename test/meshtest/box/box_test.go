package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// started runs all servers of a pod on loopback ports until the test ends.
func started(t *testing.T) map[string]string {
	t.Helper()
	return startedWith(t, func(*serveSettings) {})
}

func startedWith(t *testing.T, change func(*serveSettings)) map[string]string {
	t.Helper()
	s := serveSettings{http: "127.0.0.1:0", control: "127.0.0.1:0", tls: "127.0.0.1:0", banner: "127.0.0.1:0",
		echo: "127.0.0.1:0", pod: "pod-1", node: "node-1", certNames: "box.test"}
	change(&s)
	var log bytes.Buffer
	servers, err := s.start(slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(servers, 5*time.Second); err != nil {
			t.Error("stop:", err)
		}
	})
	addrs := map[string]string{}
	for d := json.NewDecoder(&log); d.More(); {
		var line struct{ Server, Address string }
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		addrs[line.Server] = line.Address
	}
	return addrs
}

// client keeps no connections, so that stopping has nothing to wait for.
func client(h2c bool) *http.Client {
	tr := &http.Transport{DisableKeepAlives: !h2c, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2c)
	tr.Protocols.SetUnencryptedHTTP2(h2c)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServeAnswersOnBothProtocols(t *testing.T) {
	addrs := started(t)
	for name, h2c := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			c := client(h2c)
			defer c.CloseIdleConnections()
			resp, err := c.Post("http://"+addrs["http"]+"/a/b?c=d", "text/plain", strings.NewReader("12345"))
			text := body(t, resp, err)
			var d description
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if d.Pod != "pod-1" || d.Node != "node-1" || d.Addr != addrs["http"] || d.Method != "POST" || d.Path != "/a/b" ||
				d.Query != "c=d" || d.Proto != name || d.BodyBytes != 5 || resp.Header.Get("X-Pod") != "pod-1" {
				t.Errorf("%+v, X-Pod %q", d, resp.Header.Get("X-Pod"))
			}
			resp, err = c.Get("http://" + addrs["http"] + "/pod")
			if got := body(t, resp, err); got != "pod-1" || resp.ContentLength != 5 {
				t.Errorf("/pod: %q with Content-Length %d", got, resp.ContentLength)
			}
			resp, err = c.Post("http://"+addrs["http"]+"/echo", "", strings.NewReader(pattern))
			if got := body(t, resp, err); got != pattern || resp.Trailer.Get("X-Body-Bytes") != "32768" {
				t.Errorf("/echo: %d bytes, trailers %v", len(got), resp.Trailer)
			}
		})
	}
}

func TestAppPaths(t *testing.T) {
	a := newApp("p", "")
	for name, c := range map[string]struct {
		path   string
		status int
		body   string
	}{
		"a status without a body":        {"/status/204", 204, ""},
		"a status with one":              {"/status/503", 503, "Service Unavailable\n"},
		"a status that cannot be":        {"/status/42", 400, "status \"42\": want 200 to 999\n"},
		"bytes across the pattern's end": {"/bytes?n=40000", 200, pattern + pattern[:40000-len(pattern)]},
		"no number of bytes":             {"/bytes?n=many", 400, "n=\"many\": want a number of bytes\n"},
		"a short delay":                  {"/delay?d=1ms", 200, "p"},
		"events":                         {"/sse?n=2&every=1ms", 200, "id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\n"},
		"single bytes":                   {"/drip?n=3&every=1ms", 200, "012"},
		"no plain request for WebSocket": {"/ws", 426, "want a WebSocket handshake\n"},
		"health":                         {"/healthz", 200, "ok"},
	} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("X-Pod") != "p" {
			t.Errorf("%s: %d, %d bytes %.60q, X-Pod %q", name, w.Code, w.Body.Len(), w.Body, w.Header().Get("X-Pod"))
		}
	}
}

func TestReadinessCanBeSet(t *testing.T) {
	a := newApp("p", "")
	for i, c := range []struct {
		path   string
		status int
	}{{"/readyz", 200}, {"/readyz?set=false", 200}, {"/readyz", 503}, {"/readyz?set=maybe", 400}, {"/readyz?set=true", 200}, {"/readyz", 200}} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.status {
			t.Fatalf("step %d, %s: %d, want %d", i, c.path, w.Code, c.status)
		}
	}
}

func TestFaultsComeAndGo(t *testing.T) {
	addrs := started(t)
	set := func(mode string) {
		t.Helper()
		resp, err := client(false).Get("http://" + addrs["control"] + "/fault?set=" + mode)
		if got := body(t, resp, err); got != mode {
			t.Fatalf("set=%s gave %q", mode, got)
		}
	}
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addrs["http"]+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(false).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return callSettings{}.judge(resp).err
	}
	for _, c := range []struct{ mode, want string }{
		{"503", "status 503"}, {"reset", "reset by peer"}, {"cut-head", "malformed MIME header"}, {"cut-body", "answer cut off"}, {"slow", "deadline exceeded"}, {"hang", "deadline exceeded"}, {"refuse", "connection refused"},
	} {
		set(c.mode)
		if err := try(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.mode, err, c.want)
		}
		set("none")
		eventually(t, func() bool { return try() == nil })
	}
	resp, err := client(false).Get("http://" + addrs["control"] + "/fault?set=bad")
	if got := body(t, resp, err); resp.StatusCode != 400 || !strings.Contains(got, "want none, reset") {
		t.Errorf("an unknown fault: %d %q", resp.StatusCode, got)
	}
}

// What a request did is counted once, whatever became of its answer.
func TestEffectsAreCountedWhateverTheAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "effects")
	addrs := startedWith(t, func(s *serveSettings) { s.effects = file })
	for _, mode := range []string{"none", "500", "reset"} {
		resp, err := client(false).Get("http://" + addrs["control"] + "/fault?set=" + mode)
		body(t, resp, err)
		req, err := http.NewRequest("POST", "http://"+addrs["http"]+"/pod", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(effectHeader, "made with "+mode)
		if resp, err := client(false).Do(req); err == nil {
			resp.Body.Close()
		}
	}
	resp, err := client(false).Get("http://" + addrs["control"] + "/effects")
	const want = `{"requests":3,"done":{"made with 500":1,"made with none":1,"made with reset":1}}`
	if got := strings.TrimSpace(body(t, resp, err)); got != want {
		t.Errorf("effects are %s, want %s", got, want)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "made with none\nmade with 500\nmade with reset\n" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatal("not within 5 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestTCPIsEchoedAndHalfClosed(t *testing.T) {
	addrs := started(t)
	r, err := tcpExchange(t.Context(), addrs["banner"], true, 300_000)
	if err != nil || r.Banner != "220 pod-1" || !r.Equal {
		t.Errorf("banner: %+v, %v", r, err)
	}
	r, err = tcpExchange(t.Context(), addrs["echo"], false, 300_000)
	if err != nil || !r.Equal {
		t.Errorf("echo: %+v, %v", r, err)
	}
	// the echo speaks first too, but no line
	if _, err = tcpExchange(t.Context(), addrs["http"], false, 10); err == nil {
		t.Error("an HTTP server's answer counts as an echo")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = tcpExchange(ctx, addrs["echo"], true, 10); err == nil {
		t.Error("a banner that never comes is waited for without an end")
	}
}

func TestTLSTellsNameAndCertificateFromBothSides(t *testing.T) {
	addrs := started(t)
	var out bytes.Buffer
	if err := tlsClient(t.Context(), []string{"--servername", "other.test", addrs["tls"]}, &out); err != nil {
		t.Fatal(err)
	}
	var r tlsResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal([]byte(r.Body), &d); err != nil || d.TLS == nil {
		t.Fatalf("%q: %v", r.Body, err)
	}
	if d.TLS.ServerName != "other.test" || d.TLS.CertSHA256 != r.CertSHA256 || r.Subject != "box.test" {
		t.Errorf("server %+v, client %+v", d.TLS, r)
	}
}

func TestWebSocketEchoes(t *testing.T) {
	addrs := started(t)
	for _, size := range []int{0, 125, 126, 70_000} {
		r, err := wsExchange(t.Context(), "ws://"+addrs["http"]+"/ws", 3, size, 0)
		if err != nil || r.Messages != 3 || r.Pod != "pod-1" {
			t.Errorf("messages of %d bytes: %+v, %v", size, r, err)
		}
	}
	if _, err := wsExchange(t.Context(), "ws://"+addrs["http"]+"/", 1, 1, 0); err == nil {
		t.Error("a plain answer counts as a WebSocket")
	}
}

// The example of RFC 6455, section 1.3.
func TestWebSocketAcceptKey(t *testing.T) {
	if got, want := wsAccept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzFrame(f *testing.F) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f.Add(frame{128 | opBinary, true, bytes.Repeat([]byte("x"), n)}.append(nil))
		f.Add(frame{opText, false, bytes.Repeat([]byte("y"), n)}.append(nil))
	}
	f.Add([]byte{129, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := readFrame(iotest.OneByteReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		b, err := readFrame(bytes.NewReader(a.append(nil)))
		if err != nil || a.first != b.first || a.masked != b.masked || !bytes.Equal(a.payload, b.payload) {
			t.Fatalf("%x: %+v came back as %+v, %v", in, a, b, err)
		}
	})
}

// A server that closes a kept connection after its first answer without saying
// so must show: a client that hides it would hide a proxy's failure as well.
func TestLoadCountsADeadKeptConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			if _, err := conn.Read(buf); err == nil {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Pod: p\r\nContent-Length: 2\r\n\r\nok")
				conn.Read(buf)
			}
			conn.Close()
		}
	}()
	s := loadSettings{call: callSettings{url: "http://" + l.Addr().String(), method: "GET", keepAlive: true,
		timeout: 5 * time.Second}, requests: 4, concurrency: 1}
	sum, err := s.run(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if sum.OK != 2 || sum.Failed != 2 || sum.Connections != 2 || sum.Errors["kept connection: no answer: closed"] != 2 {
		t.Errorf("%+v, want every second request failed", sum)
	}
}
