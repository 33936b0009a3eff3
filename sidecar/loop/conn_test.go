package loop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestEchoOfManyConnections(t *testing.T) {
	l, _ := run(t)
	addr := echo(t, l)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for k := range 100 {
				msg := fmt.Appendf(nil, "connection %d message %d", i, k)
				if _, err := c.Write(msg); err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len(msg))
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
					t.Errorf("got %q, %v; want %q", got, err, msg)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestRequestAndFinOnOneEdge(t *testing.T) {
	// The FIN behind a request makes no edge of its own; 50 such clients must all be answered and closed.
	l, _ := run(t)
	addr := echo(t, l)
	for i := range 50 {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("request"))
		c.(*net.TCPConn).CloseWrite()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "request" {
			t.Fatalf("client %d: got %q, %v; want the request back and EOF", i, got, err)
		}
	}
}

func TestReadThatFillsTheBufferGoesOn(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	want := make([]byte, 100_000)
	rand.Read(want)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Write(want)
		c.Close()
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{Timeout: time.Second})
		if err != nil {
			return err
		}
		defer c.Close()
		var got []byte
		buf := make([]byte, 100)
		for {
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("got %d bytes, want %d equal ones", len(got), len(want))
		}
		return nil
	})
}

func TestWriteWaitsForASlowReader(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	want := make([]byte, 8<<20)
	rand.Read(want)
	got := make(chan []byte, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		time.Sleep(100 * time.Millisecond)
		b, _ := io.ReadAll(c)
		got <- b
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		ticks := 0
		stop := false
		l.Go(func() {
			for !stop && l.Sleep(time.Millisecond) == nil {
				ticks++
			}
		})
		if n, err := c.Writev(want[:3], want[3:1<<20], want[1<<20:]); err != nil || n != len(want) {
			return fmt.Errorf("wrote %d, %v", n, err)
		}
		stop = true
		if ticks < 10 {
			return fmt.Errorf("another coroutine ran %d times while the write waited, want at least 10", ticks)
		}
		if c.Sent() != uint64(len(want)) {
			return fmt.Errorf("Sent is %d, want %d", c.Sent(), len(want))
		}
		return nil
	})
	if !bytes.Equal(<-got, want) {
		t.Error("the reader got other bytes")
	}
}

func TestDeadlines(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		began := l.Now()
		c.SetReadDeadline(began + int64(50*time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrTimeout) {
			return fmt.Errorf("read: got %v, want ErrTimeout", err)
		}
		l.Yield()
		if d := time.Duration(l.Now() - began); d < 49*time.Millisecond {
			return fmt.Errorf("read ended after %v, want 50 ms", d)
		}
		c.SetReadDeadline(Never)
		l.Go(func() {
			l.Sleep(20 * time.Millisecond)
			c.SetReadDeadline(l.Now())
		})
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrTimeout) {
			return fmt.Errorf("a read whose deadline was moved: got %v, want ErrTimeout", err)
		}
		if err := l.Wait(l.Now()+int64(10*time.Millisecond), c, nil, c.Readable); !errors.Is(err, ErrTimeout) {
			return fmt.Errorf("wait: got %v, want ErrTimeout", err)
		}
		c.SetWriteDeadline(l.Now() + int64(50*time.Millisecond))
		if _, err := c.Write(make([]byte, 32<<20)); !errors.Is(err, ErrTimeout) {
			return fmt.Errorf("write: got %v, want ErrTimeout", err)
		}
		return nil
	})
}

func TestDialFailures(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	ln.Close()
	do(func() error {
		_, err := l.Dial(addr, DialOptions{Timeout: time.Second})
		if err == nil {
			return errors.New("connect to a closed port succeeded")
		}
		return nil
	})
}

func TestHalfCloseBothWays(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c) // ends at the loop's FIN
		c.Write(append([]byte("after fin: "), b...))
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		c.Write([]byte("hello"))
		if err := c.CloseWrite(); err != nil {
			return err
		}
		var got []byte
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		if string(got) != "after fin: hello" {
			return fmt.Errorf("got %q", got)
		}
		if !c.PeerFinished() {
			return errors.New("PeerFinished is false after EOF")
		}
		return nil
	})
}

