package shard

import (
	"encoding/base64"
	"math/bits"
)

// sessionVersion begins a session's text, so that another form can be told from this one.
const sessionVersion = '1'

// sessionBytes is the length of a session's text: the version and 8 bytes in base64url.
const sessionBytes = 1 + 11

// Session appends the text that names a member in a session cookie: the hash of its identity. It is opaque, the same in every
// sidecar, and no secret: whoever changes it can reach another pod of the same Service, as any request without a cookie can,
// and nothing else.
func (m *Member) Session(dst []byte) []byte {
	var b [8]byte
	for i := range b {
		b[i] = byte(m.hash >> (56 - 8*i))
	}
	return base64.RawURLEncoding.AppendEncode(append(dst, sessionVersion), b[:])
}

// Resume answers the member a session's text names: down where it is away, and without a Member where the text is none of
// ours or its pod is gone for good. It allocates nothing, and without Spec.Sessions takes time in proportion to the number of members.
func (m *Map) Resume(session []byte) Owner {
	var b [8]byte
	if len(session) != sessionBytes || session[0] != sessionVersion {
		return Owner{Why: NoEntry}
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], session[1:]); err != nil || n != len(b) {
		return Owner{Why: NoEntry}
	}
	var hash uint64
	for _, c := range b {
		hash = hash<<8 | uint64(c)
	}
	best := -1
	consider := func(i int) {
		if m.hashes[i] == hash && m.members[i] != nil && (best < 0 || m.members[i].ID < m.members[best].ID) {
			best = i
		}
	}
	if n := len(m.byHash); n > 0 {
		for at := seatOf(hash, n); m.byHash[at] != nobody; at = (at + 1) & (n - 1) {
			consider(int(m.byHash[at]))
		}
	} else {
		for i := range m.hashes {
			consider(i)
		}
	}
	if best < 0 {
		return Owner{Why: NoEntry}
	}
	return m.whoIs(index(best))
}

// indexed answers an index of the members by their hashes: a table at most half full, in which a member is where seatOf says, or else
// the next free seat behind. It is 4 to 8 bytes a member.
func (m *Map) indexed() []index {
	seats := make([]index, 1<<bits.Len(uint(2*len(m.members))))
	for i := range seats {
		seats[i] = nobody
	}
	for i, member := range m.members {
		if member == nil {
			continue
		}
		at := seatOf(m.hashes[i], len(seats))
		for seats[at] != nobody {
			at = (at + 1) & (len(seats) - 1)
		}
		seats[at] = index(i)
	}
	return seats
}

// seatOf answers where a hash is in an index of n seats, a power of two: as its upper bits say.
func seatOf(hash uint64, n int) int { return int(hash >> (64 - bits.Len(uint(n-1)))) }
