package assemble

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

var ordersDst = netip.MustParseAddrPort("10.96.0.7:80")

// orders is a Service with a shard map.
func orders(mapText, lookup string) Service {
	r := rules.Default()
	r.Shard.Key, r.Shard.Map, r.Shard.Lookup = "header:account", mapText, lookup
	return Service{Namespace: "shop", Name: "orders", Addrs: []netip.Addr{ordersDst.Addr()}, Ports: []ServicePort{{Port: 80}}, Rules: r}
}

// podSlice makes a slice of pods, which are ready but for those with a minus sign behind their names.
func podSlice(t *testing.T, pods ...string) *Slice {
	t.Helper()
	in := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	in.Name = strings.Join(pods, "_")
	port := int32(8080)
	in.Ports = []discoveryv1.EndpointPort{{Port: &port}}
	for _, pod := range pods {
		name, down := strings.CutSuffix(pod, "-")
		ready := !down
		sum := 0
		for _, c := range []byte(name) {
			sum = sum*7 + int(c)
		}
		in.Endpoints = append(in.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.%d", sum>>8&0xff, sum&0xff)},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: name, UID: types.UID("uid of " + name)}})
	}
	s, problems := ParseSlice(&in)
	if problems != nil {
		t.Fatal(problems)
	}
	return s
}

func (t *Targets) snapshot() *discovery.Snapshot { return t.ports[ordersDst].Snapshot }

// ownerOf answers who owns a key, and why nobody does.
func ownerOf(t *Targets, key string) string {
	o := t.snapshot().Shard.Owner(shardkey.Of([]byte(key)))
	switch {
	case o.Member == nil:
		return o.Why.String()
	case o.Endpoint == nil:
		return o.Member.Name + " (down)"
	}
	return o.Member.Name
}

func TestNeeds(t *testing.T) {
	for _, c := range []struct {
		name    string
		service Service
		pods    []string
		want    Needs
		problem string
	}{
		{"no key", Service{}, []string{"orders-0"}, Needs{}, ""},
		{"a map by hash", orders("rendezvous", ""), []string{"orders-0"}, Needs{}, ""},
		{"the StatefulSet that is named", orders("ordinal,statefulset=main", ""), []string{"orders-0"}, Needs{StatefulSet: "main"}, ""},
		{"one for a map by hash", orders("rendezvous,statefulset=main", ""), nil, Needs{StatefulSet: "main"}, ""},
		{"the one the pods are of", orders("ordinal", ""), []string{"orders-db-0", "orders-db-11"}, Needs{StatefulSet: "orders-db"}, ""},
		{"pods that are not ready count", orders("ordinal", ""), []string{"orders-4-"}, Needs{StatefulSet: "orders"}, ""},
		{"and one pod of something else does no harm", orders("ordinal", ""), []string{"orders-4", "canary-7c9f5d-x8z2q"}, Needs{StatefulSet: "orders"}, ""},
		{"pods of two", orders("ordinal", ""), []string{"a-0", "b-0"}, Needs{},
			"its pods are of several StatefulSets (a, b): name it with sluice.mesh/shard-map: ordinal,statefulset=NAME"},
		{"pods of a Deployment", orders("ordinal", ""), []string{"orders-7c9f5d-x8z2q"}, Needs{}, "its pods are of no StatefulSet"},
		{"no pods", orders("ordinal", ""), nil, Needs{}, "it has no pods that would say"},
		{"a ConfigMap", orders("lookup", "owners"), nil, Needs{ConfigMap: "owners"}, ""},
		{"a ConfigMap of cells", orders("s2", "areas"), nil, Needs{ConfigMap: "areas"}, ""},
		{"cells by hash", orders("s2", ""), nil, Needs{}, ""},
	} {
		targets := Targets{Loops: 1}
		all := []*Slice{podSlice(t, c.pods...)}
		if got := targets.Needs(c.service, all); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		targets.Update(c.service, all)
		problem := ""
		if targets.needsErr != nil {
			problem = targets.needsErr.Error()
		}
		if got := targets.Needed(); got != c.want {
			t.Errorf("%s: an update needed %+v, want %+v", c.name, got, c.want)
		}
		if !strings.HasPrefix(problem, c.problem) || problem != "" && c.problem == "" {
			t.Errorf("%s: problem %q, want %q", c.name, problem, c.problem)
		}
		c.service.Reason = discovery.NodeLocal
		if got := targets.Needs(c.service, all); got != (Needs{}) {
			t.Errorf("%s, of a Service that passes through: %+v", c.name, got)
		}
		targets.Update(c.service, all)
		if got := targets.Needed(); got != (Needs{}) {
			t.Errorf("%s, of a Service that passes through: an update needed %+v", c.name, got)
		}
	}
}

func TestOwnersByOrdinal(t *testing.T) {
	targets := Targets{Loops: 1}
	s := orders("ordinal", "")
	step := func(what string, all []*Slice, key, want string) {
		t.Helper()
		targets.Update(s, all)
		if got := ownerOf(&targets, key); got != want {
			t.Errorf("%s: key %s: %s, want %s (problems %v)", what, key, got, want, targets.Problems())
		}
	}
	three := []*Slice{podSlice(t, "orders-0", "orders-1", "orders-2")}
	step("the StatefulSet is not known yet", three, "7", "statefulset-unknown")
	if p := targets.Problems(); len(p) != 1 || p[0].Error() != "no key has an owner: StatefulSet shop/orders is not there, or not known" {
		t.Errorf("problems %v", p)
	}
	targets.Given.StatefulSet = &shard.StatefulSet{Name: "another", Replicas: 9}
	step("another one is given", three, "7", "statefulset-unknown")
	targets.Given.StatefulSet = &shard.StatefulSet{Name: "orders", Replicas: 3}
	step("it is known", three, "7", "orders-1")
	if p := targets.Problems(); len(p) != 0 {
		t.Errorf("problems %v", p)
	}
	step("a pod is not ready", []*Slice{podSlice(t, "orders-0", "orders-1-", "orders-2")}, "7", "orders-1 (down)")
	step("nothing is left", nil, "7", "orders-1 (down)")
	step("it is back", three, "7", "orders-1")
	last := targets.snapshot()
	targets.Given.StatefulSet = &shard.StatefulSet{Name: "orders", Replicas: 3}
	targets.Update(s, three)
	if targets.snapshot() != last {
		t.Error("nothing has changed, and yet there is another snapshot")
	}
	targets.Given.StatefulSet = &shard.StatefulSet{Name: "orders", Replicas: 4}
	step("scaled up, and no pod yet", three, "7", "orders-3 (down)")
	if now := targets.snapshot(); now.Set.Generation != last.Set.Generation+1 {
		t.Errorf("generation %d after %d", now.Set.Generation, last.Set.Generation)
	}
	targets.Given.StatefulSet = &shard.StatefulSet{Name: "orders", Replicas: 2, Start: 1}
	step("from 1 on", three, "7", "orders-2")
	targets.Given.StatefulSet = nil
	step("deleted", three, "7", "statefulset-unknown")
}

// A pod with a name like a StatefulSet's, or a second StatefulSet, takes no keys away where it was known whose pods own them.
func TestPodsOfAnotherStatefulSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := Targets{Loops: 1}
		s := orders("ordinal", "")
		there := map[string]*shard.StatefulSet{"orders": {Name: "orders", Replicas: 2}, "canary": {Name: "canary", Replicas: 2}}
		step := func(what string, pods []string, want, problem string) {
			t.Helper()
			time.Sleep(together)
			var all []*Slice
			if pods != nil {
				all = []*Slice{podSlice(t, pods...)}
			}
			for range 2 { // a source gives what is needed, and nothing else
				targets.Given.StatefulSet = there[targets.Needs(s, all).StatefulSet]
				targets.Update(s, all)
			}
			if got := ownerOf(&targets, "7"); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
			if got := fmt.Sprint(targets.Problems()); got != "["+problem+"]" {
				t.Errorf("%s: problems %s, want %s", what, got, problem)
			}
			if until := targets.HoldUntil(); !until.IsZero() && !until.After(time.Now()) {
				t.Errorf("%s: time goes on at %v, which has been", what, until)
			}
		}
		const name = ": name it with sluice.mesh/shard-map: ordinal,statefulset=NAME"
		const asBefore = "; meanwhile those of orders own the keys, as before, and sidecars that start "
		const which = "its pods are of several StatefulSets (debug, orders)" + name
		const kept = which + asBefore + "know no owner"
		only := func(other string) string {
			return "its pods are of " + other + " only, and were of orders too" + name + asBefore + "go by the others"
		}
		own, both := []string{"orders-0", "orders-1"}, []string{"orders-0", "orders-1", "canary-0", "canary-1"}
		const notThere = "no key has an owner: StatefulSet shop/debug is not there, or not known"
		const two = "its pods are of several StatefulSets (canary, orders)" + name + asBefore + "know no owner"
		step("one that starts meanwhile", []string{"orders-0", "orders-1", "debug-1"}, "statefulset-unknown", "no key has an owner: "+which)
		step("its own pods", own, "statefulset-unknown",
			"no key has an owner: its pods are of orders only, but were of several StatefulSets less than a minute ago"+name)
		time.Sleep(time.Minute)
		step("its own pods for a minute", own, "orders-1", "")
		step("another pod", []string{"orders-0", "orders-1", "debug-1"}, "orders-1", kept)
		step("one that is not ready", []string{"orders-0", "orders-1", "debug-1-"}, "orders-1", kept)
		step("another pod alone", []string{"debug-1"}, "orders-1 (down)", only("debug"))
		time.Sleep(time.Minute)
		step("another pod alone for a minute", []string{"debug-1"}, "statefulset-unknown", notThere)
		step("and its own are back", []string{"orders-0", "orders-1", "debug-1"}, "orders-1", kept)
		step("the other has gone", own, "orders-1", "")
		step("another pod in their place", []string{"debug-1"}, "statefulset-unknown", notThere)
		step("and its own are back again", []string{"orders-0", "orders-1", "debug-1"}, "orders-1", kept)

		step("a second StatefulSet", both, "orders-1", two)
		step("which stays alone", []string{"canary-0", "canary-1"}, "orders-1 (down)", only("canary"))
		step("nobody for a moment", nil, "orders-1 (down)", "")
		step("and alone again", []string{"canary-0", "canary-1"}, "orders-1 (down)", only("canary"))
		step("the first is back", both, "orders-1", two)
		step("the second stays", []string{"canary-0", "canary-1"}, "orders-1 (down)", only("canary"))
		time.Sleep(time.Minute)
		step("for a minute", []string{"canary-0", "canary-1"}, "canary-1", "")
		time.Sleep(time.Hour)
		step("the first is back after an hour", both, "orders-1", two)
		step("the second stays once more", []string{"canary-0", "canary-1"}, "orders-1 (down)", only("canary"))
		delete(there, "orders")
		step("and the first is deleted", []string{"canary-0", "canary-1"}, "canary-1", "")
		there["orders"] = &shard.StatefulSet{Name: "orders", Replicas: 2}
		step("and made again", both, "orders-1", two)
		step("without the second", own, "orders-1", "")
		delete(there, "canary")
		step("which is deleted", own, "orders-1", "")

		step("another pod once more", []string{"orders-0", "debug-1"}, "orders-1 (down)", kept)
		delete(there, "orders")
		step("its StatefulSet is deleted", []string{"orders-0", "debug-1"}, "statefulset-unknown", "no key has an owner: "+which+
			" no key has an owner: StatefulSet shop/orders is not there, or not known")
		there["green"] = &shard.StatefulSet{Name: "green", Replicas: 3}
		step("the Service selects another StatefulSet", []string{"green-0", "green-1", "green-2"}, "green-1", "")
		step("and loses its pods", nil, "green-1 (down)", "")
		there["blue"] = &shard.StatefulSet{Name: "blue", Replicas: 3}
		step("and another while that is there", []string{"blue-0", "blue-1", "blue-2"}, "blue-1", "")
		step("and both", []string{"blue-0", "blue-1", "blue-2", "green-0"}, "blue-1",
			strings.NewReplacer("debug, orders", "blue, green", "of orders", "of blue").Replace(kept))
	})
}

