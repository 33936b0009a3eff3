package shardkey

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
	"sync"
)

// body is what an Extraction knows of a request's body.
type body struct {
	grpc    bool
	coding  coding // of the body, or of gRPC's messages that say so
	plain   []byte // what was inflated, as far as that goes
	finders [MaxParts]finder
	fields  [MaxParts]fieldFinder
	looks   int // how often compressed bytes were inflated
	next    int // bytes there must be before they are inflated again
}

type coding uint8

const (
	identity coding = iota
	gzipped
	unknown
	none // the request is no gRPC
)

// view is the part of the body that may be looked at.
type view struct {
	b        []byte
	size     int  // of the gRPC message b is the beginning of
	complete bool // b is all there is
	full     bool // b is as long as may be looked at
	broken   bool // nothing comes behind b that could be read
}

func (y *body) begin(s *Spec, src Source) {
	y.grpc, y.plain, y.looks, y.next = false, y.plain[:0], 0, 0
	for i := range s.parts {
		if s.parts[i].kind == grpcBody {
			y.grpc = true
		}
		y.finders[i] = finder{}
		y.fields[i].begin()
	}
	if !y.grpc {
		y.coding = codingOf(src, "content-encoding")
		return
	}
	y.coding = none
	if v, _ := src.Header("content-type", 0); framed(v) {
		y.coding = codingOf(src, "grpc-encoding")
	}
}

// framed says whether a content type is one whose body is gRPC's messages as they are: not gRPC-Web in base64.
func framed(contentType []byte) bool {
	rest, ok := bytes.CutPrefix(contentType, []byte("application/grpc"))
	return ok && !bytes.HasPrefix(rest, []byte("-web-text"))
}

func codingOf(src Source, name string) coding {
	v, ok := src.Header(name, 0)
	if !ok {
		return identity
	}
	if _, more := src.Header(name, 1); more {
		return unknown
	}
	switch {
	case equalFold(v, "identity"), len(v) == 0:
		return identity
	case equalFold(v, "gzip"), equalFold(v, "x-gzip"): // RFC 9110, section 8.4.1.3
		return gzipped
	}
	return unknown
}

func equalFold(v []byte, word string) bool {
	if len(v) != len(word) {
		return false
	}
	for i, c := range v {
		if c|0x20 != word[i] && c != word[i] {
			return false
		}
	}
	return true
}

// look answers what there is to look at. An Outcome other than Found is the answer for all parts in the body.
func (y *body) look(prefix []byte, complete bool) (view, Outcome) {
	if !y.grpc {
		switch {
		case len(prefix) == 0 && complete:
			return view{}, Absent
		case y.coding == unknown:
			return view{}, Unreadable
		case y.coding == gzipped:
			return y.inflate(prefix, complete)
		}
		return view{b: prefix, complete: complete}, Found
	}
	if y.coding == none {
		return view{}, Absent
	}
	// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Compressed-Flag Message-Length Message
	const head = 5
	if len(prefix) < head {
		switch {
		case !complete:
			return view{}, NeedMore
		case len(prefix) == 0:
			return view{}, Absent
		}
		return view{}, Bad
	}
	size := uint64(binary.BigEndian.Uint32(prefix[1:]))
	message := prefix[head:]
	message = message[:min(uint64(len(message)), size)]
	whole := uint64(len(message)) == size
	switch {
	case complete && !whole || prefix[0] > 1:
		return view{}, Bad
	case prefix[0] == 0:
		return view{b: message, size: int(min(size, math.MaxInt32)), complete: whole}, Found
	case y.coding != gzipped:
		return view{}, Unreadable
	}
	v, o := y.inflate(message, whole)
	if v.size = len(v.b); !v.complete {
		v.size = math.MaxInt32 // more than is ever read: how long it is nobody knows yet
	}
	return v, o
}

// rescans is how often compressed bytes are inflated from the start each time some more of them come. After that they must
// have doubled, so that a body which comes byte by byte is not inflated 64 Ki times.
const rescans = 8

var inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}

// inflate answers as much of what is compressed as can be read, MaxBody bytes at most.
func (y *body) inflate(b []byte, complete bool) (view, Outcome) {
	if !complete && len(b) < MaxBody && len(b) < y.next {
		return view{}, NeedMore
	}
	if y.looks++; y.looks >= rescans {
		y.next = 2 * len(b)
	}
	z := inflaters.Get().(*gzip.Reader)
	defer inflaters.Put(z)
	if cap(y.plain) < MaxBody {
		y.plain = make([]byte, 0, MaxBody)
	}
	err := z.Reset(bytes.NewReader(b))
	n := 0
	for err == nil && n < MaxBody {
		var m int
		m, err = z.Read(y.plain[n:MaxBody])
		n += m
	}
	y.plain = y.plain[:n]
	v := view{b: y.plain, full: n == MaxBody}
	switch {
	case v.full:
	case err == io.EOF && len(b) > 0 && complete:
		v.complete = true
	case !complete && (err == io.EOF || err == io.ErrUnexpectedEOF):
	default:
		v.broken = true
	}
	return v, Found
}

// find looks for one part in what there is to look at.
func (y *body) find(dst []byte, p *part, i int, v view) ([]byte, Outcome) {
	if p.kind == grpcBody {
		return y.fields[i].find(dst, v.b, v.size, p.fields)
	}
	value, o := y.finders[i].find(v.b, v.complete, p)
	if o == Found {
		dst = appendScalar(dst, value)
	}
	return dst, o
}

func (y *body) release() { y.plain = nil }
