package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"

var switching = lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")

func TestUpgrade(t *testing.T) {
	t.Run("frames go both ways, and each end is passed on", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake)
		s := o.accept()
		s.expect(handshake, "the handshake, unchanged")
		s.send(switching)
		client.expect(switching, "the answer, unchanged")
		for i := range 100 {
			frame := fmt.Sprintf("frame %d\x00\r\n\r\n", i)
			client.send(frame)
			s.expect(frame, "a frame up")
			s.send(frame)
			client.expect(frame, "a frame down")
		}
		r.counts("upstream connections count as in use", 1, func() uint64 { return uint64(r.m.Loop(0).Upstreams.Load()) })
		s.closeWrite()
		client.expectEnd("the server's FIN")
		client.send("still")
		s.expect("still", "the other direction lives on")
		client.closeWrite()
		s.expectEnd("the client's FIN")
	})
	t.Run("bytes right behind the request and right behind the 101", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake + "early from the client")
		s := o.accept()
		s.expect(handshake, "the handshake alone")
		s.expectSilence("what is behind it belongs to the tunnel")
		s.send(switching + "early from the server")
		client.expect(switching+"early from the server", "all of it")
		s.expect("early from the client", "now it is a tunnel")
		client.reset()
		s.expectReset("a reset passes as one")
	})
	t.Run("101 before the request's body has come: the rest goes first", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := strings.Replace(handshake, "GET", "POST", 1)
		begin = strings.TrimSuffix(begin, "\r\n") + "Content-Length: 1000000\r\n\r\n"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "the head")
		s.send(switching + "from the server")
		client.expect(switching+"from the server", "nobody waits for the body")
		rest := strings.Repeat("b", 1_000_000) + "from the client"
		go client.c.Write([]byte(rest))
		s.expect(rest, "the body, whole, and then the tunnel")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.close()
		client.expectEnd("and the end")
	})
	t.Run("the server declines", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake)
		s := o.accept()
		s.expect(handshake, "the handshake")
		s.send(ok)
		client.expect(ok, "an ordinary answer")
		client.send(get)
		s.expect(get, "an ordinary request behind it")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
	})
	t.Run("CONNECT", func(t *testing.T) {
		r, o := one(t)
		request := lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443")
		client := r.dial()
		client.send(request)
		s := o.accept()
		s.expect(request, "the request")
		s.send(lines("HTTP/1.1 200 OK") + "server first")
		client.expect(lines("HTTP/1.1 200 OK")+"server first", "the answer and what follows")
		client.send("bytes")
		s.expect("bytes", "a tunnel")
		s.close()
		client.expectEnd("its end")
	})
	t.Run("CONNECT refused", func(t *testing.T) {
		r, o := one(t)
		request := lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443")
		client := r.dial()
		client.send(request + get)
		s := o.accept()
		s.expect(request, "the request")
		s.send(lines("HTTP/1.1 403 Forbidden", "Content-Length: 0"))
		client.expect(lines("HTTP/1.1 403 Forbidden", "Content-Length: 0"), "the answer")
		s.expect(get, "no tunnel: the next request")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
	})
}

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