// Where the Service selects another StatefulSet, or another kind of address besides, its EndpointSlices follow one by one: those that come are not
// taken for pods that were beside the others.
func TestAStatefulSetThatTakesAnothersPlaceSliceBySlice(t *testing.T) {
	blue, green := podSlice(t, "blue-0", "blue-1"), podSlice(t, "green-0", "green-1")
	for _, beside := range []time.Duration{time.Second, together} {
		synctest.Test(t, func(t *testing.T) {
			ordinal, table := Targets{Loops: 1}, Targets{Loops: 1, Given: Given{Data: map[string]string{"7": "1"}}}
			step := func(after time.Duration, want string, all ...*Slice) {
				t.Helper()
				time.Sleep(after)
				for range 2 {
					if needs := ordinal.Needs(orders("ordinal", ""), all); needs.StatefulSet != "" {
						ordinal.Given.StatefulSet = &shard.StatefulSet{Name: needs.StatefulSet, Replicas: 2}
					}
					ordinal.Update(orders("ordinal", ""), all)
					table.Update(orders("lookup", "owners"), all)
				}
				if a, b := ownerOf(&ordinal, "7"), ownerOf(&table, "7"); a != want || b != want {
					t.Errorf("beside for %v: by ordinal %s, by a table %s, want %s", beside, a, b, want)
				}
			}
			step(0, "blue-1", blue)
			step(time.Hour, "blue-1", blue, green)
			if beside < together {
				step(beside, "green-1", green)
				step(time.Hour, "green-1", green)
				return
			}
			step(beside, "blue-1 (down)", green)
			step(time.Minute, "green-1", green)
			step(time.Hour, "blue-1", blue, green)
		})
	}
}

