package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// sharded makes the Service shop/cart with these annotations, of which the prefix is left out.
func sharded(annotations ...string) *corev1.Service {
	s := service("shop", "cart", "10.96.0.10")
	s.Annotations = map[string]string{}
	for _, a := range annotations {
		name, value, _ := strings.Cut(a, "=")
		s.Annotations["sluice.mesh/"+name] = value
	}
	return s
}

// pods makes the slice of shop/cart, whose endpoints are pods of these names.
func pods(names ...string) *discoveryv1.EndpointSlice {
	var addrs []string
	for i := range names {
		addrs = append(addrs, fmt.Sprintf("10.1.0.%d", i+1))
	}
	s := slice("shop", "cart", "cart-1", addrs...)
	for i, name := range names {
		s.Endpoints[i].TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: name, UID: types.UID("uid of " + name)}
	}
	return s
}

func statefulSet(name string, replicas, start int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Ordinals: &appsv1.StatefulSetOrdinals{Start: start}}}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: data}
}

// owner answers who owns a key of the Service at cart, or why nobody does.
func (r *running) owner(key string) string {
	a := r.Lookup(cart)
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	m := a.Target.Snapshot().Shard
	if m == nil {
		return "no map"
	}
	o := m.Owner(shardkey.Of([]byte(key)))
	switch {
	case o.Member == nil:
		return o.Why.String()
	case o.Endpoint == nil:
		return o.Member.Name + " down"
	}
	return o.Member.Name
}

func (r *running) waitOwner(key, want string) {
	r.t.Helper()
	r.wait(fmt.Sprintf("%s as the owner of %s", want, key), func() bool { return r.owner(key) == want })
}

func (r *running) problem(part string) bool {
	return slices.ContainsFunc(r.Status().Problems, func(p string) bool { return strings.Contains(p, part) })
}

func TestOrdinalFollowsTheStatefulSet(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	a.put(pods("orders-0", "orders-1", "orders-2"))
	a.put(statefulSet("orders", 3, 0))
	a.put(statefulSet("other", 9, 0))
	r := start(t, a, Options{})
	r.wait("a sign of life", func() bool { return r.Status().Synced })
	a.took()
	if got := describe(r.resolve(cart)); got != "10.1.0.1 10.1.0.2 10.1.0.3" {
		t.Fatalf("leads to %s", got)
	}
	if got := r.owner("7"); got != "orders-1" {
		t.Errorf("as soon as the Service is known, 7 is owned by %s", got)
	}
	r.wait("all watches", func() bool { return r.Status().Age == 0 && a.openWatches() == 3 })
	want := []string{
		"list  services spec.clusterIP=10.96.0.10",
		"list shop endpointslices kubernetes.io/service-name=cart",
		"list shop statefulsets metadata.name=orders",
		"watch shop endpointslices kubernetes.io/service-name=cart",
		"watch shop services metadata.name=cart",
		"watch shop statefulsets metadata.name=orders",
	}
	if got := a.took(); !slices.Equal(got, want) {
		t.Errorf("requests:\n%s", strings.Join(got, "\n"))
	}

	a.put(statefulSet("orders", 4, 0))
	r.waitOwner("7", "orders-3 down")
	a.put(statefulSet("orders", 2, 1))
	r.waitOwner("7", "orders-2")
	snapshot := r.Lookup(cart).Target.Snapshot()
	noted := statefulSet("orders", 2, 1)
	noted.Status.ReadyReplicas = 2
	a.put(noted)
	a.put(pods("orders-1", "orders-2")) // it comes after
	r.wait("the slice", func() bool { return r.Lookup(cart).Target.Snapshot() != snapshot })
	if now := r.Lookup(cart).Target.Snapshot(); now.Set.Generation != snapshot.Set.Generation+1 {
		t.Errorf("a StatefulSet that changed in nothing that matters made a generation: %d after %d", now.Set.Generation, snapshot.Set.Generation)
	}
	a.remove(statefulSet("orders", 2, 1))
	r.waitOwner("7", "statefulset-unknown")
	if !r.problem("StatefulSet shop/orders is not there, or not known") {
		t.Errorf("problems %q", r.Status().Problems)
	}
	a.put(statefulSet("orders", 1, 0))
	r.waitOwner("7", "orders-0 down")
	if len(r.Status().Problems) != 0 {
		t.Errorf("problems %q", r.Status().Problems)
	}
}

