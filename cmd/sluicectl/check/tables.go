package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Tables are the Services that have a table of keys and owners, and the ConfigMaps that may be such tables, of all files that were looked at. A
// Service's is found only where both are there. The zero value has none.
type Tables struct {
	uses       []use
	configMaps []configMap
}

// use is a Service's word for a ConfigMap of its namespace.
type use struct {
	service, namespace, name string
	kind                     shard.Kind
}

type configMap struct {
	file, namespace, name string
	raw                   json.RawMessage
}

// defaultNamespace is that of objects that name none, as for discovery from files.
const defaultNamespace = "default"

// service notes which table a Service asks for, if it does. What is wrong in its annotations asks for nothing.
func (t *Tables) service(place string, m metadata) {
	r, _ := rules.Parse(m.Annotations, nil)
	if r.Shard.Key == "" || r.Shard.Lookup == "" {
		return
	}
	if spec := r.Shard.Spec(); spec.NeedsTable() {
		t.uses = append(t.uses, use{place, m.Namespace, r.Shard.Lookup, spec.Kind})
	}
}

// Findings answers what is wrong in the tables, as sidecars read them.
func (t *Tables) Findings() (findings []Finding) {
	type reading struct {
		of   int
		kind shard.Kind
	}
	done := map[reading]bool{}
	for _, u := range t.uses {
		for i, c := range t.configMaps {
			if cmp.Or(c.namespace, defaultNamespace) != cmp.Or(u.namespace, defaultNamespace) || c.name != u.name || done[reading{i, u.kind}] {
				continue
			}
			done[reading{i, u.kind}] = true
			if err := c.read(u.kind); err != nil {
				err = fmt.Errorf("the table of %s (%sshard-map: %s): %w", u.service, rules.Prefix, u.kind, err)
				findings = append(findings, Finding{c.file, placeOf("ConfigMap", metadata{Namespace: c.namespace, Name: c.name}), err})
			}
		}
	}
	return findings
}

// read reads a ConfigMap as a table.
func (c configMap) read(kind shard.Kind) error {
	var o struct {
		Data map[string]string `json:"data"`
	}
	err := json.Unmarshal(c.raw, &o)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s: a %s where text is wanted; put it in quotes", wrong.Field, wrong.Value)
	} else if err != nil {
		return err
	}
	_, err = shard.ParseTable(kind, o.Data)
	return err
}