// A StatefulSet that is asked for again is not taken for one that is no more before it has come.
func TestAStatefulSetThatHasNotComeYet(t *testing.T) {
	synctest.Test(t, statefulSetThatHasNotComeYet)
}

func statefulSetThatHasNotComeYet(t *testing.T) {
	orders2 := &shard.StatefulSet{Name: "orders", Replicas: 2}
	targets := Targets{Loops: 1, Given: Given{StatefulSet: orders2}}
	targets.Update(orders("ordinal", ""), []*Slice{podSlice(t, "orders-0", "orders-1")})
	targets.Update(orders("ordinal", ""), []*Slice{podSlice(t, "orders-0", "orders-1", "canary-1")})
	time.Sleep(together)
	targets.Given.StatefulSet = nil
	targets.Update(orders("rendezvous", ""), []*Slice{podSlice(t, "canary-1")})
	targets.Update(orders("ordinal", ""), []*Slice{podSlice(t, "canary-1")})
	if got := targets.Needed().StatefulSet; got != "orders" {
		t.Fatalf("needed is %q, want orders", got)
	}
	targets.Given.StatefulSet = orders2
	targets.Update(orders("ordinal", ""), []*Slice{podSlice(t, "canary-1")})
	if got := ownerOf(&targets, "7"); got != "orders-1 (down)" {
		t.Errorf("%s, want orders-1 (down)", got)
	}
}

