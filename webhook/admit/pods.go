package admit

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
	"github.com/sluice-mesh/sluice/webhook/inject"
)

// Facts is what has to be known of the cluster.
type Facts interface {
	// Namespace answers the labels and annotations of an opted-in namespace.
	Namespace(ctx context.Context, name string) (config.Namespace, error)
	// ServiceCIDRs answers none where they are not known.
	ServiceCIDRs(ctx context.Context) []netip.Prefix
	// NativeSidecars says whether every node knows native sidecars.
	NativeSidecars() bool
}

// Access gives the proxies of a namespace their read access.
type Access interface {
	// Ensure returns when the namespace has it; usually at once.
	Ensure(ctx context.Context, namespace string) error
}

// ensureTimeout bounds how long a pod waits for the read access of its namespace: a fraction of the 5 s that the API
// server waits for us. A proxy without access passes connections through until it has it.
const ensureTimeout = time.Second

// Pods is the mutating webhook for Pods. All fields but IgnorePodSecurity are required.
type Pods struct {
	Defaults          config.Settings
	IgnorePodSecurity bool
	Decoder           admission.Decoder
	Facts             Facts
	Access            Access
	Events            Recorder
	Metrics           *Metrics
	Log               *slog.Logger
}

// Handle implements admission.Handler.
func (p *Pods) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create || req.Resource != podResource || req.SubResource != "" {
		return admission.Allowed("")
	}
	pod := &corev1.Pod{}
	if err := p.Decoder.Decode(req, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("sluice: pod in the admission request: %w", err))
	}
	changed, decision, err := p.Decide(ctx, req.Namespace, pod)
	if err != nil {
		p.Log.Error("pod", "namespace", req.Namespace, "pod", name(pod), "error", err)
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("sluice: %w", err))
	}
	dryRun := req.DryRun != nil && *req.DryRun
	p.tell(req, pod, decision, dryRun)
	switch decision.Outcome {
	case inject.Refuse:
		return admission.Denied(decision.Message)
	case inject.Skip:
		return admission.Allowed(decision.Message)
	}
	patch, err := diff(pod, changed)
	if err != nil {
		p.Log.Error("pod cannot be compared", "namespace", req.Namespace, "pod", name(pod), "error", err)
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("sluice: patch of the pod: %w", err))
	}
	if !dryRun {
		p.ensureAccess(ctx, req.Namespace)
	}
	return admission.Patched("", patch...).WithWarnings(decision.Warnings...)
}

// Decide answers what becomes of a pod in a namespace, and the pod to create. The error is about the namespace.
func (p *Pods) Decide(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, inject.Decision, error) {
	ns, err := p.Facts.Namespace(ctx, namespace)
	if err != nil {
		return nil, inject.Decision{}, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	changed, decision := inject.Pod(inject.Request{
		Pod:               pod,
		Namespace:         ns,
		Defaults:          p.Defaults,
		ServiceCIDRs:      p.Facts.ServiceCIDRs(ctx),
		NativeSidecars:    p.Facts.NativeSidecars(),
		IgnorePodSecurity: p.IgnorePodSecurity,
	})
	return changed, decision, nil
}

var podResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}

func (p *Pods) ensureAccess(ctx context.Context, namespace string) {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	if err := p.Access.Ensure(ctx, namespace); err != nil {
		p.Log.Warn("read access of the namespace's proxies is late", "namespace", namespace, "error", err)
	}
}

// tell counts, logs, and where somebody may wonder why the pod has no proxy, says so in an event.
func (p *Pods) tell(req admission.Request, pod *corev1.Pod, d inject.Decision, dryRun bool) {
	if !dryRun {
		p.Metrics.decisions.WithLabelValues(d.Outcome.String(), d.Reason.String()).Inc()
	}
	p.Log.Info("pod", "decision", d.Outcome.String(), "reason", d.Reason.String(), "namespace", req.Namespace,
		"pod", name(pod), "owner", owner(pod), "message", d.Message, "uid", string(req.UID), "dryRun", dryRun)
	switch d.Reason {
	case inject.HostNetwork, inject.Windows, inject.OtherMesh, inject.ProxyUID, inject.RunsToCompletion:
		if !dryRun {
			p.Events.Eventf(regarding(req.Namespace, pod), nil, corev1.EventTypeWarning, "SluiceSkipped", "Inject",
				"pod is left without the proxy (%s): %s", d.Reason, d.Message)
		}
	}
}

// name answers what there is of a pod's name: a generated one is not made yet.
func name(pod *corev1.Pod) string {
	if pod.Name != "" {
		return pod.Name
	}
	return pod.GenerateName
}

func owner(pod *corev1.Pod) string {
	if o := metav1.GetControllerOf(pod); o != nil {
		return o.Kind + "/" + o.Name
	}
	return ""
}
