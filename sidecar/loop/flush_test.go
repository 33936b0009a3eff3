package loop

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// collected is a Flusher of what coroutines wrote to one connection.
type collected struct {
	c     *Conn
	out   []byte
	calls int
	asked bool
	err   error
}

func (f *collected) add(s string) {
	f.out = append(f.out, s...)
	if !f.asked {
		f.asked = true
		f.c.Loop().AtTurnEnd(f)
	}
}

func (f *collected) Flush() {
	f.calls, f.asked = f.calls+1, false
	n, err := f.c.TryWrite(f.out)
	if f.err = err; n < len(f.out) && err == nil {
		f.err = errors.New("short write")
	}
	f.out = f.out[:0]
}

func TestWhatManyCoroutinesCollectGoesOutAtTheTurnsEnd(t *testing.T) {
	l, do := run(t)
	c, peer := dialled(t, l)
	f := &collected{c: c}
	do(func() error {
		for range 10 {
			l.Go(func() { f.add("x") })
		}
		return nil
	})
	got := make([]byte, 10)
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("x"), 10)) {
		t.Errorf("the peer got %q, %v", got, err)
	}
	do(func() error {
		if Implementation == "epoll" && f.calls != 1 {
			t.Errorf("%d flushes for one turn, want 1", f.calls)
		}
		return f.err
	})
}

func TestTryWriteAnswersWhatAFullSocketTook(t *testing.T) {
	ln, addr := listen(t)
	l, do := run(t)
	var c *Conn
	do(func() (err error) { c, err = l.Dial(addr, DialOptions{}); return err })
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	big := make([]byte, 32<<20)
	do(func() error {
		n, err := c.TryWrite(big)
		if n == 0 || n == len(big) {
			t.Errorf("%d bytes of %d went into a socket nobody reads", n, len(big))
		}
		if m, err := c.TryWrite(big); m != 0 || err != nil {
			t.Errorf("a full socket took %d more, %v", m, err)
		}
		return err
	})
	do(func() error {
		c.Close()
		if _, err := c.TryWrite(big); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed connection answers %v", err)
		}
		return nil
	})
}
