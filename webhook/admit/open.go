package admit

import (
	"log/slog"
	"runtime/debug"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission/metrics"
)

// open is deferred by handlers that must not keep a cluster from anything: when they panic, the request is allowed. controller-runtime
// would answer a refusal, which the API server takes for one whatever the failurePolicy is. It is counted where that counts its own,
// controller_runtime_webhook_panics_total.
func open(log *slog.Logger, req admission.Request, response *admission.Response) {
	p := recover()
	if p == nil {
		return
	}
	metrics.WebhookPanics.WithLabelValues().Inc()
	log.Error("panic while answering an admission request; it is allowed", "resource", req.Resource.Resource, "namespace", req.Namespace,
		"name", req.Name, "uid", string(req.UID), "panic", p, "stack", string(debug.Stack()))
	*response = admission.Allowed("")
}
