package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Tables says whose table of keys and owners a ConfigMap is.
type Tables interface {
	// Tables answers the Services of the namespace, by name, that say so, with the way in which they read it.
	Tables(ctx context.Context, namespace, configMap string) (map[string]config.ShardTable, error)
}

// tableTimeout bounds how long we ask for what concerns tables: half of the 2 s that the API server waits for us.
const tableTimeout = time.Second

// ConfigMaps is the validating webhook for ConfigMaps that Services have for tables of keys and owners. It refuses those that the
// proxies would not understand, with what they would say, and allows whatever goes wrong on our side. A mistake that was there already
// is warned of only: whoever changes something else about the table must not be stopped by it, nor whoever writes it again and again
// when this check has learned something new. All fields are required.
type ConfigMaps struct {
	Tables  Tables
	Metrics *Metrics
	Log     *slog.Logger
}

var configMapResource = metav1.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// Handle implements admission.Handler.
func (c *ConfigMaps) Handle(ctx context.Context, req admission.Request) (response admission.Response) {
	defer open(c.Log, req, &response)
	if req.Resource != configMapResource || req.SubResource != "" ||
		req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return admission.Allowed("")
	}
	// Most ConfigMaps are nobody's table, and are not even decoded.
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	tables, err := c.Tables.Tables(ctx, req.Namespace, req.Name)
	if err != nil {
		c.Log.Error("whose table a ConfigMap is", "namespace", req.Namespace, "configMap", req.Name, "error", err)
		return admission.Allowed("")
	}
	if len(tables) == 0 {
		return admission.Allowed("")
	}
	now, err := decodeConfigMap(req.Object.Raw)
	if err != nil {
		c.Log.Error("ConfigMap in an admission request", "namespace", req.Namespace, "configMap", req.Name, "error", err)
		return admission.Allowed("")
	}
	var before *configMap
	if req.Operation == admissionv1.Update {
		if before, err = decodeConfigMap(req.OldObject.Raw); err != nil {
			c.Log.Error("old ConfigMap in an admission request", "namespace", req.Namespace, "configMap", req.Name, "error", err)
		}
	}

	var refusals, known []error
	// Finalizers of what is being deleted have to go, and what did not change was judged when it was written.
	if now.Metadata.DeletionTimestamp == nil && (before == nil || !maps.Equal(now.Data, before.Data)) {
		refusals, known = judge(tables, req.Namespace, now, before)
	}
	// One warning each: they must not have line breaks in them.
	var warnings []string
	for _, err := range known {
		warnings = append(warnings, fmt.Sprintf("sluice: ConfigMap %s/%s: %v", req.Namespace, req.Name, err))
	}
	dryRun := req.DryRun != nil && *req.DryRun
	if err := errors.Join(refusals...); err != nil {
		c.Log.Info("configmap", "decision", "refuse", "namespace", req.Namespace, "configMap", req.Name, "message", err.Error(),
			"uid", string(req.UID), "dryRun", dryRun)
		c.count("refuse", dryRun)
		return admission.Denied(fmt.Sprintf("sluice: ConfigMap %s/%s: %v", req.Namespace, req.Name, err)).WithWarnings(warnings...)
	}
	c.count("allow", dryRun)
	return admission.Allowed("").WithWarnings(warnings...)
}

// judge reads a ConfigMap in each way in which Services read it, once. It answers what is wrong where it was right before, and where it was not, each
// with the first of the Services that it concerns.
func judge(tables map[string]config.ShardTable, namespace string, now, before *configMap) (fresh, known []error) {
	done := map[config.ShardTable]bool{}
	for _, service := range slices.Sorted(maps.Keys(tables)) {
		table := tables[service]
		if done[table] {
			continue
		}
		done[table] = true
		err := table.Check(now.Data)
		if err == nil {
			continue
		}
		wrong := table.Wrong(fmt.Sprintf("Service %s/%s", namespace, service), err)
		if before != nil {
			if table.Check(before.Data) != nil { // sidecars do not go by it anyway, and who mends it may do so step by step
				known = append(known, wrong)
				continue
			}
		}
		fresh = append(fresh, wrong)
	}
	return fresh, known
}

func (c *ConfigMaps) count(decision string, dryRun bool) {
	if !dryRun {
		c.Metrics.configMaps.WithLabelValues(decision).Inc()
	}
}

// configMap is all that is read of one, so that no field of a newer Kubernetes can be in the way.
type configMap struct {
	Metadata struct{ DeletionTimestamp *string }
	Data     map[string]string
}

func decodeConfigMap(raw []byte) (*configMap, error) {
	object := &configMap{}
	if err := json.Unmarshal(raw, object); err != nil {
		return nil, err
	}
	return object, nil
}
