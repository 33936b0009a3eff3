package h1

import "math"

// Chunks follows a chunked body (RFC 9112, section 7.1) that is forwarded unchanged, over any split into reads, and says
// where it ends. It keeps no bytes. The zero value follows a request's body, with DefaultHeadLimit for its trailer
// section; Reset makes it ready for the next one.
type Chunks struct {
	left     int64 // data bytes of the current chunk still to come
	size     uint64
	excess   int64 // bytes of size lines beyond what their data justifies
	limit    int   // of the trailer section, in bytes; 0: DefaultHeadLimit
	trailers int   // bytes of the trailer section so far
	fields   int   // lines of it
	line     int   // bytes of the current size line so far
	name     [17]byte
	nameLen  int
	digits   uint8
	state    chunkState
	quoted   bool
	mode     lenience
}

type chunkState uint8

const (
	atSize chunkState = iota
	atSizeSpace
	atExtension
	atEscaped // behind a backslash in a quoted string
	atSizeLF
	atData
	atDataCR
	atDataLF
	atTrailer
	atTrailerName
	atTrailerValue
	atTrailerLF
	atEndLF
	atEnd
)

const (
	// maxSizeLine bounds one line with a chunk's size, its extensions included.
	maxSizeLine = 4 << 10
	// maxExcess bounds what size lines may cost beyond 16 bytes a chunk and twice its data: small chunks are fine,
	// a kilobyte of extensions around each byte is an attack (CVE-2023-39326).
	maxExcess = 16 << 10
)

// Reset makes c ready for the next body. limit is the largest trailer section in bytes, DefaultHeadLimit when it is 0.
// A response's body may have spaces behind the chunk size, as old servers write them, and any name among its trailers.
func (c *Chunks) Reset(limit int, response bool) {
	*c = Chunks{limit: limit}
	if response {
		c.mode = lenient
	}
}

// Remaining answers how many data bytes of the current chunk are still to come, 0 outside of one. They may be forwarded
// without Scan and are then accounted with Skip.
func (c *Chunks) Remaining() int64 { return c.left }

// Skip accounts n data bytes that were forwarded without Scan. It panics when the current chunk has fewer.
func (c *Chunks) Skip(n int64) {
	if n < 0 || n > c.left {
		panic("h1: skip beyond the chunk")
	}
	if c.left -= n; c.left == 0 && n > 0 {
		c.state = atDataCR
	}
}

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == atEnd }

// Scan answers how many bytes of b belong to the body, all of them or those up to its end, and whether it is done; or a
// *ChunkError, after which b must not be forwarded and both connections are of no use any more.
func (c *Chunks) Scan(b []byte) (n int, done bool, err error) {
	i, reason := c.scan(b)
	if reason != reasonNone {
		return 0, false, &ChunkError{Reason: reason, Offset: i}
	}
	return i, c.state == atEnd, nil
}

func (c *Chunks) scan(b []byte) (i int, _ Reason) {
	for i < len(b) {
		if c.state == atData {
			// Most bytes are data: they are not looked at.
			if rest := int64(len(b) - i); rest < c.left {
				c.left -= rest
				return len(b), reasonNone
			}
			i += int(c.left)
			c.left, c.state = 0, atDataCR
			continue
		}
		if c.state == atEnd {
			return i, reasonNone
		}
		var reason Reason
		if c.state < atData {
			i, reason = c.sizeLine(b, i)
		} else {
			i, reason = c.rest(b, i)
		}
		if reason != reasonNone {
			return i, reason
		}
	}
	return i, reasonNone
}

// sizeLine follows the line with a chunk's size from offset i of b to its end or that of b.
func (c *Chunks) sizeLine(b []byte, i int) (int, Reason) {
	for ; i < len(b) && c.state < atData; i++ {
		ch := b[i]
		if c.line++; c.line > maxSizeLine {
			return i, ChunkExtensionTooLarge
		}
		switch c.state {
		case atSize:
			if class[ch]&classHex != 0 {
				if c.digits++; c.digits > 16 {
					return i, ChunkSizeOverflow
				}
				// The low four bits of a letter are its value less 9.
				c.size = c.size<<4 | uint64(ch&0xf+9*(ch>>6))
				continue
			}
			if c.digits == 0 {
				return i, BadChunkSize
			}
			if c.size > math.MaxInt64 {
				return i, ChunkSizeOverflow
			}
			switch {
			case ch == '\r':
				c.state = atSizeLF
			case ch == ';':
				c.state = atExtension
			case ch == '\n':
				return i, BareLF
			case (ch == ' ' || ch == '\t') && c.mode == lenient:
				c.state = atSizeSpace
			default:
				return i, BadChunkSize
			}
		case atSizeSpace:
			switch ch {
			case '\r':
				c.state = atSizeLF
			case ';':
				c.state = atExtension
			case ' ', '\t':
			default:
				return i, BadChunkSize
			}
		case atExtension:
			switch {
			case ch == '\r':
				// A quoted string that a server takes to go on behind the line end would hide chunks in it.
				if c.quoted {
					return i, BadChunkExtension
				}
				c.state = atSizeLF
			case ch == '\n':
				return i, BareLF
			case ch == '"':
				c.quoted = !c.quoted
			case ch == '\\' && c.quoted:
				c.state = atEscaped
			case ch < ' ' && ch != '\t' || ch == 0x7f:
				return i, BadChunkExtension
			}
		case atEscaped:
			if ch < ' ' && ch != '\t' || ch == 0x7f {
				return i, BadChunkExtension
			}
			c.state = atExtension
		case atSizeLF:
			if ch != '\n' {
				return i, BareCR
			}
			if c.excess = max(0, c.excess+int64(c.line)-16-2*int64(min(c.size, maxExcess))); c.excess > maxExcess {
				return i, ChunkExtensionTooLarge
			}
			c.state = atTrailer
			if c.size > 0 {
				c.left, c.state = int64(c.size), atData
			}
			c.size, c.digits, c.line = 0, 0, 0
		}
	}
	return i, reasonNone
}

// rest follows the line end behind a chunk's data, or the trailer section, from offset i of b.
func (c *Chunks) rest(b []byte, i int) (int, Reason) {
	ch := b[i]
	switch c.state {
	case atDataCR:
		if ch != '\r' {
			return i, BadChunkEnd
		}
		c.state = atDataLF
		return i + 1, reasonNone
	case atDataLF:
		if ch != '\n' {
			return i, BadChunkEnd
		}
		c.state = atSize
		return i + 1, reasonNone
	case atEndLF:
		if ch != '\n' {
			return i, BareCR
		}
		c.state = atEnd
		return i + 1, reasonNone
	}
	// Bytes beyond the limit are not looked at, so that the verdict is the same for every split into reads.
	left := c.trailerLimit() - c.trailers
	if left <= 0 {
		return i, TrailerTooLarge
	}
	end, reason := c.trailer(b[:min(len(b), i+left)], i)
	c.trailers += end - i
	return end, reason
}
