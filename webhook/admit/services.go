package admit

import (
	"context"
	"encoding/json"
	"log/slog"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Services is the validating webhook for annotations of Services. It refuses what it does not understand, and allows
// whatever goes wrong on our side: Sluice must not keep a cluster from creating Services.
type Services struct {
	Metrics *Metrics
	Log     *slog.Logger
}

// Handle implements admission.Handler.
func (s *Services) Handle(_ context.Context, req admission.Request) (response admission.Response) {
	defer open(s.Log, req, &response)
	now, err := annotations(req.Object.Raw)
	if err != nil {
		s.Log.Error("Service in an admission request", "namespace", req.Namespace, "service", req.Name, "error", err)
		return admission.Allowed("")
	}
	before, err := annotations(req.OldObject.Raw)
	if err != nil {
		s.Log.Error("old Service in an admission request", "namespace", req.Namespace, "service", req.Name, "error", err)
	}
	dryRun := req.DryRun != nil && *req.DryRun
	if err := config.CheckService(now, before); err != nil {
		s.Log.Info("service", "decision", "refuse", "namespace", req.Namespace, "service", req.Name, "message", err.Error(),
			"uid", string(req.UID), "dryRun", dryRun)
		s.count("refuse", dryRun)
		return admission.Denied("sluice: " + err.Error())
	}
	s.count("allow", dryRun)
	return admission.Allowed("")
}

func (s *Services) count(decision string, dryRun bool) {
	if !dryRun {
		s.Metrics.services.WithLabelValues(decision).Inc()
	}
}

// annotations reads nothing else of the object, so that no field of a newer Kubernetes can be in the way.
func annotations(raw []byte) (map[string]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var object struct {
		Metadata struct{ Annotations map[string]string }
	}
	err := json.Unmarshal(raw, &object)
	return object.Metadata.Annotations, err
}
