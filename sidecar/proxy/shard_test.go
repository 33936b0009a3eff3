package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// pods are servers of HTTP/1.1 and HTTP/2 in the place of a StatefulSet's pods, web-0 and so on.
type pods struct {
	r      *rig
	eps    []*cluster.Endpoint
	rules  *rules.Rules
	handle func(pod int, w http.ResponseWriter, q *http.Request) // beside the name

	table *shard.Table

	mu      sync.Mutex
	servers map[int]podServer
	gen     uint64
}

func newPods(t *testing.T, n int, change func(*rules.Rules), with ...func(*Options)) *pods {
	t.Helper()
	p := &pods{r: newRig(t, with...), rules: rules.Default(), servers: map[int]podServer{}}
	p.rules.Ejection.On = false
	change(p.rules)
	for i := range n {
		ep := p.r.eps(meshtest.HoldPort(t))[0]
		ep.Name = fmt.Sprintf("web-%d", i)
		p.eps = append(p.eps, ep)
		p.start(t, i)
	}
	p.publish()
	return p
}

type podServer struct {
	*http.Server
	ln net.Listener
}

// start runs a pod at its address.
func (p *pods) start(t *testing.T, i int) {
	t.Helper()
	ln, err := net.Listen("tcp", p.eps[i].Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Pod", fmt.Sprintf("web-%d", i))
		p.mu.Lock()
		handle := p.handle
		p.mu.Unlock()
		if handle != nil {
			handle(i, w, q)
		}
		fmt.Fprintf(w, "web-%d", i)
	})}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	p.servers[i] = podServer{srv, ln}
}

func (p *pods) does(handle func(pod int, w http.ResponseWriter, q *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = handle
}

// publish makes those that are not down the endpoints.
func (p *pods) publish(down ...int) {
	var eps []*cluster.Endpoint
	p.gen++
	for i, ep := range p.eps {
		out := false
		for _, d := range down {
			out = out || d == i
		}
		if !out {
			eps = append(eps, ep)
		}
	}
	set := &cluster.EndpointSet{Generation: p.gen, Endpoints: eps}
	s := &discovery.Snapshot{Set: set, Picker: pickFirst(eps), Rules: p.rules}
	in := shard.Input{Set: set, StatefulSet: &shard.StatefulSet{Name: "web", Replicas: len(p.eps)}, Table: p.table, Now: time.Now()}
	s.Shard = shard.New(p.rules.Shard.Spec(), in)
	p.r.target.Publish(s)
}

// kill ends a pod's server; start starts it again. Meanwhile its address is nobody else's.
func (p *pods) kill(i int) {
	p.servers[i].ln.Close() // of which the server may not know yet
	p.servers[i].Close()
}

// move gives a pod another address, as a restart does.
func (p *pods) move(t *testing.T, i int) {
	t.Helper()
	ep := p.r.eps(meshtest.HoldPort(t))[0]
	ep.Name = p.eps[i].Name
	p.eps[i] = ep
}

// owner answers whose a key is.
func (p *pods) owner(key string) string {
	return p.r.target.Snapshot().Shard.Owner(shardkey.Of([]byte(key))).Member.Name
}

// keyOf answers a key that a pod owns.
func (p *pods) keyOf(pod int) string {
	for n := 0; ; n++ {
		if key := fmt.Sprint("key-", n); p.owner(key) == fmt.Sprintf("web-%d", pod) {
			return key
		}
	}
}

// keyed makes eps the endpoints, with the default rules as change makes them and a map of them.
func (r *rig) keyed(change func(*rules.Rules), eps ...*cluster.Endpoint) {
	ru := rules.Default()
	change(ru)
	s := snapshot(r.t, 2, cluster.Undeclared, "", eps...)
	s.Rules, s.Shard = ru, shard.New(ru.Shard.Spec(), shard.Input{Set: s.Set})
	r.target.Publish(s)
}

// got waits for a value, but not forever.
func got[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain for %s", patience, what)
	}
	return v
}

// protocols runs a test over HTTP/1.1 and HTTP/2, with a client of each.
func protocols(t *testing.T, f func(t *testing.T, client func(r *rig) *http.Client)) {
	t.Run("HTTP/1.1", func(t *testing.T) {
		f(t, func(r *rig) *http.Client {
			tr := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
			}}
			t.Cleanup(tr.CloseIdleConnections)
			return &http.Client{Transport: tr, Timeout: 30 * time.Second}
		})
	})
	t.Run("HTTP/2", func(t *testing.T) { f(t, func(r *rig) *http.Client { return r.h2Client() }) })
}

// ask sends a request with fields ("name: value") and answers status and body.
func ask(t *testing.T, c *http.Client, method, target, body string, fields ...string) (int, string, http.Header) {
	t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	q, err := http.NewRequest(method, "http://web"+target, b)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Header.Add(name, value)
	}
	res, err := c.Do(q)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(got), res.Header
}

