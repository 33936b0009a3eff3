package assemble

import (
	"fmt"
	"maps"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Needs are the objects that a Service's shard map and weights are nothing without, besides its EndpointSlices. They are in its
// namespace. "" is none.
type Needs struct {
	StatefulSet string
	ConfigMap   string
	Pods        string // the label selector of pods that have their weights themselves
}

// Given is what there is of them. A nil field stands for an object that is not there, or that may not or cannot be read. Pods that
// are not needed any more are forgotten.
type Given struct {
	StatefulSet *shard.StatefulSet
	Data        map[string]string // of the ConfigMap; it is not changed any more
	Pods        Pods
}

// needsOf answers what a Service needs, and the verdict on the StatefulSet of its map; its error says why that cannot be told.
func needsOf(s Service, r *rules.Rules, all []*Slice, before Needs, known owning, missing bool, now time.Time) (Needs, verdict) {
	n, v := mapNeeds(r, all, before, known, missing, now)
	if balancer.Weights(r.Weights).EachPod() {
		n.Pods = s.Selector
	}
	return n, v
}

// mapNeeds answers what a map needs. The StatefulSet that nobody named is the one its pods are of, ready or not, as far as they and what was
// known tell it: all slices are looked at. While there are no pods, and none is known, it is the one that was needed before. Missing
// says that that is not there.
func mapNeeds(r *rules.Rules, all []*Slice, before Needs, known owning, missing bool, now time.Time) (n Needs, v verdict) {
	v.owning = known
	v.owning.until = time.Time{} // nobody waits for it
	if !r.Shard.On() {
		return Needs{}, v
	}
	spec := r.Shard.Spec()
	if spec.NeedsTable() {
		n.ConfigMap = r.Shard.Lookup
	}
	switch {
	case !spec.NeedsStatefulSet():
		return n, v
	case spec.StatefulSet != "":
		n.StatefulSet = spec.StatefulSet
		v.is, v.fresh = spec.StatefulSet, true
		return n, v
	}
	names, pods := namesOf(all)
	v = known.tell(names, false, now, spec.Kind)
	if missing && v.is != "" && v.is == known.set && v.is == before.StatefulSet {
		v = known.tell(names, true, now, spec.Kind)
	}
	const say = "name it with " + rules.Prefix + "shard-map: %v,statefulset=NAME"
	switch {
	case len(names) > 0:
	case pods > 0:
		v.is, v.err = "", fmt.Errorf("its pods are of no StatefulSet: "+say, spec.Kind)
	case v.is == "" && before.StatefulSet == "":
		v.err = fmt.Errorf("it has no pods that would say which StatefulSet they are of: "+say, spec.Kind)
	case v.is == "":
		v.is, v.fresh = before.StatefulSet, true
	}
	n.StatefulSet = v.is
	return n, v
}

// sharding is what of a Service is the same for the maps of all its ports.
type sharding struct {
	spec  shard.Spec
	set   *shard.StatefulSet
	table *shard.Table
	now   time.Time

	ordinalsOf      string // whose pods the table's ordinals are; "" is left to the map
	ordinalsUnknown bool
}

// next answers the map of a port after the one before: the same one where nothing changed.
func (s *sharding) next(old *discovery.Snapshot, before *sharding, now *discovery.Snapshot) *shard.Map {
	in := shard.Input{Set: now.Set, StatefulSet: s.set, Table: s.table, OrdinalsOf: s.ordinalsOf, OrdinalsUnknown: s.ordinalsUnknown,
		Now: s.now}
	if old == nil || old.Shard == nil || before == nil {
		return shard.New(s.spec, in)
	}
	return old.Shard.NextAs(s.spec, in)
}

// same says whether a map of before would answer as one of s, for the same endpoints.
func (s *sharding) same(before *sharding, m *shard.Map) bool {
	switch {
	case s == nil || before == nil || m == nil:
		return s == nil && before == nil
	case s.spec != before.spec || s.table != before.table || s.ordinalsOf != before.ordinalsOf ||
		s.ordinalsUnknown != before.ordinalsUnknown || !sameStatefulSet(s.set, before.set):
		return false
	}
	until := m.HoldUntil()
	return until.IsZero() || s.now.Before(until)
}

// ordinals answers whose pods a table means by ordinals, where no annotation says it. Of several StatefulSets that which has the Service's
// name is meant, in every sidecar, and else that whose pods were alone before.
func ordinals(s Service, all []*Slice, before owning, spec shard.Spec, now time.Time) verdict {
	names, _ := namesOf(all)
	if len(names) > 1 && names[s.Name] {
		return owning{set: s.Name, beside: before.beside}.after(names, false, now)
	}
	return before.tell(names, false, now, spec.Kind)
}

func sameStatefulSet(a, b *shard.StatefulSet) bool { return a == b || a != nil && b != nil && *a == *b }

// table is a ConfigMap as it was last read.
type table struct {
	data map[string]string
	kind shard.Kind
	good *shard.Table // what it last said correctly
	err  error
}

// read reads a ConfigMap, unless it is the one that was read. A table with an error leaves the last good one in force.
func (t *table) read(kind shard.Kind, data map[string]string) *shard.Table {
	switch {
	case data == nil:
		*t = table{}
		return nil
	case t.kind != kind:
		*t = table{kind: kind}
	case t.data != nil && maps.Equal(t.data, data):
		return t.good
	}
	t.data = data
	var parsed *shard.Table
	if parsed, t.err = shard.ParseTable(kind, data); t.err == nil {
		t.good = parsed
	}
	return t.good
}
