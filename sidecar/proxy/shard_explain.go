package proxy

import (
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// explainKey says, behind what else an explanation says, what the request's key has to do with where it went: where the key is from, its hash,
// who owns it, and why not the owner. The key itself is left out: explanations end up in logs.
func (q *request) explainKey(b *strings.Builder) {
	r, a := q.route, &q.shard
	if a.keys == nil {
		return
	}
	switch {
	case a.owned == byKey:
		fmt.Fprintf(b, "; key=%s; hash=%016x", r.keys, a.keys.Key().Hash)
	case a.owned == bySession && r.session != nil:
		fmt.Fprintf(b, "; session=%s", r.session.Name)
	case a.ended && a.outcome != shardkey.Found:
		fmt.Fprintf(b, "; key=none; reason=%s of %s", a.outcome, a.place)
	case a.ended:
		fmt.Fprintf(b, "; key=%s; hash=%016x", r.keys, a.keys.Key().Hash)
	case r.session != nil:
		fmt.Fprintf(b, "; session=%s; reason=%s", r.session.Name, metrics.SessionNew)
	}
	if a.owned == unowned && (!a.ended || a.outcome != shardkey.Found) {
		return
	}
	if m := r.shards(); m != nil && a.owned == byKey {
		fmt.Fprintf(b, "; map=%s", m.Explain(a.keys.Key(), 0).Place)
	}
	if a.owner.Member == nil {
		fmt.Fprintf(b, "; owner=none; reason=%s", a.owner.Why)
		return
	}
	fmt.Fprintf(b, "; owner=%s; to=%s", a.owner.Member.Name, a.passed)
	if a.since != 0 {
		b.WriteString("; waited")
	}
	if a.passed != metrics.ToOwner && a.why != "" {
		fmt.Fprintf(b, "; reason=%s", a.why)
	}
}
