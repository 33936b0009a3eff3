package admit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func TestServices(t *testing.T) {
	services := &Services{Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	object := func(policy string) runtime.RawExtension {
		return runtime.RawExtension{Raw: []byte(`{"metadata":{"annotations":{"sluice.mesh/policy":"` + policy + `"}}}`)}
	}
	for _, c := range []struct {
		name     string
		now, old runtime.RawExtension
		want     bool
	}{
		{"a policy", object("round-robin"), runtime.RawExtension{}, true},
		{"an unknown policy", object("fastest"), runtime.RawExtension{}, false},
		{"an unknown policy that was there", object("fastest"), object("fastest"), true},
		{"a change to an unknown policy", object("fastest"), object("round-robin"), false},
		{"what we cannot read is not ours to stop", runtime.RawExtension{Raw: []byte(`{"metadata":7}`)}, runtime.RawExtension{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			response := services.Handle(context.Background(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Object: c.now, OldObject: c.old}})
			if response.Allowed != c.want {
				t.Errorf("%+v", response)
			}
		})
	}
}

// configMaps are those of the namespace shop.
type configMaps struct {
	data   map[string]map[string]string
	err    error
	asked  []string
	within time.Duration
}

func (c *configMaps) Data(ctx context.Context, namespace, name string) (map[string]string, error) {
	c.asked = append(c.asked, namespace+"/"+name)
	if deadline, ok := ctx.Deadline(); ok {
		c.within = time.Until(deadline)
	}
	return c.data[name], c.err
}

// A Service that begins to name a wrong table is warned of it, without a word of what is in the ConfigMap.
func TestServicesWithTables(t *testing.T) {
	named := func(kind, lookup string) string {
		return `{"metadata":{"labels":{"a":"b"},"annotations":{"sluice.mesh/shard-key":"header:a","sluice.mesh/shard-map":"` + kind +
			`","sluice.mesh/shard-lookup":"` + lookup + `"}}}`
	}
	longer, long := strings.Repeat("long-", 50)+"one", strings.Repeat("long-", 20)+"one"
	const see = "sidecars that start know no owner. See: kubectl -n shop get service/orders configmap/owners -o yaml | sluicectl check -"
	for _, c := range []struct {
		name     string
		now, old string
		unnamed  bool
		err      error
		asks     bool
		warning  string
	}{
		{name: "a right table", now: named("lookup", "right"), asks: true},
		{name: "a wrong table", now: named("lookup", "owners"), asks: true,
			warning: "sluice: ConfigMap shop/owners is no right table for sluice.mesh/shard-map: lookup; " + see},
		{name: "a table that is wrong for cells only", now: named("s2,level=9", "right"), asks: true, warning: "sluice: ConfigMap shop/right is no right table " +
			"for sluice.mesh/shard-map: s2; " + strings.ReplaceAll(see, "configmap/owners", "configmap/right")},
		{name: "another table than before", now: named("lookup", "owners"), old: named("lookup", "right"), asks: true,
			warning: "sluice: ConfigMap shop/owners is no right table for sluice.mesh/shard-map: lookup; " + see},
		{name: "the same read otherwise", now: named("prefix-lookup", "owners"), old: named("lookup", "owners"), asks: true,
			warning: "sluice: ConfigMap shop/owners is no right table for sluice.mesh/shard-map: prefix-lookup; " + see},
		{name: "the same as before", now: named("lookup", "owners"), old: strings.Replace(named("lookup", "owners"), `"a":"b"`, `"a":"c"`, 1)},
		{name: "no such ConfigMap", now: named("lookup", "gone"), asks: true},
		{name: "an empty one", now: named("lookup", "empty"), asks: true},
		{name: "no table", now: `{"metadata":{"annotations":{"sluice.mesh/policy":"random"}}}`},
		{name: "no longer a table", now: `{"metadata":{}}`, old: named("lookup", "owners")},
		{name: "ConfigMaps cannot be read", now: named("lookup", "owners"), err: errors.New("API server away"), asks: true},
		{name: "a long name leaves no place for what to do", now: named("lookup", long), asks: true, warning: "sluice: ConfigMap shop/" + long +
			" is no right table for sluice.mesh/shard-map: lookup; sidecars that start know no owner."},
		{name: "a Service whose name the API server makes", now: named("lookup", "owners"), unnamed: true, asks: true,
			warning: "sluice: ConfigMap shop/owners is no right table for sluice.mesh/shard-map: lookup; sidecars that start know no owner."},
		{name: "the longest leaves none for anything", now: named("lookup", longer), asks: true, warning: ("sluice: ConfigMap shop/" + longer)[:255]},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := map[string]string{"acme": "hush 1"}
			there := &configMaps{err: c.err, data: map[string]map[string]string{"right": {"acme": "orders-1"}, "owners": wrong, long: wrong, longer: wrong, "empty": {}}}
			services := &Services{ConfigMaps: there, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
			service := "orders"
			if c.unnamed {
				service = ""
			}
			response := services.Handle(context.Background(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: "shop",
				Name: service, Object: runtime.RawExtension{Raw: []byte(c.now)}, OldObject: runtime.RawExtension{Raw: []byte(c.old)}}})
			warning := strings.Join(response.Warnings, "\n")
			if !response.Allowed || warning != c.warning || len(warning) > 255 || strings.ContainsAny(warning, "\n\r\t") ||
				strings.Contains(warning, "acme") || strings.Contains(warning, "hush") {
				t.Errorf("allowed %v, %q; want %q", response.Allowed, warning, c.warning)
			}
			if (len(there.asked) == 1) != c.asks || len(there.asked) > 1 {
				t.Errorf("asked for %v, want one: %v", there.asked, c.asks)
			}
			if c.asks && (there.within <= 0 || there.within > tableTimeout) {
				t.Errorf("asked within %v, want %v", there.within, tableTimeout)
			}
		})
	}
}

// TestAPanicOfServicesIsNoRefusal: whatever is wrong with us, Services are made. It is asked as the API server asks.
func TestAPanicOfServicesIsNoRefusal(t *testing.T) {
	var log strings.Builder
	hook := &admission.Webhook{Handler: &Services{Log: slog.New(slog.NewTextHandler(&log, nil))}} // which has no metrics
	response := hook.Handle(context.Background(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Namespace: "shop", Name: "cart", Object: runtime.RawExtension{Raw: []byte(`{"metadata":{}}`)}}})
	if !response.Allowed || response.UID != "1" {
		t.Errorf("%+v", response)
	}
	for _, want := range []string{"nil pointer", "services.go:", "name=cart"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, log.String())
		}
	}
}
