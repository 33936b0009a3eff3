package loop

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// pair makes a connection of l to a peer outside the loop.
func pair(t *testing.T, l *Loop) (c *Conn, peer *net.TCPConn) {
	t.Helper()
	ln, addr := listen(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		p, err := ln.Accept()
		if err == nil {
			accepted <- p
		}
	}()
	err := call(l, func() (err error) {
		c, err = l.Dial(addr, DialOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	peer = (<-accepted).(*net.TCPConn)
	t.Cleanup(func() {
		peer.Close()
		call(l, func() error { return c.Close() })
	})
	return c, peer
}

func TestWhatIsThereIsReadWithoutWaiting(t *testing.T) {
	l, do := run(t)
	c, peer := pair(t, l)
	do(func() error {
		buf := make([]byte, 4)
		if n, err := c.TryRead(buf); n != 0 || err != nil {
			return fmt.Errorf("before anything came: %d, %v", n, err)
		}
		peer.Write([]byte("four"))
		if err := l.Wait(l.Now()+int64(5*time.Second), c, nil, c.Readable); err != nil {
			return err
		}
		if n, err := c.TryRead(buf); n != 4 || err != nil {
			return fmt.Errorf("what came: %d, %v", n, err)
		}
		// The read took as much as it asked for, so nobody knows whether there is more.
		if c.Pending() {
			return fmt.Errorf("nothing is left, but something is pending")
		}
		if n, err := c.TryRead(buf); n != 0 || err != nil {
			return fmt.Errorf("after everything was read: %d, %v", n, err)
		}
		peer.Close()
		if err := l.Wait(l.Now()+int64(5*time.Second), c, nil, c.Readable); err != nil {
			return err
		}
		if !c.Pending() {
			return fmt.Errorf("the FIN is not pending")
		}
		if n, err := c.TryRead(buf); n != 0 || err != io.EOF {
			return fmt.Errorf("after the FIN: %d, %v", n, err)
		}
		return nil
	})
}

// A deadline must end a call on a connection that is never idle.
func TestDeadlineEndsReadsThatNeverWait(t *testing.T) {
	l, do := run(t)
	src, peer := pair(t, l)
	dst, sink := pair(t, l)
	go io.Copy(io.Discard, sink)
	go func() {
		b := make([]byte, 1<<20)
		for {
			if _, err := peer.Write(b); err != nil {
				return
			}
		}
	}()
	for name, move := range map[string]func() error{
		"read":   func() error { _, err := src.Read(make([]byte, 1000)); return err },
		"splice": func() error { _, _, err := l.Splice(dst, src, -1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			do(func() error {
				src.SetReadDeadline(l.Now() + int64(20*time.Millisecond))
				defer src.SetReadDeadline(Never)
				give := l.Now() + int64(10*time.Second)
				for l.Now() < give {
					l.Wait(l.Now()+int64(time.Millisecond), src, nil, src.Readable)
					if err := move(); err == ErrTimeout {
						return nil
					} else if err != nil {
						return err
					}
				}
				return fmt.Errorf("no ErrTimeout came")
			})
		})
	}
}

func TestWhichCameFirstFinOrReset(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*net.TCPConn)
		want bool
	}{
		"FIN":   {func(p *net.TCPConn) { p.Close() }, true},
		"reset": {func(p *net.TCPConn) { p.SetLinger(0); p.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, do := run(t)
			conn, peer := pair(t, l)
			do(func() error {
				c.end(peer)
				// The loop has not looked yet; these bytes are answered with a reset.
				conn.Write([]byte("late"))
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					return fmt.Errorf("the read succeeded")
				}
				if got := conn.FinFirst(); got != c.want {
					return fmt.Errorf("FinFirst is %v (%v), want %v", got, conn.ended, c.want)
				}
				return nil
			})
		})
	}
}
