package report

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-mesh/sluice/webhook/config"
	"github.com/sluice-mesh/sluice/webhook/inject"
)

type events []string

func (e *events) Eventf(regarding, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	*e = append(*e, reason+" "+regarding.(*corev1.Pod).Name)
}

func pod(namespace, name string, containers ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
	}
	return p
}

func TestLook(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, metav1.AddMetaToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	in := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{config.InjectKey: config.Enabled}}}
	out := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}}
	ended := pod("shop", "ended", "web")
	ended.Status.Phase = corev1.PodSucceeded
	missing := pod("shop", "missing", "web")
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(in, out, missing, ended,
		pod("shop", "injected", config.InitContainer, config.ProxyContainer), pod("shop", "skipped", "web"),
		pod("elsewhere", "other", "web")).Build()
	var told events
	registry := prometheus.NewRegistry()
	r := New(registry)
	r.Cache, r.Live, r.Events, r.Log = c, c, &told, slog.New(slog.NewTextHandler(io.Discard, nil))
	r.Needs = func(_ context.Context, pod *corev1.Pod) (inject.Decision, error) {
		if pod.Name == "skipped" {
			return inject.Decision{Outcome: inject.Skip}, nil
		}
		return inject.Decision{Outcome: inject.Inject}, nil
	}
	look := func(want string, series int) {
		t.Helper()
		if err := r.look(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		families, err := registry.Gather()
		if err != nil || len(families) != series || series == 1 && families[0].GetMetric()[0].GetGauge().GetValue() != 1 {
			t.Errorf("metrics %v, %v", families, err)
		}
	}
	look("SluiceMissing missing", 1)
	look("SluiceMissing missing", 1) // told once
	if err := c.Delete(context.Background(), missing, &client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	look("SluiceMissing missing", 0)

	r.Needs = func(context.Context, *corev1.Pod) (inject.Decision, error) {
		return inject.Decision{}, errors.New("away")
	}
	if err := r.look(context.Background()); err == nil {
		t.Error("an error is not answered")
	}
}
