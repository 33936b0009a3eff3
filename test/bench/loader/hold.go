package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

type holdResult struct {
	Held int `json:"held"` // connections that were still open at the end
}

// hold opens connections, makes one request on each, one after the other, and says "begin". Then the connections are
// idle until standard input ends.
func hold(o options) (any, error) {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loader\r\nAccept: */*\r\n\r\n", o.path, o.target.Addr())
	var fds []int
	for i := range o.connections {
		fd, err := dial(o.target)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i+1, err)
		}
		fds = append(fds, fd)
		if err := ask(fd, request); err != nil {
			return nil, fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	begin()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return nil, err
	}
	var r holdResult
	for _, fd := range fds {
		var b [1]byte
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); err == unix.EAGAIN {
			r.Held++ // nothing to read: neither bytes nor an end
		}
		unix.Close(fd)
	}
	return r, nil
}

// ask makes a request and reads its answer.
func ask(fd int, request []byte) error {
	if err := write(fd, request); err != nil {
		return err
	}
	var r response
	for {
		n, err := read(fd, r.space())
		if err != nil {
			return err
		}
		if done, err := r.add(n); done || err != nil {
			return err
		}
	}
}
