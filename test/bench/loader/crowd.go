package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// crowdResult counts the connections that were still open at the end, and the bytes that were read.
type crowdResult struct {
	Held  int   `json:"held"`
	Bytes int64 `json:"bytes,omitempty"`
}

const (
	dripTime   = time.Second            // between two bytes of a head that never ends
	sipTime    = 100 * time.Millisecond // between two reads of a body that nobody hurries to read
	sipBytes   = 1 << 10
	sipReceive = 4 << 10 // bytes of SO_RCVBUF, of which the kernel makes twice as many
)

// halves opens connections that send a part of a head, and then a byte of it a second, until standard input ends.
func halves(o options) (any, error) {
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Never-Ending: ", o.path, o.target.Addr())
	return crowd(o, dripTime, head, func(fd int) (int64, error) { return 0, write(fd, []byte("x")) })
}

// sip opens connections that ask for a large body and read it in small portions until standard input ends.
func sip(o options) (any, error) {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.path, o.target.Addr())
	buf := make([]byte, sipBytes)
	return crowd(o, sipTime, request, func(fd int) (int64, error) {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return 0, nil
		}
		if err == nil && n == 0 {
			err = errors.New("closed by the other side")
		}
		return int64(max(n, 0)), err
	}, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, sipReceive) })
}

// crowd opens connections, sends first on each, says "begin" and does each on every connection once in every pause, until standard
// input ends. A connection that fails is closed and not counted.
func crowd(o options, pause time.Duration, first []byte, each func(fd int) (int64, error), prepare ...func(fd int) error) (any, error) {
	var fds []int
	for i := range o.connections {
		fd, err := dial(o.target, prepare...)
		if err == nil {
			fds = append(fds, fd)
			err = write(fd, first)
		}
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	begin()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	var r crowdResult
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			r.Held = len(fds)
			return r, err
		case <-tick.C:
		}
		kept := fds[:0]
		for _, fd := range fds {
			n, err := each(fd)
			r.Bytes += n
			if err != nil {
				unix.Close(fd)
				continue
			}
			kept = append(kept, fd)
		}
		fds = kept
	}
}