func TestOwnersByTable(t *testing.T) {
	targets := Targets{Loops: 1, Given: Given{Data: map[string]string{"acme": "orders-1"}}}
	s := orders("lookup", "owners")
	all := []*Slice{podSlice(t, "orders-0", "orders-1")}
	expect := func(what, want, problem string) {
		t.Helper()
		targets.Update(s, all)
		if got := ownerOf(&targets, "acme"); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if p := fmt.Sprint(targets.Problems()); p != "["+problem+"]" {
			t.Errorf("%s: problems %s, want %s", what, p, problem)
		}
	}
	expect("a table", "orders-1", "")
	table := targets.table.good
	targets.Given.Data = map[string]string{"acme": "orders-1"}
	expect("the same again", "orders-1", "")
	if targets.table.good != table {
		t.Error("the same table was read again")
	}
	targets.Given.Data = map[string]string{"acme": "orders 0"}
	expect("a mistake", "orders-1",
		`ConfigMap shop/owners: entry "acme": owner "orders 0": want a pod's name or an ordinal; what it last said correctly stays in force`)
	targets.Given.Data = map[string]string{"acme": "0"}
	expect("mended", "orders-0", "")
	targets.Given.Data = nil
	expect("gone", "table-unknown", "no key has an owner: ConfigMap shop/owners is not there, or not known")
	targets.Given.Data = map[string]string{"acme": ""}
	expect("a mistake from the beginning", "table-unknown",
		`ConfigMap shop/owners: entry "acme": owner "": want a pod's name or an ordinal; no key has an owner`)
}

