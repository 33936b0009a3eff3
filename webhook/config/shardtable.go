package config

import (
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// ShardTable is a ConfigMap, in a Service's namespace, that a Service says is a table of keys and owners. Two that are equal are the
// same table, read in the same way. The zero ShardTable is none.
type ShardTable struct {
	// ConfigMap is its name.
	ConfigMap string
	kind      shard.Kind // how it is read
}

// ShardTableOf answers the table that a Service with these annotations has. What is wrong in them asks for none.
func ShardTableOf(annotations map[string]string) ShardTable {
	if annotations[rules.Prefix+"shard-lookup"] == "" {
		return ShardTable{}
	}
	r, _ := rules.Parse(annotations, nil)
	if !r.Shard.On() || r.Shard.Lookup == "" {
		return ShardTable{}
	}
	spec := r.Shard.Spec()
	if !spec.NeedsTable() {
		return ShardTable{}
	}
	return ShardTable{r.Shard.Lookup, spec.Kind}
}

// Check answers what is wrong with a ConfigMap's data, as the proxies read it; nil where nothing is. The error quotes the data, but
// only the beginning of what is long.
func (t ShardTable) Check(data map[string]string) error {
	_, err := shard.ParseTable(t.kind, data)
	return err
}

// Wrong says of what Service a table with an error is ("Service shop/orders").
func (t ShardTable) Wrong(service string, err error) error {
	return fmt.Errorf("the table of %s (%s): %w", service, t.Map(), err)
}

// Map answers the annotation by which the Service has the table, without parameters: "sluice.mesh/shard-map: lookup".
func (t ShardTable) Map() string { return fmt.Sprintf("%sshard-map: %s", rules.Prefix, t.kind) }
