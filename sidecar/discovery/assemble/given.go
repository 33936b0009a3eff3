package assemble

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// ParseStatefulSet keeps what shard maps go by: how many replicas there are to be, and the first one's number. How many there are,
// and which of them are ready, is of no interest.
func ParseStatefulSet(in *appsv1.StatefulSet) *shard.StatefulSet {
	s := &shard.StatefulSet{Name: in.Name, Replicas: 1} // the API's default
	if in.Spec.Replicas != nil {
		s.Replicas = int(max(*in.Spec.Replicas, 0))
	}
	if in.Spec.Ordinals != nil {
		s.Start = int(max(in.Spec.Ordinals.Start, 0))
	}
	return s
}

// ParseConfigMap keeps a ConfigMap's data; never nil.
func ParseConfigMap(in *corev1.ConfigMap) map[string]string {
	if in.Data == nil {
		return map[string]string{}
	}
	return maps.Clone(in.Data)
}
