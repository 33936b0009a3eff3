package config

import (
	"errors"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/shard"
)

func TestShardTableOf(t *testing.T) {
	const key, ofMap, lookup = "sluice.mesh/shard-key", "sluice.mesh/shard-map", "sluice.mesh/shard-lookup"
	type m = map[string]string
	for _, c := range []struct {
		name        string
		annotations m
		want        ShardTable
	}{
		{"nothing", nil, ShardTable{}},
		{"lookup", m{key: "header:a", ofMap: "lookup", lookup: "owners"}, ShardTable{"owners", shard.Lookup}},
		{"as YAML blocks end", m{key: "header:a", ofMap: "lookup\n", lookup: "owners\n"}, ShardTable{"owners", shard.Lookup}},
		{"prefixes", m{key: "header:a", ofMap: "prefix-lookup", lookup: "owners"}, ShardTable{"owners", shard.PrefixLookup}},
		{"cells", m{key: "header:a", ofMap: "s2,level=10", lookup: "owners"}, ShardTable{"owners", shard.S2}},
		{"cells without a table", m{key: "header:a", ofMap: "s2"}, ShardTable{}},
		{"turned off", m{key: "header:a", ofMap: "s2", lookup: "off"}, ShardTable{}},
		{"a map without tables", m{key: "header:a", lookup: "owners"}, ShardTable{}},
		{"no key", m{ofMap: "lookup", lookup: "owners"}, ShardTable{}},
		{"sessions", m{"sluice.mesh/shard-cookie": "session", ofMap: "lookup", lookup: "owners"}, ShardTable{}},
		{"no such map", m{key: "header:a", ofMap: "lokup", lookup: "owners"}, ShardTable{}},
		{"no such name", m{key: "header:a", ofMap: "lookup", lookup: "Owners!"}, ShardTable{}},
		{"something else is wrong", m{key: "header:a", ofMap: "lookup", lookup: "owners", "sluice.mesh/policy": "fastest"}, ShardTable{"owners", shard.Lookup}},
	} {
		got := ShardTableOf(c.annotations)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		// What the proxies may read is what is checked.
		if may := ShardMapOf(c.annotations).ConfigMap; may != got.ConfigMap {
			t.Errorf("%s: proxies may read %q, and %q is checked", c.name, may, got.ConfigMap)
		}
	}
}

func TestShardTableCheck(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		kind shard.Kind
		data m
		want string
	}{
		{shard.Lookup, m{"acme": "orders-1", "table": "a b 2\n"}, ""},
		{shard.Lookup, nil, ""},
		{shard.PrefixLookup, m{"acme": "orders 1"}, `entry "acme": owner "orders 1": want a pod's name or an ordinal`},
		{shard.S2, m{"acme": "orders-1"}, `entry "acme": key "acme" is no token of an S2 cell`},
	} {
		got := ""
		if err := (ShardTable{"owners", c.kind}).Check(c.data); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v %v: %q, want %q", c.kind, c.data, got, c.want)
		}
	}
	why := errors.New("why")
	err := ShardTable{"owners", shard.PrefixLookup}.Wrong("Service shop/orders", why)
	if want := "the table of Service shop/orders (sluice.mesh/shard-map: prefix-lookup): why"; err.Error() != want || !errors.Is(err, why) {
		t.Errorf("%q, want %q", err, want)
	}
}
