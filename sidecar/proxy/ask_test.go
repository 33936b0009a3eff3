package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// preface is what clients send before they have heard of their server: grpc-go waits then, others go on.
var preface = string(frame.AppendSettings([]byte(frame.ClientPreface)))

// strangers are servers that do not speak HTTP/2; each answers its address.
func strangers(t *testing.T) map[string]netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: named("http/1")}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	all := map[string]netip.AddrPort{
		"net/http's server": ln.Addr().(*net.TCPAddr).AddrPort(),
		"one that answers 400 and closes": listening(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, len(preface)))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}),
		"one that closes at once": listening(t, func(net.Conn) {}),
		"one that says a word and goes on reading": listening(t, func(c net.Conn) {
			io.WriteString(c, "-ERR unknown command 'PRI'\r\n")
			io.ReadFull(c, make([]byte, len(preface)))
		}),
	}
	if path, err := exec.LookPath("nginx"); err == nil {
		all["nginx"] = nginx(t, path)
	}
	return all
}

// listening serves each connection with f, and closes it.
func listening(t *testing.T, f func(net.Conn)) netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// nginx runs one without HTTP/2.
func nginx(t *testing.T, path string) netip.AddrPort {
	addr, dir := closedPort(t), t.TempDir()
	conf := fmt.Sprintf("daemon off; master_process off; error_log stderr; pid %[1]s/pid; events {}\nhttp { access_log off; client_body_temp_path %[1]s/a;"+
		"proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e; server { listen %[2]s; } }\n", dir, addr)
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-e", "stderr", "-c", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatal("nginx does not begin to listen")
	return addr
}

var date = regexp.MustCompile(`Date: [^\r]*`)

// heard sends what clients of HTTP/2 begin with and answers everything that came back, and how that ended.
func heard(t *testing.T, addr netip.AddrPort) string {
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, preface)
	b, err := io.ReadAll(c)
	if len(b) == 0 {
		return "its end" // as FIN or as reset, whichever comes first: bytes that nobody reads turn one into the other
	}
	return fmt.Sprintf("%s, then %v", date.ReplaceAll(b, nil), err)
}

func TestWhatSpeaksNoHTTP2IsHeardAsWithoutUs(t *testing.T) {
	for name, addr := range strangers(t) {
		for _, declared := range []cluster.Protocol{cluster.Undeclared, cluster.HTTP2} {
			t.Run(fmt.Sprintf("%s, %v", name, declared), func(t *testing.T) {
				want := heard(t, addr)
				r := newRig(t)
				r.declare(declared, addr)
				for range 2 {
					if got := heard(t, r.addr); got != want {
						t.Errorf("got %q, want %q as directly", got, want)
					}
				}
				r.counts("connections passed through", 2, r.service().Opaque.Load)
			})
		}
	}
}

// The connection that was asked on serves the first request, and nothing is asked again.
func TestWhoSpeaksHTTP2IsAskedOnce(t *testing.T) {
	s := newH2Server(t, named("h2"))
	r := newRig(t)
	r.declare(cluster.HTTP2, s.addr)
	for range 3 {
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "h2" {
			t.Errorf("got %q", got)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestOneOfManyThatSpeaksHTTP2IsFound(t *testing.T) {
	s := newH2Server(t, named("h2"))
	for name, other := range strangers(t) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.inOrder(other, closedPort(t), s.addr)
			if got := heardFirst(t, r.addr); got != frame.Settings {
				t.Errorf("the client hears a frame of type %d first, want SETTINGS", got)
			}
		})
	}
}

// heardFirst answers the type of the first frame that a client of HTTP/2 hears.
func heardFirst(t *testing.T, addr netip.AddrPort) frame.Type {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, preface)
	b := make([]byte, frame.HeaderLen)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return frame.Parse(b).Type
}

// "The server connection preface consists of a potentially empty SETTINGS frame", but a server may keep it until it has more to say.
func TestAServerThatKeepsItsSettings(t *testing.T) {
	opened := make(chan bool, 10)
	r := newRig(t)
	r.serve(listening(t, func(c net.Conn) {
		opened <- true
		io.Copy(io.Discard, c)
	}))
	for range 3 {
		if got := heardFirst(t, r.addr); got != frame.Settings {
			t.Errorf("the client hears a frame of type %d first, want SETTINGS", got)
		}
	}
	if n := len(opened); n != 1 {
		t.Errorf("it was asked %d times, want once", n)
	}
}

func TestAClientThatLeavesWhileAnEndpointIsAsked(t *testing.T) {
	opened := make(chan bool, 10)
	r := newRig(t)
	r.serve(listening(t, func(c net.Conn) {
		opened <- true
		io.Copy(io.Discard, c)
	}))
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, preface)
	select {
	case <-opened:
	case <-time.After(patience):
		t.Fatal("the endpoint is not asked")
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	r.eventually("the client's connection to end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
	if r.target.HTTP2.Load() {
		t.Error("it is taken to speak HTTP/2")
	}
}

// Nothing can be passed on of what a server says on a connection whose client has our SETTINGS. But that ends, and the next one hears it.
func TestAServerThatSpeaksHTTP2NoLonger(t *testing.T) {
	s := newH2Server(t, named("h2"))
	r := newRig(t)
	r.serve(s.addr)
	c := r.h2Client()
	res, err := c.Get("http://web/")
	body(t, res, err)
	r.serve(strangers(t)["one that answers 400 and closes"])
	if _, err := c.Get("http://web/"); err == nil || !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
		t.Errorf("got %v", err)
	}
	r.eventually("the client's connection to end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
	if got := heard(t, r.addr); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("the next client hears %q", got)
	}
}
