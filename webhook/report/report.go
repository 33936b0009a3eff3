// Package report finds pods that should have a proxy and have none: they were there before their namespace was opted in,
// or were made past the webhook. The leader looks every few minutes, and says what it found in a metric and in an event
// on each pod; a pod gets its proxy only by being made anew.
package report

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mesh/sluice/webhook/config"
	"github.com/sluice-mesh/sluice/webhook/inject"
)

// Recorder is what is needed of an events.EventRecorder.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Report looks for them. Run on the leader only.
type Report struct {
	Cache    client.Reader // namespaces' metadata
	Live     client.Reader // pods, page by page: no pod is kept
	Events   Recorder
	Interval time.Duration
	Log      *slog.Logger
	// Needs answers the decision for a pod as if it were made now; only injected pods are missing their proxy.
	Needs func(ctx context.Context, pod *corev1.Pod) (inject.Decision, error)

	missing *prometheus.GaugeVec
	told    map[string]bool // UIDs of pods that have their event
}

// New registers the metric and leaves the fields to the caller.
func New(registry prometheus.Registerer) *Report {
	r := &Report{told: map[string]bool{}, missing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_webhook_pods_without_proxy",
		Help: "Pods of opted-in namespaces that have no proxy and would get one if they were made now.",
	}, []string{"namespace"})}
	registry.MustRegister(r.missing)
	return r
}

// NeedLeaderElection is true: one look is enough.
func (r *Report) NeedLeaderElection() bool { return true }

// Start looks every Interval until ctx ends; the first time after one Interval.
func (r *Report) Start(ctx context.Context) error {
	ticker := time.NewTicker(r.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := r.look(ctx); err != nil {
				r.Log.Warn("look for pods without proxy", "error", err)
			}
		}
	}
}

// pageSize is how many pods are held at a time; one is some 10 KB.
const pageSize = 200

func (r *Report) look(ctx context.Context) error {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Cache.List(ctx, namespaces, client.MatchingLabels{config.InjectKey: config.Enabled}); err != nil {
		return fmt.Errorf("opted-in namespaces: %w", err)
	}
	told := map[string]bool{}
	counts := map[string]int{}
	for i := range namespaces.Items {
		name := namespaces.Items[i].Name
		for next := ""; ; {
			pods := &corev1.PodList{}
			if err := r.Live.List(ctx, pods, client.InNamespace(name), client.Limit(pageSize), client.Continue(next)); err != nil {
				return fmt.Errorf("pods of namespace %s: %w", name, err)
			}
			for j := range pods.Items {
				pod := &pods.Items[j]
				if missing, err := r.lacks(ctx, pod); err != nil {
					return err
				} else if !missing {
					continue
				}
				counts[name]++
				told[string(pod.UID)] = true
				if !r.told[string(pod.UID)] {
					r.Events.Eventf(pod, nil, corev1.EventTypeWarning, "SluiceMissing", "Inject",
						"pod has no proxy although its namespace is opted in: it was made before that, or past the webhook; "+
							"a new pod gets one")
				}
			}
			if next = pods.Continue; next == "" {
				break
			}
		}
	}
	r.told = told
	r.missing.Reset()
	for name, n := range counts {
		r.missing.WithLabelValues(name).Set(float64(n))
		r.Log.Info("pods without proxy", "namespace", name, "pods", n)
	}
	return nil
}

func (r *Report) lacks(ctx context.Context, pod *corev1.Pod) (bool, error) {
	ends := pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if ends || inject.Injected(pod) {
		return false, nil
	}
	decision, err := r.Needs(ctx, pod)
	return decision.Outcome == inject.Inject, err
}
