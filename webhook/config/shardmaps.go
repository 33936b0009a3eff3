package config

import "github.com/sluice-mesh/sluice/sidecar/rules"

// ShardMapsRole is the Role, and the RoleBinding, by which the proxies of opted-in namespaces read what the shard maps and weights of a
// namespace's Services are made of. It is in such namespaces only.
const ShardMapsRole = "sluice-shard-maps"

// ShardMap is what the shard map and the weights of a Service are made of besides the Service and its endpoints.
type ShardMap struct {
	// ConfigMap and StatefulSet are names in the Service's namespace; "" is none.
	ConfigMap, StatefulSet string
	// AnyStatefulSet says that the proxies find the StatefulSet by the Service's pods.
	AnyStatefulSet bool
	// Pods says that pods have their weights themselves.
	Pods bool
}

// ShardMapOf answers what a Service with these annotations needs; the zero ShardMap, as nearly always, is nothing.
func ShardMapOf(annotations map[string]string) ShardMap {
	if annotations[rules.Prefix+"shard-map"] == "" && annotations[rules.Prefix+"weights"] == "" {
		return ShardMap{}
	}
	r, _ := rules.Parse(annotations, nil)
	m := ShardMap{Pods: r.WeighsPods()}
	if !r.Shard.On() {
		return m
	}
	spec := r.Shard.Spec()
	if spec.NeedsTable() {
		m.ConfigMap = r.Shard.Lookup
	}
	if spec.NeedsStatefulSet() {
		m.StatefulSet, m.AnyStatefulSet = spec.StatefulSet, spec.StatefulSet == ""
	}
	return m
}
