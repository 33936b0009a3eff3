//go:build linux && !netloop && !race

package loop

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is the kernel buffer that splice moves bytes through. It is empty whenever it is not lent.
type pipe struct{ r, w int }

func (p pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

const (
	// pipeSize is in bytes. The kernel bounds the pipe pages of one user (pipe-user-pages-soft, 64 MiB), and the proxies of all pods
	// of a node are one user to it, so a pipe is no larger than what pays and none is kept for long.
	pipeSize = 256 << 10
	// pipeLeast is the smallest pipe that is cheaper than copying. Past its user's bound the kernel hands out 8 KiB.
	pipeLeast = 64 << 10
	// pipeIdle is how long a pipe that nobody uses is kept.
	pipeIdle = int64(time.Second)
)

// getPipe answers a pipe, or false when there is none worth using.
func (l *Loop) getPipe() (pipe, bool) {
	l.pipeUsed = l.now
	if p := l.pipe; p != (pipe{}) {
		l.pipe = pipe{}
		return p, true
	}
	var fds [2]int
	if l.pipeRefused != 0 && l.now < l.pipeRefused+pipeIdle || unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return pipe{}, false
	}
	p := pipe{fds[0], fds[1]}
	size, err := unix.FcntlInt(uintptr(p.r), unix.F_SETPIPE_SZ, pipeSize)
	if err != nil {
		size, _ = unix.FcntlInt(uintptr(p.r), unix.F_GETPIPE_SZ, 0)
	}
	if size < pipeLeast {
		l.pipeRefused = l.now
		p.close()
		return pipe{}, false
	}
	return p, true
}

// putPipe keeps an empty pipe for a while, if none is kept yet.
func (l *Loop) putPipe(p pipe, empty bool) {
	if !empty || l.pipe != (pipe{}) || l.stopping {
		p.close()
		return
	}
	l.pipe = p
	if l.pipeMinded {
		return
	}
	l.pipeMinded = true
	l.Go(func() {
		defer func() { l.pipeMinded = false }()
		for l.Sleep(time.Duration(pipeIdle)) == nil && l.now < l.pipeUsed+pipeIdle {
		}
		if l.pipe != (pipe{}) {
			l.pipe.close()
			l.pipe = pipe{}
		}
	})
}

// Splice moves what src has to read, up to max bytes (negative: without bound), to dst without copying it through the process,
// and returns when nothing more is there: it waits for dst, not for src. It answers how many bytes dst took. The error is io.EOF
// when src ended; of others, srcErr says whether src failed rather than dst. Where the kernel gives no pipe worth using it copies.
func (l *Loop) Splice(dst, src *Conn, max int64) (n int64, srcErr bool, err error) {
	p, ok := l.getPipe()
	if !ok {
		return l.copyOnce(dst, src, max)
	}
	held := 0 // bytes in the pipe
	defer func() { l.putPipe(p, held == 0) }()
	for max < 0 || n < max {
		want := pipeSize
		if max >= 0 && max-n < int64(want) {
			want = int(max - n)
		}
		if held, err = src.spliceIn(p.w, want); err != nil || held == 0 {
			return n, err != nil, err
		}
		for held > 0 {
			k, err := dst.spliceOut(p.r, held)
			if err != nil {
				return n, false, err
			}
			held -= k
			n += int64(k)
			l.charge(k)
		}
	}
	return n, false, nil
}

// copyOnce is Splice by one read and its write.
func (l *Loop) copyOnce(dst, src *Conn, max int64) (n int64, srcErr bool, err error) {
	buf := l.Buffer(Large)
	defer l.Release(buf)
	if max >= 0 && max < int64(len(buf)) {
		buf = buf[:max]
	}
	k, err := src.TryRead(buf)
	if err != nil {
		return 0, true, err
	}
	k, err = dst.Write(buf[:k])
	return int64(k), false, err
}

// spliceIn moves what is there to the empty pipe w; 0 is nothing.
func (c *Conn) spliceIn(w, want int) (int, error) {
	for {
		if err := c.check(); err != nil {
			return 0, err
		}
		if c.l.late(c.readDeadline) {
			return 0, ErrTimeout
		}
		if !c.readable {
			return 0, nil
		}
		k, err := unix.Splice(c.fd, nil, w, nil, want, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch err {
		case nil:
			if k == 0 {
				c.finned = true
				return 0, c.end(io.EOF)
			}
			return int(k), nil
		case unix.EINTR:
		case unix.EAGAIN:
			// The pipe is empty, so it is the socket that has nothing.
			c.readable = false
		default:
			c.broken = true
			return 0, c.end(os.NewSyscallError("splice", err))
		}
	}
}

// spliceOut moves up to n bytes from the pipe r, as soon as the connection takes some.
func (c *Conn) spliceOut(r, n int) (int, error) {
	for {
		if err := c.check(); err != nil {
			return 0, err
		}
		k, err := unix.Splice(r, nil, c.fd, nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err == nil {
			c.sent += uint64(k)
			return int(k), nil
		}
		if err := c.waitWrite(err.(syscall.Errno), "splice"); err != nil {
			return 0, err
		}
	}
}
