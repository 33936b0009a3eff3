//go:build linux && !netloop && !race

package loop

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipe is the kernel buffer that splice moves bytes through. It is empty whenever it is not lent.
type pipe struct{ r, w int }

func (p pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

const (
	pipeSize  = 1 << 20 // bytes; the largest an unprivileged process may ask for (pipe-max-size)
	pipesKept = 8
)

func (l *Loop) getPipe() (pipe, error) {
	if k := len(l.pipes); k > 0 {
		p := l.pipes[k-1]
		l.pipes = l.pipes[:k-1]
		return p, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	// A refusal (the user's share of pipe pages is used up) leaves a small pipe, which works too.
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{fds[0], fds[1]}, nil
}

func (l *Loop) putPipe(p pipe, empty bool) {
	if empty && len(l.pipes) < pipesKept {
		l.pipes = append(l.pipes, p)
		return
	}
	p.close()
}

// Splice moves what src has to read, up to max bytes (negative: without bound), to dst without copying it through the process,
// and returns when nothing more is there: it waits for dst, not for src. It answers how many bytes dst took. The error is io.EOF
// when src ended; of others, srcErr says whether src failed rather than dst.
func (l *Loop) Splice(dst, src *Conn, max int64) (n int64, srcErr bool, err error) {
	p, err := l.getPipe()
	if err != nil {
		return 0, false, err
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
		}
		l.charge(callCost)
	}
	return n, false, nil
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
