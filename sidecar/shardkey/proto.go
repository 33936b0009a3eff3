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

// fieldFinder looks for the first value at a path of fields, outermost first. It goes on where it was when more of the message has come: of a field
// that has not come whole it reads the tag again, and nothing before that. A varint is taken for a signed 64-bit integer, fixed-width
// numbers for unsigned ones, and bytes and strings as they are. Serialisers write a field that is not repeated once; should one be there
// again, the first counts, while parsers take the last. Serialisers leave out fields that are 0 or empty, so these are Absent.
type fieldFinder struct {
	pos   int // behind the fields that were passed; beyond what has come where the last of them has not come whole
	level int // how many fields of the path have led to where pos is
	ends  [maxSteps]int
	// open are the fields of the groups around pos that the path does not lead into.
	open []uint64
}

func (f *fieldFinder) begin() { f.pos, f.level, f.open = 0, 0, f.open[:0] }

// find appends the value. The message is size bytes long, of which b are the first.
func (f *fieldFinder) find(dst, b []byte, size int, fields []uint64) ([]byte, Outcome) {
	if f.ends[0] = size; f.level > 0 && f.ends[1] > size {
		return dst, Bad // a length within it was believed while the message's was not known yet
	}
	r := reader{b: b}
	for {
		r.pos, r.end = f.pos, f.ends[f.level]
		switch {
		case len(f.open) > 0:
			f.passInGroup(&r)
		case r.pos == r.end && f.level == 0:
			return dst, Absent
		case r.pos == r.end:
			f.level--
		default:
			field, wire := r.tag()
			switch {
			case r.o != Found:
			case field == fields[f.level] && f.level == len(fields)-1:
				return r.value(dst, wire)
			case field == fields[f.level] && wire == delimited:
				if n := r.length(); r.o == Found {
					f.level++
					f.ends[f.level] = r.pos + n
				}
			case wire == startGroup:
				f.open = append(f.open, field)
			default:
				r.skip(wire)
			}
		}
		if r.o != Found {
			return dst, r.o
		}
		f.pos = r.pos
	}
}

// passInGroup passes a field of the innermost open group, its end included.
func (f *fieldFinder) passInGroup(r *reader) {
	v, last := r.varint(), len(f.open)-1
	switch field, wire := v>>3, v&7; {
	case r.o != Found:
	case field == 0 || field > maxField || wire > fixed32:
		r.o = Bad
	case wire == endGroup:
		if f.open[last] != field {
			r.o = Bad
		}
		f.open = f.open[:last]
	case wire != startGroup:
		r.skip(wire)
	case len(f.open) == maxGroups:
		r.o = Bad
	default:
		f.open = append(f.open, field)
	}
}

// reader reads a protobuf message of which the end may not have come yet.
type reader struct {
	b   []byte
	pos int
	end int // of the message that is being read; may be beyond b
	o   Outcome
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

// skip passes a value that is no group.
func (r *reader) skip(wire uint64) {
	switch wire {
	case varint:
		r.varint()
	case fixed64:
		r.advance(8)
	case fixed32:
		r.advance(4)
	case delimited:
		n := r.length() // moves pos itself
		r.pos += n
	}
}
