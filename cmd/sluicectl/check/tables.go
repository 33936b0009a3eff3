package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Tables are the Services that have a table of keys and owners, and the ConfigMaps that may be such tables, of all files that were looked at. A
// Service's is found only where both are there. The zero value has none.
type Tables struct {
	uses       []use
	configMaps []configMap
}

// use is a Service's word for a ConfigMap of its namespace.
type use struct {
	service, namespace string
	table              config.ShardTable
}

type configMap struct {
	file, namespace, name string
	raw                   json.RawMessage
}

// defaultNamespace is that of objects that name none, as for discovery from files.
const defaultNamespace = "default"

// service notes which table a Service asks for, if it does.
func (t *Tables) service(place string, m metadata) {
	if table := config.ShardTableOf(m.Annotations); table != (config.ShardTable{}) {
		t.uses = append(t.uses, use{place, m.Namespace, table})
	}
}

// Findings answers what is wrong in the tables, as sidecars read them.
func (t *Tables) Findings() (findings []Finding) {
	type reading struct {
		of    int
		table config.ShardTable
	}
	done := map[reading]bool{}
	for _, u := range t.uses {
		for i, c := range t.configMaps {
			if cmp.Or(c.namespace, defaultNamespace) != cmp.Or(u.namespace, defaultNamespace) || c.name != u.table.ConfigMap || done[reading{i, u.table}] {
				continue
			}
			done[reading{i, u.table}] = true
			if err := c.check(u.table); err != nil {
				findings = append(findings, Finding{c.file, placeOf("ConfigMap", metadata{Namespace: c.namespace, Name: c.name}), u.table.Wrong(u.service, err)})
			}
		}
	}
	return findings
}

// check reads a ConfigMap as a table.
func (c configMap) check(table config.ShardTable) error {
	var o struct {
		Data map[string]string `json:"data"`
	}
	err := json.Unmarshal(c.raw, &o)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s: a %s where text is wanted; put it in quotes", wrong.Field, wrong.Value)
	} else if err != nil {
		return err
	}
	return table.Check(o.Data)
}
