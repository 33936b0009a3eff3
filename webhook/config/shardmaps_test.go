package config

import (
	"strings"
	"testing"
)

func TestShardMapOf(t *testing.T) {
	for annotations, want := range map[string]ShardMap{
		"":                               {},
		"shard-key=header:a":             {},
		"weights=pods":                   {Pods: true},
		"weights=web-*=3,pods":           {Pods: true},
		"weights=pods=3":                 {},
		"weights=none":                   {},
		"weights=pods,web-0=1":           {},
		"weights=pods shard-map=ordinal": {Pods: true},
		"shard-key=header:a shard-map=ordinal weights=pods": {AnyStatefulSet: true, Pods: true},
		"shard-map=ordinal":                                                          {},
		"shard-key=header:a shard-map=maglev":                                        {},
		"shard-key=header:a shard-map=nonsense":                                      {},
		"shard-key=header:a shard-map=ordinal":                                       {AnyStatefulSet: true},
		"shard-key=header:a shard-map=ordinal,statefulset=orders":                    {StatefulSet: "orders"},
		"shard-key=header:a shard-map=rendezvous,statefulset=orders":                 {StatefulSet: "orders"},
		"shard-key=header:a shard-map=lookup shard-lookup=owners":                    {ConfigMap: "owners"},
		"shard-key=header:a shard-map=lookup,statefulset=orders shard-lookup=owners": {ConfigMap: "owners", StatefulSet: "orders"},
		"shard-key=json:/lat,json:/lng shard-map=s2 shard-lookup=areas":              {ConfigMap: "areas"},
	} {
		given := map[string]string{"example.com/x": "y"}
		for _, a := range strings.Fields(annotations) {
			name, value, _ := strings.Cut(a, "=")
			given["sluice.mesh/"+name] = value
		}
		if got := ShardMapOf(given); got != want {
			t.Errorf("%s: %+v, want %+v", annotations, got, want)
		}
	}
}
