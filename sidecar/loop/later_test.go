package loop

import (
	"net"
	"testing"
	"time"
)

func TestACoroutineBeginsWhenItsConnectionIsReadable(t *testing.T) {
	for name, wake := range map[string]func(l *Loop, c *Conn, peer net.Conn){
		"bytes":        func(_ *Loop, _ *Conn, peer net.Conn) { peer.Write([]byte("x")) },
		"a FIN":        func(_ *Loop, _ *Conn, peer net.Conn) { peer.Close() },
		"a reset":      func(_ *Loop, _ *Conn, peer net.Conn) { peer.(*net.TCPConn).SetLinger(0); peer.Close() },
		"its end here": func(l *Loop, c *Conn, _ net.Conn) { l.Post(func() { c.Close() }) },
		"Stop":         func(l *Loop, _ *Conn, _ net.Conn) { l.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			l, do := run(t)
			c, peer := dialled(t, l)
			began := make(chan struct{})
			closed := make(chan struct{}, 2)
			do(func() error {
				c.OnClose(func() { closed <- struct{}{} })
				l.GoWhenReadable(c, func() {
					close(began)
					c.Close()
					c.Close()
				})
				return nil
			})
			time.Sleep(10 * time.Millisecond)
			select {
			case <-began:
				t.Fatal("it began with nothing to read")
			default:
			}
			if Implementation == "epoll" {
				do(func() error {
					if n := l.Live(); n != 1 {
						t.Errorf("%d coroutines while the connection is idle, want only the one that asks", n)
					}
					return nil
				})
			}
			wake(l, c, peer)
			for what, ch := range map[string]chan struct{}{"began": began, "was told of the end": closed} {
				select {
				case <-ch:
				case <-time.After(10 * time.Second):
					t.Fatalf("nobody %s within 10 s", what)
				}
			}
			if len(closed) > 0 {
				t.Error("the end was told twice")
			}
		})
	}
}

// What is there already, or has been, is not waited for; and a loop that stops forgets nobody.
func TestACoroutineBeginsAtOnceWhereNothingIsToBeWaitedFor(t *testing.T) {
	l, do := run(t)
	c, peer := dialled(t, l)
	peer.Write([]byte("x"))
	do(func() error { return l.Wait(Never, c, nil, c.Readable) })
	began := make(chan struct{}, 3)
	do(func() error { l.GoWhenReadable(c, func() { began <- struct{}{} }); return nil })
	do(func() error {
		c.Close()
		l.GoWhenReadable(c, func() { began <- struct{}{} })
		return nil
	})
	last, _ := dialled(t, l)
	do(func() error {
		l.Stop()
		for !l.Stopping() {
			l.Yield()
		}
		l.GoWhenReadable(last, func() { began <- struct{}{}; last.Close() })
		return nil
	})
	for i := range 3 {
		select {
		case <-began:
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d of 3 began within 10 s", i)
		}
	}
}
