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
	"sync/atomic"
	"testing"
	"time"
)

// run starts a loop for a test and answers it with a function that runs f as a coroutine and waits for its end.
func run(t *testing.T) (*Loop, func(f func() error)) {
	t.Helper()
	l, err := New(Options{OnPanic: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(func() {
		l.Stop()
		select {
		case <-l.Done():
		case <-time.After(10 * time.Second):
			t.Error("the loop did not end within 10 s of Stop")
		}
	})
	return l, func(f func() error) {
		t.Helper()
		if err := call(l, f); err != nil {
			t.Fatal(err)
		}
	}
}

// call runs f as a coroutine of l and answers its error.
func call(l *Loop, f func() error) error {
	done := make(chan error, 1)
	l.Post(func() {
		l.Go(func() { done <- f() })
	})
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("the coroutine did not end within 20 s")
	}
}

// listen makes an ordinary listener for a peer outside the loop.
func listen(t *testing.T) (net.Listener, netip.AddrPort) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).AddrPort()
}

func loopback() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:0") }

// echo accepts on the loop and sends back what comes, until EOF.
func echo(t *testing.T, l *Loop) netip.AddrPort {
	t.Helper()
	var addr netip.AddrPort
	err := call(l, func() error {
		ln, err := l.Listen(loopback())
		if err != nil {
			return err
		}
		addr = ln.Addr()
		l.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				l.Go(func() {
					defer c.Close()
					buf := l.Buffer(Medium)
					defer l.Release(buf)
					for {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						if _, err := c.Write(buf[:n]); err != nil {
							return
						}
					}
				})
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

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

func TestManyTimersFireInOrder(t *testing.T) {
	l, do := run(t)
	do(func() error {
		const timers, step, tolerance = 60, 5 * time.Millisecond, 6
		var order []int
		self, left := l.Current(), timers
		for i := range timers {
			k := (i * 37) % timers
			l.Go(func() {
				l.Sleep(time.Duration(k) * step)
				order = append(order, k)
				if left--; left == 0 {
					self.Wake()
				}
			})
		}
		for left > 0 {
			l.Park(Never)
		}
		for i := 1; i < len(order); i++ {
			if order[i] < order[i-1]-tolerance {
				return fmt.Errorf("timers fired more than %v out of order: %v", tolerance*step, order)
			}
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

func TestPanicEndsOneCoroutineOnly(t *testing.T) {
	var panics atomic.Int32
	l, err := New(Options{OnPanic: func(v any, stack []byte) {
		if v == "on purpose" && len(stack) > 0 {
			panics.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	closed := make(chan struct{})
	l.Post(func() {
		l.Go(func() {
			defer close(closed)
			panic("on purpose")
		})
		l.Go(func() { panic("on purpose") })
	})
	<-closed
	l.Post(func() { panic("on purpose") })
	if err := call(l, func() error { return l.Sleep(time.Millisecond) }); err != nil {
		t.Error(err)
	}
	if n := panics.Load(); n != 3 {
		t.Errorf("%d panics told, want 3", n)
	}
	l.Stop()
	<-l.Done()
}

func TestStopEndsEveryWaitingCall(t *testing.T) {
	l, err := New(Options{OnPanic: func(v any, _ []byte) { t.Errorf("panic: %v", v) }})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	addr := echo(t, l)
	peer, peerAddr := listen(t)
	go func() {
		var held []net.Conn // a connection nobody holds is closed by the garbage collector
		for {
			c, err := peer.Accept()
			if err != nil {
				for _, c := range held {
					c.Close()
				}
				return
			}
			held = append(held, c)
		}
	}()
	errs := make(chan error, 5)
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = call(l, func() error {
		l.Go(func() { errs <- l.Sleep(time.Hour) })
		l.Go(func() { l.Park(Never); errs <- ErrStopped })
		for range 1 {
			c, err := l.Dial(peerAddr, DialOptions{})
			if err != nil {
				return err
			}
			l.Go(func() {
				_, err := c.Read(make([]byte, 1))
				c.Close()
				errs <- err
			})
		}
		c, err := l.Dial(peerAddr, DialOptions{})
		if err != nil {
			return err
		}
		l.Go(func() {
			err := l.Wait(Never, c, nil, c.Readable)
			c.Close()
			errs <- err
		})
		c2, err := l.Dial(peerAddr, DialOptions{})
		if err != nil {
			return err
		}
		l.Go(func() {
			_, err := c2.Write(make([]byte, 64<<20))
			c2.Close()
			errs <- err
		})
		return l.Sleep(20 * time.Millisecond)
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Stop()
	l.Stop()
	select {
	case <-l.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the loop did not end")
	}
	for range 5 {
		if err := <-errs; !errors.Is(err, ErrStopped) {
			t.Errorf("got %v, want ErrStopped", err)
		}
	}
	if l.Post(func() {}) {
		t.Error("Post on an ended loop reports true")
	}
}

func TestBuffersComeBack(t *testing.T) {
	l, do := run(t)
	addr := echo(t, l)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("x"))
	io.ReadFull(c, make([]byte, 1))
	c.Close()
	do(func() error {
		for range 100 {
			if l.BuffersOut() == 0 {
				return nil
			}
			l.Sleep(10 * time.Millisecond)
		}
		return fmt.Errorf("%d buffers still out", l.BuffersOut())
	})
	do(func() error {
		for _, n := range []int{1, Small, Small + 1, Medium, Large, Bulk, Bulk + 1} {
			b := l.Buffer(n)
			if len(b) < n || len(b) != cap(b) {
				return fmt.Errorf("Buffer(%d): length %d, capacity %d", n, len(b), cap(b))
			}
			l.Release(b)
		}
		return nil
	})
}

func TestPostKeepsOrderAndComesFromAnyGoroutine(t *testing.T) {
	l, do := run(t)
	var got []int
	for i := range 1000 {
		l.Post(func() { got = append(got, i) })
	}
	do(func() error {
		for i, v := range got {
			if v != i {
				return fmt.Errorf("at %d came %d", i, v)
			}
		}
		if len(got) != 1000 {
			return fmt.Errorf("%d ran, want 1000", len(got))
		}
		return nil
	})
	if s := l.Stats(); s.Polls == 0 {
		t.Error("Stats count no polls")
	}
}

// A coroutine that always has something to do must let the others run.
func TestABusyCoroutineGivesWay(t *testing.T) {
	l, do := run(t)
	ln, addr := listen(t)
	stop := make(chan struct{})
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1<<20)
		for {
			select {
			case <-stop:
				return
			default:
				c.Write(b)
			}
		}
	}()
	do(func() error {
		c, err := l.Dial(addr, DialOptions{})
		if err != nil {
			return err
		}
		end := false
		l.Go(func() {
			defer c.Close()
			buf := l.Buffer(Large)
			defer l.Release(buf)
			for !end {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		})
		for range 50 {
			l.Sleep(time.Millisecond)
		}
		end = true
		close(stop)
		return nil
	})
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
