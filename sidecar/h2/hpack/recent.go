package hpack

import "hash/maphash"

// recent keeps strings of literals that a peer sends with every message, though it could name an entry of the table: nginx enters all
// fields of each response anew, nghttp2 leaves :path out. One that comes again costs no allocation.
//
// A string has a set of places, by its hash. A new one takes the place of one that has not come again since it was last passed over (the
// clock, or second chance): strings that come once push out one another, and not those that every message brings.
type recent struct {
	places [recentSets * recentWays]string
	used   uint64 // a bit for each place whose string has come again
	hand   uint8
	seed   maphash.Seed
}

const (
	// With eight places to a set it takes nine of a message's fields in the same one of eight to lose any of them: with twenty fields that
	// is one seed in four hundred, with a dozen one in a hundred thousand.
	recentSets = 8
	recentWays = 8
	// recentLimit is the longest string kept, in bytes: 64 of them are 8 KiB.
	recentLimit = 128
)

func newRecent() *recent { return &recent{seed: maphash.MakeSeed()} }

// of answers b as a string.
func (r *recent) of(b []byte) string {
	if len(b) > recentLimit {
		return string(b)
	}
	first := int(maphash.Bytes(r.seed, b)%recentSets) * recentWays
	for i := first; i < first+recentWays; i++ {
		if r.places[i] == string(b) {
			r.used |= 1 << i
			return r.places[i]
		}
	}
	for {
		i := first + int(r.hand%recentWays)
		r.hand++
		if r.used&(1<<i) == 0 {
			r.places[i] = string(b)
			return r.places[i]
		}
		r.used &^= 1 << i
	}
}