func TestEveryKeyOfAHeadHasItsOwner(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		for _, c := range []struct{ key, normalize, key0 string }{{"header:Account_Id", "", ""}, {"cookie:sid", "", ""}, {"query:id", "", ""},
			{"path:/accounts/{key}", "", ""}, {"header:account,path:/accounts/{key}", "", "a,"}, {"header:account", "lower,trim", ""}} {
			t.Run(c.key, func(t *testing.T) {
				p := newPods(t, 5, func(r *rules.Rules) { r.Shard.Key, r.Shard.Normalize = c.key, c.normalize })
				cl := client(p.r)
				seen := map[string]bool{}
				for n := range 60 {
					key := fmt.Sprint("k-", n)
					target, fields := "/", []string{"account_id: " + key, "cookie: a=b; sid=" + key, "account: a"}
					switch {
					case c.key == "query:id":
						target = "/?x=1&id=" + key
					case strings.Contains(c.key, "path:"):
						target = "/accounts/" + key + "/orders"
					case c.normalize != "":
						fields = []string{"account:  " + strings.ToUpper(key)}
					}
					want := p.owner(c.key0 + key)
					if status, pod, _ := ask(t, cl, "GET", target, "", fields...); status != 200 || pod != want {
						t.Fatalf("key %q: %d from %q, want %s", key, status, pod, want)
					}
					seen[want] = true
				}
				if len(seen) != 5 {
					t.Errorf("only %d of 5 pods own any of 60 keys", len(seen))
				}
				p.r.counts("keys found", 60, p.r.service().Keys[shardkey.Found].Load)
				p.r.counts("requests to the owner", 60, p.r.service().Decisions[0].Load)
				cl.CloseIdleConnections()
			})
		}
		t.Run("source-ip", func(t *testing.T) {
			p := newPods(t, 5, func(r *rules.Rules) { r.Shard.Key = "source-ip" })
			cl := client(p.r)
			for range 5 {
				if _, pod, _ := ask(t, cl, "GET", "/", ""); pod != p.owner("127.0.0.1") {
					t.Errorf("%s answered, want %s", pod, p.owner("127.0.0.1"))
				}
			}
			cl.CloseIdleConnections()
		})
	})
}

func TestRequestsWithoutAKey(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		for name, c := range map[string]struct {
			fields  []string
			outcome shardkey.Outcome
			text    string
		}{
			"absent":  {nil, shardkey.Absent, "is not there"},
			"several": {[]string{"account: 1", "account: 2"}, shardkey.Several, "is there more than once, with different values"},
		} {
			t.Run(name+", balance", func(t *testing.T) {
				p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key = "header:account" })
				cl := client(p.r)
				if status, pod, _ := ask(t, cl, "GET", "/", "", c.fields...); status != 200 || pod != "web-0" {
					t.Errorf("%d from %q, want the policy's choice", status, pod)
				}
				p.r.counts("keys looked for", 1, p.r.service().Keys[c.outcome].Load)
				cl.CloseIdleConnections()
			})
			t.Run(name+", reject", func(t *testing.T) {
				p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Shard.NoKey = "header:account", rules.KeyReject })
				cl := client(p.r)
				want := "sluice: requests to default/web:80 need a shard key, which is header:account (sluice.mesh/shard-key): header:account " + c.text + "\n"
				if status, text, _ := ask(t, cl, "GET", "/", "", c.fields...); status != 400 || text != want {
					t.Errorf("%d %q, want 400 %q", status, text, want)
				}
				cl.CloseIdleConnections()
			})
		}
		t.Run("gRPC is told in its terms", func(t *testing.T) {
			p := newPods(t, 3, func(r *rules.Rules) { r.Shard.Key, r.Shard.NoKey = "header:account", rules.KeyReject })
			cl := p.r.h2Client()
			status, _, h := ask(t, cl, "POST", "/a.B/C", "", "content-type: application/grpc", "te: trailers")
			if status != 200 || h.Get("Grpc-Status") != "3" || !strings.Contains(h.Get("Grpc-Message"), "header:account is not there") {
				t.Errorf("%d, %v", status, h)
			}
			cl.CloseIdleConnections()
		})
	})
}

func TestAKilledPodKeepsItsAddress(t *testing.T) {
	p := newPods(t, 1, func(*rules.Rules) {})
	p.kill(0)
	p.r.eventually("connects to be refused", func() bool {
		c, err := net.Dial("tcp", p.eps[0].Addr.String())
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(p.eps[0].Addr)}
	c, err := d.Dial("tcp", p.r.addr.String())
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another can have its address: %v", err)
	}
}
