package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// BenchmarkPlace is what finding a request's endpoint takes, at ten of them, without any bytes moved. The first row is the policy's
// choice; the last one scans a body of 1 KiB whose key is at its end. A whole request over HTTP/1.1 takes about 10 µs.
func BenchmarkPlace(b *testing.B) {
	body := []byte(`{"text":"` + strings.Repeat("x", 990) + `","account":{"id":4711}}`)
	for _, key := range []string{"", "header:account", "cookie:sid", "query:id", "path:/accounts/{key}", "header:tenant,path:/accounts/{key}", "source-ip",
		"json:/account/id"} {
		b.Run("key="+key, func(b *testing.B) {
			l, err := loop.New(loop.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { go l.Run(); l.Stop(); <-l.Done() }()
			words := metrics.Words{Keys: make([]string, shardkey.LastOutcome+1)}
			w := New(l, Options{Metrics: metrics.New(1, words), Log: testLog, Loops: 1})
			ru := rules.Default()
			ru.Shard.Key = key
			set := &cluster.EndpointSet{}
			for i := range 10 {
				ep := cluster.NewEndpoint(netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:80", i)), 1)
				ep.Name = fmt.Sprint("web-", i)
				set.Endpoints = append(set.Endpoints, ep)
			}
			picker, err := balancer.New(balancer.Options{}, set)
			if err != nil {
				b.Fatal(err)
			}
			s := &discovery.Snapshot{Set: set, Picker: picker, Rules: ru}
			if key != "" {
				s.Shard = shard.New(ru.Shard.Spec(), shard.Input{Set: set})
			}
			r := w.newRoute(discovery.NewTarget("default", "web", "", 80, s), clusterIP)
			r.client = netip.MustParseAddr("10.1.2.3")
			var req h1.Request
			if _, err := req.Parse([]byte(lines("GET /accounts/4711?id=4711 HTTP/1.1", "Host: web", "User-Agent: test/1.0", "Accept: */*",
				"Accept-Encoding: gzip", "Tenant: a", "Account: 4711", "Cookie: a=b; sid=4711")), 0); err != nil {
				b.Fatal(err)
			}
			q := &request{}
			b.ReportAllocs()
			for range b.N {
				q.begin(r)
				if q.sharded() {
					w.head1 = head1{&req, r.client}
					o := q.look(&w.head1)
					if o == shardkey.NeedMore {
						o = q.shard.keys.Body(body, true)
					}
					if ref := q.found(o, &w.head1); ref.status != 0 || q.shard.owned != byKey {
						b.Fatal(o)
					}
				}
				if ep, _ := q.next(); ep == nil {
					b.Fatal("no endpoint")
				}
				q.leave()
			}
		})
	}
}
