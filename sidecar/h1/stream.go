package h1

import (
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Stream is a connection with the bytes that were read ahead of it. Its buffer is borrowed from the loop and given back
// whenever it is empty. It belongs to its connection's loop.
type Stream struct {
	Conn *loop.Conn
	buf  []byte
	r, w int
}

// Buffered answers the bytes read and not yet taken; they stay where they are until the next Fill, Advance or Drop.
func (s *Stream) Buffered() []byte { return s.buf[s.r:s.w] }

// Advance takes n bytes off the front.
func (s *Stream) Advance(n int) {
	s.r += n
	if s.r == s.w {
		s.Drop()
	}
}

// Drop forgets what is buffered and gives the buffer back.
func (s *Stream) Drop() {
	if s.buf != nil {
		s.Conn.Loop().Release(s.buf)
		s.buf, s.r, s.w = nil, 0, 0
	}
}

// Fill reads once, behind what is buffered, into a buffer of at least size bytes. Without room left it takes a larger one, up
// to size*4 at a time, so views into the old one end here.
func (s *Stream) Fill(size int) error { return s.fill(size, (*loop.Conn).Read) }

// TryFill is Fill that does not wait: it may add nothing.
func (s *Stream) TryFill(size int) error { return s.fill(size, (*loop.Conn).TryRead) }

func (s *Stream) fill(size int, read func(*loop.Conn, []byte) (int, error)) error {
	if s.buf == nil {
		s.buf = s.Conn.Loop().Buffer(size)
	}
	if s.w == len(s.buf) {
		s.makeRoom()
	}
	n, err := read(s.Conn, s.buf[s.w:])
	s.w += n
	if s.r == s.w {
		s.Drop()
	}
	return err
}

// makeRoom moves the bytes to the front, of a larger buffer when they fill this one.
func (s *Stream) makeRoom() {
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
		return
	}
	l := s.Conn.Loop()
	larger := l.Buffer(len(s.buf) * 4)
	s.w = copy(larger, s.buf[s.r:s.w])
	s.r = 0
	l.Release(s.buf)
	s.buf = larger
}

// Unread puts a borrowed buffer with bytes [r:w] in the place of what is buffered.
func (s *Stream) Unread(buf []byte, r, w int) {
	s.Drop()
	s.buf, s.r, s.w = buf, r, w
}

// Close gives the buffer back and closes the connection.
func (s *Stream) Close() {
	s.Drop()
	s.Conn.Close()
}

// Reset gives the buffer back and resets the connection.
func (s *Stream) Reset() {
	s.Drop()
	s.Conn.Reset()
}
