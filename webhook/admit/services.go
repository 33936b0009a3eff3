package admit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Data reads ConfigMaps.
type Data interface {
	// Data answers that of a ConfigMap; none where there is no such ConfigMap.
	Data(ctx context.Context, namespace, name string) (map[string]string, error)
}

// Services is the validating webhook for annotations of Services. It refuses what it does not understand, and allows
// whatever goes wrong on our side: Sluice must not keep a cluster from creating Services. Of a Service that begins to name a ConfigMap
// which is no right table, it warns: the two may be applied in any order. All fields are required.
type Services struct {
	ConfigMaps Data
	Metrics    *Metrics
	Log        *slog.Logger
}

// Handle implements admission.Handler.
func (s *Services) Handle(ctx context.Context, req admission.Request) (response admission.Response) {
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
	response = admission.Allowed("")
	if table := config.ShardTableOf(now); table != (config.ShardTable{}) && table != config.ShardTableOf(before) {
		if warning := s.warning(ctx, req, table); warning != "" {
			response.Warnings = []string{warning}
		}
	}
	return response
}

// mostOfAWarning is how many characters of one API servers pass on in any case.
const mostOfAWarning = 256

// warning answers what there is to say of a table that a Service names now and did not before; "" is nothing. It tells nothing of what is
// in the ConfigMap, which whoever may annotate Services need not be allowed to read.
func (s *Services) warning(ctx context.Context, req admission.Request, table config.ShardTable) string {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	data, err := s.ConfigMaps.Data(ctx, req.Namespace, table.ConfigMap)
	if err != nil {
		s.Log.Warn("table that a Service names", "namespace", req.Namespace, "service", req.Name, "configMap", table.ConfigMap, "error", err)
		return ""
	}
	if table.Check(data) == nil {
		return ""
	}
	warning := fmt.Sprintf("sluice: ConfigMap %s/%s is no right table for %s; sidecars that start know no owner.", req.Namespace, table.ConfigMap,
		table.Map())
	hint := fmt.Sprintf(" See: kubectl -n %s get service/%s configmap/%s -o yaml | sluicectl check -", req.Namespace, req.Name, table.ConfigMap)
	if len(warning)+len(hint) < mostOfAWarning && req.Name != "" {
		warning += hint
	}
	return warning[:min(len(warning), mostOfAWarning-1)] // names are ASCII
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
