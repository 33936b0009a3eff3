package hpack

import (
	"bytes"

	xhpack "golang.org/x/net/http2/hpack"
)

// Encoder writes field blocks for one connection. Its zero value is ready, with the protocol's initial table of 4096 bytes.
type Encoder struct {
	enc *xhpack.Encoder
	buf bytes.Buffer
}

func (e *Encoder) init() {
	if e.enc == nil {
		e.enc = xhpack.NewEncoder(&e.buf)
	}
}

// SetLimit takes over the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes. What has to be said about it is said at the start
// of the next block.
func (e *Encoder) SetLimit(n uint32) {
	e.init()
	e.enc.SetMaxDynamicTableSize(n)
}

// Begin starts a block: it appends the table size updates that are due.
func (e *Encoder) Begin(dst []byte) []byte {
	e.init()
	return dst
}

// Append appends one field of the block that Begin started.
func (e *Encoder) Append(dst []byte, f Field) []byte {
	e.buf.Reset()
	_ = e.enc.WriteField(f) // a bytes.Buffer takes everything
	return append(dst, e.buf.Bytes()...)
}
