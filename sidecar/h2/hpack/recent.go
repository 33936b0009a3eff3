package hpack

import "hash/maphash"

// recent keeps strings of literals that a peer sends with every message, though it could name an entry of the table: nginx enters all
// fields of each response anew, nghttp2 leaves :path out. One that comes again costs no allocation. Each has two places, and pushes out what was
// there longer.
type recent [64]string

// recentLimit is the longest string kept, in bytes: 64 of them are 8 KiB.
const recentLimit = 128

var recentSeed = maphash.MakeSeed()

// of answers b as a string.
func (r *recent) of(b []byte) string {
	if len(b) > recentLimit {
		return string(b)
	}
	i := maphash.Bytes(recentSeed, b) % uint64(len(r))
	s, other := &r[i], &r[i^1]
	switch {
	case *s == string(b):
	case *other == string(b):
		return *other
	default:
		*other, *s = *s, string(b)
	}
	return *s
}
