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

// Splice moves up to max bytes (negative: until EOF) from src to dst without copying them through the process. It answers how
// many bytes dst took. The error is io.EOF when src ended before max bytes; of others, srcErr says whether src failed rather
// than dst.
func (l *Loop) Splice(dst, src *Conn, max int64) (n int64, srcErr bool, err error) {
	p, err := l.getPipe()
	if err != nil {
		return 0, false, err
	}
	held := 0 // bytes in the pipe
	defer func() { l.putPipe(p, held == 0) }()
	for max < 0 || n < max {
		if held == 0 {
			want := pipeSize
			if max >= 0 && max-n < int64(want) {
				want = int(max - n)
			}
			k, err := src.spliceIn(p.w, want)
			if err != nil {
				return n, true, err
			}
			held = k
		}
		for held > 0 {
			if err := dst.check(); err != nil {
				return n, false, err
			}
			k, err := unix.Splice(p.r, nil, dst.fd, nil, held, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			if err == nil {
				held -= int(k)
				n += k
				dst.sent += uint64(k)
				continue
			}
			if err := dst.waitWrite(err.(syscall.Errno), "splice"); err != nil {
				return n, false, err
			}
		}
		l.charge(callCost)
	}
	return n, false, nil
}

func (c *Conn) spliceIn(w, want int) (int, error) {
	for {
		if err := c.check(); err != nil {
			return 0, err
		}
		if !c.readable {
			c.reader = c.l.cur
			ok := c.l.suspendUntil(c.readDeadline)
			c.reader = nil
			if !ok && !c.readable {
				return 0, ErrTimeout
			}
			continue
		}
		k, err := unix.Splice(c.fd, nil, w, nil, want, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch err {
		case nil:
			if k == 0 {
				c.finned = true
				return 0, io.EOF
			}
			return int(k), nil
		case unix.EINTR:
		case unix.EAGAIN:
			// The pipe is empty, so it is the socket that has nothing.
			c.readable = false
		default:
			c.broken = true
			return 0, os.NewSyscallError("splice", err)
		}
	}
}
