package assemble

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"unique"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

func TestProtocolOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		app      string // "-" is not set
		portName string
		want     cluster.Protocol
	}{
		{"appProtocol http", "http", "x", cluster.HTTP1},
		{"appProtocol is read in any case", "HTTP", "x", cluster.HTTP1},
		{"a WebSocket begins as HTTP/1.1", "kubernetes.io/ws", "x", cluster.HTTP1},
		{"a WebSocket over TLS", "kubernetes.io/wss", "x", cluster.TLS},
		{"HTTP/2 with prior knowledge", "kubernetes.io/h2c", "x", cluster.HTTP2},
		{"gRPC", "grpc", "x", cluster.HTTP2},
		{"https", "https", "x", cluster.TLS},
		{"tls", "tls", "x", cluster.TLS},
		{"tcp", "tcp", "x", cluster.Opaque},
		{"appProtocol goes before the name", "tcp", "http", cluster.Opaque},
		{"an unknown appProtocol is not overruled by the name", "example.com/mine", "http-x", cluster.Undeclared},
		{"an empty appProtocol is none", "", "http", cluster.HTTP1},
		{"the name alone", "-", "http", cluster.HTTP1},
		{"the name's prefix", "-", "http-admin", cluster.HTTP1},
		{"http2", "-", "http2-x", cluster.HTTP2},
		{"grpc", "-", "grpc", cluster.HTTP2},
		{"grpc-web is not gRPC's framing", "-", "grpc-web", cluster.Undeclared},
		{"https", "-", "https-x", cluster.TLS},
		{"tls", "-", "tls", cluster.TLS},
		{"tcp", "-", "tcp-x", cluster.Opaque},
		{"a server that speaks first", "-", "mysql", cluster.Opaque},
		{"a prefix needs its hyphen", "-", "httpx", cluster.Undeclared},
		{"no name", "-", "", cluster.Undeclared},
	} {
		app := &c.app
		if c.app == "-" {
			app = nil
		}
		if got := ProtocolOf(app, c.portName); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// twin is what has to be published, worked out from nothing each time: for each address and port, who says what of each
// address, and who is to be believed. It answers the addresses and UIDs to pick from.
func twin(s Service, all []*discoveryv1.EndpointSlice) map[netip.AddrPort][]string {
	published := map[netip.AddrPort][]string{}
	if s.Reason != discovery.Found {
		return published
	}
	for _, ip := range s.Addrs {
		for _, p := range s.Ports {
			dst := netip.AddrPortFrom(ip, p.Port)
			published[dst] = []string{}
			type saying struct {
				rank  int // 2 is ready, 1 is serving while terminating
				born  int64
				slice string
				uid   string
			}
			believed := map[netip.AddrPort]saying{}
			for _, slice := range all {
				for _, port := range slice.Ports {
					if *port.Name != p.Name {
						continue
					}
					for _, e := range slice.Endpoints {
						addr := netip.MustParseAddr(e.Addresses[0])
						if addr.Is4() != ip.Is4() {
							continue
						}
						says := saying{0, slice.CreationTimestamp.Unix(), slice.Name, string(e.TargetRef.UID)}
						if *e.Conditions.Ready {
							says.rank = 2
						} else if *e.Conditions.Serving && *e.Conditions.Terminating {
							says.rank = 1
						}
						at := netip.AddrPortFrom(addr, uint16(*port.Port))
						before, ok := believed[at]
						if !ok || says.rank > before.rank || says.rank == before.rank && (says.born > before.born ||
							says.born == before.born && (says.slice > before.slice || says.slice == before.slice && says.uid > before.uid)) {
							believed[at] = says
						}
					}
				}
			}
			for rank := 2; rank >= 1 && len(published[dst]) == 0; rank-- {
				for at, says := range believed {
					if says.rank == rank {
						published[dst] = append(published[dst], fmt.Sprintf("%v %s", at, says.uid))
					}
				}
			}
			slices.Sort(published[dst])
		}
	}
	return published
}

// Slices change, come and go at random; what is published must be what the twin says, endpoints must keep their pointers
// for as long as their pod is published and no longer, and a snapshot must change exactly when its contents do.
func TestAssembleAgreesWithItsTwin(t *testing.T) {
	conditions := []string{"", "", "!ready", "!terminating", "!terminating", "!down", "!gone"}
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 77))
		service, problems := ParseService(serviceOf(t, []string{"addrs=10.96.0.1,fd00:96::1", "ports=http/80,grpc/90"}))
		if problems != nil {
			t.Fatal(problems)
		}
		objects := map[string]*discoveryv1.EndpointSlice{}
		parsed := map[string]*Slice{}
		targets := Targets{Loops: 1}
		pointers, ever := map[string]*cluster.Endpoint{}, map[*cluster.Endpoint]bool{}
		before := map[netip.AddrPort]*discovery.Snapshot{}
		for range 60 {
			name := string(rune('a' + rnd.IntN(5)))
			if rnd.IntN(6) == 0 {
				delete(objects, name)
				delete(parsed, name)
			} else {
				words := []string{name, fmt.Sprintf("born=%d", rnd.IntN(3)), "ports=http:8080,grpc:" + []string{"9090", "9091"}[rnd.IntN(2)]}
				format := "p%d@10.1.0.%d#u%d-%d%s"
				if name >= "d" {
					words, format = append(words, "type=IPv6"), "p%d@fd00:1::%d#u%d-%d%s"
				}
				for range rnd.IntN(6) {
					i := 1 + rnd.IntN(8)
					words = append(words, fmt.Sprintf(format, i, i, i, rnd.IntN(2), conditions[rnd.IntN(len(conditions))]))
				}
				objects[name] = sliceOf(t, words)
				if parsed[name], problems = ParseSlice(objects[name]); problems != nil {
					t.Fatal(problems)
				}
			}
			targets.Update(service, slices.Collect(maps.Values(parsed)))
			table := &discovery.Table{Targets: map[netip.AddrPort]*discovery.Target{}, Addrs: map[netip.Addr]discovery.Reason{}}
			targets.AddTo(table)

			want := twin(service, slices.Collect(maps.Values(objects)))
			pointersNow := map[string]*cluster.Endpoint{}
			for dst, target := range table.Targets {
				s := target.Snapshot()
				got := []string{}
				for _, e := range s.Set.Endpoints {
					key := fmt.Sprintf("%v %v %s", dst, e.Addr, e.UID)
					if was := pointers[key]; was != nil && was != e {
						t.Errorf("seed %d: another pointer for %s", seed, key)
					} else if was == nil && ever[e] {
						t.Errorf("seed %d: %s was out of the set and has its old pointer", seed, key)
					}
					pointersNow[key], ever[e] = e, true
					got = append(got, fmt.Sprintf("%v %s", e.Addr, e.UID))
				}
				if !slices.IsSortedFunc(s.Set.Endpoints, func(a, b *cluster.Endpoint) int { return a.Addr.Compare(b.Addr) }) {
					t.Errorf("seed %d: %v: not sorted by address: %v", seed, dst, got)
				}
				slices.Sort(got)
				if !slices.Equal(got, want[dst]) {
					t.Fatalf("seed %d: %v:\ngot  %v\nwant %v", seed, dst, got, want[dst])
				}
				if old := before[dst]; old != nil {
					same := slices.Equal(old.Set.Endpoints, s.Set.Endpoints) && old.Set.Terminating == s.Set.Terminating
					if same != (old == s) || !same && s.Set.Generation != old.Set.Generation+1 {
						t.Fatalf("seed %d: %v: contents the same: %v, snapshot the same: %v, generation %d after %d",
							seed, dst, same, old == s, s.Set.Generation, old.Set.Generation)
					}
				}
				before[dst] = s
			}
			pointers = pointersNow
			if len(table.Targets) != len(want) {
				t.Fatalf("seed %d: %d targets, want %d", seed, len(table.Targets), len(want))
			}
		}
	}
}

// A Service of 10,000 endpoints in 100 slices, of which one changes.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{3, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			service := Service{Namespace: "shop", Name: "cart", Addrs: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
				Ports: []ServicePort{{Name: "http", Port: 80}}}
			var all []*Slice
			addr := netip.MustParseAddr("10.1.0.0")
			rnd := rand.New(rand.NewPCG(1, 2))
			for i := 0; i < n; i += 100 {
				s := &Slice{Name: fmt.Sprint("s", i), ports: []slicePort{{"http", 8080}}}
				for range min(100, n-i) {
					addr = addr.Next()
					s.records = append(s.records, record{addr: addr, condition: ready, uid: addr.String(), name: addr.String(), location: unique.Make(cluster.Location{})})
				}
				all = append(all, s)
			}
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			without := *all[0]
			without.records = without.records[1:]
			with := all[0]
			targets := Targets{Loops: 2}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now := slices.Clone(all)
				if i%2 == 0 {
					now[0] = &without
				} else {
					again := *with
					now[0] = &again
				}
				targets.Update(service, now)
			}
		})
	}
}
