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
