package attack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Seen is what the other side did on a connection.
type Seen struct {
	GoAway   []http2.ErrCode       // codes of GOAWAY frames, in order
	Resets   map[http2.ErrCode]int // RST_STREAM frames by code
	Settings map[http2.SettingID]uint32
	Closed   bool // it ended the connection
}

// Conn is a connection whose one side is ours. Frames are written by one goroutine and read by another.
type Conn struct {
	net.Conn
	*http2.Framer
	end  time.Time // of the attack
	w    *bufio.Writer
	err  error // the first of writing
	sent int
	next uint32 // stream id

	mu   sync.Mutex
	seen Seen
}

// writeBuffer keeps an attack from being one system call a frame.
const writeBuffer = 32 << 10

func newConn(c net.Conn, end time.Time) *Conn {
	a := &Conn{Conn: c, end: end, next: 1, seen: Seen{Resets: map[http2.ErrCode]int{}, Settings: map[http2.SettingID]uint32{}}}
	a.w = bufio.NewWriterSize(c, writeBuffer)
	a.Framer = http2.NewFramer(writes{a}, c)
	a.AllowIllegalWrites, a.AllowIllegalReads = true, true
	return a
}

// writes counts frames, and keeps the first error.
type writes struct{ c *Conn }

func (w writes) Write(b []byte) (int, error) {
	if w.c.err != nil {
		return 0, w.c.err
	}
	w.c.sent++
	n, err := w.c.w.Write(b)
	w.c.err = err
	return n, err
}

// More reports whether the attack goes on: there is time, and the other side takes what is written.
func (c *Conn) More() bool { return c.err == nil && time.Now().Before(c.end) }

// Flush sends what was written so far.
func (c *Conn) Flush() {
	if c.err == nil {
		c.err = c.w.Flush()
	}
}

// Wait lets the attack stand as it is until its time is over.
func (c *Conn) Wait() {
	c.Flush()
	time.Sleep(time.Until(c.end))
}

// Seen answers what the other side did so far.
func (c *Conn) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *Conn) note(f func(s *Seen)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// watch reads frames until the other side ends the connection, and calls head with the stream id of each whole head that arrives.
func (c *Conn) watch(head func(id uint32)) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			var ours net.Error
			c.note(func(s *Seen) { s.Closed = !errors.Is(err, net.ErrClosed) && !(errors.As(err, &ours) && ours.Timeout()) })
			return
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			c.note(func(s *Seen) { s.GoAway = append(s.GoAway, f.ErrCode) })
		case *http2.RSTStreamFrame:
			c.note(func(s *Seen) { s.Resets[f.ErrCode]++ })
		case *http2.SettingsFrame:
			c.note(func(s *Seen) {
				f.ForeachSetting(func(v http2.Setting) error { s.Settings[v.ID] = v.Val; return nil }) // the function has no error
			})
		case *http2.HeadersFrame:
			if head != nil && f.HeadersEnded() {
				head(f.StreamID)
			}
		case *http2.ContinuationFrame:
			if head != nil && f.HeadersEnded() {
				head(f.StreamID)
			}
		}
	}
}

// id takes the next stream id of a client.
func (c *Conn) id() uint32 {
	id := c.next
	c.next += 2
	return id
}

// open writes the head of a request on a new stream.
func (c *Conn) open(block []byte, end bool) uint32 {
	id := c.id()
	c.headers(id, block, end, true)
	return id
}

func (c *Conn) headers(id uint32, block []byte, end, whole bool) {
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: whole})
}

// literal is a field of a header block that leaves the dynamic table alone (RFC 7541, section 6.2.2); lengths are below 127.
func literal(name, value string) []byte {
	b := append([]byte{0, byte(len(name))}, name...)
	return append(append(b, byte(len(value))), value...)
}

// request is the header block of a request, from the static table and literals only.
func request(method, path string, more ...[]byte) []byte {
	block := []byte{0x86} // :scheme http
	if method == "GET" {
		block = append(block, 0x82)
	} else {
		block = append(block, literal(":method", method)...)
	}
	block = append(block, literal(":path", path)...)
	block = append(block, literal(":authority", "attack.test")...)
	return append(block, bytes.Join(more, nil)...)
}

// answer is the header block of an answer.
func answer(status string, more ...[]byte) []byte {
	return append(literal(":status", status), bytes.Join(more, nil)...)
}

func word(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// preface reads what a client sends first.
func preface(r io.Reader) error {
	_, err := io.ReadFull(r, make([]byte, len(http2.ClientPreface)))
	return err
}
