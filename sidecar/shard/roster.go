package shard

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// index is a member's place in a roster.
type index = uint16

const (
	// nobody is no index.
	nobody index = 1<<16 - 1
	// maxMembers is what fits below it.
	maxMembers = int(nobody)
)

// roster is the members of a map, at places that they keep from map to map, so that tables of places stay right where nothing
// changed. Which place a member has depends on history and so differs between sidecars; no answer depends on it.
type roster struct {
	members []*Member           // nil at a place that is free
	hashes  []uint64            // the members' own, side by side for those who bid with all of them
	at      []*cluster.Endpoint // where a member can be reached; nil for one that is down
	order   []index             // of the set's endpoints; nobody for one that is no member
	held    []hold
	n, up   int
	full    bool // there are more than maxMembers
}

// hold keeps a member that is not among the endpoints.
type hold struct {
	index index
	until time.Time
}

// change is what differs between two rosters.
type change struct {
	gone, come []index
	moved      bool // members have other places than before
}

func (c *change) any() bool { return len(c.gone) > 0 || len(c.come) > 0 || c.moved }

// follow makes r the roster behind old's for the input of m.
func (r *roster) follow(old *Map, m *Map) change {
	in := &m.in
	r.members = append(make([]*Member, 0, len(old.members)+spare), old.members...)
	r.hashes = append(make([]uint64, 0, len(old.hashes)+spare), old.hashes...)
	r.at = make([]*cluster.Endpoint, len(old.at), len(old.at)+spare)
	r.order = make([]index, len(in.Set.Endpoints))
	s := seating{roster: r, kept: make([]bool, len(old.members), len(old.members)+spare), limit: len(old.members)}

	// Of an ordinal map only the StatefulSet's pods are members.
	sameSet := sameStatefulSet(in.StatefulSet, old.in.StatefulSet) && (m.spec.Kind == Ordinal) == (old.spec.Kind == Ordinal)
	fresh := s.stay(old, in.Set.Endpoints, sameSet)
	s.many = len(fresh) > scans
	switch {
	case in.StatefulSet == nil:
	case sameSet:
		for i, member := range old.members {
			s.kept[i] = s.kept[i] || member != nil && member.expected
		}
	default:
		s.many = true
		for o := in.StatefulSet.Start; o < in.StatefulSet.Start+in.StatefulSet.Replicas && !r.full; o++ {
			s.seat(in.StatefulSet.pod(o), in.StatefulSet.pod(o), o, true)
		}
	}
	for _, i := range fresh {
		s.arrive(in, m.spec.Kind, i)
	}
	s.hold(old, m)
	c := s.leave(len(old.members))
	for i, member := range r.members {
		if member != nil {
			r.n++
			if r.at[i] != nil {
				r.up++
			}
		}
	}
	if len(r.members) > 2*r.n+spare {
		r.closeUp()
		c.moved = true
	}
	return c
}

// spare is room for newcomers, and for places that may be free before a roster closes up.
const spare = 64

// scans is how many newcomers are looked for among the members one by one; for more, an index is made.
const scans = 8

func sameStatefulSet(a, b *StatefulSet) bool { return a == b || a != nil && b != nil && *a == *b }

// closeUp gives the members new places without free ones between them.
func (r *roster) closeUp() {
	moved := make([]index, len(r.members))
	n := 0
	for i, member := range r.members {
		moved[i] = nobody
		if member != nil {
			moved[i] = index(n)
			r.members[n], r.hashes[n], r.at[n] = member, r.hashes[i], r.at[i]
			n++
		}
	}
	clear(r.members[n:])
	clear(r.at[n:])
	r.members, r.hashes, r.at = r.members[:n], r.hashes[:n], r.at[:n]
	for i, was := range r.order {
		if was != nobody {
			r.order[i] = moved[was]
		}
	}
	for i := range r.held {
		r.held[i].index = moved[r.held[i].index]
	}
}
