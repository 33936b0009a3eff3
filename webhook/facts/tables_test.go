package facts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTables(t *testing.T) {
	service := func(namespace, name, annotations string) client.Object {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}}}
		for _, a := range strings.Fields(annotations) {
			k, v, _ := strings.Cut(a, "=")
			o.Annotations["sluice.mesh/"+k] = v
		}
		return o
	}
	const lookup = "shard-key=header:a shard-map=lookup shard-lookup="
	c := &cluster{}
	f := newFacts(t, c, []client.Object{service("shop", "unseen", lookup+"owners")},
		service("shop", "orders", lookup+"owners"), service("shop", "carts", lookup+"carts"), service("shop", "plain", ""),
		service("shop", "cells", "shard-key=header:a shard-map=s2 shard-lookup=owners"),
		service("shop", "ring", "shard-key=header:a shard-map=ring shard-lookup=owners"), service("web", "orders", lookup+"owners"))
	for _, c := range []struct{ namespace, configMap, want string }{
		{"shop", "owners", "cells sluice.mesh/shard-map: s2, orders sluice.mesh/shard-map: lookup"},
		{"shop", "carts", "carts sluice.mesh/shard-map: lookup"},
		{"web", "owners", "orders sluice.mesh/shard-map: lookup"},
		{"web", "carts", ""},
		{"shop", "", ""},
		{"other", "owners", ""},
	} {
		tables, err := f.Tables(context.Background(), c.namespace, c.configMap)
		var got []string
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			got = append(got, name+" "+tables[name].Map())
		}
		if s := strings.Join(got, ", "); err != nil || s != c.want {
			t.Errorf("%s/%s: %q, %v; want %q", c.namespace, c.configMap, s, err, c.want)
		}
	}
	c.err = errors.New("the cache is not there yet")
	if _, err := f.Tables(context.Background(), "shop", "owners"); !errors.Is(err, c.err) {
		t.Errorf("%v, want %v", err, c.err)
	}
}

// TestData: ConfigMaps are never read through the cache, which does not know any here.
func TestData(t *testing.T) {
	configMap := func(name string, data map[string]string) client.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: data}
	}
	c := &cluster{}
	f := newFacts(t, c, []client.Object{configMap("owners", map[string]string{"acme": "1"}), configMap("empty", nil)})
	for _, c := range []struct {
		namespace, name string
		want            map[string]string
	}{
		{"shop", "owners", map[string]string{"acme": "1"}},
		{"shop", "empty", nil},
		{"shop", "gone", nil},
		{"web", "owners", nil},
	} {
		if got, err := f.Data(context.Background(), c.namespace, c.name); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s/%s: %#v, %v; want %#v", c.namespace, c.name, got, err, c.want)
		}
	}
	if c.informers != 0 {
		t.Errorf("%d watches were started", c.informers)
	}
	f.Live = away{f.Live}
	if got, err := f.Data(context.Background(), "shop", "owners"); err == nil || got != nil {
		t.Errorf("%v, %v, without the API server", got, err)
	}
}

// away is an API server that does not answer.
type away struct{ client.Reader }

func (away) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("API server away")
}
