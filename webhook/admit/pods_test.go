package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// fakes are the cluster around the handlers.
type fakes struct {
	namespace config.Namespace
	err       error
	ensured   []string
	events    []string
	registry  *prometheus.Registry
	pods      *Pods
}

func (f *fakes) Namespace(context.Context, string) (config.Namespace, error) {
	return f.namespace, f.err
}
func (f *fakes) NativeSidecars() bool { return true }
func (f *fakes) ServiceCIDRs(context.Context) []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
}

func (f *fakes) Ensure(_ context.Context, namespace string) error {
	f.ensured = append(f.ensured, namespace)
	return f.err
}

func (f *fakes) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	object := regarding.(*corev1.ObjectReference)
	f.events = append(f.events, fmt.Sprintf("%s %s/%s/%s: ", reason, object.Kind, object.Namespace, object.Name)+fmt.Sprintf(note, args...))
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f := &fakes{namespace: config.Namespace{Name: "shop"}, registry: prometheus.NewRegistry()}
	defaults := config.Defaults()
	defaults.Image = "sluice:test"
	f.pods = &Pods{Defaults: defaults, Decoder: admission.NewDecoder(scheme), Facts: f, Access: f, Events: f,
		Metrics: NewMetrics(f.registry), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	return f
}

// counted answers the label values of the series that are 1.
func counted(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			if metric.GetCounter().GetValue() != 1 {
				t.Errorf("%v", metric)
			}
		}
	}
	return strings.Join(values, " ")
}

func request(pod string, dryRun bool) admission.Request {
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{UID: "1", Namespace: "shop",
		Operation: admissionv1.Create, Resource: podResource, DryRun: &dryRun, Object: runtime.RawExtension{Raw: []byte(pod)}}}
}

// fromTheFuture has fields that this program's Kubernetes does not know.
const fromTheFuture = `{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","newMeta":{"a":1}},
"spec":{"newSpec":[1],"volumes":[],"initContainers":[{"name":"first","image":"i","newField":"kept"}],
"containers":[{"name":"web","image":"web:1","newField":9007199254740993}]},"status":{"newStatus":true}}`

func TestFieldsOfNewerKubernetesStay(t *testing.T) {
	f := newFakes(t)
	response := f.pods.Handle(context.Background(), request(fromTheFuture, false))
	if !response.Allowed || len(response.Patches) == 0 {
		t.Fatalf("%+v", response)
	}
	encoded, err := json.Marshal(response.Patches)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		t.Fatal(err)
	}
	after, err := patch.Apply([]byte(fromTheFuture))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"newMeta":{"a":1}`, `"newSpec":[1]`, `"newField":"kept"`, `"newField":9007199254740993`,
		`"newStatus":true`, `"sluice-init"`, `"sluice-proxy"`, `"sluice-token"`} {
		if !strings.Contains(string(after), want) {
			t.Errorf("%s is not in the pod: %s", want, after)
		}
	}
	if len(f.ensured) != 1 || f.ensured[0] != "shop" {
		t.Errorf("read access of %v ensured", f.ensured)
	}
	// The answer may come around again.
	again := f.pods.Handle(context.Background(), request(string(after), false))
	if !again.Allowed || len(again.Patches) != 0 {
		t.Errorf("injected again: %+v", again)
	}
}

func TestPods(t *testing.T) {
	const owned = `"generateName":"web-","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"7","controller":true}]`
	pod := func(meta, spec string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{` + meta + `},"spec":{` + spec + `"containers":[{"name":"web","image":"i"}]}}`
	}
	for _, c := range []struct {
		name    string
		pod     string
		dryRun  bool
		err     error
		allowed bool
		patched bool
		message string // part of it
		event   string
		counted string // decision and reason
	}{
		{name: "injected", pod: pod(owned, ""), allowed: true, patched: true, counted: "inject none"},
		{name: "a dry run is answered alike, and leaves no trace", pod: pod(owned, ""), dryRun: true, allowed: true, patched: true},
		{name: "read access that is late keeps no pod from starting", pod: pod(owned, ""), allowed: true, patched: true,
			counted: "inject none"},
		{name: "a skipped pod's owner is told", pod: pod(owned, `"hostNetwork":true,`), allowed: true, message: "node's network",
			counted: "skip host-network", event: "SluiceSkipped ReplicaSet/shop/web: pod is left without the proxy (host-network): the pod uses"},
		{name: "a skipped pod without owner is told by name", pod: pod(`"name":"one"`, `"os":{"name":"windows"},`), allowed: true,
			message: "Windows", counted: "skip windows", event: "SluiceSkipped Pod/shop/one: "},
		{name: "a dry run of a skipped pod has no event", pod: pod(owned, `"hostNetwork":true,`), dryRun: true, allowed: true,
			message: "node's network"},
		{name: "who opts out need not be told", pod: pod(`"name":"one","labels":{"sluice.mesh/inject":"disabled"}`, ""), allowed: true,
			message: "says sluice.mesh/inject: disabled", counted: "skip opted-out"},
		{name: "refused", pod: pod(`"name":"one","annotations":{"sluice.mesh/log-level":"loud"}`, ""), message: `"loud"`,
			counted: "refuse invalid-annotation"},
		{name: "not a pod", pod: `{"kind":"Pod","apiVersion":"v1","spec":7}`, message: "pod in the admission request"},
		{name: "the namespace cannot be read", pod: pod(owned, ""), err: errors.New("API server away"),
			message: "sluice: namespace shop: API server away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakes(t)
			f.err = c.err
			response := f.pods.Handle(context.Background(), request(c.pod, c.dryRun))
			if response.Allowed != c.allowed || (len(response.Patches) > 0) != c.patched {
				t.Errorf("%+v", response)
			}
			if message := response.Result.Message; !strings.Contains(message, c.message) || c.message == "" && message != "" {
				t.Errorf("message %q, want one with %q", message, c.message)
			}
			if events := strings.Join(f.events, "\n"); !strings.HasPrefix(events, c.event) || c.event == "" && events != "" {
				t.Errorf("events %q, want %q", events, c.event)
			}
			if got := counted(t, f.registry); got != c.counted {
				t.Errorf("counted as %q, want %q", got, c.counted)
			}
			if ensured := len(f.ensured) == 1; ensured != (c.patched && !c.dryRun) {
				t.Errorf("read access ensured: %v", f.ensured)
			}
		})
	}
}

func TestOtherRequestsPass(t *testing.T) {
	f := newFakes(t)
	for _, change := range []func(*admission.Request){
		func(r *admission.Request) { r.Operation = admissionv1.Update },
		func(r *admission.Request) { r.SubResource = "ephemeralcontainers" },
		func(r *admission.Request) { r.Resource.Resource = "services" },
	} {
		r := request(fromTheFuture, false)
		change(&r)
		if response := f.pods.Handle(context.Background(), r); !response.Allowed || len(response.Patches) > 0 {
			t.Errorf("%+v", response)
		}
	}
}
