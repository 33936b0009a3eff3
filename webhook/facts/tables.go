package facts

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// ServiceKind is the kind of the Services' metadata in the cache.
var ServiceKind = corev1.SchemeGroupVersion.WithKind("Service")

// Tables answers the Services of a namespace, by name, that say a ConfigMap is their table of keys and owners. The cache is asked, which
// may be a moment behind; the first to ask after the start waits until it has the Services, or ctx ends, which is an error.
func (f *Facts) Tables(ctx context.Context, namespace, configMap string) (map[string]config.ShardTable, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(ServiceKind.GroupVersion().WithKind(ServiceKind.Kind + "List"))
	// Nothing of them is changed or kept.
	if err := f.Cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	tables := map[string]config.ShardTable{}
	for i := range list.Items {
		service := &list.Items[i]
		if table := config.ShardTableOf(service.Annotations); table.ConfigMap == configMap && configMap != "" {
			tables[service.Name] = table
		}
	}
	return tables, nil
}

// Data answers a ConfigMap's, none where there is no such ConfigMap. The API server is asked each time: a cache of ConfigMaps would hold
// all of the cluster's.
func (f *Facts) Data(ctx context.Context, namespace, name string) (map[string]string, error) {
	var object corev1.ConfigMap
	err := client.IgnoreNotFound(f.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &object))
	return object.Data, err
}
