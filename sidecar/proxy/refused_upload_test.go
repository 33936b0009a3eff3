package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

const refusedBody = 10 << 20

// refusing starts a server that refuses an upload as soon as its head has come. It reads to the end of the connection what is sent all the same,
// for 10 seconds at most, so that the client can read the answer.
func refusing(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := bufio.NewReader(c)
				if _, err := http.ReadRequest(b); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
				c.(*net.TCPConn).CloseWrite()
				c.SetReadDeadline(time.Now().Add(patience))
				io.Copy(io.Discard, b)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// refusingAsGo starts net/http's server with a handler that refuses an upload without reading it.
func refusingAsGo(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusRequestEntityTooLarge) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// uploadAll sends a request with a body in pieces, with a pause behind each, then reads the answer. It answers what became of the sending, and the status.
func uploadAll(t *testing.T, addr netip.AddrPort, piece int, pause time.Duration) (sent, answer error) {
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n", refusedBody)
	b := make([]byte, piece)
	for n := 0; n < refusedBody && sent == nil; n += piece {
		_, sent = c.Write(b)
		time.Sleep(pause)
	}
	res, answer := http.ReadResponse(bufio.NewReader(c), nil)
	if answer == nil && res.StatusCode != http.StatusRequestEntityTooLarge {
		answer = fmt.Errorf("status %d", res.StatusCode)
	}
	if answer == nil {
		_, answer = io.ReadAll(res.Body)
	}
	return sent, answer
}

// A server may refuse an upload before it has come. Whoever sends the rest of it first and reads then must see the answer, and no reset, as
// without us.
func TestAnUploadThatIsRefusedEarly(t *testing.T) {
	for name, start := range map[string]func(*testing.T) netip.AddrPort{"a server that lingers": refusing, "net/http": refusingAsGo} {
		for how, c := range map[string]struct {
			piece int
			pause time.Duration
		}{"at once": {refusedBody, 0}, "slowly": {refusedBody / 8, 250 * time.Millisecond}} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				server := start(t)
				sent, answer := uploadAll(t, server, c.piece, c.pause)
				r := newRig(t)
				r.serve(server)
				ours, got := uploadAll(t, r.addr, c.piece, c.pause)
				t.Logf("directly: sent %v, answer %v; through us: sent %v, answer %v", sent, answer, ours, got)
				if ours != nil && sent == nil || got != nil && answer == nil {
					t.Errorf("directly: sent %v, answer %v; through us: sent %v, answer %v", sent, answer, ours, got)
				}
			})
		}
	}
}

// What is taken behind the last answer has an end, and holds no buffer while nothing comes.
func TestARefusedUploadThatStallsIsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serve(refusing(t))
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\nsome of it", refusedBody)
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	r.on(func() {
		if n := r.l.BuffersOut(); n > 0 {
			t.Errorf("%d buffers are held", n)
		}
	})
	r.eventually("the connection to be closed", func() bool { return r.m.Loop(r.index).Open.Load() == 0 })
}

// A server that answers and then closes, with the request unread and without having said so, is gone: its client is not kept sending.
func TestAnAbandonedUploadEnds(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newOrigin(t)
	r.serve(o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000000000\r\n\r\nsome of it")
	s := o.accept()
	s.send(ok)
	c.expect(ok, "the answer")
	s.close()
	began := time.Now()
	for b := make([]byte, 1<<20); ; {
		if _, err := c.c.Write(b); err != nil {
			break // net.ErrClosed or the test's own deadline are not waited for
		}
		if time.Since(began) > patience/2 {
			t.Fatal("the client still sends to nobody")
		}
	}
}
