package hpack

import "errors"

// Errors of Decode. All of them mean COMPRESSION_ERROR.
var (
	errTruncated = errors.New("hpack: block ends within a field")
	errInteger   = errors.New("hpack: integer too large")
	errIndex     = errors.New("hpack: index beyond the tables")
	errHuffman   = errors.New("hpack: malformed Huffman code")
	errUpdate    = errors.New("hpack: table size update larger than allowed")
	errLate      = errors.New("hpack: table size update behind a field")
)

// Decoder reads the field blocks of one connection.
type Decoder struct {
	table   table
	allowed int // what we said in SETTINGS_HEADER_TABLE_SIZE
	// scratch holds a literal's name and value, decoded, until they become strings.
	scratch []byte
	recent  *recent // made at the first literal
}

// keptScratch is the largest scratch, in bytes, that is kept from one block to the next.
const keptScratch = 4096

// NewDecoder makes a decoder whose peer may use a table of tableSize bytes: what we say in SETTINGS_HEADER_TABLE_SIZE, or
// 4096 where we say nothing.
func NewDecoder(tableSize uint32) *Decoder {
	return &Decoder{allowed: int(tableSize), table: table{max: int(tableSize)}}
}

// Decode reads one whole block and appends its fields to fields. size is that of the list by RFC 9113, section 6.5.2: 32
// and the lengths of name and value for each field. Fields that would make it exceed limit are left out, but still
// counted and still entered into the table, so that the next block can be read. An error means that the two ends have
// lost one another: the connection has to end with COMPRESSION_ERROR.
//
// It takes time in proportion to the block, and memory to that and limit. The fields' strings stay as they are; those out
// of the tables cost nothing.
func (d *Decoder) Decode(fields []Field, block []byte, limit int) (out []Field, size int, err error) {
	out = fields
	first := true
	for i := 0; i < len(block); {
		b := block[i]
		switch {
		case b >= 0x80: // an indexed field: RFC 7541, section 6.1
			index := uint64(b & 0x7f)
			i++
			if index == 0x7f {
				if index, i, err = readInteger(block, i, 0x7f); err != nil {
					return out, size, err
				}
			}
			var name, value string
			if index-1 < staticEntries {
				f := &static[index]
				name, value = f.Name, f.Value
			} else if e := d.table.at(index); e != nil {
				name, value = e.name, e.value
			} else {
				return out, size, errIndex
			}
			if size += cost(name, value); size <= limit {
				out = append(out, Field{Name: name, Value: value})
			}
		case b&0xe0 == 0x20: // a table size update: section 6.3
			if !first {
				return out, size, errLate
			}
			if i, err = d.update(block, i); err != nil {
				return out, size, err
			}
			continue
		default:
			var f Field
			n := 0
			if f, n, i, err = d.literal(block, i, limit-size); err != nil {
				return out, size, err
			}
			if size += n; size <= limit {
				out = append(out, f)
			}
		}
		first = false
	}
	if cap(d.scratch) > keptScratch {
		d.scratch = nil
	}
	return out, size, nil
}

// literal reads a literal field: section 6.2. cost is what it counts for; where that exceeds room, f may be empty.
func (d *Decoder) literal(block []byte, i, room int) (f Field, n, next int, err error) {
	b := block[i]
	mask := byte(0x0f)
	indexed := b&0x40 != 0
	if indexed {
		mask = 0x3f
	}
	index := uint64(b & mask)
	i++
	if b&mask == mask {
		if index, i, err = readInteger(block, i, index); err != nil {
			return f, 0, i, err
		}
	}
	s := d.scratch[:0]
	switch {
	case index == 0:
		if s, i, err = readString(s, block, i); err != nil {
			return f, 0, i, err
		}
	case index <= staticEntries:
		f.Name = static[index].Name
	default:
		e := d.table.at(index)
		if e == nil {
			return f, 0, i, errIndex
		}
		f.Name = e.name
	}
	nameLen := len(s)
	s, i, err = readString(s, block, i)
	d.scratch = s
	if err != nil {
		return f, 0, i, err
	}
	n = len(f.Name) + len(s) + 32
	if n > room && !indexed {
		return Field{}, n, i, nil
	}
	f.Sensitive = b&0xf0 == 0x10
	both := ""
	if f.Sensitive {
		both = string(s)
	} else {
		if d.recent == nil {
			d.recent = newRecent()
		}
		both = d.recent.of(s)
	}
	if index == 0 {
		f.Name = both[:nameLen]
	}
	f.Value = both[nameLen:]
	if indexed {
		d.table.add(f.Name, f.Value)
	}
	return f, n, i, nil
}

// update reads a table size update.
func (d *Decoder) update(block []byte, i int) (next int, err error) {
	n := uint64(block[i] & 0x1f)
	i++
	if n == 0x1f {
		if n, i, err = readInteger(block, i, n); err != nil {
			return i, err
		}
	}
	// "The new maximum size MUST be lower than or equal to the limit determined by the protocol using HPACK."
	if n > uint64(d.allowed) {
		return i, errUpdate
	}
	d.table.max = int(n)
	d.table.shrink(d.table.max)
	return i, nil
}

// readInteger reads what follows a full prefix: section 5.1.
func readInteger(b []byte, i int, prefix uint64) (n uint64, next int, err error) {
	n = prefix
	for shift := uint(0); shift < 63; shift += 7 {
		if i >= len(b) {
			return 0, i, errTruncated
		}
		c := b[i]
		i++
		n += uint64(c&0x7f) << shift
		if c < 0x80 {
			return n, i, nil
		}
	}
	return 0, i, errInteger
}

// readString appends a string literal, decoded, to dst: section 5.2.
func readString(dst, b []byte, i int) (out []byte, next int, err error) {
	if i >= len(b) {
		return dst, i, errTruncated
	}
	huffman := b[i] >= 0x80
	n := uint64(b[i] & 0x7f)
	i++
	if n == 0x7f {
		if n, i, err = readInteger(b, i, n); err != nil {
			return dst, i, err
		}
	}
	if n > uint64(len(b)-i) {
		return dst, i, errTruncated
	}
	raw := b[i : i+int(n)]
	i += int(n)
	if !huffman {
		return append(dst, raw...), i, nil
	}
	dst, ok := appendDecoded(dst, raw)
	if !ok {
		return dst, i, errHuffman
	}
	return dst, i, nil
}
