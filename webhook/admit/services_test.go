package admit

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

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
