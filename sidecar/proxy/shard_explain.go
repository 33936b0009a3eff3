package proxy

import (
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// keyTale says what a request's key has to do with where it went: where the key is from, its hash, who owns it, and why not the owner. An
// explanation says it, and so does the access log. The key itself is left out: both are kept where keys may not be.
type keyTale struct {
	Key     string `json:"key,omitempty"` // none where there is none
	Hash    string `json:"hash,omitempty"`
	Session string `json:"session,omitempty"`
	Map     string `json:"map,omitempty"`
	Owner   string `json:"owner,omitempty"`
	To      string `json:"to,omitempty"`
	Waited  bool   `json:"waited,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// keyTale answers the zero value where no key was looked for.
func (q *request) keyTale() (t keyTale) {
	r, a := q.route, &q.shard
	if a.keys == nil {
		return t
	}
	switch {
	case a.owned == bySession && r.session != nil:
		t.Session = r.session.Name
	case a.ended && a.outcome != shardkey.Found:
		t.Key, t.Reason = "none", fmt.Sprintf("%s of %s", a.outcome, a.place)
	case a.owned == byKey || a.ended:
		t.Key, t.Hash = fmt.Sprint(r.keys), fmt.Sprintf("%016x", a.keys.Key().Hash)
	case r.session != nil && a.cookie:
		t.Session, t.Reason = r.session.Name, metrics.SessionNew.String()
	}
	if a.owned == unowned && (!a.ended || a.outcome != shardkey.Found) {
		return t
	}
	if m := r.shards(); m != nil && a.owned == byKey {
		t.Map = m.Place(a.keys.Key())
	}
	if a.owner.Member == nil {
		t.Owner, t.Reason = "none", a.owner.Why.String()
		return t
	}
	t.Owner, t.To, t.Waited = a.owner.Member.Name, a.passed.String(), a.since != 0
	if a.passed != metrics.ToOwner {
		t.Reason = a.why
	}
	return t
}

// explainKey says it behind what else an explanation says.
func (q *request) explainKey(b *strings.Builder) {
	t := q.keyTale()
	say := func(name, value string) {
		if value != "" {
			b.WriteString("; " + name + "=" + value)
		}
	}
	say("key", t.Key)
	say("hash", t.Hash)
	say("session", t.Session)
	say("map", t.Map)
	say("owner", t.Owner)
	say("to", t.To)
	if t.Waited {
		b.WriteString("; waited")
	}
	say("reason", t.Reason)
}
