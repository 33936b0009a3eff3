package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxHead bounds an answer's head in bytes; the benchmark's own have 200.
const maxHead = 8 << 10

// response reads an answer that arrives in pieces. It knows what the benchmark's servers send: status 200 and a
// Content-Length; anything else is an error, so that nobody is measured who answers something else.
type response struct {
	buf  [maxHead]byte
	n    int
	head bool  // is complete
	size int64 // of the body in bytes; valid once head
	body int64 // bytes of it that are missing; valid once head
	last bool  // the server closes the connection behind this answer
}

func (r *response) reset() { r.n, r.head, r.body, r.last = 0, false, 0, false }

// space is where the next bytes go. It is not empty.
func (r *response) space() []byte {
	if r.head {
		return r.buf[:] // what was read of the body is not looked at again
	}
	return r.buf[r.n:]
}

// add takes n bytes that were put into space, and reports whether the answer is complete.
func (r *response) add(n int) (done bool, err error) {
	if r.head {
		r.body -= int64(n)
	} else {
		r.n += n
		i := bytes.Index(r.buf[:r.n], []byte("\r\n\r\n"))
		if i < 0 {
			if r.n == len(r.buf) {
				return false, fmt.Errorf("a head of more than %d bytes", maxHead)
			}
			return false, nil
		}
		if err := r.parse(r.buf[:i+2]); err != nil {
			return false, err
		}
		r.body -= int64(r.n - i - 4)
	}
	if r.body < 0 {
		return false, errors.New("more bytes than Content-Length says")
	}
	return r.body == 0, nil
}

func (r *response) parse(head []byte) error {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answered %q", line)
	}
	r.head = true
	length := false
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("Content-Length %q", value)
			}
			r.size, r.body, length = n, n, true
		case bytes.EqualFold(name, []byte("connection")):
			r.last = bytes.EqualFold(value, []byte("close"))
		}
	}
	if !length {
		return errors.New("an answer without Content-Length")
	}
	return nil
}