// A table's ordinals are those of one StatefulSet's pods, whoever else is there and whoever is ready.
func TestOrdinalsOfATable(t *testing.T) { synctest.Test(t, ordinalsOfATable) }

func ordinalsOfATable(t *testing.T) {
	const which = "its pods are of several StatefulSets (a, b): name it with sluice.mesh/shard-map: lookup,statefulset=NAME"
	const unknown = "no key has an owner that ConfigMap shop/owners says by ordinal: " + which
	kept := func(of string) string {
		return which + "; meanwhile the ordinals in ConfigMap shop/owners are those of " + of + ", as before, and sidecars that start know no owner"
	}
	const left = "its pods are of b only, and were of a too: name it with sluice.mesh/shard-map: lookup,statefulset=NAME" +
		"; meanwhile the ordinals in ConfigMap shop/owners are those of a, as before, and sidecars that start go by the others"
	const one = "no key has an owner that ConfigMap shop/owners says by ordinal: its pods are of b only, but were of several StatefulSets " +
		"less than a minute ago: name it with sluice.mesh/shard-map: lookup,statefulset=NAME"
	type step struct {
		pods          string
		want, problem string
	}
	for _, c := range []struct {
		name, spec string
		steps      []step
	}{
		{"a canary that sorts first, beside the StatefulSet with the Service's name", "lookup", []step{
			{"orders-0 orders-1 canary-0 canary-1", "orders-1", ""},
			{"orders-0 orders-1- canary-0 canary-1", "orders-1 (down)", ""},
			{"orders-0 canary-0 canary-1", "orders-1 (down)", ""},
			{"orders-0- canary-0 canary-1", "orders-1 (down)", ""},
			{"orders-0 orders-1 canary-1", "orders-1", ""},
		}},
		{"pods of two, neither of which is known", "lookup", []step{
			{"a-1 b-1", "statefulset-unknown", unknown},
			{"a-1- b-1", "statefulset-unknown", unknown},
			{"a-1- b-1-", "statefulset-unknown", unknown},
			{"", "1 (down)", ""},
			{"b-1", "statefulset-unknown", one},
			{"a-1 b-1-", "statefulset-unknown", unknown},
			{"c-1", "c-1", ""},
		}},
		{"pods of another that come later", "lookup", []step{
			{"b-0 b-1", "b-1", ""},
			{"b-0 b-1 a-1", "b-1", kept("b")},
			{"b-0 b-1- a-1", "b-1 (down)", kept("b")},
			{"b-0 b-1", "b-1", ""},
		}},
		{"all of its pods leave for a moment", "lookup", []step{
			{"a-0 a-1", "a-1", ""},
			{"a-0 a-1 b-1", "a-1", kept("a")},
			{"b-1", "a-1 (down)", left},
			{"", "a-1 (down)", ""},
			{"b-1", "a-1 (down)", left},
			{"a-1- b-1", "a-1 (down)", kept("a")},
			{"a-1 b-1", "a-1", kept("a")},
		}},
		{"others in their place", "lookup", []step{{"a-0 a-1", "a-1", ""}, {"b-0 b-1", "b-1", ""}, {"a-1 b-1", "b-1", kept("b")}}},
		{"no pods yet", "lookup", []step{{"", "1 (down)", ""}, {"a-0", "a-1 (down)", ""}, {"", "a-1 (down)", ""}}},
		{"pods of a Deployment", "lookup", []step{{"orders-7c9f5d-x8z2q", "1 (down)", ""}, {"orders-7c9f5d-x8z2q a-1", "a-1", ""}}},
		{"by prefix", "prefix-lookup", []step{{"orders-1 canary-1", "orders-1", ""}, {"orders-1- canary-1", "orders-1 (down)", ""}}},
	} {
		targets := Targets{Loops: 1, Given: Given{Data: map[string]string{"acme": "1", "by name": "canary-1"}}}
		for i, step := range c.steps {
			time.Sleep(together)
			var all []*Slice
			if step.pods != "" {
				all = append(all, podSlice(t, strings.Fields(step.pods)...))
			}
			targets.Update(orders(c.spec, "owners"), all)
			if got := ownerOf(&targets, "acme"); got != step.want {
				t.Errorf("%s, step %d, with %q: %s, want %s", c.name, i, step.pods, got, step.want)
			}
			if got := fmt.Sprint(targets.Problems()); got != "["+step.problem+"]" {
				t.Errorf("%s, step %d, with %q: problems %s, want %s", c.name, i, step.pods, got, step.problem)
			}
		}
	}

	targets := Targets{Loops: 1, Given: Given{Data: map[string]string{"acme": "b-1"}}}
	targets.Update(orders("lookup", "owners"), []*Slice{podSlice(t, "a-1", "b-1")})
	if got := ownerOf(&targets, "acme"); got != "b-1" || len(targets.Problems()) != 0 {
		t.Errorf("an owner by name among pods of two: %s, problems %v", got, targets.Problems())
	}
}

