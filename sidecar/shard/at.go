package shard

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// MemberAt answers the member that is reached at an endpoint; nil where none is. It takes time in proportion to the number of members.
func (m *Map) MemberAt(e *cluster.Endpoint) *Member {
	for i, at := range m.at {
		if at == e && e != nil {
			return m.members[i]
		}
	}
	return nil
}
