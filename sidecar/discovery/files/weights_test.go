package files

import (
	"fmt"
	"strings"
	"testing"
)

// weights answers those of the set at dst.
func (r *running) weights() string {
	a := r.Lookup(dst)
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	return strings.Trim(fmt.Sprint(a.Target.Snapshot().Set.Weights), "[]")
}

func (r *running) waitWeights(want string) {
	r.t.Helper()
	r.wait(fmt.Sprintf("the weights %q, now %q", want, r.weights()), func() bool { return r.weights() == want })
}

// TestWeightOfASlice: a wrong one is remarked, the file is used, and the last right one stays in force.
func TestWeightOfASlice(t *testing.T) {
	r := start(t, t.TempDir(), Options{})
	slice := func(weight, pod string) string {
		vms := strings.Split(shop(pod), "---\n")[1]
		return strings.NewReplacer("cart-1", "vms", "namespace: shop,", "namespace: shop, annotations: {sluice.mesh/weight: "+weight+"},").Replace(vms)
	}
	r.write("shop.yaml", shop("10.1.0.1"))
	r.write("vms.yaml", slice(`"5"`, "10.2.0.1"))
	r.waitWeights("1 5")
	r.write("vms.yaml", slice("heavy", "10.2.0.2"))
	r.waitFor("10.1.0.1 10.2.0.2")
	r.waitProblem(`vms.yaml: document 1: EndpointSlice shop/vms: metadata.annotations[sluice.mesh/weight]: "heavy": want a whole number from 0 to 1000`)
	r.waitWeights("1 5")
	r.write("vms.yaml", slice(`"0"`, "10.2.0.2"))
	r.waitWeights("1 0")
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// TestWeightsOfPods: Pods in manifests say their weights as those of a cluster do.
func TestWeightsOfPods(t *testing.T) {
	r := start(t, t.TempDir(), Options{})
	pod := func(name, weight string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop, labels: {app: cart}, annotations: {sluice.mesh/weight: " +
			weight + "}}\nspec: {whatever: 1}\n"
	}
	service := orders("sluice.mesh/weights: pods", "web-0", "web-1")
	service = strings.Replace(service, "spec: {clusterIP", "spec: {selector: {app: cart}, clusterIP", 1)
	r.write("service.yaml", service)
	r.waitProblem("Service shop/cart: Pod shop/web-0 is not there, or not known, or has not the labels app=cart")
	r.write("pods.yaml", pod("web-0", `"2"`)+pod("web-1", `"0"`)+"---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n")
	r.waitWeights("2 0")
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	r.write("pods.yaml", pod("web-0", `"2"`)+pod("web-1", "all"))
	r.waitProblem(`Service shop/cart: Pod shop/web-1: metadata.annotations[sluice.mesh/weight]: "all": want a whole number from 0 to 1000; the last right one, 0, stays`)
	if got := r.weights(); got != "2 0" {
		t.Errorf("weights %q", got)
	}
	r.write("pods.yaml", pod("web-0", `"2"`)+strings.Replace(pod("web-1", `"5"`), "app: cart", "app: other", 1))
	r.waitProblem("Pod shop/web-1 is not there, or not known, or has not the labels app=cart")
	r.write("pods.yaml", pod("web-0", `"2"`)+pod("web-1", `"5"`))
	r.waitWeights("2 5")
}
