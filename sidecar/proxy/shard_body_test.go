package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

func zipped(b string) string {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	io.WriteString(w, b)
	w.Close()
	return z.String()
}

// pieces is a body that comes in pieces, each in a write of its own.
type pieces struct {
	rest string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.rest == "" {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[n:]
	time.Sleep(200 * time.Microsecond) // or the client puts them together
	return n, nil
}

func TestEveryKeyOfABodyHasItsOwner(t *testing.T) {
	long := strings.Repeat("x", 90_000)
	message := func(key string) string {
		m := append([]byte{0x0a, byte(len(key))}, key...)
		return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))) + string(m)
	}
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		for _, c := range []struct {
			name, key string
			body      func(key string) string
			fields    []string
		}{
			{name: "JSON", key: "json:/account/id", body: func(key string) string { return `{"a":[1,{}],"account":{"id":"` + key + `"},"b":2}` }},
			{name: "JSON, and much behind it", key: "json:/account/id", body: func(key string) string {
				return `{"a":[1,{}],"account":{"id":"` + key + `"},"b":"` + long + `"}`
			}},
			{name: "JSON, and much before it", key: "json:/account/id", body: func(key string) string {
				return `{"a":"` + long[:65_000] + `","account":{"id":"` + key + `"},"b":"` + long + `"}`
			}},
			{name: "gzip", key: "json:/account/id", fields: []string{"content-encoding: gzip"}, body: func(key string) string {
				return zipped(`{"a":[1,{}],"account":{"id":"` + key + `"},"b":2}`)
			}},
			{name: "gRPC", key: "grpc:1", fields: []string{"content-type: application/grpc", "te: trailers"}, body: message},
			{name: "a header besides", key: "header:tenant,json:/id", fields: []string{"tenant: a"}, body: func(key string) string { return `{"id":"` + key + `"}` }},
		} {
			for _, size := range []int{0, 5000, 1} {
				if size == 1 && len(c.body("")) > 1000 {
					continue
				}
				t.Run(fmt.Sprintf("%s, in pieces of %d", c.name, size), func(t *testing.T) {
					memory := retry.NewMemory(1 << 20)
					p := newPods(t, 5, func(r *rules.Rules) {
						r.Shard.Key, r.Shard.NoKey, r.Shard.Overflow = c.key, rules.KeyReject, rules.KeyReject
					},
						func(o *Options) { o.Memory = memory })
					p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
						b, err := io.ReadAll(q.Body)
						fmt.Fprintf(w, "%x %v ", sha256.Sum256(b), err)
					})
					cl := client(p.r)
					for n := range 4 {
						key := fmt.Sprint("k-", n)
						owned := key
						if strings.Contains(c.key, ",") {
							owned = "a," + key
						}
						body := c.body(key)
						var q *http.Request
						if size == 0 {
							q, _ = http.NewRequest("POST", "http://web/", strings.NewReader(body))
						} else {
							q, _ = http.NewRequest("POST", "http://web/", &pieces{body, size})
						}
						for _, f := range c.fields {
							name, value, _ := strings.Cut(f, ": ")
							q.Header.Add(name, value)
						}
						res, err := cl.Do(q)
						if err != nil {
							t.Fatal(err)
						}
						got, _ := io.ReadAll(res.Body)
						res.Body.Close()
						if want := fmt.Sprintf("%x <nil> %s", sha256.Sum256([]byte(body)), p.owner(owned)); string(got) != want || res.StatusCode != 200 {
							t.Fatalf("key %q: %d %q, want %q", key, res.StatusCode, got, want)
						}
					}
					p.r.counts("keys found", 4, p.r.service().Keys[shardkey.Found].Load)
					p.r.eventually("what was kept of bodies to be given back", func() bool { used, _ := memory.Stats(); return used == 0 })
					cl.CloseIdleConnections()
				})
			}
		}
	})
}