func TestWhatTheMapNeedsIsFollowedWhileItDoes(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded())
	a.put(pods("a-0", "a-1"))
	a.put(statefulSet("a", 2, 0))
	a.put(statefulSet("b", 1, 0))
	a.put(configMap("owners", map[string]string{"acme": "a-1"}))
	r := start(t, a, Options{IdleAfter: time.Minute})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.waitOwner("3", "no map")
	r.wait("two watches", func() bool { return a.openWatches() == 2 })

	a.put(sharded("shard-key=header:account"))
	r.wait("a map by hash", func() bool { return strings.HasPrefix(r.owner("3"), "a-") })
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	r.waitOwner("3", "a-1")
	r.wait("a third watch", func() bool { return a.openWatches() == 3 })
	a.put(pods("b-0"))
	r.waitOwner("3", "b-0")
	a.put(sharded("shard-key=header:account", "shard-map=ordinal,statefulset=a"))
	r.waitOwner("3", "a-1 down")
	r.wait("one watch for another", func() bool { return a.openWatches() == 3 })

	a.put(pods("a-0", "a-1"))
	a.put(sharded("shard-key=header:account", "shard-map=lookup", "shard-lookup=owners"))
	r.waitOwner("acme", "a-1")
	r.wait("one watch for another", func() bool { return a.openWatches() == 3 })
	a.put(configMap("owners", map[string]string{"acme": "a-0"}))
	r.waitOwner("acme", "a-0")
	a.put(configMap("owners", map[string]string{"acme": "nobody at all"}))
	r.wait("a problem", func() bool { return r.problem(`ConfigMap shop/owners: entry "acme"`) })
	if got := r.owner("acme"); got != "a-0" {
		t.Errorf("with a mistake in the table: %s", got)
	}
	a.remove(configMap("owners", nil))
	r.waitOwner("acme", "table-unknown")

	a.put(sharded())
	r.waitOwner("acme", "no map")
	r.wait("two watches again", func() bool { return a.openWatches() == 2 })
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	r.wait("three watches", func() bool { return a.openWatches() == 3 })
	a.remove(sharded())
	r.wait("no watch: the Service is gone", func() bool { return a.openWatches() == 0 })
}

func TestWhatTheMapNeedsIsRefused(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	a.put(pods("orders-0", "orders-1"))
	a.put(statefulSet("orders", 2, 0))
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "statefulsets" {
			return 403
		}
		return 0
	})
	r := start(t, a, Options{RefusedFor: time.Millisecond})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	if got := r.owner("3"); got != "statefulset-unknown" {
		t.Errorf("3 is owned by %s", got)
	}
	r.wait("the refusal", func() bool {
		return r.problem("may not read statefulsets shop/orders") && r.problem("no key has an owner: StatefulSet shop/orders")
	})
	a.put(pods("orders-0"))
	r.waitLookup(cart, "10.1.0.1")

	a.setRefuse(nil)
	r.waitOwner("3", "orders-1 down")
	r.wait("no problem", func() bool { return len(r.Status().Problems) == 0 })
	r.wait("three watches", func() bool { return a.openWatches() == 3 })

	// What was known stays in force when it may be read no more.
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "statefulsets" {
			return 403
		}
		return 0
	})
	a.forget()
	a.bookmark() // and so all watches end
	r.wait("the refusal", func() bool { return r.problem("may not read statefulsets shop/orders") })
	if got := r.owner("3"); got != "orders-1 down" {
		t.Errorf("3 is owned by %s after the refusal", got)
	}
	r.waitLookup(cart, "10.1.0.1")
}

// TestWhatTheMapNeedsDoesNotCome: endpoints do not wait for it for long.
func TestWhatTheMapNeedsDoesNotCome(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=lookup", "shard-lookup=owners"))
	a.put(pods("orders-0"))
	a.put(configMap("owners", map[string]string{"*": "0"}))
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	t.Cleanup(release)
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "configmaps" {
			<-stuck
		}
		return 0
	})
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1")
	if got := r.owner("3"); got != "table-unknown" {
		t.Errorf("3 is owned by %s", got)
	}
	a.put(pods("orders-0", "orders-1"))
	r.waitLookup(cart, "10.1.0.1 10.1.0.2")
	release()
	r.waitOwner("3", "orders-0")
}

func TestHoldsEndByThemselves(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=rendezvous,hold=300ms"))
	a.put(pods("orders-0", "orders-1"))
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	key := "k"
	for i := 0; r.owner(key) != "orders-1"; i++ {
		key = fmt.Sprint("k", i)
	}
	a.put(pods("orders-0"))
	r.waitOwner(key, "orders-1 down")
	r.waitOwner(key, "orders-0")
}

// What is due at a time that comes while an object is waited for is due when that has come, or is waited for no more; it is not looked at again and again until
// then.
func TestATimeThatComesDuringAWait(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=rendezvous,hold=300ms"))
	a.put(pods("orders-0", "orders-1"))
	stuck := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(stuck) }))
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "statefulsets" {
			<-stuck
		}
		return 0
	})
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	key := "k"
	for i := 0; r.owner(key) != "orders-1"; i++ {
		key = fmt.Sprint("k", i)
	}
	a.put(pods("orders-0"))
	r.waitOwner(key, "orders-1 down")
	a.put(sharded("shard-key=header:account", "shard-map=rendezvous,hold=300ms,statefulset=orders"))
	r.wait("keys without an owner", func() bool { return r.owner(key) == "statefulset-unknown" })
	w := r.allWatched()[0]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ticks == 0 || w.ticks > 3 {
		t.Errorf("the timer went off %d times", w.ticks)
	}
}