func TestOpaqueConnections(t *testing.T) {
	pair := func(t *testing.T) (r *rig, client, s *peer) {
		r, o := one(t)
		r.declare(cluster.Opaque, o.addr)
		client = r.dial()
		return r, client, o.accept()
	}
	t.Run("half-close of the client", func(t *testing.T) {
		_, client, s := pair(t)
		client.send("question")
		client.closeWrite()
		s.expect("question", "the bytes")
		s.expectEnd("the FIN")
		s.send("answer")
		s.close()
		client.expect("answer", "the other direction")
		client.expectEnd("its FIN")
	})
	t.Run("half-close of the server", func(t *testing.T) {
		_, client, s := pair(t)
		s.send("all I have")
		s.closeWrite()
		client.expect("all I have", "the bytes")
		client.expectEnd("the FIN")
		client.send("thanks")
		client.close()
		s.expect("thanks", "the other direction")
		s.expectEnd("its FIN")
	})
	t.Run("reset of the client", func(t *testing.T) {
		_, client, s := pair(t)
		client.send("x")
		s.expect("x", "a byte")
		client.reset()
		s.expectReset("the reset")
	})
	t.Run("reset of the server", func(t *testing.T) {
		_, client, s := pair(t)
		client.send("x")
		s.expect("x", "a byte")
		s.reset()
		client.expectReset("the reset")
	})
	t.Run("reset of the client behind its FIN, while the server is silent", func(t *testing.T) {
		_, client, s := pair(t)
		client.closeWrite()
		s.expectEnd("the FIN")
		client.reset()
		s.expectDead("the reset")
	})
	t.Run("reset of the server behind its FIN, while the client is silent", func(t *testing.T) {
		_, client, s := pair(t)
		s.closeWrite()
		client.expectEnd("the FIN")
		s.reset()
		client.expectDead("the reset")
	})
	t.Run("what a server said before it reset is delivered", func(t *testing.T) {
		_, client, s := pair(t)
		last := strings.Repeat("last words ", 10_000)
		client.send("unread")
		s.expect("un", "a part of it has come")
		s.send(last)
		s.close() // with bytes unread: the kernel resets
		if got := client.expectReset("the reset"); got != last {
			t.Errorf("got %d bytes before the reset, want %d", len(got), len(last))
		}
	})
	t.Run("a connect that fails goes on to the next endpoint", func(t *testing.T) {
		r, o := one(t)
		set := r.eps(closedPort(t), closedPort(t), o.addr)
		s := snapshot(t, 2, cluster.Opaque, "", set...)
		s.Picker = pickFirst(set)
		r.target.Publish(s)
		client := r.dial()
		client.send("hello")
		p := o.accept()
		p.expect("hello", "the third endpoint takes it")
		client.close()
		p.expectEnd("the end")
		p.close()
		r.counts("connect failures", 2, r.m.Loop(0).ConnectFailures.Load)
	})
	t.Run("no endpoint can be reached", func(t *testing.T) {
		r := newRig(t)
		r.declare(cluster.Opaque, closedPort(t))
		r.refused("as the connect would have failed")
	})
}

// Large flows both ways at once, by splice, with half-close at their ends.
func TestLargeOpaqueFlows(t *testing.T) {
	n := size(t)
	sums := make(chan [32]byte, 1)
	s := newServer(t, func(_ int, c *net.TCPConn) {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.Copy(c, newNoise(2, n))
			c.CloseWrite()
		}()
		h := sha256.New()
		io.Copy(h, c)
		sums <- [32]byte(h.Sum(nil))
		<-sent
	})
	r := newRig(t)
	r.declare(cluster.Opaque, s.addr)
	client := r.dial()
	client.c.SetDeadline(time.Now().Add(time.Minute))
	up := sha256.New()
	go func() {
		io.Copy(client.c, io.TeeReader(newNoise(1, n), up))
		client.c.CloseWrite()
	}()
	down, want := sha256.New(), sha256.New()
	if k, err := io.Copy(down, client.c); k != n || err != nil {
		t.Errorf("%d bytes and %v came down, want %d", k, err, n)
	}
	io.Copy(want, newNoise(2, n))
	if !bytes.Equal(down.Sum(nil), want.Sum(nil)) {
		t.Error("other bytes came down")
	}
	if got := <-sums; !bytes.Equal(got[:], up.Sum(nil)) {
		t.Error("other bytes went up")
	}
	client.close()
	r.eventually("the bytes to be counted", func() bool {
		return r.m.Loop(0).TunnelUp.Load() == uint64(n) && r.m.Loop(0).TunnelDown.Load() == uint64(n)
	})
}

func TestTLSPassesThrough(t *testing.T) {
	hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, req.TLS.ServerName)
	}))
	hs.StartTLS()
	defer hs.Close()
	for _, p := range []cluster.Protocol{cluster.Undeclared, cluster.TLS, cluster.HTTP1} {
		t.Run("declared "+p.String(), func(t *testing.T) {
			r := newRig(t)
			r.declare(p, hs.Listener.Addr().(*net.TCPAddr).AddrPort())
			tr := hs.Client().Transport.(*http.Transport).Clone()
			tr.TLSClientConfig.ServerName = "example.com"
			tr.TLSClientConfig.VerifyConnection = func(cs tls.ConnectionState) error {
				if !cs.PeerCertificates[0].Equal(hs.Certificate()) {
					return fmt.Errorf("the certificate is not the server's")
				}
				return nil
			}
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr}).Get("https://" + r.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); string(b) != "example.com" {
				t.Errorf("the server saw SNI %q", b)
			}
			r.counts("opaque connections", 1, r.service().Opaque.Load)
		})
	}
}

func TestDeclaredProtocols(t *testing.T) {
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	cases := []struct {
		declared cluster.Protocol
		first    string
		http     bool
	}{
		{cluster.HTTP1, get, true},
		{cluster.Undeclared, get, true},
		{cluster.Opaque, get, false},
		{cluster.TLS, get, false},
		{cluster.HTTP2, preface, false},
		{cluster.Undeclared, preface, false},
		{cluster.HTTP1, preface, false},
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
	for _, first := range []string{get, "PING hello\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01"} {
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