func TestWaitSeesBytesFinAndReset(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	peers := make(chan *net.TCPConn, 2)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			peers <- c.(*net.TCPConn)
		}
	}()
	do(func() error {
		a, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer a.Close()
		pa := <-peers
		b, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer b.Close()
		pb := <-peers
		go func() { time.Sleep(10 * time.Millisecond); pa.Write([]byte("x")) }()
		if err := l.Wait(l.Now()+int64(5*time.Second), a, b, a.Readable); err != nil {
			return fmt.Errorf("bytes: %w", err)
		}
		if _, err := a.Read(make([]byte, 4)); err != nil {
			return err
		}
		go func() { time.Sleep(10 * time.Millisecond); pb.CloseWrite() }()
		if err := l.Wait(l.Now()+int64(5*time.Second), a, b, b.PeerFinished); err != nil {
			return fmt.Errorf("fin: %w", err)
		}
		if b.PeerGone() {
			return errors.New("a FIN was taken for a reset")
		}
		go func() { time.Sleep(10 * time.Millisecond); pa.SetLinger(0); pa.Close() }()
		if err := l.Wait(l.Now()+int64(5*time.Second), nil, a, a.PeerGone); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		pb.Close()
		return nil
	})
}

func TestIdleConnectionTellsWhenItDies(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	peers := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			peers <- c
		}
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		p := <-peers
		l.Sleep(20 * time.Millisecond)
		if c.Readable() {
			return errors.New("an idle connection is readable")
		}
		p.Close()
		for range 100 {
			if c.Readable() {
				return nil
			}
			l.Sleep(10 * time.Millisecond)
		}
		return errors.New("the peer closed, and Readable does not tell")
	})
}

func TestSpliceMovesEveryByte(t *testing.T) {
	l, do := run(t)
	src, srcAddr := listen(t)
	dst, dstAddr := listen(t)
	want := make([]byte, 5<<20+17)
	rand.Read(want)
	go func() {
		c, err := src.Accept()
		if err != nil {
			return
		}
		c.Write(want)
		c.Close()
	}()
	got := make(chan []byte, 1)
	go func() {
		c, err := dst.Accept()
		if err != nil {
			return
		}
		b, _ := io.ReadAll(c)
		c.Close()
		got <- b
	}()
	do(func() error {
		a, err := l.Dial(srcAddr, DialOptions{})
		if err != nil {
			return err
		}
		defer a.Close()
		b, err := l.Dial(dstAddr, DialOptions{})
		if err != nil {
			return err
		}
		defer b.Close()
		// all splices again and again, until max bytes or an error.
		all := func(max int64) (n int64, srcErr bool, err error) {
			for err == nil && (max < 0 || n < max) {
				if err := l.Wait(Never, a, nil, a.Readable); err != nil {
					return n, false, err
				}
				left := max
				if max > 0 {
					left = max - n
				}
				var k int64
				k, srcErr, err = l.Splice(b, a, left)
				n += k
			}
			return n, srcErr, err
		}
		if n, _, err := all(1<<20 + 1); n != 1<<20+1 || err != nil {
			return fmt.Errorf("bounded: %d, %v", n, err)
		}
		if n, srcErr, err := all(-1); n != int64(len(want))-(1<<20+1) || err != io.EOF || !srcErr {
			return fmt.Errorf("until EOF: %d, %v, %v", n, srcErr, err)
		}
		return nil
	})
	if !bytes.Equal(<-got, want) {
		t.Error("other bytes came out")
	}
}

func TestAcknowledgedTellsWhatNeverArrived(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 5))
		c.Close()
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		if n, ok := c.Acknowledged(); ok && n != 0 {
			return fmt.Errorf("after the connect %d bytes count as acknowledged, want 0", n)
		}
		c.Write([]byte("first"))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("got %v, want EOF", err)
		}
		before := c.Sent()
		// The peer has closed: its kernel answers these bytes with RST, and no program sees them.
		if _, err := c.Write([]byte("second")); err != nil {
			return err
		}
		l.Sleep(50 * time.Millisecond)
		n, ok := c.Acknowledged()
		if ok && n != before {
			return fmt.Errorf("%d bytes count as acknowledged, want %d: the second message never arrived", n, before)
		}
		return nil
	})
}

func BenchmarkEcho(b *testing.B) {
	l, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	go l.Run()
	defer func() { l.Stop(); <-l.Done() }()
	addr := make(chan netip.AddrPort, 1)
	l.Post(func() {
		ln, err := l.Listen(loopback())
		if err != nil {
			b.Error(err)
			return
		}
		addr <- ln.Addr()
		l.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				l.Go(func() {
					defer c.Close()
					buf := make([]byte, 1024)
					for {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						c.Write(buf[:n])
					}
				})
			}
		})
	})
	c, err := net.Dial("tcp", (<-addr).String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(buf)
		io.ReadFull(c, buf)
	}
}
