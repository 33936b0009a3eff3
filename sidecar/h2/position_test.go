//go:build linux && !netloop && !race

package h2

import (
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
)

// A stream may be opened while what was written before it has gone out in part. Where it begins on the connection says later whether the
// endpoint can have seen it, so a request that has gone out whole must not count as one that was never sent: it would be sent again.
func TestWhereAStreamBeginsBehindAPartialWrite(t *testing.T) {
	r := newRig(t, 1, nil)
	// Little fits into this server's connections: small segments keep the sender's buffer small, too.
	raw, err := r.endpoints[0].ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
	})
	c := r.client()
	c.post(1)
	s := r.server(0, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	s.WriteWindowUpdate(0, 1<<30)
	s.want(asked("POST", 1), "")
	s.silence("the body has not begun")
	go c.absorb(nil)
	var u *Upstream
	r.on(func() {
		for v := range r.endpoints[0].ups {
			u = v
		}
	})
	// The server reads nothing, and the socket fills.
	sent := int64(0)
	full := func() bool { return u.backlog > 0 && len(u.out) > 64<<10 }
	r.eventually("its socket to be full", func() bool {
		for range 8 {
			if c.granted(0)-sent < 16384 || c.granted(1)+65535-sent < 16384 {
				break
			}
			c.WriteData(1, false, make([]byte, 16384))
			sent += 16384
		}
		return full()
	})
	// It reads until a part of the backlog has been written.
	buf := make([]byte, 1024)
	for part := false; !part; r.on(func() { part = u.backlog > 0 && u.c.Sent() > u.before }) {
		if _, err := io.ReadFull(s.c, buf); err != nil {
			t.Fatal(err)
		}
	}
	c.head(3, true, request("POST")...)
	var begins uint64
	r.eventually("the second stream", func() bool {
		x := u.streams[3]
		if x != nil {
			begins = x.upPos
		}
		return x != nil
	})
	go io.Copy(io.Discard, s.c)
	r.eventually("all to be written", func() bool { return len(u.out) == 0 && !u.draining })
	r.on(func() {
		if x := u.streams[3]; u.c.Sent() <= begins || u.unprocessed(x) {
			t.Errorf("the stream begins at %d of %d bytes that were sent, its request among them", begins, u.c.Sent())
		}
		if u.position() != u.c.Sent() {
			t.Errorf("the next one would begin at %d, want %d", u.position(), u.c.Sent())
		}
	})
	c.WriteRSTStream(1, http2.ErrCodeCancel)
	c.WriteRSTStream(3, http2.ErrCodeCancel)
}
