package kube

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// weighted makes the Service shop/cart, over pods with the label app=cart, with this list of weights.
func weighted(weights string) *corev1.Service {
	s := sharded("weights=" + weights)
	s.Spec.Selector = map[string]string{"app": "cart"}
	return s
}

// pod makes a pod with the label app=cart; the weight "-" is no annotation.
func pod(name, weight string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "cart"}}}
	if weight != "-" {
		p.Annotations = map[string]string{"sluice.mesh/weight": weight}
	}
	return p
}

// weights answers those of the set at cart.
func (r *running) weights() string {
	a := r.Lookup(cart)
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	return strings.Trim(fmt.Sprint(a.Target.Snapshot().Set.Weights), "[]")
}

func (r *running) waitWeights(want string) {
	r.t.Helper()
	r.wait(fmt.Sprintf("the weights %q", want), func() bool { return r.weights() == want })
}

// TestWeightOfAPodShiftsPicks: what the annotation of a pod says is its share, at once, and its endpoint stays.
func TestWeightOfAPodShiftsPicks(t *testing.T) {
	for name, inProtobuf := range map[string]bool{"json": false, "protobuf": true} {
		t.Run(name, func(t *testing.T) {
			a := newAPIServer(t, false)
			a.protobuf = inProtobuf
			a.put(weighted("pods"))
			a.put(pods("web-0", "web-1"))
			a.put(pod("web-0", "-"))
			a.put(pod("web-1", "3"))
			other := pod("other", "9")
			other.Labels = nil
			a.put(other)
			r := start(t, a, Options{})
			r.wait("a sign of life", func() bool { return r.Status().Synced })
			a.took()
			if got := describe(r.resolve(cart)); got != "10.1.0.1 10.1.0.2" {
				t.Fatalf("leads to %s", got)
			}
			if got := r.weights(); got != "1 3" {
				t.Errorf("as soon as the Service is known, the weights are %q", got)
			}
			r.wait("all watches", func() bool { return r.Status().Age == 0 && a.openWatches() == 3 })
			want := []string{
				"list  services spec.clusterIP=10.96.0.10",
				"list shop endpointslices kubernetes.io/service-name=cart",
				"list shop pods app=cart",
				"watch shop endpointslices kubernetes.io/service-name=cart",
				"watch shop pods app=cart",
				"watch shop services metadata.name=cart",
			}
			if got := a.took(); !slices.Equal(got, want) {
				t.Errorf("requests:\n%s", strings.Join(got, "\n"))
			}

			request := &balancer.Request{Now: 1, Rand: rand.New(rand.NewPCG(1, 2)), Seq: new(uint64)}
			endpoints := r.Lookup(cart).Target.Snapshot().Set.Endpoints
			share := func(want float64) { // of web-1
				t.Helper()
				const picks = 4000
				s, n := r.Lookup(cart).Target.Snapshot(), 0
				for range picks {
					if s.Picker.Pick(request) == s.Set.Endpoints[1] {
						n++
					}
				}
				if got := float64(n) / picks; got < want-0.04 || got > want+0.04 || want == 0 && n > 0 {
					t.Errorf("web-1 gets %.3f of the picks, want %.2f", got, want)
				}
				if !slices.Equal(s.Set.Endpoints, endpoints) {
					t.Error("with another weight, another endpoint")
				}
			}
			share(0.75)
			endpoints[1].Load[0] = cluster.Load{Picks: 77}
			a.put(pod("web-1", "1"))
			r.waitWeights("") // all are the same
			share(0.5)
			a.put(pod("web-1", "0"))
			r.waitWeights("1 0")
			share(0)
			a.put(pod("web-1", "1"))
			r.waitWeights("")
			share(0.5)
			a.put(pod("web-1", "-"))
			a.put(pod("web-0", "3"))
			r.waitWeights("3 1")
			share(0.25)
			if endpoints[1].Load[0].Picks < 77 {
				t.Error("what was known of the endpoint is lost")
			}

			// The Service says something of a name: that goes before.
			a.put(weighted("web-1=0,pods"))
			r.wait("no picks for web-1", func() bool { return strings.HasPrefix(r.Lookup(cart).Target.Snapshot().Rules.Weights, "web-1") })
			share(0)
			if p := r.Status().Problems; len(p) != 0 {
				t.Errorf("problems %q", p)
			}
		})
	}
}

