package loop

import (
	"errors"
	"net/netip"
	"runtime/debug"
	"time"
)

var (
	// ErrStopped ends every waiting call when the loop is stopped.
	ErrStopped = errors.New("loop stopped")
	// ErrClosed is the answer of a connection or listener that was closed on this side.
	ErrClosed = errors.New("use of closed connection")
	// ErrTimeout says that a deadline passed.
	ErrTimeout = errors.New("deadline exceeded")
)

// Options are a loop's settings; the zero value works.
type Options struct {
	// Index tells the loops of a process apart; it is what Loop.Index answers.
	Index int
	// OnPanic is told of a panic in a coroutine or a posted function, on the loop. Nil drops it.
	OnPanic func(value any, stack []byte)
}

// Never is the deadline that does not come.
const Never int64 = 0

var clockBase = time.Now()

// clock answers monotonic nanoseconds since the process started; never 0.
func clock() int64 { return int64(time.Since(clockBase)) + 1 }

// Clock answers the loops' clock off the loops: what Loop.Now answers on them, read anew. It may be called from anywhere.
func Clock() int64 { return clock() }

// contain runs f and reports a panic instead of letting it through.
func (o *Options) contain(f func()) {
	defer func() {
		if v := recover(); v != nil && o.OnPanic != nil {
			o.OnPanic(v, debug.Stack())
		}
	}()
	f()
}

// Flusher is what collects writes during a turn of its loop; see AtTurnEnd.
type Flusher interface {
	// Flush sends what was collected. It must not wait.
	Flush()
}

// flush is contain for a Flusher.
func (o *Options) flush(f Flusher) {
	defer func() {
		if v := recover(); v != nil && o.OnPanic != nil {
			o.OnPanic(v, debug.Stack())
		}
	}()
	f.Flush()
}

// DialOptions say how Dial connects.
type DialOptions struct {
	// Timeout bounds the connect; 0 leaves it to the kernel (over two minutes).
	Timeout time.Duration
	// UserTimeout is TCP_USER_TIMEOUT: how long written bytes may stay unacknowledged before the connection is given
	// up; 0 leaves it to the kernel.
	UserTimeout time.Duration
	// KeepAlive is how long a connection is silent before the kernel asks whether its peer is there; a third of it lies between further
	// questions, and ten times as long until it gives up. 0 turns them off. See Vigil for who cannot wait so long.
	KeepAlive time.Duration
}

// probes answers how the kernel is to ask: after how many seconds, at which distance, and how often.
func (o *DialOptions) probes() (idle, interval, count int) {
	if o.KeepAlive <= 0 {
		return 0, 0, 0
	}
	idle = int((o.KeepAlive + time.Second - 1) / time.Second)
	interval = max(1, idle/3)
	return idle, interval, max(3, 9*idle/interval)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Closed reports whether the connection was closed on this side. On the loop only.
func (c *Conn) Closed() bool { return c.closed }

// OnClose calls f when the connection is closed on this side, once; another call of OnClose takes its place. On the loop only.
func (c *Conn) OnClose(f func()) { c.onClose = f }