// A StatefulSet's pods that leave for a moment, while another's stay that the Service selects too, leave their keys to nobody; and when it is
// deleted the other's own them.
func TestOrdinalKeepsToTheStatefulSetThatItKnew(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	a.put(pods("orders-0", "orders-1"))
	a.put(statefulSet("orders", 2, 0))
	a.put(statefulSet("canary", 2, 0))
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.waitOwner("7", "orders-1")
	a.put(pods("orders-0", "orders-1", "canary-0", "canary-1"))
	r.wait("a problem", func() bool { return r.problem("its pods are of several StatefulSets (canary, orders)") })
	const beside = 2100 * time.Millisecond // it is not of a change of the Service's selector that they are there
	for range 2 {
		time.Sleep(beside)
		a.put(pods("canary-0", "canary-1"))
		r.waitOwner("7", "orders-1 down")
		a.put(pods("canary-0", "canary-1", "orders-0", "orders-1"))
		r.waitOwner("7", "orders-1")
	}
	time.Sleep(beside)
	a.put(pods("canary-0", "canary-1"))
	r.waitOwner("7", "orders-1 down")
	r.wait("three watches", func() bool { return a.openWatches() == 3 })
	a.took()
	a.remove(statefulSet("orders", 2, 0))
	r.waitOwner("7", "canary-1")
	var got []string
	want := []string{"list shop statefulsets metadata.name=canary", "watch shop statefulsets metadata.name=canary"}
	r.wait("another is followed", func() bool { got = append(got, a.took()...); return len(got) >= len(want) })
	r.wait("and the first no more", func() bool { return a.openWatches() == 3 })
	if got = append(got, a.took()...); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// Whoever asks for a Service by its name waits for what its map and weights need, for as long as he says.
func TestFollowWaitsForWhatTheMapNeeds(t *testing.T) {
	for _, c := range []struct{ resource, shardMap, want string }{
		{"statefulsets", "ordinal", "orders-1"},
		{"configmaps", "lookup", "orders-0"},
		{"pods", "rendezvous", "orders-"},
	} {
		t.Run(c.resource, func(t *testing.T) {
			t.Parallel()
			a := newAPIServer(t, false)
			s := sharded("shard-key=header:account", "shard-map="+c.shardMap, "weights=pods")
			if c.shardMap == "lookup" {
				s.Annotations["sluice.mesh/shard-lookup"] = "owners"
			}
			s.Spec.Selector = map[string]string{"app": "cart"}
			a.put(s)
			a.put(pods("orders-0", "orders-1"))
			a.put(statefulSet("orders", 2, 0))
			a.put(configMap("owners", map[string]string{"*": "orders-0"}))
			stuck := make(chan struct{})
			release := sync.OnceFunc(func() { close(stuck) })
			t.Cleanup(release)
			a.setRefuse(func(_, resource, _ string) int {
				if resource == c.resource {
					<-stuck
				}
				return 0
			})
			r := start(t, a, Options{})
			ctx, cancel := context.WithTimeout(t.Context(), givenWait+2*time.Second)
			defer cancel()
			_, err := r.Follow(ctx, "shop", "cart")
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), c.resource+" shop/") && !strings.Contains(err.Error(), c.resource+" of namespace shop") {
				t.Errorf("while it does not come: %v", err)
			}
			time.AfterFunc(100*time.Millisecond, release)
			targets, err := r.Follow(t.Context(), "shop", "cart")
			if err != nil || len(targets) != 1 {
				t.Fatalf("once it comes: %v, %v", targets, err)
			}
			if o := targets[0].Snapshot().Shard.Owner(shardkey.Of([]byte("7"))); o.Member == nil || !strings.HasPrefix(o.Member.Name, c.want) {
				t.Errorf("7 is %+v's, want %s", o, c.want)
			}
			if r.problem("are not known") {
				t.Errorf("problems %q", r.Status().Problems)
			}
		})
	}
}

// A Service that goes while what it needs has not come is waited for no longer, nor is what it does not need any more.
func TestFollowWaitsForNothingElse(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	a.put(pods("orders-0", "orders-1"))
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	t.Cleanup(release)
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "statefulsets" {
			<-stuck
		}
		return 0
	})
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	follow := func(change func()) error {
		ended := make(chan error, 1)
		go func() {
			_, err := r.Follow(t.Context(), "shop", "cart")
			ended <- err
		}()
		select {
		case err := <-ended:
			t.Fatalf("it is not waited for: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		change()
		select {
		case err := <-ended:
			return err
		case <-time.After(5 * time.Second):
			t.Fatal("it is waited for still")
		}
		return nil
	}
	if err := follow(func() { a.put(sharded("shard-key=header:account")) }); err != nil {
		t.Errorf("another map: %v", err)
	}
	a.put(sharded("shard-key=header:account", "shard-map=ordinal"))
	r.waitOwner("7", "statefulset-unknown")
	if err := follow(func() { a.remove(sharded()) }); err == nil || !strings.Contains(err.Error(), "has no cluster IP, or has gone") {
		t.Errorf("the Service has gone: %v", err)
	}
}