func TestWrongWeightsOfPods(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(weighted("pods"))
	a.put(pods("web-0", "web-1"))
	a.put(pod("web-0", "5"))
	a.put(pod("web-1", "many"))
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.waitWeights("5 1")
	r.wait("a problem", func() bool {
		return r.problem(`weights of Service shop/cart: Pod shop/web-1: metadata.annotations[sluice.mesh/weight]: "many": want a whole number from 0 to 1000`)
	})
	a.put(pod("web-0", "5.5"))
	r.wait("another problem", func() bool {
		return r.problem(`"5.5": want a whole number from 0 to 1000; the last right one, 5, stays in force`)
	})
	a.remove(pod("web-1", "many"))
	r.wait("a third problem", func() bool {
		return r.problem("Pod shop/web-1 is not there, or not known, or has not the labels app=cart")
	})
	if got := r.weights(); got != "5 1" {
		t.Errorf("weights %q", got)
	}
	a.put(pod("web-0", "6"))
	a.put(pod("web-1", "7"))
	r.waitWeights("6 7")
	a.remove(pod("web-1", "7"))
	r.wait("what was known stays", func() bool { return r.problem("Pod shop/web-1 is not there") && r.weights() == "6 7" })
	a.put(pods("web-0"))
	r.waitWeights("6")
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

func TestPodsAreFollowedWhileAskedFor(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(weighted("web-*=2"))
	a.put(pods("web-0", "api-0"))
	a.put(pod("web-0", "8"))
	a.put(pod("api-0", "9"))
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.wait("two watches", func() bool { return a.openWatches() == 2 })
	a.put(weighted("pods"))
	r.waitWeights("8 9")
	r.wait("a third watch", func() bool { return a.openWatches() == 3 })

	// Another selector.
	labelled := pod("api-0", "4")
	labelled.Labels["tier"] = "api"
	a.put(labelled)
	r.waitWeights("8 4")
	narrower := weighted("pods")
	narrower.Spec.Selector["tier"] = "api"
	a.took()
	a.put(narrower)
	r.wait("a problem with the pod that is not selected any more", func() bool {
		return r.problem("Pod shop/web-0 is not there, or not known, or has not the labels app=cart,tier=api")
	})
	if got := r.weights(); got != "8 4" {
		t.Errorf("with another selector, the weights are %q; those known last are 8 and 4", got)
	}
	if got := a.took(); !slices.Contains(got, "list shop pods app=cart,tier=api") {
		t.Errorf("requests:\n%s", strings.Join(got, "\n"))
	}
	r.wait("one watch for another", func() bool { return a.openWatches() == 3 })

	a.put(weighted("none"))
	r.waitWeights("")
	r.wait("two watches again", func() bool { return a.openWatches() == 2 })
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	without := weighted("pods")
	without.Spec.Selector = nil
	a.put(without)
	r.wait("a problem", func() bool { return r.problem("the Service has no selector, so nobody knows its pods") })
	if n := a.openWatches(); n != 2 {
		t.Errorf("%d watches", n)
	}
}

func TestPodsMayNotBeRead(t *testing.T) {
	a := newAPIServer(t, false)
	refuse := func(_, resource, _ string) int {
		if resource == "pods" {
			return 403
		}
		return 0
	}
	a.put(weighted("pods"))
	a.put(pods("web-0", "web-1"))
	a.put(pod("web-0", "3"))
	a.put(pod("web-1", "4"))
	a.setRefuse(refuse)
	r := start(t, a, Options{RefusedFor: time.Millisecond})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.waitWeights("")
	r.wait("the refusal", func() bool {
		return r.problem("(sluice.mesh/weights: pods needs it: the pod's service account may not read pods of namespace shop)") &&
			r.problem("the pods with app=cart are not known; each has the weight that was last known")
	})
	a.setRefuse(nil)
	r.waitWeights("3 4")
	r.wait("no problem", func() bool { return len(r.Status().Problems) == 0 })
	r.wait("three watches", func() bool { return a.openWatches() == 3 })

	// What was known stays in force when it may be read no more.
	a.setRefuse(refuse)
	a.forget()
	a.bookmark() // and so all watches end
	r.wait("the refusal", func() bool { return r.problem("may not read pods of namespace shop") })
	a.put(pods("web-0", "web-1", "web-2"))
	r.waitWeights("3 4 1")
	if !r.problem("Pod shop/web-2 is not there, or not known") {
		t.Errorf("problems %q", r.Status().Problems)
	}
	narrower := weighted("pods")
	narrower.Spec.Selector["tier"] = "api"
	a.put(narrower)
	r.wait("the pods of another selector are not known", func() bool { return r.problem("the pods with app=cart,tier=api are not known") })
	if got := r.weights(); got != "3 4 1" {
		t.Errorf("weights %q", got)
	}
}

// TestPodsDoNotCome: endpoints do not wait for them for long.
func TestPodsDoNotCome(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(weighted("pods"))
	a.put(pods("web-0"))
	a.put(pod("web-0", "0"))
	a.put(pod("web-1", "2"))
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	t.Cleanup(release)
	a.setRefuse(func(_, resource, _ string) int {
		if resource == "pods" {
			<-stuck
		}
		return 0
	})
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1")
	a.put(pods("web-0", "web-1"))
	r.waitLookup(cart, "10.1.0.1 10.1.0.2")
	if got := r.weights(); got != "" {
		t.Errorf("weights %q", got)
	}
	release()
	r.waitWeights("0 2")
}

// TestPodsAreListedInPages, and what is not in any of them any more is forgotten.
func TestPodsAreListedInPages(t *testing.T) {
	a := newAPIServer(t, false)
	a.put(weighted("pods"))
	a.put(pods("a-first", "z-last"))
	a.put(pod("a-first", "2"))
	a.put(pod("z-last", "3"))
	for i := range podsPage {
		a.put(pod(fmt.Sprintf("job-%d", i), "-"))
	}
	r := start(t, a, Options{})
	r.expect(cart, "10.1.0.1 10.1.0.2")
	r.waitWeights("2 3")
	lists := func() (n int) {
		for _, request := range a.took() {
			if strings.HasPrefix(request, "list shop pods") {
				n++
			}
		}
		return n
	}
	if n := lists(); n != 2 {
		t.Errorf("%d lists, want 2", n)
	}
	r.wait("all watches", func() bool { return r.Status().Age == 0 && a.openWatches() == 3 })

	unseen := func(change func()) {
		stuck := make(chan struct{})
		a.setRefuse(func(_, resource, _ string) int {
			if resource == "pods" {
				<-stuck
			}
			return 0
		})
		a.forget()
		a.bookmark() // and so all watches end; those of pods begin anew when the others are there again
		r.wait("two watches", func() bool { return a.openWatches() == 2 })
		change()
		a.setRefuse(nil)
		close(stuck)
	}
	unseen(func() { a.put(pod("a-first", "5")) }) // a change in the first page alone
	r.waitWeights("5 3")
	r.wait("all watches", func() bool { return a.openWatches() == 3 })
	unseen(func() { a.remove(pod("z-last", "3")) })
	r.wait("a problem", func() bool { return r.problem("Pod shop/z-last is not there") })
	if got := r.weights(); got != "5 3" {
		t.Errorf("weights %q", got)
	}
}

// A wrong value leaves the last right one in force, also where the Service was out of use meanwhile: its pods have their weights behind that, and are
// not listed again for it.
func TestWeightsOfPodsOutlastARefusal(t *testing.T) {
	for name, whileRefused := range map[string]bool{"put right behind it": false, "put right meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			a := newAPIServer(t, false)
			a.put(weighted("pods"))
			a.put(pods("web-0", "web-1"))
			a.put(pod("web-0", "3"))
			a.put(pod("web-1", "4"))
			r := start(t, a, Options{RefusedFor: 100 * time.Millisecond, AbsentFor: time.Millisecond, RetryAfter: time.Millisecond})
			held := r.resolve(cart).Target
			defer held.Release()
			r.waitWeights("3 4")
			r.wait("three watches", func() bool { return a.openWatches() == 3 })
			a.put(weighted("web-0=many"))
			r.wait("a problem", func() bool { return r.problem("sluice.mesh/weights") })

			a.setRefuse(refusing(403, "", "endpointslices"))
			a.http.CloseClientConnections()
			r.waitLookup(cart, "discovery-forbidden")
			r.wait("the other watches", func() bool { return a.openWatches() == 2 })
			for _, weight := range []string{"6", "5"} { // updates while it is out of use; nothing shows that they have come
				a.put(pod("web-0", weight))
				time.Sleep(20 * time.Millisecond)
			}
			if whileRefused {
				a.put(weighted("pods"))
				r.wait("no problem with the weights", func() bool { return !r.problem("sluice.mesh/weights") })
			}
			a.setRefuse(nil)
			r.waitWeights("5 4")
			a.put(weighted("pods"))
			r.wait("no problems", func() bool { return r.Status().Age == 0 && problems(r) == "" })
			if got := r.weights(); got != "5 4" {
				t.Errorf("the weights are %q", got)
			}
		})
	}
}
