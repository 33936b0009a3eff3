package hpack

import "strings"

// initialTable is the size of both tables until SETTINGS say otherwise: RFC 9113, section 6.5.2.
const initialTable = 4096

// largestTable is the most the encoder uses of what the peer allows, in bytes.
const largestTable = 4096

// Encoder writes field blocks for one connection. Its zero value is ready, with the protocol's initial table of 4096 bytes.
//
// It enters a field into the peer's table when its like is expected again: see policy.go.
type Encoder struct {
	index index
	max   int // the table's size in use, in bytes
	// pending says that a size update is due; smallest is the smallest size allowed since the last block.
	pending  bool
	smallest int
	limit    int // what the peer allows, at most largestTable
	names    names
	seen     filter
	skipped  uint8 // counts what churn leaves out
}

func (e *Encoder) init() {
	e.index.init()
	e.names.init()
	e.max, e.limit = initialTable, initialTable
}

// SetLimit takes over the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes. What has to be said about it is said at the start
// of the next block.
func (e *Encoder) SetLimit(n uint32) {
	if e.index.ring == nil {
		e.init()
	}
	e.limit = int(min(n, largestTable))
	if !e.pending {
		e.pending, e.smallest = true, e.max
	}
	e.smallest = min(e.smallest, e.limit)
}

// Begin starts a block: it appends the table size updates that are due. A block that was begun has to be sent, and in the
// order of the Begins, because the peer's table follows.
func (e *Encoder) Begin(dst []byte) []byte {
	if e.pending {
		return e.update(dst)
	}
	if e.index.ring == nil {
		e.init()
	}
	return dst
}

// update says what became of the table's size: RFC 7541, section 4.2.
func (e *Encoder) update(dst []byte) []byte {
	e.pending = false
	if e.smallest < e.limit && e.smallest < e.max {
		// "In the case that this size is changed more than once […], the smallest maximum table size that occurs in that
		// interval MUST be signaled". We go down to nothing: x/net's decoder, and so every peer in Go, takes a second
		// update in a row only while its table is empty.
		e.index.shrink(0)
		e.max = 0
		dst = appendInteger(dst, 0x20, 0x1f, 0)
	}
	if e.limit != e.max {
		e.max = e.limit
		e.index.shrink(e.max)
		dst = appendInteger(dst, 0x20, 0x1f, uint32(e.max))
	}
	return dst
}

// Append appends one field of the block that Begin started. It keeps no reference to f's strings.
func (e *Encoder) Append(dst []byte, f Field) []byte {
	if f.Sensitive {
		return e.literal(dst, f, 0)
	}
	if f.Name != "" && f.Name[0] == ':' {
		if i := staticPseudo(f.Name, f.Value); i != 0 {
			return append(dst, 0x80|i)
		}
	}
	h := hash(f.Name, f.Value)
	if age, ok := e.index.find(h, f.Name, f.Value); ok {
		if age < 127-staticEntries-1 {
			return append(dst, 0x80|byte(staticEntries+1+age))
		}
		return appendInteger(dst, 0x80, 0x7f, staticEntries+1+uint32(age))
	}
	if i := staticRegular(f.Name, f.Value); i != 0 {
		return append(dst, 0x80|i)
	}
	return e.literal(dst, f, h)
}

// literal appends a field that no table holds: RFC 7541, section 6.2.
func (e *Encoder) literal(dst []byte, f Field, h uint32) []byte {
	n := e.names.get(f.Name)
	place := uint32(0) // of the name in the tables; 0: in none
	if n.static != 0 {
		place = uint32(n.static)
	} else if age, ok := e.index.live(n.last); ok && n.entered {
		place = staticEntries + 1 + uint32(age)
	}
	switch {
	case f.Sensitive:
		dst = appendInteger(dst, 0x10, 0x0f, place)
	case e.worthwhile(n, place != 0, cost(f.Name, f.Value), h):
		e.index.shrink(e.max - cost(f.Name, f.Value))
		name := n.name
		if name == "" {
			name = strings.Clone(f.Name)
		}
		n.last = e.index.add(h, name, f.Value)
		n.entered, n.judged = true, false
		dst = appendInteger(dst, 0x40, 0x3f, place)
	default:
		dst = appendInteger(dst, 0, 0x0f, place)
	}
	if place == 0 {
		dst = appendString(dst, f.Name)
	}
	return appendString(dst, f.Value)
}
