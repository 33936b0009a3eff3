package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// impatient makes the rig dial ahead of silent clients at once, as a loaded machine would.
func impatient(t *testing.T) (*rig, *origin) {
	t.Helper()
	r, o := one(t)
	r.on(func() { r.w.silence = time.Microsecond })
	return r, o
}

func TestServerSpeaksFirst(t *testing.T) {
	r, o := impatient(t)
	for i := range 3 {
		client := r.dial()
		s := o.accept()
		s.send("220 mail ready\r\n")
		client.expect("220 mail ready\r\n", "the banner")
		client.send("EHLO me\r\n")
		s.expect("EHLO me\r\n", "the client's answer")
		client.closeWrite()
		s.expectEnd("the client's FIN")
		s.send("221 bye\r\n")
		s.close()
		client.expect("221 bye\r\n", "the last words")
		client.expectEnd("the end")
		if !r.target.ServerFirst.Load() {
			t.Errorf("after connection %d the Service does not count as one whose server speaks first", i)
		}
	}
	r.counts("opaque connections", 3, r.service().Opaque.Load)
}

// What the proxy adds to the time until the banner: nothing that is a wait.
func TestBannerIsNotDelayed(t *testing.T) {
	s := newServer(t, func(_ int, c *net.TCPConn) {
		c.Write([]byte("220\r\n"))
		io.Copy(io.Discard, c)
	})
	r := newRig(t)
	r.on(func() { r.w.silence = silence })
	r.serve(s.addr)
	best := time.Hour
	for range 50 {
		start := time.Now()
		client := r.dial()
		client.expect("220\r\n", "the banner")
		best = min(best, time.Since(start))
		client.close()
	}
	if best > 20*time.Millisecond {
		t.Errorf("the quickest banner of 50 took %v", best)
	}
}

func TestSilentClients(t *testing.T) {
	t.Run("an HTTP client on a port that was taken for one whose server speaks first", func(t *testing.T) {
		r, o := impatient(t)
		r.target.ServerFirst.Store(true) // as where a server tires of a silent client, and says so
		client := r.dial()
		s := o.accept()
		s.expectSilence("both are silent")
		client.send(get)
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		if r.target.ServerFirst.Load() {
			t.Error("it still is")
		}
	})
	t.Run("an HTTP client that speaks late is balanced all the same", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		s.expectSilence("both are silent")
		client.send(get)
		s.expect(get, "the connection that was dialled ahead serves the first exchange")
		s.send(ok)
		client.expect(ok, "the answer")
		client.send(get)
		s.expect(get, "and the next")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("opaque connections", 0, r.service().Opaque.Load)
		o.noConnection("one is enough")
	})
	t.Run("an opaque client that speaks late uses the connection that was dialled ahead", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		client.send("*1\r\n$4\r\nPING\r\n")
		s.expect("*1\r\n$4\r\nPING\r\n", "the command")
		s.send("+PONG\r\n")
		client.expect("+PONG\r\n", "the answer")
		client.close()
		s.expectEnd("the client's FIN")
		s.close()
		o.noConnection("one is enough")
		if r.target.ServerFirst.Load() {
			t.Error("the Service counts as one whose server speaks first")
		}
	})
	t.Run("a client that closes without a word: the server sees one connection and its FIN", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		client.close()
		s.expectEnd("the client's FIN")
		s.close()
		o.noConnection("one is enough")
	})
	t.Run("a client that resets without a word", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		client.reset()
		s.expectResetOrEnd("the server is not left waiting")
	})
	t.Run("a server that closes on a silent client", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		s.close()
		client.expectEnd("the server's FIN")
		client.close()
		r.eventually("the end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
		if r.target.ServerFirst.Load() {
			t.Error("a FIN counts as speech")
		}
	})
	t.Run("no endpoint can be reached", func(t *testing.T) {
		r := newRig(t)
		r.on(func() { r.w.silence = time.Microsecond })
		r.inOrder(closedPort(t), closedPort(t))
		r.refused("without us the connect would have failed")
	})
	t.Run("the proxy stops while both are silent", func(t *testing.T) {
		r, o := impatient(t)
		client := r.dial()
		s := o.accept()
		r.l.Stop()
		<-r.l.Done()
		s.expectResetOrEnd("the end")
		client.expectResetOrEnd("the end")
		r.stopped = true
	})
}

