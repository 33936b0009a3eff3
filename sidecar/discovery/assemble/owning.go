package assemble

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// owning is which StatefulSet's pods are meant by ordinals where no annotation names it. It goes by the names of the Service's pods, ready
// or not, and by what they were before, so that another StatefulSet's pods, or one pod that only has such a name, take no keys away. It is
// immutable; the zero value knows none.
type owning struct {
	set string // the last that was known; "" is none yet
	// beside are the other StatefulSets that pods were of when there was one of set's last, and since when; or those that they were of when they
	// were of several last, since the zero time.
	beside map[string]time.Time
	left   time.Time // since when there are pods of those others and none of set's; the zero time while there are some
	until  time.Time // set is kept to until then, although it has left, and none where none is known; the zero time where it is not
}

// keepTo is how long a StatefulSet without pods is kept to, while pods are left that were beside its own: as long as a map by hash holds a
// pod that restarts. Where none is known, pods of one have to be alone for as long before they are taken for it.
const keepTo = shard.DefaultHold

// together is how long pods of others have to have been beside those of the StatefulSet that is known to be more than its successors: when the
// Service's selector changes, its EndpointSlices follow one by one.
const together = 2 * time.Second

// verdict is what follows from the pods that there are.
type verdict struct {
	owning owning
	is     string // the StatefulSet that is meant; "" where it cannot be told, or nothing says so
	fresh  bool   // it is another than was known, and takes its place
	err    error  // why it cannot be told, or may be told otherwise by sidecars that start
}

// learn answers what is known when the StatefulSet that is meant is known to be one.
func (v verdict) learn() owning {
	if v.fresh {
		return owning{set: v.is}
	}
	return v.owning
}

// after answers what follows from the names of StatefulSets that pods have now. Gone says that the one known before is known to be no more.
func (o owning) after(names map[string]bool, gone bool, now time.Time) verdict {
	if !now.Before(o.until) {
		o.until = time.Time{}
	}
	only := ""
	if len(names) == 1 {
		for only = range names {
		}
	}
	switch {
	case names[o.set]:
		beside := map[string]time.Time{}
		for name := range names {
			if since, was := o.beside[name]; was {
				beside[name] = since
			} else {
				beside[name] = now
			}
		}
		delete(beside, o.set)
		return verdict{owning: owning{set: o.set, beside: beside}, is: o.set}
	case len(names) == 0: // all may be back
		return verdict{owning: o, is: o.set}
	case gone: // until it is made again
		o.left, o.until = now, time.Time{}
	}
	if len(names) > 1 {
		several := map[string]time.Time{}
		for name := range names {
			several[name] = time.Time{}
		}
		if o.set == "" {
			return verdict{owning: owning{beside: several}}
		}
		o.beside = several
	} else if since, was := o.beside[only]; was && now.Sub(since) < together {
		o.beside = maps.Clone(o.beside) // what is published does not change
		delete(o.beside, only)
	}
	for name := range names {
		if _, was := o.beside[name]; !was {
			continue
		}
		if o.left.IsZero() {
			o.left, o.until = now, now.Add(keepTo)
		}
		if o.until.IsZero() {
			return verdict{owning: o, is: only, fresh: o.set == "" && only != ""} // a known one's place is not taken: it may be back
		}
		return verdict{owning: o, is: o.set}
	}
	// Others have come in the place of all there were, as where the Service selects another StatefulSet.
	return verdict{owning: o, is: only, fresh: only != ""}
}

// tell is after, with a word for people: kind is that of the map.
func (o owning) tell(names map[string]bool, gone bool, now time.Time, kind shard.Kind) verdict {
	v := o.after(names, gone, now)
	const say = ": name it with " + rules.Prefix + "shard-map: %v,statefulset=NAME"
	switch all := strings.Join(slices.Sorted(maps.Keys(names)), ", "); {
	case len(names) > 1:
		v.err = fmt.Errorf("its pods are of several StatefulSets (%s)"+say, all, kind)
	case len(names) == 1 && v.is == "":
		v.err = fmt.Errorf("its pods are of %s only, but were of several StatefulSets less than a minute ago"+say, all, kind)
	case len(names) == 1 && !names[v.is]:
		v.err = othersOnly{fmt.Errorf("its pods are of %s only, and were of %s too"+say, all, v.is, kind)}
	}
	return v
}

// othersOnly is an error where all pods are of another StatefulSet than is meant.
type othersOnly struct{ error }

// meanwhile says which pods it is all the same, behind a verdict's error.
func meanwhile(err error, what string) error {
	starting := "know no owner"
	if _, ok := err.(othersOnly); ok {
		starting = "go by the others"
	}
	return fmt.Errorf("%w; meanwhile %s, as before, and sidecars that start %s", err, what, starting)
}

// namesOf answers the StatefulSets that pods are of by their names, ready or not, and how many pods there are.
func namesOf(all []*Slice) (names map[string]bool, pods int) {
	names = map[string]bool{}
	for _, s := range all {
		for i := range s.records {
			r := &s.records[i]
			pods++
			if of := shard.StatefulSetOf(r.name, r.hostname); of != "" {
				names[of] = true
			}
		}
	}
	return names, pods
}