// A StatefulSet that has left is kept to for a minute, where pods are left that were there beside its own; and when it is back it is the one again.
func TestOrdinalsOfATableThatHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := Targets{Loops: 1, Given: Given{Data: map[string]string{"acme": "1"}}}
		step := func(after time.Duration, pods, want string, left time.Duration) {
			t.Helper()
			time.Sleep(after)
			targets.Update(orders("lookup", "owners"), []*Slice{podSlice(t, strings.Fields(pods)...)})
			until := targets.HoldUntil()
			if got := ownerOf(&targets, "acme"); got != want || until.IsZero() != (left == 0) || left != 0 && time.Until(until) != left {
				t.Errorf("with %s: %s until %v, want %s for %v", pods, got, until, want, left)
			}
		}
		step(0, "a-0 a-1", "a-1", 0)
		step(time.Hour, "a-0 a-1 b-1", "a-1", 0)
		step(time.Hour, "b-1", "a-1 (down)", time.Minute)
		step(time.Minute-1, "b-1", "a-1 (down)", 1)
		step(1, "b-1", "b-1", 0)
		step(time.Hour, "b-1", "b-1", 0)
		step(time.Hour, "a-1 b-1", "a-1", 0)
		step(time.Hour, "b-1", "a-1 (down)", time.Minute)
		step(time.Second, "c-1", "c-1", 0)
		step(time.Hour, "b-1 d-1", "c-1 (down)", time.Minute)
		step(time.Minute, "b-1 d-1", "statefulset-unknown", 0)
		step(0, "c-1", "c-1", 0)

		// Of several that a sidecar finds when it starts, one has to be alone for as long.
		targets = Targets{Loops: 1, Given: targets.Given}
		step(0, "a-1 b-1", "statefulset-unknown", 0)
		step(time.Hour, "b-1", "statefulset-unknown", time.Minute)
		step(time.Second, "a-1 b-1", "statefulset-unknown", 0)
		step(time.Hour, "b-1", "statefulset-unknown", time.Minute)
		step(time.Minute, "b-1", "b-1", 0)
		step(0, "a-1 b-1", "b-1", 0)
	})
}

