package shard

import (
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// MemberAt answers the member that is reached at an endpoint; nil where none is. For an endpoint that is not in the map's set it takes time in
// proportion to the number of members.
func (m *Map) MemberAt(e *cluster.Endpoint) *Member {
	if e == nil {
		return nil
	}
	all := m.in.Set.Endpoints
	if i, ok := slices.BinarySearchFunc(all, e, func(a, b *cluster.Endpoint) int { return a.Addr.Compare(b.Addr) }); ok && all[i] == e {
		if place := m.order[i]; place != nobody && m.at[place] == e {
			return m.members[place]
		}
		return nil
	}
	for i, at := range m.at {
		if at == e {
			return m.members[i]
		}
	}
	return nil
}
