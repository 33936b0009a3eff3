package hpack

import (
	"math/bits"
	"strings"
)

// entry is one entry of the encoder's dynamic table.
type entry struct {
	name, value string
	used        bool // referred to since it was entered
}

// cost is what a field counts for in a table: RFC 7541, section 4.1.
func cost(name, value string) int { return len(name) + len(value) + 32 }

// index is the encoder's dynamic table and the way to find a field in it. Entries are numbered as they come, newest is
// the last one's number, and one that is age entries older has place age (from 0) in the peer's table. Numbers wrap.
type index struct {
	ring   []entry // a power of two; the entry numbered n is at n modulo its length
	newest uint16
	count  uint16
	size   int // of the live entries, in bytes

	// sets are four places each, found by a field's hash; a place holds 16 other bits of the hash and an entry's number.
	// Places are never cleared: what a number points to is compared with what is looked for. When all four are live, the
	// oldest makes room and cannot be found any more, so that nobody can make a search long by choosing values.
	sets [][4]uint32
}

// firstRing is the ring's first length. It doubles up to what the table's size allows: 4096 bytes hold at most 128 entries.
const firstRing = 32

func (x *index) init() {
	x.ring = make([]entry, firstRing)
	x.sets = make([][4]uint32, firstRing/2)
}

// find gives the age of the entry for a field whose hash is h.
func (x *index) find(h uint32, name, value string) (age uint16, ok bool) {
	set := &x.sets[h&uint32(len(x.sets)-1)]
	for _, place := range set {
		if place>>16 != h>>16 {
			continue
		}
		age := x.newest - uint16(place)
		if age >= x.count {
			continue
		}
		if e := &x.ring[int(uint16(place))&(len(x.ring)-1)]; e.value == value && e.name == name {
			if !e.used {
				e.used = true
			}
			return age, true
		}
	}
	return 0, false
}

// add enters a field that find does not find, with room for it made before. The table keeps copies: the caller's strings
// may be parts of something much larger.
func (x *index) add(h uint32, name, value string) (number uint16) {
	if int(x.count) == len(x.ring) {
		x.grow()
	}
	x.newest++
	x.count++
	x.size += cost(name, value)
	x.ring[int(x.newest)&(len(x.ring)-1)] = entry{name: name, value: strings.Clone(value)}
	x.place(h, x.newest)
	return x.newest
}

func (x *index) place(h uint32, number uint16) {
	set := &x.sets[h&uint32(len(x.sets)-1)]
	best, bestAge := 0, uint16(0)
	for i, place := range set {
		age := number - uint16(place)
		if age >= x.count {
			best = i
			break
		}
		if age >= bestAge {
			best, bestAge = i, age
		}
	}
	set[best] = h&0xffff0000 | uint32(number)
}

func (x *index) grow() {
	old := x.ring
	x.ring = make([]entry, 2*len(old))
	x.sets = make([][4]uint32, len(x.ring)/2)
	for i := x.count; i > 0; i-- {
		n := x.newest - (i - 1)
		e := old[int(n)&(len(old)-1)]
		x.ring[int(n)&(len(x.ring)-1)] = e
		x.place(hash(e.name, e.value), n)
	}
}

// shrink evicts the oldest entries until at most size bytes are left.
func (x *index) shrink(size int) {
	for x.size > size {
		x.count--
		e := &x.ring[int(x.newest-x.count)&(len(x.ring)-1)]
		x.size -= cost(e.name, e.value)
		*e = entry{}
	}
}

// live reports the age of the entry with this number, unless it has been evicted.
func (x *index) live(number uint16) (age uint16, ok bool) {
	age = x.newest - number
	return age, age < x.count
}

// used reports whether the entry with this number has been referred to, unless it has been evicted.
func (x *index) used(number uint16) (used, ok bool) {
	_, ok = x.live(number)
	return ok && x.ring[int(number)&(len(x.ring)-1)].used, ok
}

// hash is that of a field. It looks at no more than the ends and the middle of each string: what collides is told apart
// by comparison, and four fields that collide can be kept at once.
func hash(name, value string) uint32 {
	const k0, k1, k2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f
	n0, n1 := ends(name)
	v0, v1 := ends(value)
	if len(value) > 16 {
		v0 ^= bits.RotateLeft64(word(value, (len(value)-8)/2), 29)
	}
	a, b := bits.Mul64(n0^bits.RotateLeft64(n1, 23)^k0, v0^k1^uint64(len(value)))
	a, b = bits.Mul64(a^b^k2, v1^k0^uint64(len(name)))
	return uint32(a ^ b)
}

// ends gives the first and the last eight octets of s, which overlap in a short one.
func ends(s string) (first, last uint64) {
	switch {
	case len(s) >= 8:
		return word(s, 0), word(s, len(s)-8)
	case len(s) >= 4:
		return uint64(half(s, 0)), uint64(half(s, len(s)-4))
	case len(s) > 0:
		return uint64(s[0])<<8 | uint64(s[len(s)/2]), uint64(s[len(s)-1])
	}
	return 0, 0
}

func word(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func half(s string, i int) uint32 {
	s = s[i : i+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
