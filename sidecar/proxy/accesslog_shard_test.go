package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// The access log says of a request's key what an explanation says of it.
func TestAccessLogSaysWhatBecameOfTheKey(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		change func(*rules.Rules)
		down   bool // the owner
		fields func(key string) []string
		status int
		want   m // with * for what is there and depends on the key
	}{
		"the owner": {change: byAccount(rules.FallOver, 0), status: 200,
			want: m{"key": "header:account", "hash": "*", "map": "*", "owner": "web-2", "to": "owner"}},
		"another": {change: byAccount(rules.FallOver, 0), down: true, status: 200,
			want: m{"key": "header:account", "hash": "*", "map": "*", "owner": "web-2", "to": "failover", "reason": "owner is not ready"}},
		"refused": {change: byAccount(rules.FallStrict, 0), down: true, status: 503,
			want: m{"key": "header:account", "hash": "*", "map": "*", "owner": "web-2", "to": "none", "reason": "owner is not ready, sluice.mesh/shard-fallback: strict"}},
		"waited": {change: byAccount(rules.FallWait, 1), down: true, status: 503,
			want: m{"key": "header:account", "hash": "*", "map": "*", "owner": "web-2", "to": "none", "waited": true,
				"reason": "owner is not ready, the request has waited 0s (sluice.mesh/shard-fallback: wait=1ns)"}},
		"no key": {change: byAccount(rules.FallOver, 0), status: 200, fields: func(string) []string { return nil },
			want: m{"key": "none", "reason": "absent of header:account"}},
		"a new session": {change: func(r *rules.Rules) { r.Shard.Cookie = "sid" }, status: 200,
			want: m{"session": "sid", "reason": "new"}},
		"nothing is asked for": {change: func(*rules.Rules) {}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				var out bytes.Buffer
				log := NewAccessLog(&out)
				p := newPods(t, 4, func(r *rules.Rules) { c.change(r); r.AccessLog, r.Explain = 1, rules.ExplainOn }, func(o *Options) { o.AccessLog = log })
				cl, key := client(p.r), p.keyOf(2)
				if c.down {
					p.publish(2)
				}
				fields := []string{"account: " + key}
				if c.fields != nil {
					fields = c.fields(key)
				}
				status, text, h := ask(t, cl, "GET", "/", "", fields...)
				if status != c.status {
					t.Errorf("%d %q, want %d", status, text, c.status)
				}
				cl.CloseIdleConnections()
				p.r.end()
				p.r.stopped = true
				log.Close()
				var got struct{ Shard m }
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%v: %q", err, out.String())
				}
				for name, v := range got.Shard {
					if w := fmt.Sprintf("; %s=%v", name, v); v != true && !strings.Contains(h.Get(explainField), w) {
						t.Errorf("logged %q, explained: %q", w, h.Get(explainField))
					}
					if c.want[name] == "*" && v != "" {
						got.Shard[name] = "*"
					}
				}
				if fmt.Sprint(got.Shard) != fmt.Sprint(c.want) {
					t.Errorf("logged %v, want %v", got.Shard, c.want)
				}
			})
		})
	}
}
