package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// Where the process keeps as much of bodies as it may, a body that comes behind its head cannot be looked into. That is not its size's
// fault, and no reason to send it to a pod that does not own its key, unless the Service has others answer for the owner.
func TestABodyThatThereIsNoMemoryFor(t *testing.T) {
	body := func(key string) string { return `{"id":"` + key + `"}` }
	full := func(o *Options) { o.Memory = retry.NewMemory(1) }
	for name, c := range map[string]struct {
		change func(*rules.Rules)
		goes   bool
	}{
		"failover":          {func(r *rules.Rules) {}, true},
		"strict":            {func(r *rules.Rules) { r.Shard.Fallback = rules.FallStrict }, false},
		"wait":              {func(r *rules.Rules) { r.Shard.Fallback = rules.FallWait }, false},
		"one at a time":     {func(r *rules.Rules) { r.Shard.Serialize = true }, false},
		"no key, reject":    {func(r *rules.Rules) { r.Shard.NoKey = rules.KeyReject }, false},
		"too large, reject": {func(r *rules.Rules) { r.Shard.Overflow = rules.KeyReject }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key = "json:/id"; c.change(r) }, full)
			client := p.r.dial()
			client.send(lines("POST / HTTP/1.1", "Host: web", "Connection: close", "Content-Length: "+itoa(len(body("key-0")))))
			p.r.eventually("the head to be read", func() bool { return p.r.service().Keys[shardkey.NoMemory].Load() == 1 })
			client.send(body("key-0"))
			answer := string(client.rest())
			const why = "json:/id may be in the body, and no memory is left in this proxy to look into it"
			switch {
			case c.goes && !strings.HasSuffix(answer, "web-0"):
				t.Errorf("%q, want the policy's choice", answer)
			case !c.goes && (!strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, why)):
				t.Errorf("%q, want 503 that says %q", answer, why)
			}
			client.close()
		})
	}
	t.Run("what came with its head has its owner", func(t *testing.T) {
		p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Shard.Fallback = "json:/id", rules.FallStrict }, full)
		client := p.r.dial()
		client.send(lines("POST / HTTP/1.1", "Host: web", "Connection: close", "Content-Length: "+itoa(len(body(p.keyOf(2))))) + body(p.keyOf(2)))
		if answer := string(client.rest()); !strings.HasSuffix(answer, "web-2") {
			t.Errorf("%q, want the owner", answer)
		}
		client.close()
	})
	t.Run("to every endpoint", func(t *testing.T) {
		p := newPods(t, 3, func(r *rules.Rules) { r.Scatter = true }, full)
		client := p.r.dial()
		client.send(lines("POST / HTTP/1.1", "Host: web", "Connection: close", "Sluice-Scatter: all", "Content-Length: "+itoa(len(body("key-0")))))
		client.expect("HTTP/1.1 503 ", "the refusal")
		if answer := string(client.rest()); !strings.Contains(answer, "no memory is left in this proxy for the body, which is to go to every endpoint") {
			t.Errorf("%q", answer)
		}
		client.close()
	})
	t.Run("HTTP/2 keeps what its windows grant in any case", func(t *testing.T) {
		p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Shard.Fallback = "json:/id", rules.FallStrict }, full)
		cl := p.r.h2Client()
		q, _ := http.NewRequest("POST", "http://web/", &pieces{body(p.keyOf(2)), 1})
		res, err := cl.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != "web-2" {
			t.Errorf("%d %q, want the owner", res.StatusCode, b)
		}
		cl.CloseIdleConnections()
	})
}