func TestBodiesWithoutAKey(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name, body, encoding string
		outcome              shardkey.Outcome
		status               int
		text                 string
	}{
		{"none", "", "", shardkey.Absent, 400, "json:/id is not there"},
		{"another member", `{"a":1}`, "", shardkey.Absent, 400, "json:/id is not there"},
		{"no JSON", `hello`, "", shardkey.Bad, 400, "json:/id cannot be read"},
		{"JSON that is cut off", `{"a":`, "", shardkey.Bad, 400, "json:/id cannot be read"},
		{"gzip that is none", `{"id":1}`, "gzip", shardkey.Bad, 400, "json:/id cannot be read"},
		{"another encoding", `{"id":1}`, "br", shardkey.Unreadable, 400, "json:/id is in a body whose encoding is not read"},
		{"behind 64 KiB", `{"a":"` + long + `","id":1}`, "", shardkey.TooLarge, 413, "json:/id is not in the first 64 KiB of the body (sluice.mesh/shard-overflow: reject)"},
		{"behind 64 KiB of what gzip makes", zipped(`{"a":"` + long + `","id":1}`), "gzip", shardkey.TooLarge, 413, "json:/id is not in the first 64 KiB of the body"},
	} {
		protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
			for _, rule := range []rules.KeyMissing{rules.KeyBalance, rules.KeyReject} {
				t.Run(c.name+", "+rule.String(), func(t *testing.T) {
					p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Shard.NoKey, r.Shard.Overflow = "json:/id", rule, rule })
					p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
						b, _ := io.ReadAll(q.Body)
						fmt.Fprint(w, string(b) == c.body, " ")
					})
					cl := client(p.r)
					var fields []string
					if c.encoding != "" {
						fields = []string{"content-encoding: " + c.encoding}
					}
					status, text, _ := ask(t, cl, "POST", "/", c.body, fields...)
					if rule == rules.KeyBalance && (status != 200 || text != "true web-0") {
						t.Errorf("%d %q", status, text)
					}
					if rule == rules.KeyReject && (status != c.status || !strings.Contains(text, c.text)) {
						t.Errorf("%d %q, want %d %q", status, text, c.status, c.text)
					}
					p.r.counts("keys looked for", 1, p.r.service().Keys[c.outcome].Load)
					cl.CloseIdleConnections()
				})
			}
		})
	}
}

// A body that was looked into goes on byte for byte, chunks included, and so does what follows it.
func TestABodyThatWasLookedIntoGoesOnAsItCame(t *testing.T) {
	for name, c := range map[string]struct{ head, body string }{
		"a length": {"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n", `{"id":"k"}`},
		"chunks": {"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n",
			"3;x=y\r\n{\"i\r\n1\r\nd\r\n6 \r\n\":\"k\"}\r\n0\r\nTrailer: t\r\n\r\n"},
		"chunks, and much behind the key": {"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n",
			"9\r\n{\"id\":\"k\"\r\n" + strings.Repeat("3e8\r\n"+strings.Repeat(" ", 1000)+"\r\n", 300) + "1\r\n}\r\n0\r\n\r\n"},
		"a length, and much behind the key": {"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 900000\r\n\r\n", `{"id":"k"` + strings.Repeat(" ", 899_990) + "}"},
	} {
		if strings.HasPrefix(name, "chunks") {
			c.body = strings.Replace(c.body, "6 \r\n", "6\r\n", 1)
		}
		for seed := range uint64(5) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				o := newOrigin(t)
				r := newRig(t)
				r.keyed(func(ru *rules.Rules) { ru.Shard.Key, ru.Shard.NoKey = "json:/id", rules.KeyReject }, r.eps(o.addr)...)
				client := r.dial()
				all := c.head + c.body + get
				go func() {
					for rest := all; rest != ""; {
						n := min(len(rest), 1+rnd.IntN(1+len(rest)/3))
						if seed == 0 {
							n = len(rest)
						}
						if _, err := client.c.Write([]byte(rest[:n])); err != nil {
							return
						}
						rest = rest[n:]
						time.Sleep(time.Millisecond)
					}
				}()
				s := o.accept()
				s.expect(c.head+c.body, "the request as it was sent")
				s.send(ok)
				client.expect(ok, "the answer")
				client.expect("HTTP/1.1 400 ", "the next request has no key")
				client.rest()
				client.close()
			})
		}
	}
}

// A client that waits for 100 (Continue) gets one of us, since we need the body, and none of the endpoint.
func TestContinueIsSaidOnce(t *testing.T) {
	body := `{"id":"k"}`
	head := lines("POST / HTTP/1.1", "Host: web", "Expect: 100-continue", "Content-Length: "+itoa(len(body)))
	for name, c := range map[string]struct{ says string }{"the endpoint says it as well": {"HTTP/1.1 100 Continue\r\n\r\n"}, "it does not": {}} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			r := newRig(t)
			r.keyed(func(ru *rules.Rules) { ru.Shard.Key = "json:/id" }, r.eps(o.addr)...)
			client := r.dial()
			client.send(head)
			client.expect("HTTP/1.1 100 Continue\r\n\r\n", "the word to go on")
			o.noConnection("though nobody knows where to yet")
			client.send(body)
			s := o.accept()
			s.expect(head+body, "all of it")
			s.send(c.says + ok)
			client.expect(ok, "the answer and nothing before it")
			client.close()
		})
	}
	t.Run("a key of the head needs none of us", func(t *testing.T) {
		o := newOrigin(t)
		r := newRig(t)
		r.keyed(func(ru *rules.Rules) { ru.Shard.Key = "header:host" }, r.eps(o.addr)...)
		client := r.dial()
		client.send(head)
		s := o.accept()
		s.expect(head, "the head alone")
		s.send("HTTP/1.1 100 Continue\r\n\r\n")
		client.expect("HTTP/1.1 100 Continue\r\n\r\n", "the endpoint's word")
		client.send(body)
		s.expect(body, "the body")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("HTTP/2", func(t *testing.T) {
		p := newPods(t, 3, func(ru *rules.Rules) { ru.Shard.Key = "json:/id" })
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) { io.Copy(io.Discard, q.Body) })
		cl := p.r.h2Client()
		cl.Transport.(*http.Transport).ExpectContinueTimeout = patience
		if status, pod, _ := ask(t, cl, "POST", "/", body, "expect: 100-continue"); status != 200 || pod != p.owner("k") {
			t.Errorf("%d from %q, want %s", status, pod, p.owner("k"))
		}
		cl.CloseIdleConnections()
	})
}

