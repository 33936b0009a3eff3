package shard

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// Explanation says how a key's owner came about.
type Explanation struct {
	Map   string // its kind
	Key   string
	Hash  uint64
	Place string // where the key is on the map: "slot 4711 of 65536", "ordinal 3 of 5", …
	Why   Why
	// Order is the owner and those after it, as many as were asked for.
	Order []Owner
	// Generation counts this sidecar's own changes.
	Generation uint64
	// Fingerprint is equal in sidecars whose maps answer alike.
	Fingerprint  uint64
	Members, Ups int
}

// Explain answers who owns a key, why, and who comes after, n in all. It asks the same functions as a request does.
func (m *Map) Explain(k shardkey.Key, n int) Explanation {
	e := Explanation{
		Map: m.spec.Kind.String(), Key: string(k.Text), Hash: k.Hash, Place: m.Place(k), Why: m.Owner(k).Why,
		Order: m.Successors(nil, k, n), Generation: m.Generation(), Fingerprint: m.Fingerprint(),
	}
	e.Members, e.Ups = m.Members()
	return e
}

// Place says where a key is on the map; "" where it is nowhere.
func (m *Map) Place(k shardkey.Key) string {
	owner, hash := m.own(k)
	if m.why != Owned || owner.Member == nil {
		return ""
	}
	switch m.spec.Kind {
	case Ordinal:
		by := "hash"
		if _, ok := remainder(k.Text, 1); ok && !m.spec.ByHash {
			by = "integer"
		}
		return fmt.Sprintf("ordinal %d of %d from %d on, by %s", m.offset(k)+m.in.StatefulSet.Start, len(m.ordinals),
			m.in.StatefulSet.Start, by)
	case Maglev:
		return fmt.Sprintf("entry %d of %d", k.Hash%uint64(len(m.table)), len(m.table))
	case Ring:
		return fmt.Sprintf("point %d of %d", m.point(k.Hash), len(m.points))
	case Lookup, PrefixLookup:
		return fmt.Sprintf("a table of %d keys", m.in.Table.Entries())
	case S2:
		if m.in.Table != nil {
			return fmt.Sprintf("a table of %d cells", m.in.Table.Entries())
		}
		cell, _ := cellOf(k.Text, m.spec.Level)
		return fmt.Sprintf("cell %s of level %d, slot %d of %d", cell.ToToken(), m.spec.Level, hash>>m.shift, m.spec.Slots)
	}
	return fmt.Sprintf("slot %d of %d", hash>>m.shift, m.spec.Slots)
}

// Fingerprint is a hash of what the map's owners follow from: the kind and its parameters, and the members' identities, or the
// StatefulSet's numbers, and what its table says and whom it means. Who is ready is no part of it.
func (m *Map) Fingerprint() uint64 {
	s := m.spec
	sum := xxhash.Sum64String(fmt.Sprint(s.Kind, s.Slots, s.Size, s.Level, s.ByHash, m.why))
	for i, member := range m.members {
		if member != nil {
			sum += score(0, m.hashes[i]) // a sum, for the order differs
		}
	}
	if m.in.Table != nil {
		sum += slotHash(0) ^ m.in.Table.sum // an empty table is not none
		if n := m.numbered; m.in.Table.HasOrdinals() && n != m.numberedAlike() {
			sum += score(slotHash(1), xxhash.Sum64String(fmt.Sprint(n.unknown, n.of)))
		}
	}
	return sum
}
