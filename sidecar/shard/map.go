package shard

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Input is what a map is made of.
type Input struct {
	// Set is the endpoints that can be reached; not nil. Nothing but the time a change takes depends on its order.
	Set *cluster.EndpointSet
	// StatefulSet, where it is known, says which of its pods own keys, whether they are in Set or not. A pod of it that is
	// beyond its replicas owns none, even while it is still ready.
	StatefulSet *StatefulSet
	// Table is that of Lookup and PrefixLookup; for S2 it may be nil.
	Table *Table
	// OrdinalsOf is the StatefulSet whose pods the ordinals in Table are, where Spec names none; "" is the one that all members with an
	// ordinal are of, if it is one. Members are who can be reached: whoever sees the other pods as well knows better.
	OrdinalsOf string
	// OrdinalsUnknown says that nobody knows: then keys whose owner is an ordinal have none.
	OrdinalsUnknown bool
	// Now begins and ends holds. The zero time holds nothing.
	Now time.Time
}

// Map says who owns which key. It is immutable and safe for concurrent use, but for MostInFlight and Begin, which belong to a loop each.
type Map struct {
	spec Spec
	in   Input
	roster
	why Why // not Owned where nobody owns anything

	slots    []index // by slot: who owns it (Rendezvous, S2)
	shift    uint8   // a hash shifted right by it is its slot
	table    []index // Maglev's
	byID     []index // Maglev's: the members in the order of their identities
	points   []uint64
	owners   []index  // of points
	starts   []uint32 // by the upper bits of a hash: how many points are before all that begin with them
	ordinals []index  // by ordinal less Start
	targets  []target
	numbered numbered // which pods are meant by the ordinals among the targets
	byHash   []index  // an index of the members, where the spec asks for it

	// counts is of MostInFlight: element i is read and written by loop i only; nil where it counts always.
	counts []counted
}

// New makes the map of a Service.
func New(spec Spec, in Input) *Map {
	none := &Map{spec: spec, in: Input{Set: &cluster.EndpointSet{}}}
	return none.Next(in)
}

// Next makes the map after a change. It answers every key as New would for the same input, but for holds, which begin where a
// pod of m is missing now; and it is quicker where little has changed.
func (m *Map) Next(in Input) *Map { return m.NextAs(m.spec, in) }

// NextAs is Next where the Service says something else of its map as well. Pods that are held stay so, until then or until a hold of the new
// spec that begins now would end. Tables are made anew where the spec says other things that they follow from.
func (m *Map) NextAs(spec Spec, in Input) *Map {
	next := &Map{spec: spec, in: in, shift: shiftOf(spec.Slots)}
	c := next.roster.follow(m, next)
	if next.full && m.n > 0 {
		return New(spec, in) // the places of those who left just now would do
	}
	if spec.Sessions {
		if next.byHash = m.byHash; c.any() || m.byHash == nil {
			next.byHash = next.indexed()
		}
	}
	if next.why = next.lacks(); next.why != Owned {
		return next
	}
	next.counts = next.countsOf()
	old := m
	if spec.Kind != m.spec.Kind || spec.Slots != m.spec.Slots || spec.Size != m.spec.Size {
		old = &Map{}
	}
	switch spec.Kind {
	case Rendezvous:
		next.slots = next.fillSlots(old.slots, c)
	case S2:
		if in.Table == nil {
			next.slots = next.fillSlots(old.slots, c)
		} else {
			next.targets = next.aim(old, c)
		}
	case Ordinal:
		next.ordinals = next.line()
	case Maglev:
		next.table, next.byID = old.table, old.byID
		if c.any() || old.table == nil {
			next.byID = next.sort(old.byID, c)
			next.table = next.fillMaglev()
		}
	case Ring:
		next.points, next.owners, next.starts = old.points, old.owners, old.starts
		if c.any() || old.points == nil {
			next.points, next.owners = next.fillRing()
			next.starts = startsOf(next.points)
		}
	case Lookup, PrefixLookup:
		next.targets = next.aim(old, c)
	}
	return next
}

// lacks answers what keeps the map from having any owner.
func (m *Map) lacks() Why {
	switch {
	case m.spec.NeedsStatefulSet() && m.in.StatefulSet == nil:
		return NoStatefulSet
	case m.spec.NeedsTable() && m.in.Table == nil:
		return NoTable
	case m.full:
		return TooMany
	case m.n == 0 && !m.spec.NeedsTable() && (m.spec.Kind != S2 || m.in.Table == nil):
		return NoMembers
	}
	return Owned
}

// Generation answers that of the endpoints, which counts this sidecar's own changes; sidecars compare Fingerprint.
func (m *Map) Generation() uint64 { return m.in.Set.Generation }

// HoldUntil answers when the first hold ends, after which Next changes the map; the zero time where none is held.
func (m *Map) HoldUntil() (first time.Time) {
	for _, h := range m.held {
		if first.IsZero() || h.until.Before(first) {
			first = h.until
		}
	}
	return first
}

// Members answers how many pods own keys, and how many of them can be reached.
func (m *Map) Members() (all, up int) { return m.n, m.up }