// A body that is needed before the first attempt takes of the request's time.
func TestATimeoutThatEndsWhileTheBodyIsAwaited(t *testing.T) {
	for name, c := range map[string]struct {
		rule  func(*rules.Rules)
		field string
		text  string
		told  string // the end of the explanation
	}{
		"a key": {func(r *rules.Rules) { r.Shard.Key = "json:/id" }, "x: y", "which its shard key is in, did not come within 30ms, which is its sluice.mesh/timeout",
			"; key=none; to=none; reason=the body with the key did not come, the request's time is over, which is 30ms, its sluice.mesh/timeout"},
		"a request to all": {func(r *rules.Rules) { r.Scatter = true }, "sluice-scatter: all",
			"which is to go to every endpoint, did not come within 30ms, which is its sluice.mesh/timeout", ""},
	} {
		protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
			t.Run(name, func(t *testing.T) {
				p := newPods(t, 3, func(r *rules.Rules) {
					r.Timeout, r.PerTryTimeout, r.Explain = 30*time.Millisecond, time.Millisecond, rules.ExplainOn
					c.rule(r)
				})
				p.does(func(int, http.ResponseWriter, *http.Request) { t.Error("a pod was asked") })
				cl := client(p.r)
				body, end := io.Pipe()
				defer end.Close()
				go io.WriteString(end, `{"a":`)
				q, _ := http.NewRequest("POST", "http://web/", body)
				field, value, _ := strings.Cut(c.field, ": ")
				q.Header.Set(field, value)
				res, err := cl.Do(q)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if told := res.Header.Get(explainField); res.StatusCode != 504 || !strings.Contains(string(text), c.text) || !strings.HasSuffix(told, c.told) {
					t.Errorf("%d %q, explained: %q, want 504 %q %q", res.StatusCode, text, told, c.text, c.told)
				}
				p.r.counts("timeouts of requests", 1, p.r.service().Timeouts[1].Load)
				cl.CloseIdleConnections()
			})
		})
	}
	t.Run("gRPC", func(t *testing.T) {
		p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key = "grpc:1" })
		cl := p.r.h2Client()
		body, end := io.Pipe()
		defer end.Close()
		q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", body)
		q.Header.Set("Content-Type", "application/grpc")
		q.Header.Set("Grpc-Timeout", "30m")
		res, err := cl.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header.Get("Grpc-Status") != "4" || !strings.Contains(res.Header.Get("Grpc-Message"), "grpc-timeout") {
			t.Errorf("got %v, want DEADLINE_EXCEEDED", res.Header)
		}
		cl.CloseIdleConnections()
	})
	t.Run("a client that leaves", func(t *testing.T) {
		p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Timeout = "json:/id", time.Hour })
		cl := p.r.h2Client()
		body, end := io.Pipe()
		defer end.Close()
		ctx, cancel := context.WithCancel(t.Context())
		q, _ := http.NewRequestWithContext(ctx, "POST", "http://web/", body)
		go func() {
			io.WriteString(end, `{"a":`)
			p.r.eventually("the wait", func() (waits bool) { p.r.on(func() { waits = p.r.w.times.first != nil }); return waits })
			cancel()
		}()
		if _, err := cl.Do(q); err == nil {
			t.Error("answered")
		}
		p.r.eventually("the end of the wait", func() (none bool) { p.r.on(func() { none = p.r.w.times.first == nil }); return none })
		cl.CloseIdleConnections()
	})
}

func TestClientThatLeavesWithinABodyThatIsLookedInto(t *testing.T) {
	o := newOrigin(t)
	r := newRig(t)
	r.keyed(func(ru *rules.Rules) { ru.Shard.Key = "json:/id" }, r.eps(o.addr)...)
	client := r.dial()
	client.send(lines("POST / HTTP/1.1", "Host: web", "Content-Length: 100") + `{"i`)
	client.reset()
	r.counts("requests without an answer", 1, r.service().Classes[0].Load)
	o.noConnection("for half a request")
	t.Run("a FIN goes on", func(t *testing.T) {
		client := r.dial()
		half := lines("POST / HTTP/1.1", "Host: web", "Content-Length: 100") + `{"i`
		client.send(half)
		client.closeWrite()
		s := o.accept()
		s.expect(half, "half a request")
		s.expectEnd("the client's FIN")
		s.send(status(400))
		client.expectHead("what the server makes of it")
		s.close()
		client.close()
	})
}
