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
