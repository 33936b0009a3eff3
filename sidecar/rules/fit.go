package rules

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// said is what the annotations say of a setting by name.
type said map[string]saying

type saying uint8

const (
	nothing saying = iota
	right
	wrong
)

// ordinalWait is how long a key waits for its owner where the map is by ordinal and nothing else is said: a partition has no
// other owner, and a pod of a StatefulSet is back within seconds as a rule.
const ordinalWait = 5 * time.Second

// fit makes settings fit together, and says which do not. What cannot work at all falls back to what good has.
func (r *Rules) fit(said said, annotations map[string]string, good *Rules) (errs []*Error) {
	refuse := func(name, problem string, with ...string) {
		e := &Error{Annotation: Prefix + name, Value: annotations[Prefix+name], Problem: quoted(annotations[Prefix+name]) + ": " + problem}
		for _, w := range with {
			e.With = append(e.With, Prefix+w)
		}
		errs = append(errs, e)
	}

	if said["per-try-timeout"] == right && r.Timeout != 0 && r.PerTryTimeout > r.Timeout && said["timeout"] != wrong {
		refuse("per-try-timeout", "is longer than "+Prefix+"timeout "+durationText(r.Timeout)+", and so would never end an attempt",
			"timeout")
	}
	if said["hedge"] == right && r.PerTryTimeout != 0 && r.Hedge >= r.PerTryTimeout && said["per-try-timeout"] != wrong {
		refuse("hedge", "is not shorter than "+Prefix+"per-try-timeout "+durationText(r.PerTryTimeout)+", and so would never begin",
			"per-try-timeout")
	}

	if r.Shard.Key == "" && said["shard-key"] != wrong { // "off" is as good as nothing
		for _, name := range []string{"shard-map", "shard-fallback", "shard-no-key", "shard-overflow", "shard-normalize",
			"shard-serialize", "shard-bounded-load", "shard-lookup"} {
			if said[name] == right {
				refuse(name, "needs "+Prefix+"shard-key, which says where a request's key is", "shard-key")
			}
		}
		r.Shard.Fallback, r.Shard.FallbackWait = FallOver, 0 // also of sessions by cookie
		return errs
	}
	if said["shard-cookie"] == right && r.Shard.Cookie != "" && said["shard-key"] == right {
		refuse("shard-cookie", "a Service has either "+Prefix+"shard-key or sessions by cookie", "shard-key")
		r.Shard.Cookie = ""
	}
	spec := r.Shard.Spec()
	byLookup := spec.NeedsTable() || spec.Kind == shard.S2
	switch {
	case byLookup && spec.Kind != shard.S2 && r.Shard.Lookup == "" && said["shard-lookup"] == nothing:
		refuse("shard-map", "needs "+Prefix+"shard-lookup, which names the ConfigMap with the keys", "shard-lookup")
		r.Shard = good.Shard
	case !byLookup && said["shard-lookup"] == right && said["shard-map"] != wrong:
		refuse("shard-lookup", "needs "+Prefix+"shard-map: lookup, prefix-lookup or s2", "shard-map")
	}
	if spec.Kind == shard.Ordinal && said["shard-fallback"] == nothing {
		r.Shard.Fallback, r.Shard.FallbackWait = FallWait, ordinalWait
	}
	if said["shard-bounded-load"] == right && r.Shard.BoundedLoad != 0 && r.Shard.Fallback != FallOver && said["shard-fallback"] != wrong {
		refuse("shard-bounded-load", "needs "+Prefix+"shard-fallback: failover, without which nobody but its owner has a key", "shard-fallback")
		r.Shard.BoundedLoad = 0
	}
	return errs
}
