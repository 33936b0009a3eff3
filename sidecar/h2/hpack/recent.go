package hpack

import "hash/maphash"

// recent keeps strings of literals that a peer sends with every message, though it could name an entry of the table: nginx enters all
// fields of each response anew, nghttp2 leaves :path out. One that comes again costs no allocation. It is direct mapped: what falls on the
// same place replaces what was there.
type recent [32]string

// recentLimit is the longest string kept, in bytes: 32 of them are 4 KiB.
const recentLimit = 128

var recentSeed = maphash.MakeSeed()

// of answers b as a string.
func (r *recent) of(b []byte) string {
	if len(b) > recentLimit {
		return string(b)
	}
	s := &r[maphash.Bytes(recentSeed, b)%uint64(len(r))]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}
