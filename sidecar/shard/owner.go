package shard

import (
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// Owner is who owns a key at one moment.
type Owner struct {
	// Member is nil where nobody owns the key; Why says why.
	Member *Member
	// Endpoint is nil where the owner is down: it is named, and cannot be reached.
	Endpoint *cluster.Endpoint
	Why      Why
}

// Why says how there came to be an owner that can be reached, or none. The same words appear in logs and metric labels.
type Why uint8

const (
	// Owned means that the owner can be reached. The zero value.
	Owned Why = iota
	// Down means that there is an owner, who is not among the endpoints.
	Down
	// NoMembers means that the Service has no pods.
	NoMembers
	// NoEntry means that the table has nothing for the key.
	NoEntry
	// NoPlace means that the key is no latitude and longitude.
	NoPlace
	// NoStatefulSet means that the StatefulSet whose replicas own the keys is not known (yet), or has none; or that a table says an
	// ordinal, and nobody knows of which StatefulSet.
	NoStatefulSet
	// NoTable means that the table is not known (yet).
	NoTable
	// TooMany means that the Service has more pods than a map can hold: 65,535.
	TooMany

	// LastWhy is the last of the above.
	LastWhy = TooMany
)

var whys = [...]string{"owned", "owner-down", "no-members", "no-entry", "no-place", "statefulset-unknown", "table-unknown",
	"too-many-members"}

// String answers the word.
func (w Why) String() string {
	if int(w) < len(whys) {
		return whys[w]
	}
	return "?"
}

// Owner answers who owns a key. It allocates nothing.
func (m *Map) Owner(k shardkey.Key) Owner {
	o, _ := m.own(k)
	return o
}

// own answers the owner, and the hash by which the key fails over.
func (m *Map) own(k shardkey.Key) (Owner, uint64) {
	if m.why != Owned {
		return Owner{Why: m.why}, k.Hash
	}
	switch m.spec.Kind {
	case Ordinal:
		if len(m.ordinals) == 0 {
			return Owner{Why: NoStatefulSet}, k.Hash
		}
		return m.whoIs(m.ordinals[m.offset(k)]), k.Hash
	case Maglev:
		return m.whoIs(m.table[k.Hash%uint64(len(m.table))]), k.Hash
	case Ring:
		return m.whoIs(m.owners[m.point(k.Hash)]), k.Hash
	case Lookup, PrefixLookup:
		return m.lookUp(m.in.Table.find(k.Text, m.spec.Kind)), k.Hash
	case S2:
		return m.ownPlace(k)
	}
	return m.whoIs(m.slots[k.Hash>>m.shift]), k.Hash
}

// whoIs answers the member at a place.
func (m *Map) whoIs(i index) Owner {
	o := Owner{Member: m.members[i], Endpoint: m.at[i]}
	if o.Endpoint == nil {
		o.Why = Down
	}
	return o
}