func TestDeclaredProtocols(t *testing.T) {
	cases := []struct {
		declared cluster.Protocol
		first    string
		http     bool
	}{
		{cluster.HTTP1, get, true},
		{cluster.Undeclared, get, true},
		{cluster.Opaque, get, false},
		{cluster.TLS, get, false},
		{cluster.HTTP2, "*1\r\n$4\r\nPING\r\n", false},
		{cluster.HTTP2, get, true},
		{cluster.Undeclared, "PING\r\n", false},
		{cluster.Undeclared, "SET key value\r\n", false},
		{cluster.Undeclared, "*1\r\n$4\r\nPING\r\n", false},
		{cluster.Undeclared, "\x00\x00\x00\x08\x04\xd2\x16\x2f", false},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %.12q", c.declared, c.first), func(t *testing.T) {
			r, o := one(t)
			r.declare(c.declared, o.addr)
			client := r.dial()
			client.send(c.first)
			s := o.accept()
			s.expect(c.first, "the first bytes")
			s.send(ok)
			client.expect(ok, "the answer")
			opaque := 1
			if c.http {
				opaque = 0
			}
			r.counts("opaque connections", opaque, r.service().Opaque.Load)
			client.close()
			s.close()
		})
	}
	t.Run("declared http, and something else comes: held to the rules", func(t *testing.T) {
		r, o := one(t)
		r.declare(cluster.HTTP1, o.addr)
		client := r.dial()
		client.send("PING\r\n")
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") {
			t.Errorf("got %q, want 400", got)
		}
		o.noConnection("though nothing may reach it")
	})
}

// The first bytes come one by one, each in a segment of its own.
func TestFirstBytesByteByByte(t *testing.T) {
	for _, first := range []string{get, "PING hello\r\n", "\x16\x03\x01\x02\x00\x01"} {
		t.Run(fmt.Sprintf("%.8q", first), func(t *testing.T) {
			r, o := one(t)
			client := r.dial()
			for i := range first {
				client.send(first[i : i+1])
				time.Sleep(100 * time.Microsecond)
			}
			s := o.accept()
			s.expect(first, "all bytes in their order")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
			s.close()
		})
	}
	t.Run("HTTP/2's preface, on a port that declares HTTP", func(t *testing.T) {
		server := newH2Server(t, named("web"))
		r := newRig(t)
		r.declare(cluster.HTTP1, server.addr)
		client := r.dial()
		for i := range frame.ClientPreface {
			client.send(frame.ClientPreface[i : i+1])
			time.Sleep(100 * time.Microsecond)
		}
		client.send(string(frame.AppendSettings(nil)))
		first := make([]byte, frame.HeaderLen)
		if _, err := io.ReadFull(client.c, first); err != nil || frame.Parse(first).Type != frame.Settings {
			t.Errorf("got %q, %v, want SETTINGS", first, err)
		}
		client.close()
	})
	t.Run("a request line that is typed slowly", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send("GET /slo")
		time.Sleep(2 * unfinished) // it is the pause itself that is tested
		client.send("w HTTP/1.1\r\nHost: web\r\n\r\n")
		s := o.accept()
		s.expect("GET /slow HTTP/1.1\r\nHost: web\r\n\r\n", "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("opaque connections", 0, r.service().Opaque.Load)
	})
	t.Run("a client that ends before it is recognised: the server sees the same", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send("GE")
		client.closeWrite()
		s := o.accept()
		s.expect("GE", "what came")
		s.expectEnd("and the FIN")
		s.send("what?")
		s.close()
		client.expect("what?", "and the answer")
		client.expectEnd("and the end")
		_ = r
	})
}

// Where clients were seen to speak first, a client that a busy machine holds up for a moment does not cost an endpoint a connection.
func TestClientsThatSpeakFirstAreRemembered(t *testing.T) {
	r, o := one(t)
	client := r.dial()
	client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	s := o.accept()
	s.expect("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", "the request")
	s.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the answer")
	if !r.target.ClientFirst.Load() {
		t.Error("after a request the Service does not count as one whose clients speak first")
	}
	client.close()
	s.close()
}
