package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

type bulkResult struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// fetch gets a large body several times on one connection. The first one is not measured.
func fetch(o options) (any, error) {
	fd, err := dial(o.target)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loader\r\nAccept: */*\r\n\r\n", o.path, o.target.Addr())
	if _, err := body(fd, request); err != nil {
		return nil, fmt.Errorf("the first body: %w", err)
	}
	begin()
	started := time.Now()
	var r bulkResult
	for i := range o.count {
		n, err := body(fd, request)
		if err != nil {
			return nil, fmt.Errorf("body %d: %w", i+1, err)
		}
		r.Bytes += n
	}
	r.Seconds = time.Since(started).Seconds()
	return r, nil
}

// body makes a request and throws the answer's body away.
func body(fd int, request []byte) (size int64, err error) {
	if err := write(fd, request); err != nil {
		return 0, err
	}
	var r response
	for {
		n, err := read(fd, r.space())
		if err != nil {
			return 0, err
		}
		done, err := r.add(n)
		if err != nil || done {
			return 0, errors.Join(err, errors.New("no large body"))
		}
		if r.head {
			return r.size, discard(fd, r.body)
		}
	}
}

// pull asks for bytes that nobody parses: their number as eight bytes, then they come. The first 16 MiB are not measured.
func pull(o options) (any, error) {
	fd, err := dial(o.target)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	get := func(n int64) error {
		if err := write(fd, binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
			return err
		}
		return discard(fd, n)
	}
	if err := get(16 << 20); err != nil {
		return nil, err
	}
	begin()
	started := time.Now()
	if err := get(o.bytes); err != nil {
		return nil, err
	}
	return bulkResult{Bytes: o.bytes, Seconds: time.Since(started).Seconds()}, nil
}

// give serves pull until the process ends.
func give(o options) (any, error) {
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	return nil, giveOn(l)
}

func giveOn(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			chunk := make([]byte, 1<<20)
			var size [8]byte
			for {
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return // the client has what it wanted
				}
				for left := binary.BigEndian.Uint64(size[:]); left > 0; {
					n, err := c.Write(chunk[:min(left, uint64(len(chunk)))])
					if err != nil {
						return
					}
					left -= uint64(n)
				}
			}
		}()
	}
}
