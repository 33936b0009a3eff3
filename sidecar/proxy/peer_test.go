package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// peer is one end of a connection in a linear test: send this, expect that. Whatever it waits for is bounded by patience.
type peer struct {
	t    *testing.T
	name string
	c    *net.TCPConn
}

func newPeer(t *testing.T, name string, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, name: name, c: c.(*net.TCPConn)}
}

// dial connects a client to the proxy.
func (r *rig) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		r.t.Fatal(err)
	}
	return newPeer(r.t, "client", c)
}

// sibling connects a further client.
func (p *peer) sibling() *peer {
	p.t.Helper()
	c, err := net.Dial("tcp", p.c.RemoteAddr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	return newPeer(p.t, "another client", c)
}

// refused connects a client and expects a reset, which may overtake the end of the connect.
func (r *rig) refused(why string) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr.String())
	if err == nil {
		newPeer(r.t, "client", c).expectReset(why)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		r.t.Fatal(err)
	}
}

// origin is a server whose connections the test drives by hand.
type origin struct {
	t    *testing.T
	ln   *net.TCPListener
	addr netip.AddrPort
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	ln := meshtest.ListenHeld(t)
	return &origin{t, ln, ln.Addr().(*net.TCPAddr).AddrPort()}
}

// accept waits for a connection of the proxy.
func (o *origin) accept() *peer {
	o.t.Helper()
	o.ln.SetDeadline(time.Now().Add(patience))
	c, err := o.ln.Accept()
	if err != nil {
		o.t.Fatalf("server: no connection came: %v", err)
	}
	return newPeer(o.t, "server", c)
}

// noConnection expects that none waits to be accepted.
func (o *origin) noConnection(why string) {
	o.t.Helper()
	o.ln.SetDeadline(time.Now().Add(time.Millisecond))
	if c, err := o.ln.Accept(); err == nil {
		c.Close()
		o.t.Errorf("server: a connection came, %s", why)
	}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := p.c.Write([]byte(s)); err != nil {
		p.t.Fatalf("%s: sending %q: %v", p.name, short(s), err)
	}
}

// expect reads exactly the bytes of want.
func (p *peer) expect(want, why string) {
	p.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.c, got)
	if string(got[:n]) != want {
		p.t.Fatalf("%s: got %q (%v), want %q: %s", p.name, short(string(got[:n])), err, short(want), why)
	}
}

// expectHead reads up to the end of a head and answers it.
func (p *peer) expectHead(why string) string {
	p.t.Helper()
	var head []byte
	b := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := p.c.Read(b); err != nil {
			p.t.Fatalf("%s: got %q and then %v, want a head: %s", p.name, head, err, why)
		}
		head = append(head, b[0])
	}
	return string(head)
}

// expectEnd expects the other side's FIN, and nothing before it.
func (p *peer) expectEnd(why string) {
	p.t.Helper()
	if b, err := io.ReadAll(p.c); err != nil || len(b) > 0 {
		p.t.Fatalf("%s: got %q and then %v, want FIN: %s", p.name, short(string(b)), err, why)
	}
}

// expectReset expects RST; bytes before it are answered.
func (p *peer) expectReset(why string) string {
	p.t.Helper()
	b, err := io.ReadAll(p.c)
	if !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: got %q and then %v, want a reset: %s", p.name, short(string(b)), err, why)
	}
	return string(b)
}

// expectResetOrEnd reads to the end, however it comes.
func (p *peer) expectResetOrEnd(why string) {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: got %v, want the end: %s", p.name, err, why)
	}
}

// expectDead expects a reset behind a FIN that was read; only writing shows it.
func (p *peer) expectDead(why string) {
	p.t.Helper()
	for {
		if _, err := p.c.Write([]byte("?")); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return
		} else if err != nil {
			p.t.Fatalf("%s: got %v, want a reset: %s", p.name, err, why)
		}
		time.Sleep(time.Millisecond)
	}
}

// expectSilence expects that nothing is there to be read now. It proves less than the rest, as something may come later.
func (p *peer) expectSilence(why string) {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	defer p.c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	if n, err := p.c.Read(b); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("%s: got %q, %v, want silence: %s", p.name, b[:n], err, why)
	}
}

// rest reads to the other side's FIN.
func (p *peer) rest() string {
	p.t.Helper()
	b, err := io.ReadAll(p.c)
	if err != nil {
		p.t.Fatalf("%s: got %q and then %v, want FIN", p.name, short(string(b)), err)
	}
	return string(b)
}

func (p *peer) closeWrite() {
	p.t.Helper()
	if err := p.c.CloseWrite(); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *peer) close() { p.c.Close() }

func (p *peer) reset() {
	p.c.SetLinger(0)
	p.c.Close()
}

func short(s string) string {
	if len(s) > 600 {
		return fmt.Sprintf("%s…(%d bytes)…%s", s[:300], len(s), s[len(s)-100:])
	}
	return s
}

// server runs a function for each connection, and ends them all with the test.
type server struct {
	addr  netip.AddrPort
	ln    net.Listener
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func serveAt(t *testing.T, addr netip.AddrPort, each func(n int, c *net.TCPConn)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: addr, ln: ln, conns: map[net.Conn]struct{}{}}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				defer func() {
					c.Close()
					s.mu.Lock()
					delete(s.conns, c)
					s.mu.Unlock()
				}()
				each(n, c.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(s.stop)
	return s
}

func newServer(t *testing.T, each func(n int, c *net.TCPConn)) *server {
	t.Helper()
	return serveAt(t, meshtest.HoldPort(t), each)
}

// stop closes the listener and every connection, as a killed server does. Nobody listens there then, unless the test does.
func (s *server) stop() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// lines joins lines with CRLF, an empty one at the end: a head.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

func itoa(n int) string { return strconv.Itoa(n) }
func hex(n int) string  { return strconv.FormatInt(int64(n), 16) }
