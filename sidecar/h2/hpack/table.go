package hpack

// table is the decoder's dynamic table: a ring that grows as entries come, newest at last.
type table struct {
	ring  []pair // a power of two
	last  int    // where the newest is
	count int
	size  int // in bytes
	max   int
}

type pair struct{ name, value string }

// at gives the entry with this index, static ones counted before, or nil.
func (t *table) at(index uint64) *pair {
	age := index - staticEntries - 1
	if age >= uint64(t.count) {
		return nil
	}
	return &t.ring[(t.last-int(age))&(len(t.ring)-1)]
}

// add enters a field. "It is not an error to attempt to add an entry that is larger than the maximum size"; it empties
// the table: RFC 7541, section 4.4.
func (t *table) add(name, value string) {
	n := cost(name, value)
	t.shrink(t.max - n)
	if n > t.max {
		return
	}
	if t.count == len(t.ring) {
		t.grow()
	}
	t.last = (t.last + 1) & (len(t.ring) - 1)
	t.ring[t.last] = pair{name, value}
	t.count++
	t.size += n
}

func (t *table) grow() {
	ring := make([]pair, max(firstRing, 2*len(t.ring)))
	for i := range t.count {
		ring[t.count-1-i] = t.ring[(t.last-i)&(len(t.ring)-1)]
	}
	t.ring, t.last = ring, (t.count-1)&(len(ring)-1)
}

// shrink evicts the oldest entries until at most size bytes are left.
func (t *table) shrink(size int) {
	for t.count > 0 && t.size > size {
		t.count--
		e := &t.ring[(t.last-t.count)&(len(t.ring)-1)]
		t.size -= cost(e.name, e.value)
		*e = pair{}
	}
}
