package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestManyTimersFireInOrder(t *testing.T) {
	l, do := run(t)
	do(func() error {
		const timers, step = 60, 5 * time.Millisecond
		var order, early []int
		self, left := l.Current(), timers
		base := l.Now() + int64(step)
		for i := range timers {
			k := (i * 37) % timers
			l.Go(func() {
				at := base + int64(k)*int64(step)
				for l.Park(at); l.Now() < at; l.Park(at) {
					early = append(early, k) // nobody wakes it
				}
				order = append(order, k)
				if left--; left == 0 {
					self.Wake()
				}
			})
		}
		for left > 0 {
			l.Park(Never)
		}
		if len(early) > 0 {
			return fmt.Errorf("timers %v fired early", early)
		}
		// Over package net each timer is a goroutine of its own, and a busy machine lets them run in any order.
		if Implementation == "epoll" && !slices.IsSorted(order) {
			return fmt.Errorf("timers fired out of order: %v", order)
		}
		return nil
	})
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

func TestNothingIsLostBetweenWaits(t *testing.T) {
	l, _ := run(t)
	addr := echo(t, l)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Pauses around the time for which the loop waits in its own call, so that bytes come at every moment of its change from one way of
	// waiting to the other: a byte it missed would not be echoed.
	var b [1]byte
	for i := range 5000 {
		for began := time.Now(); time.Since(began) < time.Duration(i*7%150)*time.Microsecond; {
		}
		b[0] = byte(i)
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(b[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b[:]); err != nil || b[0] != byte(i) {
			t.Fatalf("byte %d: %d, %v", i, b[0], err)
		}
	}
}
