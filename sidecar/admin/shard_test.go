package admin

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unique"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/directory"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// sharded makes a target over the pods orders-0 and orders-2 of a StatefulSet of three.
func sharded(port uint16, set func(*rules.Shard)) *discovery.Target {
	r := rules.Default()
	set(&r.Shard)
	s := &discovery.Snapshot{Rules: r, Set: &cluster.EndpointSet{Generation: 7}}
	for i, name := range []string{"orders-0", "orders-2"} {
		e := cluster.NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 8080), 1)
		e.Name, e.UID, e.Location = name, "uid-"+name, unique.Make(cluster.Location{Node: "node-a"})
		s.Set.Endpoints = append(s.Set.Endpoints, e)
	}
	if r.Shard.On() {
		s.Shard = shard.New(r.Shard.Spec(), shard.Input{Set: s.Set, StatefulSet: &shard.StatefulSet{Name: "orders", Replicas: 3}})
	}
	return discovery.NewTarget("shop", "orders", "http", port, s)
}

func TestShard(t *testing.T) {
	ordinal := sharded(80, func(s *rules.Shard) { s.Key, s.Map, s.Normalize = "header:account", "ordinal", "trim" })
	two := sharded(81, func(s *rules.Shard) { s.Key = "header:tenant,json:/id" })
	session := sharded(82, func(s *rules.Shard) { s.Cookie = "sid" })
	plain := sharded(8, func(*rules.Shard) {})
	s, get := start(t, Options{Resolver: &resolver{status: discovery.Status{Targets: []*discovery.Target{plain, session, two, ordinal}}}})
	holder := session.Snapshot().Shard.Successors(nil, shardkey.Of([]byte("x")), 1)[0].Member
	cookie := string(holder.Session(nil))

	for _, c := range []struct {
		name, query string
		owner, why  string // any owner and why where they are empty
		successors  int
	}{
		{"an integer", "service=shop/orders:80&key=5", "orders-2", "owned", 2},
		{"without a port", "service=shop/orders&key=6", "orders-0", "owned", 2},
		{"the owner is down", "service=shop/orders&key=4&successors=1", "orders-1", "owner-down", 1},
		{"what the Service does to keys is done to this one", "service=shop/orders&key=%205%20&successors=0", "orders-2", "owned", 0},
		{"a key of two parts", "service=shop/orders:81&key=acme&key=7", "", "", 2},
		{"a session", "service=shop/orders:82&key=" + url.QueryEscape(cookie), holder.Name, "owned", 0},
		{"a session of nobody", "service=shop/orders:82&key=nobody", "none", "no-entry", 0},
	} {
		status, body := get(s.AdminAddr(), "/shard?"+c.query)
		var a directory.Answer
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 {
			t.Errorf("%s: %d %s (%v)", c.name, status, body, err)
			continue
		}
		owner := "none"
		if a.Owner != nil {
			owner = a.Owner.Name
			if (a.Owner.Address != "") != (a.Why == "owned") {
				t.Errorf("%s: why is %s, and the owner's address is %q", c.name, a.Why, a.Owner.Address)
			}
		}
		if c.owner != "" && owner != c.owner || c.why != "" && a.Why != c.why || len(a.Successors) != c.successors {
			t.Errorf("%s: got %s", c.name, body)
		}
		if a.Generation != 7 || len(a.Fingerprint) != 16 || a.Members == 0 || a.Ready != 2 {
			t.Errorf("%s: %+v", c.name, a)
		}
	}

	for _, c := range []struct {
		name, query string
		status      int
		want        string
	}{
		{"one part of two", "service=shop/orders:81&key=acme", 400, "shop/orders:81: a key of header:tenant,json:/id has 2 parts, not 1"},
		{"no key", "service=shop/orders:80", 400, "shop/orders:80: a key of header:account has 1 parts, not 0"},
		{"no session", "service=shop/orders:82", 400, "shop/orders:82: give the value of the cookie sid"},
		{"a Service without keys", "service=shop/orders:8&key=1", 404, "shop/orders:8: its requests have no owners"},
		{"a port that is not there", "service=shop/orders:443&key=1", 404, "Service shop/orders has no port 443; it has 8, 82, 81, 80"},
		{"a Service that is not there", "service=shop/cart&key=1", 404, "Service shop/cart is not known here; a sidecar knows"},
		{"no namespace", "service=orders&key=1", 400, `service "orders": want NAMESPACE/NAME`},
		{"no Service", "key=1", 400, `service "": want NAMESPACE/NAME`},
		{"a port that is none", "service=shop/orders:http&key=1", 400, `service "shop/orders:http": want NAMESPACE/NAME`},
		{"too many successors", "service=shop/orders&key=1&successors=101", 400, `successors="101": want a number from 0 to 100`},
	} {
		status, body := get(s.AdminAddr(), "/shard?"+c.query)
		var a struct{ Error string }
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != c.status || !strings.HasPrefix(a.Error, c.want) {
			t.Errorf("%s: %d %s (%v), want %d %s", c.name, status, body, err, c.status, c.want)
		}
	}
}