// With a name, it is that StatefulSet's replicas that own keys, by whatever the table calls them.
func TestATableOfANamedStatefulSet(t *testing.T) {
	for _, text := range []string{"lookup,statefulset=orders", "prefix-lookup,statefulset=orders"} {
		targets := Targets{Loops: 1, Given: Given{Data: map[string]string{"acme": "1", "five": "5", "other": "canary-1"}}}
		s := orders(text, "owners")
		all := []*Slice{podSlice(t, "canary-0", "canary-1", "orders-0", "orders-1-")}
		if got, want := targets.Needs(s, all), (Needs{StatefulSet: "orders", ConfigMap: "owners"}); got != want {
			t.Errorf("%s: needs %+v, want %+v", text, got, want)
		}
		targets.Update(s, all)
		if got := ownerOf(&targets, "acme"); got != "statefulset-unknown" {
			t.Errorf("%s, before the StatefulSet is known: %s", text, got)
		}
		targets.Given.StatefulSet = &shard.StatefulSet{Name: "orders", Replicas: 3}
		targets.Update(s, all)
		for key, want := range map[string]string{"acme": "orders-1 (down)", "five": "orders-5 (down)", "other": "canary-1"} {
			if got := ownerOf(&targets, key); got != want || len(targets.Problems()) != 0 {
				t.Errorf("%s: %s is %s, want %s; problems %v", text, key, got, want, targets.Problems())
			}
		}
		targets.Update(s, []*Slice{podSlice(t, "canary-0", "canary-1", "orders-0", "orders-1")})
		if got := ownerOf(&targets, "acme"); got != "orders-1" {
			t.Errorf("%s, ready again: %s", text, got)
		}
	}
}

// TestMapsFollow: a map is there when rules ask for one, is made of the one before, and is the same while nothing changes.
func TestMapsFollow(t *testing.T) {
	targets := Targets{Loops: 1}
	plain := orders("", "")
	plain.Rules = rules.Default()
	all := []*Slice{podSlice(t, "orders-0", "orders-1")}
	targets.Update(plain, all)
	if targets.snapshot().Shard != nil {
		t.Error("a map without a key")
	}
	targets.Update(orders("rendezvous", ""), all)
	first := targets.snapshot()
	if first.Shard == nil {
		t.Fatal("no map with a key")
	}
	again := orders("rendezvous", "")
	again.Rules.Retry.Most = 7
	targets.Update(again, all)
	second := targets.snapshot()
	a, b := first.Shard.Owner(shardkey.Of([]byte("k"))), second.Shard.Owner(shardkey.Of([]byte("k")))
	if second == first || second.Rules.Retry.Most != 7 || a.Member != b.Member {
		t.Error("another setting makes other members")
	}
	targets.Update(again, all)
	if targets.snapshot() != second {
		t.Error("nothing has changed, and yet there is another snapshot")
	}
	targets.Update(orders("maglev", ""), all)
	if e := targets.snapshot().Shard.Explain(shardkey.Of([]byte("k")), 1); e.Map != "maglev" {
		t.Errorf("%+v", e)
	}
	session := orders("", "")
	session.Rules = rules.Default()
	session.Rules.Shard.Cookie = "sid"
	targets.Update(session, all)
	owner := a.Member.Session(nil)
	if o := targets.snapshot().Shard.Resume(owner); o.Member == nil || o.Member.ID != a.Member.ID {
		t.Errorf("a session leads to %+v, want %s", o, a.Member.ID)
	}
	targets.Update(plain, all)
	if targets.snapshot().Shard != nil {
		t.Error("the map outlives the key")
	}
}

func TestHoldsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := Targets{Loops: 1}
		s := orders("rendezvous,hold=10s", "")
		both, one := []*Slice{podSlice(t, "orders-0", "orders-1")}, []*Slice{podSlice(t, "orders-0")}
		targets.Update(s, both)
		key := "k"
		for i := 0; ownerOf(&targets, key) != "orders-1"; i++ {
			key = fmt.Sprint("k", i)
		}
		if !targets.HoldUntil().IsZero() {
			t.Error("a hold while all are there")
		}
		targets.Update(s, one)
		if until := time.Until(targets.HoldUntil()); until != 10*time.Second || ownerOf(&targets, key) != "orders-1 (down)" {
			t.Errorf("held for %v by %s", until, ownerOf(&targets, key))
		}
		held := targets.snapshot()
		time.Sleep(10*time.Second - time.Nanosecond)
		if targets.Update(s, one); targets.snapshot() != held {
			t.Error("another snapshot before the hold has ended")
		}
		time.Sleep(time.Nanosecond)
		if targets.Update(s, one); ownerOf(&targets, key) != "orders-0" || !targets.HoldUntil().IsZero() {
			t.Errorf("after the hold: %s, until %v", ownerOf(&targets, key), targets.HoldUntil())
		}
	})
}

// A pod that is held stays so where an annotation changes, of whatever the map is made then.
func TestHoldsOutliveAnnotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := Targets{Loops: 1}
		both, one := []*Slice{podSlice(t, "orders-0", "orders-1")}, []*Slice{podSlice(t, "orders-0")}
		step := func(after time.Duration, all []*Slice, text string, bound float64, wantDown bool, left time.Duration) {
			t.Helper()
			time.Sleep(after)
			s := orders(text, "")
			s.Rules.Shard.BoundedLoad = bound
			targets.Update(s, all)
			down := false
			for i := range 100 {
				down = down || ownerOf(&targets, fmt.Sprint("k", i)) == "orders-1 (down)"
			}
			if until := time.Until(targets.HoldUntil()); down != wantDown || down && until != left {
				t.Errorf("%s, bound %v: orders-1 down %v, want %v, held for %v, want %v", text, bound, down, wantDown, until, left)
			}
		}
		step(0, both, "rendezvous", 0, false, 0)
		step(0, one, "rendezvous", 0, true, time.Minute)
		step(time.Second, one, "rendezvous", 1.25, true, 59*time.Second)
		step(time.Second, one, "rendezvous,slots=1024", 1.25, true, 58*time.Second)
		step(time.Second, one, "rendezvous,hold=5m", 1.25, true, 57*time.Second)
		step(time.Second, one, "maglev", 0, true, 56*time.Second)
		step(time.Second, one, "ring,size=100", 0, true, 55*time.Second)
		step(time.Second, one, "rendezvous,hold=10s", 0, true, 10*time.Second)
		step(time.Second, one, "rendezvous", 0, true, 9*time.Second)
		step(time.Second, one, "rendezvous,hold=0s", 0, false, 0)
		step(time.Second, one, "rendezvous", 0, false, 0)
		step(0, both, "rendezvous", 0, false, 0)
		step(0, one, "rendezvous", 0, true, time.Minute)
		step(0, one, "rendezvous,statefulset=orders", 0, false, 0)
	})
}
