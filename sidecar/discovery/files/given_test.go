package files

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// orders is a manifest of the Service shop/cart at dst with a shard map, over pods.
func orders(shardMap string, pods ...string) string {
	var endpoints strings.Builder
	for i, pod := range pods {
		fmt.Fprintf(&endpoints, "\n- {addresses: [10.1.0.%d], targetRef: {kind: Pod, name: %s, uid: u-%s}}", i+1, pod, pod)
	}
	return strings.Replace(strings.TrimSuffix(shop(), "\n"), "metadata: {name: cart,",
		`metadata: {name: cart, annotations: {sluice.mesh/shard-key: "header:a", `+shardMap+`},`, 1) + endpoints.String() + "\n"
}

const five = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: orders, namespace: shop}
spec: {replicas: 5}
`

func (r *running) owner(key string) string {
	a := r.Lookup(dst)
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	if a.Target.Snapshot().Shard == nil {
		return "no map"
	}
	o := a.Target.Snapshot().Shard.Owner(shardkey.Of([]byte(key)))
	switch {
	case o.Member == nil:
		return o.Why.String()
	case o.Endpoint == nil:
		return o.Member.Name + " down"
	}
	return o.Member.Name
}

func TestShardMaps(t *testing.T) {
	r := start(t, t.TempDir(), Options{})
	r.write("service.yaml", orders("sluice.mesh/shard-map: ordinal", "orders-0", "orders-1"))
	expect := func(key, want string) {
		t.Helper()
		r.wait(want+" as the owner of "+key, func() bool { return r.owner(key) == want })
	}
	expect("6", "statefulset-unknown")
	r.waitProblem("Service shop/cart: no key has an owner: StatefulSet shop/orders is not there, or not known")
	r.write("statefulset.yaml", five)
	expect("6", "orders-1")
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	r.write("statefulset.yaml", strings.Replace(five, "5", "3", 1))
	expect("6", "orders-0")
	r.write("again.yaml", five)
	r.waitProblem("statefulset.yaml: StatefulSet shop/orders: it is in again.yaml already, which is used")
	expect("6", "orders-1")

	r.write("again.yaml", `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owners", "namespace": "shop"}, "data": {"acme": "orders-9"}}`)
	r.write("service.yaml", orders("sluice.mesh/shard-map: lookup, sluice.mesh/shard-lookup: owners", "orders-0"))
	expect("acme", "orders-9 down")
	expect("6", "no-entry")

	r.write("service.yaml", orders(`sluice.mesh/shard-map: "rendezvous,hold=200ms"`, "orders-0", "orders-1"))
	r.wait("a map by hash", func() bool { return strings.HasPrefix(r.owner("6"), "orders-") })
	key := "k"
	for i := 0; r.owner(key) != "orders-1"; i++ {
		key = fmt.Sprint("k", i)
	}
	r.write("service.yaml", orders(`sluice.mesh/shard-map: "rendezvous,hold=200ms"`, "orders-0"))
	expect(key, "orders-1 down")
	expect(key, "orders-0")
}

// A StatefulSet that is needed because of nothing but time having gone on is there.
func TestAnotherStatefulSetIsNeededAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &running{t: t, dir: dir}
		var err error
		if r.Resolver, err = New(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		step := func(after time.Duration, want string, pods ...string) {
			t.Helper()
			time.Sleep(after)
			if len(pods) > 0 {
				r.write("service.yaml", orders("sluice.mesh/shard-map: ordinal", pods...))
				if err := r.scan(false); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if got := r.owner("7"); got != want {
				t.Errorf("with %v: %s, want %s", pods, got, want)
			}
		}
		r.write("statefulset.yaml", five+"---\n"+strings.Replace(strings.Replace(five, "name: orders", "name: canary", 1), "5", "2", 1))
		step(0, "orders-2", "orders-1", "orders-2")
		step(time.Hour, "orders-2", "orders-1", "orders-2", "canary-0", "canary-1")
		step(time.Hour, "orders-2 down", "canary-0", "canary-1")
		step(time.Minute-1, "orders-2 down")
		step(1, "canary-1")
		step(time.Hour, "canary-1")
		step(0, "orders-2", "orders-1", "orders-2", "canary-0", "canary-1")
	})
}
