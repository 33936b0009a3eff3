package shard

import (
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// seating is the work of making one roster out of another.
type seating struct {
	*roster
	kept  []bool // by place: the member stays, or is new
	come  []index
	limit int // places below it were in the old roster
	free  int // places below it are taken, or were when the work began
	many  bool
	found map[uint64]index // by hash; made when it is needed
}

// stay keeps the members whose endpoint is the same as before, and answers the indexes of the other endpoints. Both lists are
// in the order of addresses, or else more endpoints are answered than would be necessary.
func (s *seating) stay(old *Map, now []*cluster.Endpoint, sameStatefulSet bool) (fresh []int) {
	before, j := old.in.Set.Endpoints, 0
	for i, e := range now {
		for j < len(before) && before[j] != e && before[j].Addr.Compare(e.Addr) < 0 {
			j++
		}
		s.order[i] = nobody
		if sameStatefulSet && j < len(before) && before[j] == e && old.order[j] != nobody {
			s.order[i], s.at[old.order[j]], s.kept[old.order[j]] = old.order[j], e, true
			j++
			continue
		}
		fresh = append(fresh, i)
	}
	return fresh
}

// arrive makes the i-th endpoint a member, unless it is none.
func (s *seating) arrive(in *Input, kind Kind, i int) {
	e := in.Set.Endpoints[i]
	id, ordinal := identify(e)
	expected := false
	if in.StatefulSet != nil {
		ours, replica := in.StatefulSet.contains(e.Name)
		switch {
		case ours && !replica, kind == Ordinal && !ours:
			return
		case ours:
			id, expected = e.Name, true
			_, ordinal = split(e.Name)
		}
	}
	place := s.seat(id, e.Name, ordinal, expected)
	if place == nobody {
		return
	}
	// Of two endpoints of one pod the one with the lower address counts, in every sidecar.
	if other := s.at[place]; other != nil && other != e {
		if other.Addr.Compare(e.Addr) < 0 {
			return
		}
		s.order[slices.Index(in.Set.Endpoints, other)] = nobody
	}
	s.at[place], s.order[i] = e, place
}

// seat answers the place of a member, who takes a free one if he is new; nobody where there is none left.
func (s *seating) seat(id, name string, ordinal int, expected bool) index {
	member := newMember(id, name, ordinal)
	member.expected = expected
	if place := s.find(member); place != nobody {
		s.kept[place] = true
		if s.members[place].expected != expected {
			s.members[place] = member
		}
		return place
	}
	for s.free < s.limit && s.members[s.free] != nil {
		s.free++
	}
	place := s.free
	switch {
	case place < s.limit:
		s.free++
		s.members[place], s.hashes[place], s.kept[place] = member, member.hash, true
	case len(s.members) >= maxMembers:
		s.full = true
		return nobody
	default:
		place = len(s.members)
		s.members, s.hashes = append(s.members, member), append(s.hashes, member.hash)
		s.at, s.kept = append(s.at, nil), append(s.kept, true)
	}
	if s.found != nil {
		s.found[member.hash] = index(place)
	}
	s.come = append(s.come, index(place))
	return index(place)
}

// find answers the place of the member with the same identity.
func (s *seating) find(m *Member) index {
	if s.many {
		if s.found == nil {
			s.found = make(map[uint64]index, len(s.members)+spare)
			for i, other := range s.members {
				if other != nil {
					s.found[other.hash] = index(i)
				}
			}
		}
		place, ok := s.found[m.hash]
		if !ok {
			return nobody
		}
		if s.members[place].ID == m.ID {
			return place
		}
	}
	for i, h := range s.hashes {
		if h == m.hash && s.members[i] != nil && s.members[i].ID == m.ID {
			return index(i)
		}
	}
	return nobody
}

// hold keeps members that are away, and will come back under their names.
func (s *seating) hold(old, m *Map) {
	if m.spec.Hold <= 0 || m.in.StatefulSet != nil || m.in.Now.IsZero() || !slices.Contains(hashed, m.spec.Kind) {
		return
	}
	for i, member := range old.members {
		if member == nil || s.kept[i] || member.Ordinal < 0 {
			continue
		}
		until, was := m.in.Now.Add(m.spec.Hold), old.at[i] != nil
		for _, h := range old.held {
			if int(h.index) == i {
				until, was = earlier(h.until, until), true
			}
		}
		if was && until.After(m.in.Now) { // not one that a StatefulSet was only expected to have
			s.kept[i] = true
			s.held = append(s.held, hold{index(i), until})
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// leave frees the places of those who are not kept. They are not taken again in the same change, so that who finds one in an
// old table knows that its owner is gone.
func (s *seating) leave(before int) change {
	c := change{come: s.come}
	for i := range before {
		if s.members[i] != nil && !s.kept[i] {
			s.members[i] = nil
			c.gone = append(c.gone, index(i))
		}
	}
	return c
}
