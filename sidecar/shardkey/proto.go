package shardkey

import "strconv"

// maxGroups bounds how deep groups may be nested, which is how old protobuf wrote messages within messages.
const maxGroups = 64

// Wire types of protobuf.
const (
	varint     = 0
	fixed64    = 1
	delimited  = 2
	startGroup = 3
	endGroup   = 4
	fixed32    = 5
)

// reader reads a protobuf message of which the end may not have come yet.
type reader struct {
	b   []byte
	pos int
	end int // of the message that is being read; may be beyond b
	o   Outcome
}

// findField appends the first value at a path of fields, outermost first, in a message of which the first bytes are b, and of
// which size bytes are still to come in all. A varint is taken for a signed 64-bit integer, fixed-width numbers for unsigned
// ones, and bytes and strings as they are. Serialisers write a field that is not repeated once; should one be there again,
// the first counts, while parsers take the last. Serialisers leave out fields that are 0 or empty, so these are Absent.
func findField(dst, b []byte, size int, fields []uint64) ([]byte, Outcome) {
	r := reader{b: b, end: size}
	var outer [maxSteps]int // where the messages around this one end
	level := 0
	for {
		if r.pos == r.end {
			if level == 0 {
				return dst, Absent
			}
			level--
			r.end = outer[level]
			continue
		}
		field, wire := r.tag()
		switch {
		case r.o != Found:
		case field != fields[level]:
			r.skip(field, wire)
		case level == len(fields)-1:
			return r.value(dst, wire)
		case wire != delimited:
			r.skip(field, wire)
		default:
			if n := r.length(); r.o == Found {
				outer[level] = r.end
				r.end = r.pos + n
				level++
			}
		}
		if r.o != Found {
			return dst, r.o
		}
	}
}

// value appends the value of a wire type.
func (r *reader) value(dst []byte, wire uint64) ([]byte, Outcome) {
	switch wire {
	case varint:
		if v := r.varint(); r.o == Found {
			dst = strconv.AppendInt(dst, int64(v), 10)
		}
	case fixed64, fixed32:
		n := 8
		if wire == fixed32 {
			n = 4
		}
		if at := r.pos; r.advance(n) {
			if r.pos > len(r.b) {
				return dst, NeedMore
			}
			v := uint64(0)
			for i := n - 1; i >= 0; i-- {
				v = v<<8 | uint64(r.b[at+i])
			}
			dst = strconv.AppendUint(dst, v, 10)
		}
	case delimited:
		if n := r.length(); r.o == Found {
			if r.pos+n > len(r.b) {
				return dst, NeedMore
			}
			dst = append(dst, r.b[r.pos:r.pos+n]...)
		}
	default:
		return dst, Bad
	}
	return dst, r.o
}

func (r *reader) tag() (field, wire uint64) {
	v := r.varint()
	if field, wire = v>>3, v&7; r.o == Found && (field == 0 || field > maxField || wire > fixed32 || wire == endGroup) {
		r.o = Bad
	}
	return field, wire
}

// varint reads one of up to ten bytes. That the message ends within it is Bad; that what has come does is NeedMore.
func (r *reader) varint() (v uint64) {
	for i := range 10 {
		switch {
		case r.pos >= r.end:
			r.o = Bad
			return 0
		case r.pos >= len(r.b):
			r.o = NeedMore
			return 0
		}
		c := r.b[r.pos]
		r.pos++
		if i == 9 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
	}
	r.o = Bad
	return 0
}

// length reads how many bytes follow, which are within the message.
func (r *reader) length() int {
	n := r.varint()
	if r.o == Found && n > uint64(r.end-r.pos) {
		r.o = Bad
	}
	if r.o != Found {
		return 0
	}
	return int(n)
}

// advance passes n bytes, that may not have come yet.
func (r *reader) advance(n int) bool {
	if n > r.end-r.pos {
		r.o = Bad
		return false
	}
	r.pos += n
	return true
}

// skip passes a value.
func (r *reader) skip(field, wire uint64) {
	switch wire {
	case varint:
		r.varint()
	case fixed64:
		r.advance(8)
	case fixed32:
		r.advance(4)
	case delimited:
		r.pos += r.length()
	case startGroup:
		r.skipGroup(field)
	}
}

// skipGroup passes a group, up to the tag that ends it.
func (r *reader) skipGroup(field uint64) {
	var open [maxGroups]uint64
	open[0] = field
	for depth := 1; depth > 0 && r.o == Found; {
		v := r.varint()
		field, wire := v>>3, v&7
		switch {
		case r.o != Found:
		case field == 0 || field > maxField || wire > fixed32:
			r.o = Bad
		case wire == endGroup:
			if depth--; open[depth] != field {
				r.o = Bad
			}
		case wire != startGroup:
			r.skip(field, wire)
		case depth == maxGroups:
			r.o = Bad
		default:
			open[depth] = field
			depth++
		}
	}
}
