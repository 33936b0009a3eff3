//go:build linux && !netloop && !race

package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// narrow is a server whose connections take very little that it does not read: small segments keep the sender's buffer small, too.
func narrow(t *testing.T) *origin {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if also := c.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			}
		}); also != nil {
			return also
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &origin{t, ln.(*net.TCPListener), ln.Addr().(*net.TCPAddr).AddrPort()}
}

// unsent answers how many bytes that were written to a connection its peer's kernel has not acknowledged.
func unsent(t *testing.T, c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if also := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); also != nil || err != nil {
		t.Fatal(also, err)
	}
	return n
}

// An endpoint may be raced, and answer an error then, while most of the request still waits for it to read. The test needs to know what one read
// takes, which the loop over package net decides otherwise.
func TestAnErrorDuringARaceWhileTheBodyIsStuck(t *testing.T) {
	const size = 120_000
	head, body := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n", size), strings.Repeat("b", size)
	r, stuck, good := newRig(t), narrow(t), newOrigin(t)
	r.ruled(func(ru *rules.Rules) { quickRace(ru); ru.ReplayLimit = 1 << 20 }, r.eps(stuck.addr, good.addr)...)
	client := r.dial()
	client.send(head)
	first := stuck.accept()
	first.expect(head, "the head")
	// The first half goes into buffers. The second is there as one when the proxy reads it, so that the request is whole in memory while
	// it waits to be sent.
	whole := func() bool { return unsent(t, client.c) == 0 }
	client.send(body[:size/2])
	r.eventually("the first half to arrive", whole)
	for range 2 {
		r.on(func() {})
	}
	r.on(func() {
		client.send(body[size/2:])
		r.eventually("the second half to arrive", whole)
	})
	second := good.accept()
	second.expect(head+body, "the request, to another endpoint, since the first one takes its time")
	first.send(status(503))
	r.eventually("the error to be seen", func() (seen bool) {
		ep := r.eps(stuck.addr)[0]
		r.on(func() { seen = ep.Load[0].Bad == 1 })
		return seen
	})
	second.send(ok)
	client.expect(ok, "the answer of the endpoint that does better")
	client.send(get)
	client.close()
}

// An endpoint may answer while what was kept of the request still waits for it to read. The answer goes its way, and so does the request.
func TestAnAnswerWhileTheBodyIsStuck(t *testing.T) {
	const size = 120_000
	head, body := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n", 2*size), strings.Repeat("b", 2*size)
	r, cut, stuck := newRig(t), newOrigin(t), narrow(t)
	r.ruled(func(ru *rules.Rules) { ru.ReplayLimit = 1 << 20 }, r.eps(cut.addr, stuck.addr)...)
	client := r.dial()
	client.send(head + body[:size])
	first := cut.accept()
	first.expect(head+body[:size], "the first half")
	first.close()
	second := stuck.accept()
	second.expect(head, "the head once more, of what is sent again as one")
	second.send(status(413))
	client.expect(status(413), "the answer that came before the request had gone out")
	second.expect(body[:size], "what was sent again")
	client.send(body[size:])
	second.expect(body[size:], "the second half")
	client.send(get)
	client.close()
}
