package h1

import (
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// prefix is the beginning of a request's body as its reader takes it: in one piece, and without transfer coding.
type prefix struct {
	buf    []byte // borrowed; nil while the body is in one piece elsewhere
	n      int
	taken  int // bytes of the body as it is sent that are in it
	chunks Chunks
	cut    bool // there was more than fits
}

const (
	// PrefixMost is how much of a body Prefix answers, in bytes.
	PrefixMost = 64 << 10
	// aheadMost is how much of a body as it is sent More reads into memory, in bytes. Chunks of ten bytes and more are well within.
	aheadMost = 2 * PrefixMost
)

// Why More reads no more: ErrNoRoom says that as much of the body is in memory as may be of one, ErrNoMemory that there is as much of all
// bodies of the process.
var (
	ErrNoRoom   = errors.New("no room for more of the request's body")
	ErrNoMemory = errors.New("no memory for more of the request's body")
)

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// Prefix answers the beginning of the request's body, as far as it is in memory, and whether that is all of it. It is for who looks into a
// body before the first Start; the body is sent as it came. What it answers holds until the next More or DropPrefix.
func (x *Exchange) Prefix() (b []byte, whole bool) {
	ahead, kept := x.d.Buffered()[x.headLen:x.taken], x.replay.buf[:x.replay.n]
	switch {
	case x.Request.Body == None:
		return nil, true
	case x.Request.Body == Length && len(kept) == 0:
		b = ahead
	case x.Request.Body == Length && len(ahead) == 0:
		b = kept
	default:
		p := &x.prefix
		if p.buf == nil {
			p.buf = x.d.Conn.Loop().Buffer(PrefixMost)
			p.chunks.Reset(x.d.o.HeadLimit, false)
		}
		if p.taken < len(ahead) {
			x.copyPrefix(ahead[p.taken:])
		}
		x.copyPrefix(kept[p.taken-len(ahead):])
		b = p.buf[:p.n]
	}
	return b, x.InMemory() && !x.prefix.cut
}

// Cut reports whether the body is known to have more than Prefix may answer.
func (x *Exchange) Cut() bool {
	if x.Request.Body == Length {
		return x.Request.Length > PrefixMost
	}
	return x.prefix.cut
}

// copyPrefix adds more of the body as it is sent, which is known to be sound.
func (x *Exchange) copyPrefix(b []byte) {
	p := &x.prefix
	p.taken += len(b)
	if x.Request.Body == Length {
		p.add(b)
		return
	}
	for i := 0; i < len(b) && !p.chunks.Done(); {
		if left := p.chunks.Remaining(); left > 0 {
			k := int(min(left, int64(len(b)-i)))
			p.add(b[i : i+k])
			p.chunks.Skip(int64(k))
			i += k
			continue
		}
		p.chunks.Scan(b[i : i+1])
		i++
	}
}

func (p *prefix) add(b []byte) {
	n := copy(p.buf[p.n:PrefixMost], b)
	p.n += n
	p.cut = p.cut || n < len(b)
}

// More waits for more of the request's body, until the time until, and reads it into memory. A client that waits for 100 (Continue) is
// given it, and does not get another one. io.EOF says that the client ended within the body.
func (x *Exchange) More(until int64) error {
	d, l := x.d.Conn, x.d.Conn.Loop()
	if x.Request.ExpectContinue && !x.continued && x.taken == x.headLen && x.replay.n == 0 {
		x.continued = true
		if _, err := d.Write(continueLine); err != nil {
			return err
		}
	}
	k := &x.replay
	if k.n == len(k.buf) {
		if err := x.growAhead(); err != nil {
			return err
		}
	}
	if err := l.Wait(until, d, nil, d.Readable); err != nil {
		return err
	}
	n, err := d.TryRead(k.buf[k.n:])
	if n == 0 {
		if err == io.EOF {
			x.d.halfClosed = true
		}
		return err
	}
	body, err := x.account(k.buf[k.n : k.n+n])
	k.n += body
	return err
}

// growAhead makes room for more of the body.
func (x *Exchange) growAhead() error {
	k, l := &x.replay, x.d.Conn.Loop()
	size := min(max(loop.Small, 4*len(k.buf)), aheadMost)
	if x.Request.Body == Length && k.buf == nil {
		size = int(min(max(x.rest, 1), aheadMost))
	}
	if size <= len(k.buf) {
		return ErrNoRoom
	}
	larger := l.Buffer(size)
	if !x.d.o.Memory.Take(len(larger) - len(k.buf)) {
		l.Release(larger)
		return ErrNoMemory
	}
	copy(larger, k.buf[:k.n])
	l.Release(k.buf)
	k.buf = larger
	return nil
}

// account takes what was read of the request, and answers how many bytes of it are the body's. What is behind it is kept for the next one.
func (x *Exchange) account(b []byte) (body int, err error) {
	done := false
	if x.Request.Body == Chunked {
		if body, done, err = x.chunks.Scan(b); err != nil {
			return 0, err
		}
	} else {
		body = int(min(int64(len(b)), x.rest))
		x.rest -= int64(body)
		done = x.rest == 0
	}
	if done && body < len(b) {
		x.next = readAhead{buf: x.d.Conn.Loop().Buffer(len(b) - body)}
		x.next.w = copy(x.next.buf, b[body:])
	}
	return body, nil
}

// DropPrefix gives back what Prefix needed. The body stays in memory to be sent.
func (x *Exchange) DropPrefix() {
	if x.prefix.buf != nil {
		x.d.Conn.Loop().Release(x.prefix.buf)
	}
	x.prefix = prefix{}
}
